// One call: turns JsSIP's session events into the few states and facts the page shows.
import { HEADER, parseCallSecurity } from './callsecurity.js';
import { Comeback } from './comeback.js';
import { Holding } from './holding.js';
import { readTransport } from './mediastats.js';
import { IDENTITY, nameOf, parseIdentity } from './party.js';
import { LOST, describeEnd, describeFailure, wasMissed } from './reasons.js';
import { constraintsFor, switchMicrophone } from './microphone.js';
import { Transfer, describeTransfer } from './transfer.js';

const HEADER_WAIT = 3000; // ms after the answer until a missing header counts as "unknown"
const STATS_INTERVAL = 1000;
const DTMF = { duration: 100, interToneGap: 70 };
const MAX_QUEUED_DIGITS = 64;
const MAX_SHOWN_DIGITS = 16;
const NO_KEYPAD = 'Keypad tones cannot be sent in this call.';
const INTERRUPTED = 'The sound is interrupted. Trying to get it back…';
const SILENCE_WAIT = 3000; // ms without an answer to ICE until another network is supposed
const MEDIA_WAIT = 10000; // ms after which sound that failed and did not come back is given up
const GOODBYE_WAIT = 3000; // ms the gateway has to end a call it has handed over; then the page does
const MEDIA_FAILED = { status_code: 408, reason_phrase: 'Media connection failed' };

/** Options both for calling and answering. */
export const mediaOptions = (deviceId) => ({
  mediaConstraints: constraintsFor(deviceId),
  pcConfig: { iceServers: [], rtcpMuxPolicy: 'require', bundlePolicy: 'max-bundle' },
});

let count = 0;

export class Call {
  #session;
  #onChange;
  #holding;
  #onSilence;
  #digits = '';
  #timers = [];
  #comeback;
  #failing = 0; // the timer that ends a call without sound
  #wasConnected = false;
  #owesGoodbye = false;
  #ownTrack = null;

  /** `onSilence`: no sound comes through, and another network may help; null where the gateway keeps no call. */
  constructor(session, { onChange, onSilence = null }) {
    this.#session = session;
    this.#onChange = onChange;
    this.#onSilence = onSilence;
    this.#holding = new Holding(session);
    this.#comeback = new Comeback(session, this);
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
    this.digitsSent = '';
    this.report = null;
    this.reportOverdue = false;
    this.observed = null;
    this.answeredAt = 0;
    this.hadEarlyMedia = false;
    this.#listen();
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
    this.#session.answer(mediaOptions(deviceId));
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
    if (this.#digits.length >= MAX_QUEUED_DIGITS) return false;
    this.#digits += digit;
    this.#flushDigits();
    return true;
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
    const connection = this.#session.connection;
    if (!this.#digits || !this.answered || this.ended || connection?.connectionState !== 'connected') return;
    const digits = this.#digits;
    this.#digits = '';
    // As telephone-events where they were agreed on, else by INFO, which the gateway refuses where nobody takes digits.
    const events = connection.getSenders().some(({ dtmf }) => dtmf?.canInsertDTMF);
    this.#session.sendDTMF(digits, { ...DTMF, transportType: events ? 'RFC2833' : 'INFO' });
    this.digitsSent = (this.digitsSent + digits).slice(-MAX_SHOWN_DIGITS);
    this.tell(`Keypad: ${this.digitsSent}`);
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
    session.on('peerconnection', ({ peerconnection }) => this.#attach(peerconnection));
    if (session.connection) this.#attach(session.connection);
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

  /** The header of an incoming INVITE, before the session is answered. */
  readRequest(request) {
    this.#read(request);
  }

  #attach(connection) {
    connection.addEventListener('track', ({ track }) => {
      if (track.kind !== 'audio') return;
      this.stream = new MediaStream([track]);
      this.#onChange();
    });
    connection.addEventListener('connectionstatechange', () => this.#connectionChanged(connection.connectionState));
  }

  /** ICE and DTLS together (W3C webrtc 4.4.3): `failed` is final, `disconnected` may come back. */
  #connectionChanged(state) {
    this.#flushDigits();
    this.#observe();
    if (state === 'failed') this.#soundFailed();
    else if (state === 'disconnected') this.#soundInterrupted();
    else if (state === 'connected') this.#soundBack();
  }

  /** Final for these paths; in another network there are others, if it has ever worked. */
  #soundFailed() {
    if (!this.#onSilence || !this.#wasConnected) {
      this.#lose(LOST.media, MEDIA_FAILED);
      return;
    }
    if (this.#failing) return;
    this.#failing = setTimeout(() => this.waiting || this.#lose(LOST.media, MEDIA_FAILED), MEDIA_WAIT);
    if (!this.waiting) this.#onSilence();
  }

  #soundInterrupted() {
    if (!this.waiting) this.tell(INTERRUPTED);
    const stillSilent = () => !this.ended && this.#session.connection?.connectionState === 'disconnected';
    this.#timers.push(setTimeout(() => stillSilent() && !this.waiting && this.#onSilence?.(), SILENCE_WAIT));
  }

  #soundBack() {
    this.#wasConnected = true;
    clearTimeout(this.#failing);
    this.#failing = 0;
    if (this.notice === INTERRUPTED) this.tell('');
  }

  #read(message) {
    const report = parseCallSecurity(message?.getHeader?.(HEADER));
    if (report && !isOlder(report, this.report)) this.report = report;
    const identity = parseIdentity(message?.getHeader?.(IDENTITY)); // after a transfer it is somebody else
    if (identity) this.peer = nameOf(identity);
    this.#onChange();
  }

  /** Somebody may have been connected in the place of who was. */
  #changed(request) {
    const before = this.peer;
    this.#read(request);
    if (this.peer !== before) this.tell(`You are connected with ${this.peer} now.`);
  }

  #progress(response) {
    if (this.answered || this.ended) return;
    if (response.body) this.#hearEarlyMedia();
    else if (response.status_code === 180 && this.state !== 'early') this.state = 'ringing';
    this.#read(response);
  }

  #hearEarlyMedia() {
    this.state = 'early';
    this.hadEarlyMedia = true;
  }

  #accepted(response) {
    this.answeredAt = Date.now();
    this.#timers.push(setTimeout(() => this.#noticeSilence(), HEADER_WAIT));
    this.#timers.push(setInterval(() => this.#observe(), STATS_INTERVAL));
    this.#settle();
    this.#flushDigits();
    if (response) this.#read(response);
  }

  #settle() {
    if (this.ended || !this.answered) return;
    const { local, remote } = this.#session.isOnHold();
    this.state = this.heldHere || local || remote ? 'held' : 'in-call';
    this.#onChange();
  }

  #noticeSilence() {
    this.reportOverdue = this.report === null;
    this.#onChange();
  }

  async #observe() {
    const connection = this.#session.connection;
    if (!connection || this.ended) return;
    const observed = readTransport(await connection.getStats());
    if (this.ended || !observed) return;
    this.observed = observed;
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
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#failing);
    this.#comeback.stop();
    this.#holding.stop();
    this.#ownTrack?.stop();
    this.stream = null;
    this.endedAt = Date.now();
    this.reason = words;
    this.detail = detail;
    this.state = 'ended';
    this.transfer?.abandon();
    this.#read(message);
  }
}

/** The report with the highest number counts; those of another call the gateway has made of this one begin anew. */
const isOlder = (report, known) => known !== null && report.id === known.id && report.sequence < known.sequence;
