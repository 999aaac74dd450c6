// One call: turns JsSIP's session events into the few states and facts the page shows.
import { HEADER, parseCallSecurity } from './callsecurity.js';
import { readTransport } from './mediastats.js';
import { describeEnd, describeFailure } from './reasons.js';
import { constraintsFor, switchMicrophone } from './microphone.js';

const HEADER_WAIT = 3000; // ms after the answer until a missing header counts as "unknown"
const STATS_INTERVAL = 1000;
const DTMF = { transportType: 'RFC2833', duration: 100, interToneGap: 70 };
const MAX_QUEUED_DIGITS = 64;
const MAX_NAME = 64;

/** Options both for calling and answering. */
export const mediaOptions = (deviceId) => ({
  mediaConstraints: constraintsFor(deviceId),
  pcConfig: { iceServers: [], rtcpMuxPolicy: 'require', bundlePolicy: 'max-bundle' },
});

/** Display name and number as plain text: no control or direction-changing characters that could fake a name. */
function nameOf({ display_name: name, uri }) {
  const clean = (text) => (text ?? '').replace(/[\p{Cc}\p{Cf}]/gu, '').slice(0, MAX_NAME);
  const user = clean(uri.user);
  return name && name !== user ? `${clean(name)} (${user || uri.host})` : user || uri.host;
}

export class Call {
  #session;
  #onChange;
  #digits = '';
  #timers = [];
  #ownTrack = null;

  constructor(session, { onChange, audio }) {
    this.#session = session;
    this.#onChange = onChange;
    this.audio = audio;
    this.state = session.direction === 'incoming' ? 'incoming' : 'calling';
    this.peer = nameOf(session.remote_identity);
    this.notice = '';
    this.reason = '';
    this.refusal = '';
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
    return this.#session.isOnHold().local === true;
  }

  answer(deviceId) {
    this.#session.answer(mediaOptions(deviceId));
  }

  reject(status = 603) {
    this.#session.terminate({ status_code: status });
  }

  hangUp() {
    if (!this.ended) this.#session.terminate();
  }

  toggleMute() {
    if (this.muted) this.#session.unmute({ audio: true });
    else this.#session.mute({ audio: true });
    this.#onChange();
  }

  toggleHold() {
    if (this.heldHere) this.#session.unhold();
    else this.#session.hold();
    this.#onChange();
  }

  /** Queues a digit; RFC 4733 events can be sent only once DTLS is up, later than the SIP answer. */
  sendDigit(digit) {
    if (this.#digits.length >= MAX_QUEUED_DIGITS) return;
    this.#digits += digit;
    this.#flushDigits();
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
    try {
      this.#session.sendDTMF(digits, { ...DTMF });
    } catch (error) {
      // Not negotiated in this call, or on hold: the browser refuses with InvalidStateError.
      if (error.name !== 'InvalidStateError') throw error;
      this.notice = 'Keypad tones cannot be sent now.';
      this.#onChange();
    }
  }

  #listen() {
    const session = this.#session;
    session.on('peerconnection', ({ peerconnection }) => this.#attach(peerconnection));
    if (session.connection) this.#attach(session.connection);
    // The gateway is ICE-lite: it needs none of our candidates, so the first one is enough to send the offer.
    session.on('icecandidate', ({ ready }) => ready());
    session.on('progress', ({ originator, response }) => originator === 'remote' && this.#progress(response));
    session.on('accepted', ({ response }) => this.#accepted(response));
    session.on('hold', () => this.#settle());
    session.on('unhold', () => this.#settle());
    session.on('reinvite', ({ request }) => this.#read(request));
    session.on('update', ({ request }) => this.#read(request));
    session.on('failed', (event) => this.#failed(event));
    session.on('ended', (event) => this.#finish(describeEnd(event), event.message));
  }

  /** The header of an incoming INVITE, before the session is answered. */
  readRequest(request) {
    this.#read(request);
  }

  #attach(connection) {
    connection.addEventListener('track', ({ track }) => {
      if (track.kind !== 'audio') return;
      this.audio.srcObject = new MediaStream([track]);
      this.audio.play().catch(() => {}); // the autoplay rules allow it: the user clicked "call" or "answer"
    });
    connection.addEventListener('connectionstatechange', () => {
      this.#flushDigits();
      this.#observe();
    });
  }

  #read(message) {
    const report = parseCallSecurity(message?.getHeader?.(HEADER));
    if (report) this.report = report;
    this.#onChange();
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
    this.state = local || remote ? 'held' : 'in-call';
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
    const { words, security } = describeFailure(event);
    this.refusal = security;
    this.#finish(words, event.message);
  }

  #finish(words, message) {
    for (const timer of this.#timers) clearInterval(timer);
    this.#ownTrack?.stop();
    this.audio.srcObject = null;
    this.reason = words;
    this.state = 'ended';
    this.#read(message);
  }
}
