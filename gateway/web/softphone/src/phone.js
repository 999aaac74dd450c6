// The user agent: signs in, places and receives calls. One call at a time.
import JsSIP from 'jssip';
import { Call, mediaOptions } from './call.js';
import { describeRegistration } from './reasons.js';
import { EVENT, readStanding } from './reginfo.js';

const BUSY_HERE = 486;
const HERE = { place: 'here' };

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
    this.standing = HERE; // whether calls ring on this page
    this.user = '';
    this.call = null;
  }

  get busy() {
    return this.call !== null && !this.call.ended;
  }

  signIn(user, password) {
    this.#stop();
    this.standing = HERE;
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

  /** Calls a number or a name of this gateway; throws RangeError for one of another domain, which would go astray. */
  dial(number, deviceId) {
    if (this.busy || this.registration !== 'registered') return;
    const [, domain = ''] = /^(?:sips?:)?[^@]*@([^;?]*)/i.exec(number) ?? [];
    if (domain && domain.toLowerCase() !== this.#config.realm.toLowerCase()) throw new RangeError(this.#config.realm);
    this.#agent.call(number, mediaOptions(deviceId)); // newRTCSession makes the Call
  }

  /** Takes the place again that another page has taken or removed. */
  ringHere() {
    this.#agent?.register();
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
    agent.on('disconnected', current(() => this.#disconnected()));
    agent.on('newRTCSession', current((event) => this.#opened(event)));
    agent.on('sipEvent', current(({ request }) => this.#told(request)));
  }

  #disconnected() {
    this.call?.loseGateway(); // a dialog of a browser lives and dies with its connection
    this.#set('connecting', 'No connection to the gateway. Trying again…');
  }

  #accepted() {
    this.signedIn = true;
    this.standing = HERE; // who is bound rings
    this.#set('registered');
  }

  /** The gateway says that calls do not ring here any more. To ring again is the user's to press, unless nobody wanted it so. */
  #told(request) {
    if (request.getHeader('Event')?.split(';')[0].trim() !== EVENT) return;
    const standing = readStanding(request.body, this.#agent.contact.uri.user);
    if (!standing) return;
    this.standing = standing.place === 'lost' ? HERE : standing;
    if (standing.place === 'lost') this.#agent.register();
    this.#onChange();
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
