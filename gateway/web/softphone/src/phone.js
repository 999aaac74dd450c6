// The user agent: signs in, places and receives calls. One call at a time.
import JsSIP from 'jssip';
import { Call, mediaOptions } from './call.js';
import { describeRegistration } from './reasons.js';

const BUSY_HERE = 486;

export class Phone {
  #config;
  #audio;
  #onChange;
  #agent = null;

  constructor({ config, audio, onChange }) {
    this.#config = config;
    this.#audio = audio;
    this.#onChange = onChange;
    this.registration = 'offline';
    this.registrationReason = '';
    this.signedIn = false; // stays true while a lost connection is being restored
    this.user = '';
    this.call = null;
  }

  get busy() {
    return this.call !== null && !this.call.ended;
  }

  signIn(user, password) {
    this.#stop();
    this.user = user;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new JsSIP.WebSocketInterface(`${scheme}://${location.host}${this.#config.websocket}`);
    const uri = new JsSIP.URI('sip', user, this.#config.realm).toString();
    this.#agent = new JsSIP.UA({ sockets: [socket], uri, authorization_user: user, password });
    this.#listen(this.#agent);
    this.#set('connecting');
    this.#agent.start();
  }

  signOut() {
    this.#stop();
    this.user = '';
    this.signedIn = false;
    if (!this.busy) this.call = null;
    this.#set('offline');
  }

  dial(number, deviceId) {
    if (this.busy || this.registration !== 'registered') return;
    this.#agent.call(number, mediaOptions(deviceId)); // newRTCSession makes the Call
  }

  #stop() {
    const agent = this.#agent;
    this.#agent = null;
    agent?.stop();
  }

  #set(registration, reason = '') {
    this.registration = registration;
    this.registrationReason = reason;
    this.#onChange();
  }

  #listen(agent) {
    const current = (handler) => (event) => this.#agent === agent && handler(event);
    agent.on('registered', current(() => this.#accepted()));
    agent.on('registrationFailed', current((event) => this.#refused(event)));
    agent.on('disconnected', current(() => this.#set('connecting', 'No connection to the gateway. Trying again…')));
    agent.on('newRTCSession', current((event) => this.#opened(event)));
  }

  #accepted() {
    this.signedIn = true;
    this.#set('registered');
  }

  #refused(event) {
    const words = describeRegistration(event);
    if (!event.response) {
      this.#set('connecting', words); // no answer: JsSIP connects again by itself
      return;
    }
    this.#stop(); // a refused password is not sent again and again
    this.signedIn = false;
    this.#set('failed', words);
  }

  #opened({ originator, session, request }) {
    if (this.busy) {
      session.terminate({ status_code: BUSY_HERE });
      return;
    }
    this.call = new Call(session, { audio: this.#audio, onChange: this.#onChange });
    if (originator === 'remote') this.call.readRequest(request);
    this.#onChange();
  }
}
