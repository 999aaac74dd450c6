// gateway-security: tells a page how its calls are protected, beside JsSIP or SIP.js. No dependencies.
// Documentation: docs/web-developers.md. Types: gateway-security.d.ts.
import { INSECURE_BEEP, playInsecureBeep } from './beep.js';
import { EventSocket, TICKET } from './eventsocket.js';
import { delegateSIPjs, followJsSIP, followSIPjs } from './libraries.js';
import { readQuality } from './quality.js';
import { readReport } from './report.js';
import { SecurityWatch } from './securitywatch.js';

export { GRADES, HEADER, colourOf, parseCallSecurity, readReport } from './report.js';
export { crossCheck, readTransport } from './crosscheck.js';
export { describeQuality, readQuality } from './quality.js';
export { playInsecureBeep, SecurityWatch };

const MAX_LATEST = 64; // reports on calls this page has no session of: other pages of the same user

export class GatewaySecurity {
  #onSecurity;
  #onEvents;
  #socket = null;
  #watches = new Map(); // session -> SecurityWatch; ended ones are let go
  #latest = new Map(); // SIP Call-ID -> the last object the event socket brought
  #context;
  #tone;

  /**
   * `onSecurity(session, state)`: something is new about a call. `events`: URL of the event socket, none without.
   * `tone`: whether the tone is played that policy may want; a function plays it in the module's place.
   * `onEvents(live)`: the event socket is up, or not.
   */
  constructor({ onSecurity = () => {}, events = '', tone = true, audioContext = null, onEvents = () => {} } = {}) {
    this.#onSecurity = onSecurity;
    this.#onEvents = onEvents;
    this.#tone = tone;
    this.#context = audioContext;
    if (!events) return;
    this.#socket = new EventSocket(events, {
      onCall: (call) => this.#heard(call),
      onQuality: (call) => this.#sounds(call),
      onState: (live) => this.#onEvents(live),
    });
  }

  /** For INVITEs and their answers: asks the gateway to tell of changes by INFO (RFC 6086). */
  get extraHeaders() {
    return ['Recv-Info: call-security'];
  }

  /** The event socket has brought the whole state and is kept up. */
  get eventsLive() {
    return this.#socket?.live ?? false;
  }

  // --- JsSIP

  /** Everything for a UA of JsSIP but `extraHeaders`, which go into `ua.call()` and `session.answer()`. */
  useJsSIP(ua) {
    ua.on('registered', ({ response }) => this.registered(response));
    ua.on('newRTCSession', ({ session, request }) => this.watchJsSIP(session, request));
  }

  /** One session of JsSIP. `onChange(watch)` is called besides `onSecurity`. */
  watchJsSIP(session, request, onChange = () => {}) {
    const incoming = session.direction === 'incoming';
    return this.#watch(session, request.call_id, incoming, onChange, (watch) => followJsSIP(session, request, watch));
  }

  // --- SIP.js

  /** One Inviter or Invitation of SIP.js, before `invite()` or `accept()`. */
  watchSIPjs(session, onChange = () => {}) {
    const incoming = typeof session.accept === 'function';
    const { callId } = session.request;
    return this.#watch(session, callId, incoming, onChange, (watch) => followSIPjs(session, watch));
  }

  /** Options for `inviter.invite()` and for a re-INVITE: yours, and a delegate that reads the answers. */
  inviteOptions(session, options = {}) {
    const watch = this.#watches.get(session) ?? this.watchSIPjs(session);
    return { ...options, requestDelegate: delegateSIPjs(watch, options.requestDelegate) };
  }

  /** Options for `registerer.register()`: yours, and a delegate that takes the ticket of the event socket. */
  registerOptions(options = {}) {
    const before = options.requestDelegate ?? {};
    const onAccept = (response) => {
      this.registered(response.message);
      before.onAccept?.(response);
    };
    return { ...options, requestDelegate: { ...before, onAccept } };
  }

  // --- whatever library

  /** The 200 to a REGISTER: it has the ticket of the event socket. */
  registered(response) {
    this.#socket?.use(response?.getHeader?.(TICKET) ?? '');
  }

  /** A call of another library: `key` is handed to `onSecurity`. Call read(), accept(), attach() and end() of what you get. */
  watch(key, { callId, incoming = false }, onChange = () => {}) {
    return this.#watch(key, callId, incoming, onChange, () => {});
  }

  /** What is known of a call now, or null for one that is not watched. */
  stateOf(session) {
    return this.#watches.get(session)?.state ?? null;
  }

  /** Signed out: nothing more is asked of the gateway. */
  close() {
    this.#socket?.close();
    this.#latest.clear();
  }

  #watch(key, callId, incoming, onChange, follow) {
    const known = this.#watches.get(key);
    if (known) return known;
    const changed = (watch) => {
      onChange(watch);
      this.#onSecurity(key, watch.state);
      if (watch.ended) this.#watches.delete(key);
    };
    const watch = new SecurityWatch({ callId, incoming, onChange: changed, onTone: (tone) => this.#play(tone, key) });
    this.#watches.set(key, watch);
    follow(watch);
    watch.take(readReport(this.#latest.get(callId) ?? null), 'events');
    return watch;
  }

  #heard(call) {
    const report = readReport(call);
    if (report === null) return;
    this.#latest.delete(call.sip_call_id);
    this.#latest.set(call.sip_call_id, call);
    if (this.#latest.size > MAX_LATEST) this.#latest.delete(this.#latest.keys().next().value);
    for (const watch of this.#watches.values()) if (watch.callId === call.sip_call_id) watch.take(report, 'events');
  }

  #sounds(call) {
    const quality = readQuality(call);
    if (quality === null) return;
    for (const watch of this.#watches.values()) if (watch.callId === call.sip_call_id) watch.hear(quality);
  }

  async #play(tone, key) {
    if (typeof this.#tone === 'function') this.#tone(tone, key);
    else if (this.#tone && tone === INSECURE_BEEP) await playInsecureBeep(this.#audio());
  }

  #audio() {
    this.#context ??= new AudioContext();
    return this.#context;
  }
}
