// One call: turns JsSIP's session events into the few states and facts the page shows.
import { Comeback } from './comeback.js';
import { Digits } from './digits.js';
import { Holding } from './holding.js';
import { IDENTITY, nameOf, parseIdentity } from './party.js';
import { LOST, describeEnd, describeFailure, wasMissed } from './reasons.js';
import { constraintsFor, switchMicrophone } from './microphone.js';
import { Sound } from './sound.js';
import { Transfer, describeTransfer } from './transfer.js';

const NO_KEYPAD = 'Keypad tones cannot be sent in this call.';
const INTERRUPTED = 'The sound is interrupted. Trying to get it back…';
const GOODBYE_WAIT = 3000; // ms the gateway has to end a call it has handed over; then the page does
const MEDIA_FAILED = { status_code: 408, reason_phrase: 'Media connection failed' };

/** Options both for calling and answering; `extraHeaders` are those of the security module. */
export const mediaOptions = (deviceId, extraHeaders) => ({
  extraHeaders,
  mediaConstraints: constraintsFor(deviceId),
  pcConfig: { iceServers: [], rtcpMuxPolicy: 'require', bundlePolicy: 'max-bundle' },
});

let count = 0;

export class Call {
  #session;
  #onChange;
  #holding;
  #onSilence;
  #security;
  #sound;
  #digits;
  #timers = [];
  #comeback;
  #owesGoodbye = false;
  #ownTrack = null;

  /**
   * `request`: the INVITE. `security`: the module that reads how the call is protected. `onSilence`: no sound comes through,
   * and another network may help; null where the gateway keeps no call.
   */
  constructor(session, { request, security, onChange, onSilence = null }) {
    this.#session = session;
    this.#onChange = onChange;
    this.#onSilence = onSilence;
    this.#holding = new Holding(session);
    this.#comeback = new Comeback(session, this);
    this.#digits = new Digits(session, { onSent: (digits) => this.tell(`Keypad: ${digits}`) });
    this.#sound = new Sound(this, onSilence);
    this.id = count += 1;
    this.stream = null; // what the other side says
    this.transfer = null; // under way, or the last one that failed
    this.joinedTo = null; // the transfer of another call whose target is the other side of this one
    this.missed = false;
    this.endedAt = 0;
    this.incoming = session.direction === 'incoming';
    this.state = this.incoming ? 'incoming' : 'calling';
    this.peer = nameOf(session.remote_identity);
    this.notice = '';
    this.reason = '';
    this.detail = '';
    this.refusal = '';
    this.answeredAt = 0;
    this.hadEarlyMedia = false;
    this.#security = security.watchJsSIP(session, request, () => this.#onChange());
    this.extraHeaders = security.extraHeaders;
    this.#listen();
    if (this.incoming) this.#readParty(request);
  }

  /** What the gateway says of its protection, see gateway-security.js; null while it has said nothing. */
  get report() {
    return this.#security.report;
  }

  /** It has said nothing in time. */
  get reportOverdue() {
    return this.#security.overdue;
  }

  /** How it sounds, as the gateway says; null while that is not known, and when it is over or on hold. */
  get quality() {
    return this.state === 'in-call' && !this.waiting ? this.#security.quality : null;
  }

  /** What the browser sees of its own leg. */
  get observed() {
    return this.#security.observed;
  }

  get session() {
    return this.#session;
  }

  get ended() {
    return this.state === 'ended';
  }

  get answered() {
    return this.answeredAt > 0;
  }

  get muted() {
    return this.#session.isMuted().audio === true;
  }

  get heldHere() {
    return this.#holding.wanted;
  }

  /** Somebody to talk to: answered and not ended. */
  get talking() {
    return this.answered && !this.ended;
  }

  /** Being handed over, or joined with another one. */
  get transferring() {
    return [this.transfer, this.joinedTo].some((one) => one !== null && !one.over);
  }

  /** Where the other side is called, as the gateway knows it. */
  get address() {
    return this.#session.remote_identity.uri;
  }

  answer(deviceId) {
    this.#session.answer(mediaOptions(deviceId, this.extraHeaders));
  }

  reject(status = 603) {
    this.#session.terminate({ status_code: status });
  }

  hangUp() {
    if (this.ended) return;
    if (!this.waiting) {
      this.#session.terminate();
      return;
    }
    this.#owesGoodbye = true; // nobody hears it now
    for (const { track } of this.#session.connection?.getSenders() ?? []) track?.stop();
    this.#finish(describeEnd({ originator: 'local', cause: 'Terminated' }), null);
  }

  /** The WebSocket is gone: the gateway has ended the call, or will as soon as it notices. */
  loseGateway() {
    this.#lose(LOST.gateway);
  }

  /** The connection to the gateway is gone and the call is not over yet. */
  get waiting() {
    return this.#comeback.waiting;
  }

  /** The WebSocket is gone, and the gateway keeps the call for so many seconds. */
  wait(seconds) {
    if (this.waiting || !this.talking) return;
    this.#holding.pause();
    this.#comeback.wait(seconds);
  }

  /** The page is registered again. */
  comeBack() {
    if (this.#owesGoodbye) this.#session.terminate();
    else if (this.waiting) this.#comeback.restart();
    this.#owesGoodbye = false;
  }

  restarted() {
    this.#holding.goOn();
  }

  tooLate() {
    this.loseGateway();
  }

  #lose(how, options) {
    if (this.ended) return;
    this.#finish(how, null);
    try {
      this.#session.terminate(options);
    } catch (error) {
      if (error.name !== 'INVALID_STATE_ERROR') throw error; // JsSIP has ended it already
    }
  }

  toggleMute() {
    if (this.muted) this.#session.unmute({ audio: true });
    else this.#session.mute({ audio: true });
    this.#onChange();
  }

  hold() {
    this.#putOnHold(true);
  }

  resume() {
    this.#putOnHold(false);
  }

  #putOnHold(held) {
    if (!this.talking || this.heldHere === held) return;
    this.#holding.want(held);
    this.#settle();
  }

  /**
   * Hands the other side over to `target`, called `to` on the page, or with `other` to the other side of that call. On hold
   * meanwhile. Gives whether they were connected; if not, the call is still here and on hold.
   */
  async handOver(target, { to, other = null }) {
    const transfer = new Transfer({ who: this.peer, to, attended: other !== null, onChange: () => this.#transferChanged() });
    this.transfer = transfer;
    if (other) other.joinedTo = transfer;
    this.hold();
    this.#transferChanged();
    await this.#holding.agreed();
    if (this.ended || other?.ended) transfer.abandon();
    else transfer.send(this.#session, target, other?.session);
    const joined = await transfer.finished;
    for (const call of [this, other]) if (joined) call?.sayGoodbye(transfer);
    if (!joined && other) other.joinedTo = null;
    return joined;
  }

  #transferChanged() {
    this.tell(describeTransfer(this.transfer));
  }

  /** The gateway ends a call it has handed over, sometimes before it says so. */
  sayGoodbye(transfer) {
    if (!this.ended) {
      this.#timers.push(setTimeout(() => this.hangUp(), GOODBYE_WAIT));
      return;
    }
    this.reason = describeTransfer(transfer);
    this.#onChange();
  }

  /** Queues a digit: telephone-events can be sent only once DTLS is up, later than the SIP answer. False: not sent. */
  sendDigit(digit) {
    if (this.state === 'held') {
      this.tell('On hold no keypad tones are sent. Resume the call first.');
      return false;
    }
    const taken = this.#digits.press(digit);
    this.#flushDigits();
    return taken;
  }

  /** Says something about this call, until there is something else to say. */
  tell(notice) {
    this.notice = notice;
    this.#onChange();
  }

  async changeMicrophone(deviceId) {
    if (!this.#session.connection || this.ended) return;
    const track = await switchMicrophone(this.#session.connection, deviceId);
    this.#ownTrack = track ?? this.#ownTrack;
    if (this.ended) this.#ownTrack?.stop();
  }

  #flushDigits() {
    if (this.talking) this.#digits.flush();
  }

  /**
   * JsSIP ends a call when anything of it cannot be sent, even the refresh of a session timer. A call that stands waits for
   * the next connection instead (`wait`).
   */
  #outliveConnection(session) {
    const end = session.onTransportError;
    session.onTransportError = () => this.waiting || (this.#onSilence && this.talking) || end.call(session);
  }

  #listen() {
    const session = this.#session;
    this.#outliveConnection(session);
    session.on('peerconnection', ({ peerconnection }) => this.#sound.attach(peerconnection));
    if (session.connection) this.#sound.attach(session.connection);
    // The gateway is ICE-lite: it needs none of our candidates, so the first one is enough to send the offer.
    session.on('icecandidate', ({ ready }) => ready());
    session.on('progress', ({ originator, response }) => originator === 'remote' && this.#progress(response));
    session.on('accepted', ({ response }) => this.#accepted(response));
    session.on('newDTMF', ({ originator, dtmf }) => originator === 'local' && dtmf.on('failed', () => this.tell(NO_KEYPAD)));
    session.on('hold', () => this.#settle());
    session.on('unhold', () => this.#settle());
    session.on('reinvite', ({ request }) => this.#changed(request));
    session.on('update', ({ request }) => this.#changed(request));
    session.on('failed', (event) => this.#failed(event));
    session.on('ended', (event) => this.#finish(this.#handedOver() ?? describeEnd(event), event.message));
    session.on('refer', ({ reject }) => reject()); // the gateway acts on transfers itself and asks no page to
    session.on('replaces', ({ reject }) => reject()); // nor does it replace a call behind its user's back
  }

  streamCame(stream) {
    this.stream = stream;
    this.#onChange();
  }

  connectionChanged() {
    this.#flushDigits();
  }

  interrupted() {
    this.tell(INTERRUPTED);
  }

  restored() {
    if (this.notice === INTERRUPTED) this.tell('');
  }

  soundLost() {
    this.#lose(LOST.media, MEDIA_FAILED);
  }

  #readParty(message) {
    const identity = parseIdentity(message?.getHeader?.(IDENTITY)); // after a transfer it is somebody else
    if (identity) this.peer = nameOf(identity);
    this.#onChange();
  }

  /** Somebody may have been connected in the place of who was. */
  #changed(request) {
    const before = this.peer;
    this.#readParty(request);
    if (this.peer !== before) this.tell(`You are connected with ${this.peer} now.`);
  }

  #progress(response) {
    if (this.answered || this.ended) return;
    if (response.body) this.#hearEarlyMedia();
    else if (response.status_code === 180 && this.state !== 'early') this.state = 'ringing';
    this.#readParty(response);
  }

  #hearEarlyMedia() {
    this.state = 'early';
    this.hadEarlyMedia = true;
  }

  #accepted(response) {
    this.answeredAt = Date.now();
    this.#settle();
    this.#flushDigits();
    if (response) this.#readParty(response);
  }

  #settle() {
    if (this.ended || !this.answered) return;
    const { local, remote } = this.#session.isOnHold();
    this.state = this.heldHere || local || remote ? 'held' : 'in-call';
    this.#onChange();
  }

  #failed(event) {
    if (this.ended) return;
    const failure = describeFailure(event);
    this.refusal = failure.security;
    this.missed = this.incoming && wasMissed(event);
    this.#finish(failure, event.message);
  }

  /** Why this call ended if it was handed over, or its other side was joined with another call's; null if neither. */
  #handedOver() {
    const transfer = [this.transfer, this.joinedTo].find((one) => one?.step === 'joined');
    return transfer ? { words: describeTransfer(transfer), detail: '' } : null;
  }

  #finish({ words, detail }, message) {
    if (this.ended) return;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#sound.stop();
    this.#comeback.stop();
    this.#holding.stop();
    this.#ownTrack?.stop();
    this.stream = null;
    this.endedAt = Date.now();
    this.reason = words;
    this.detail = detail;
    this.state = 'ended';
    this.#security.end(message);
    this.transfer?.abandon();
    this.#readParty(message);
  }
}
