// The user agent: signs in, places and receives calls. Several at once, of which one is heard and spoken in.
import JsSIP from 'jssip';
import { Call, mediaOptions } from './call.js';
import { GatewaySecurity } from './gateway-security.js';
import { Line } from './line.js';
import { describeRegistration } from './reasons.js';
import { EVENT, readStanding } from './reginfo.js';
import { unlockAudio } from './tones.js';

const BUSY_HERE = 486;
const MAX_CALLS = 4; // at once: more than anybody keeps in mind, and fewer than the gateway allows
const RECOVERY = { connection_recovery_min_interval: 1, connection_recovery_max_interval: 8 }; // s between tries to connect
const LINGER = 20000; // ms a call that ended beside another one stays in the list, with its reason
const HERE = { place: 'here' };

export class Phone {
  #config;
  #audio;
  #onChange;
  #agent = null;
  #line = null;
  #security = null;
  #lingering = new Set();

  constructor({ config, audio, onChange }) {
    this.#config = config;
    this.#audio = audio;
    this.#onChange = onChange;
    this.registration = 'offline';
    this.registrationReason = '';
    this.signedIn = false; // stays true while a lost connection is being restored
    this.standing = HERE; // whether calls ring on this page
    this.user = '';
    this.call = null; // in front: the one that is heard, or the last one that was
    this.calls = [];
  }

  /** The call in front is one, and not over. */
  get busy() {
    return this.call !== null && !this.call.ended;
  }

  get live() {
    return this.calls.filter((call) => !call.ended);
  }

  /** Behind the call in front: on hold, calling, or over a moment ago. */
  get others() {
    return this.calls.filter((call) => call !== this.call);
  }

  /** The call Alt+A answers. */
  get ringing() {
    return [this.call, ...this.others].find((call) => call?.state === 'incoming');
  }

  signIn(user, password) {
    this.#stop();
    this.standing = HERE;
    this.user = user;
    const gateway = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
    const socket = new JsSIP.WebSocketInterface(`${gateway}${this.#config.websocket}`);
    const events = this.#config.events ? `${gateway}${this.#config.events}` : '';
    this.#security = new GatewaySecurity({ events, audioContext: unlockAudio() });
    const uri = new JsSIP.URI('sip', user, this.#config.realm).toString();
    this.#agent = new JsSIP.UA({ sockets: [socket], uri, authorization_user: user, password, ...RECOVERY });
    this.#line = new Line(this.#agent, socket);
    this.#listen(this.#agent);
    this.#set('connecting');
    this.#agent.start();
  }

  signOut() {
    this.#stop();
    this.user = '';
    this.signedIn = false;
    if (!this.busy) this.call = null;
    this.calls = this.live;
    this.#set('offline');
  }

  /**
   * Calls a number or a name of this gateway, while the call in front goes on hold. Gives false when it cannot be now; throws
   * RangeError for an address of another domain, which would go astray, TypeError for what is none.
   */
  dial(number, deviceId) {
    const inTheMaking = this.busy && !this.call.talking;
    if (inTheMaking || this.registration !== 'registered' || this.live.length >= MAX_CALLS) return false;
    this.#agent.call(this.#target(number), mediaOptions(deviceId, this.#security.extraHeaders)); // newRTCSession makes the Call
    return true;
  }

  /** Hands the call in front over to a number or a name; errors as `dial`. If that fails it is as it was before. */
  transfer(number) {
    const call = this.call;
    if (!call?.talking || call.transferring) return;
    const target = this.#target(number);
    const resume = !call.heldHere;
    call.handOver(target, { to: number }).then((joined) => {
      if (!joined && resume && !call.ended && call === this.call) call.resume();
    });
  }

  /** Joins the other side of `call`, on hold, with that of the call in front. */
  async join(call) {
    const front = this.call;
    if (!this.canJoin(call)) return;
    const joined = await call.handOver(front.address, { to: front.peer, other: front });
    if (!joined && front.ended && !call.ended && front === this.call) this.bringForward(call);
  }

  canJoin(call) {
    const both = [call, this.call];
    return call !== this.call && both.every((one) => one?.talking && !one.transferring);
  }

  /** Answers a call; the one in front goes on hold. */
  answer(call, deviceId) {
    if (call?.state !== 'incoming') return;
    this.call = call;
    this.#changed();
    call.answer(deviceId);
  }

  /** Goes on with this call; the one in front goes on hold. */
  bringForward(call) {
    if (!call.talking) return;
    this.call = call;
    call.resume();
    this.#changed();
  }

  /** Hold or resume for the call in front. */
  toggleHold() {
    const call = this.call;
    if (!call?.talking || call.transferring) return;
    if (call.heldHere) call.resume();
    else call.hold();
  }

  #target(number) {
    const [, domain = ''] = /^(?:sips?:)?[^@]*@([^;?]*)/i.exec(number) ?? [];
    if (domain && domain.toLowerCase() !== this.#config.realm.toLowerCase()) throw new RangeError(this.#config.realm);
    const target = this.#agent.normalizeTarget(number);
    if (!target) throw new TypeError(`Invalid target: ${number}`);
    return target;
  }

  /** Keeps what always holds: only the call in front is heard and not on hold, and who calls is in front of what is over. */
  #changed() {
    if (!this.busy) this.call = this.ringing ?? this.call;
    for (const call of this.others) if (call.talking && !call.heldHere) call.hold();
    this.calls = this.calls.filter((call) => call === this.call || !call.ended || this.#lingering.has(call));
    this.#listenTo(this.call?.stream ?? null);
    this.#onChange();
  }

  #listenTo(stream) {
    if (this.#audio.srcObject === stream) return;
    this.#audio.srcObject = stream;
    if (stream) this.#audio.play().catch(() => {}); // the autoplay rules allow it: the user clicked "call" or "answer"
  }

  /** Takes the place again that another page has taken or removed. */
  ringHere() {
    this.#agent?.register();
  }

  /** The machine is in another network, or awake again: a WebSocket of before may be dead and not know it. */
  networkChanged() {
    if (this.signedIn && (this.#keeps || this.live.length === 0)) this.#line?.renew();
  }

  /** Whether the gateway keeps calls for those who lost their connection. */
  get #keeps() {
    return this.#config.reconnect_seconds > 0;
  }

  #stop() {
    const agent = this.#agent;
    this.#agent = null;
    this.#line?.close();
    this.#line = null;
    this.#security?.close();
    agent?.stop();
  }

  #set(registration, reason = '') {
    this.registration = registration;
    this.registrationReason = reason;
    this.#changed();
  }

  #listen(agent) {
    const current = (handler) => (event) => this.#agent === agent && handler(event);
    agent.on('registered', current(({ response }) => this.#accepted(response)));
    agent.on('registrationFailed', current((event) => this.#refused(event)));
    agent.on('disconnected', current(() => this.#disconnected()));
    agent.on('newRTCSession', current((event) => this.#opened(event)));
    agent.on('sipEvent', current(({ request }) => this.#told(request)));
  }

  #disconnected() {
    for (const call of this.live) this.#loseGateway(call);
    if (this.live.length > 0) this.#line?.hasten();
    this.#set('connecting', 'No connection to the gateway. Trying again…');
  }

  /** What was not answered yet is over: its request was lost with the connection. */
  #loseGateway(call) {
    if (this.#keeps && call.talking) call.wait(this.#config.reconnect_seconds);
    else call.loseGateway();
  }

  #accepted(response) {
    this.signedIn = true;
    this.#security.registered(response);
    this.standing = HERE; // who is bound rings
    for (const call of this.calls) call.comeBack();
    this.#set('registered');
  }

  /** The gateway says that calls do not ring here any more. To ring again is the user's to press, unless nobody wanted it so. */
  #told(request) {
    if (request.getHeader('Event')?.split(';')[0].trim() !== EVENT) return;
    const standing = readStanding(request.body, this.#agent.contact.uri.user);
    if (!standing) return;
    this.standing = standing.place === 'lost' ? HERE : standing;
    if (standing.place === 'lost') this.#agent.register();
    this.#changed();
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
    if (this.live.length >= MAX_CALLS) {
      session.terminate({ status_code: BUSY_HERE });
      return;
    }
    const onSilence = this.#keeps ? () => this.#line?.renew() : null;
    let call = null;
    const onChange = () => call && this.#callChanged(call);
    call = new Call(session, { request, security: this.#security, onChange, onSilence });
    this.calls.push(call);
    if (originator === 'local' || !this.busy) this.call = call;
    this.#changed();
  }

  #callChanged(call) {
    const besideAnother = call !== this.call || this.ringing !== undefined;
    if (call.ended && besideAnother && this.calls.includes(call)) this.#keepForAWhile(call);
    this.#changed();
  }

  /** Nobody has seen yet why it ended. */
  #keepForAWhile(call) {
    if (this.#lingering.has(call)) return;
    this.#lingering.add(call);
    setTimeout(() => {
      this.#lingering.delete(call);
      this.#changed();
    }, LINGER);
  }
}
