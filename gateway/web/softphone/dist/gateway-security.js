// gateway-security: how a call is protected, beside JsSIP or SIP.js. No dependencies. Types and what each
// field means: gateway-security.d.ts, served beside it; a page for either library: docs/web-developers.md.

// src/beep.js
var BURSTS = [[880, 0.16], [0, 0.06], [660, 0.16], [0, 0.06], [440, 0.28]];
var LEVEL = 0.15;
var RAMP = 0.015;
var INSECURE_BEEP = "insecure_beep";
async function playInsecureBeep(context) {
  if (context.state === "suspended") {
    await Promise.race([context.resume(), new Promise((resolve) => {
      setTimeout(resolve, 200);
    })]).catch(() => {
    });
  }
  if (context.state !== "running") return false;
  const gain = new GainNode(context, { gain: 0 });
  gain.connect(context.destination);
  let at = context.currentTime + 0.01;
  for (const [frequency, seconds] of BURSTS) {
    if (frequency) sound(context, gain, frequency, at, seconds);
    at += seconds;
  }
  await new Promise((resolve) => {
    setTimeout(resolve, (at - context.currentTime) * 1e3);
  });
  gain.disconnect();
  return true;
}
function sound(context, gain, frequency, at, seconds) {
  const oscillator = new OscillatorNode(context, { frequency });
  oscillator.connect(gain);
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LEVEL, at + RAMP);
  gain.gain.setValueAtTime(LEVEL, at + seconds - RAMP);
  gain.gain.linearRampToValueAtTime(0, at + seconds);
  oscillator.start(at);
  oscillator.stop(at + seconds);
}

// src/eventsocket.js
var TICKET = "Call-Security-Ticket";
var SUBPROTOCOL = "call-security";
var FIRST_WAIT = 500;
var LONGEST_WAIT = 3e4;
var SIGNED_OUT = 4001;
var BAD_TICKET = 4003;
var NOT_AGAIN = /* @__PURE__ */ new Set([SIGNED_OUT, BAD_TICKET]);
var EventSocket = class {
  #url;
  #onCall;
  #onQuality;
  #onState;
  #ticket = "";
  #socket = null;
  #next = 0;
  // number of the next message; 0 until the state is there
  #asked = false;
  // for the state, because a number was left out
  #wait = FIRST_WAIT;
  #timer = 0;
  /**
   * `onCall`: the report on a call. `onQuality`: how one sounds. `onState`: the socket is open, with the whole state there,
   * or it is not.
   */
  constructor(url, { onCall, onQuality = () => {
  }, onState = () => {
  } }) {
    this.#url = url;
    this.#onCall = onCall;
    this.#onQuality = onQuality;
    this.#onState = onState;
  }
  /** The state is there and is kept up. */
  get live() {
    return this.#next > 0;
  }
  /** The 200 to a REGISTER: its ticket opens the socket if that is not open. */
  use(ticket) {
    if (!ticket) return;
    this.#ticket = ticket;
    this.#wait = FIRST_WAIT;
    if (this.#socket === null) this.#open();
  }
  close() {
    clearTimeout(this.#timer);
    this.#ticket = "";
    this.#socket?.close();
    this.#lose();
  }
  #open() {
    clearTimeout(this.#timer);
    if (!this.#ticket) return;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    socket.addEventListener("open", () => socket === this.#socket && this.#greet());
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#read(data));
    socket.addEventListener("close", ({ code }) => socket === this.#socket && this.#closed(code));
  }
  #greet() {
    const ticket = this.#ticket;
    this.#ticket = "";
    this.#socket.send(JSON.stringify({ v: 1, type: "hello", ticket }));
  }
  #closed(code) {
    this.#lose();
    if (NOT_AGAIN.has(code) && !this.#ticket) return;
    this.#timer = setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }
  #lose() {
    const was = this.live;
    this.#socket = null;
    this.#next = 0;
    this.#asked = false;
    if (was) this.#onState(false);
  }
  #read(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message?.v !== 1) return;
    if (message.type === "state") this.#begin(message);
    else if (!this.live || this.#asked) return;
    else if (message.seq === this.#next) this.#go(message);
    else this.#resync();
  }
  #begin(message) {
    const was = this.live;
    this.#next = message.seq + 1;
    this.#asked = false;
    this.#wait = FIRST_WAIT;
    if (typeof message.ticket === "string") this.#ticket = message.ticket;
    for (const call of Array.isArray(message.calls) ? message.calls : []) this.#onCall(call);
    for (const call of Array.isArray(message.quality) ? message.quality : []) this.#onQuality(call);
    if (!was) this.#onState(true);
  }
  #go(message) {
    this.#next += 1;
    if (message.type === "call.security") this.#onCall(message.call);
    else if (message.type === "call.quality") this.#onQuality(message.call);
  }
  /** A number was left out: what is true now is asked for. */
  #resync() {
    this.#asked = true;
    this.#socket.send(JSON.stringify({ v: 1, type: "resync" }));
  }
};

// src/libraries.js
var PACKAGE = "call-security";
function followJsSIP(session, request, watch) {
  const remote = (handler) => ({ originator, ...event }) => originator === "remote" && handler(event);
  session.on("progress", remote(({ response }) => watch.read(response)));
  session.on("accepted", ({ originator, response }) => {
    if (originator === "remote") watch.read(response);
    watch.accept();
  });
  session.on("reinvite", ({ request: message }) => watch.read(message));
  session.on("update", ({ request: message }) => watch.read(message));
  session.on("newInfo", remote(({ info, request: message }) => {
    if (isOurs(message)) watch.readInfo(info.body);
  }));
  session.on("peerconnection", ({ peerconnection }) => watch.attach(peerconnection));
  session.on("failed", ({ message }) => watch.end(message));
  session.on("ended", ({ message }) => watch.end(message));
  if (session.connection) watch.attach(session.connection);
  if (watch.incoming) watch.read(request);
}
function followSIPjs(session, watch) {
  const before = session.delegate ?? {};
  session.delegate = {
    ...before,
    onInfo: (info) => {
      if (isOurs(info.request)) {
        watch.readInfo(info.request.body);
        info.accept();
      } else if (before.onInfo) before.onInfo(info);
      else info.accept();
    },
    onInvite: (request, ...more) => {
      watch.read(request);
      before.onInvite?.(request, ...more);
    },
    onBye: (bye) => {
      watch.end(bye.request);
      if (before.onBye) before.onBye(bye);
      else bye.accept();
    },
    onSessionDescriptionHandler: (handler, ...more) => {
      watch.attach(handler.peerConnection);
      before.onSessionDescriptionHandler?.(handler, ...more);
    }
  };
  session.stateChange.addListener((state) => {
    watch.attach(session.sessionDescriptionHandler?.peerConnection);
    if (state === "Established") watch.accept();
    if (state === "Terminated") watch.end();
  });
  if (watch.incoming) watch.read(session.request);
}
function delegateSIPjs(watch, before = {}) {
  const reading = (name) => (response) => {
    watch.read(response.message);
    before[name]?.(response);
  };
  return { ...before, onProgress: reading("onProgress"), onAccept: reading("onAccept"), onReject: reading("onReject") };
}
var isOurs = (message) => message?.getHeader("Info-Package")?.split(";")[0].trim().toLowerCase() === PACKAGE;

// src/table.js
var table = (entries) => Object.freeze(Object.assign(/* @__PURE__ */ Object.create(null), entries));

// src/quality.js
var CAUSES = table({
  loss: "parts of it are lost",
  delay: "it takes long",
  jitter: "it comes at uneven times"
});
var HEARERS = table({
  you: "You may hear the other side badly",
  other: "The other side may hear you badly"
});
var QUALITIES = /* @__PURE__ */ new Set(["good", "bad"]);
var MAX_LEGS = 2;
var number = (value) => typeof value === "number" && Number.isFinite(value) ? value : null;
function readQuality(object) {
  if (object === null || typeof object !== "object" || !QUALITIES.has(object.quality)) return null;
  const legs = Array.isArray(object.legs) ? object.legs.slice(0, MAX_LEGS) : [];
  return {
    quality: object.quality,
    where: ["browser", "trunk"].includes(object.where) ? object.where : "",
    hears: object.hears in HEARERS ? object.hears : "",
    cause: object.cause in CAUSES ? object.cause : "",
    legs: legs.map(readLeg).filter(Boolean)
  };
}
function readLeg(leg) {
  if (leg === null || typeof leg !== "object" || !["browser", "trunk"].includes(leg.leg)) return null;
  return {
    leg: leg.leg,
    quality: QUALITIES.has(leg.quality) ? leg.quality : "",
    mos: number(leg.mos),
    roundTrip: number(leg.rtt_ms),
    heard: readWay(leg.heard),
    sent: readWay(leg.sent)
  };
}
function readWay(way) {
  if (way === null || typeof way !== "object") return null;
  return { mos: number(way.mos), loss: number(way.loss_percent), jitter: number(way.jitter_ms), delay: number(way.delay_ms) };
}
function describeQuality(quality, scope = "") {
  if (!quality) return "";
  if (quality.quality === "good") return quality.legs.some(({ mos }) => mos !== null) ? "The sound is good." : "";
  const hearing = HEARERS[quality.hears] ?? "The sound is not good";
  const cause = CAUSES[quality.cause];
  return cause ? `${hearing}: ${cause} ${placeOf(quality, scope)}.` : `${hearing}.`;
}
function placeOf({ where }, scope) {
  return where === "browser" ? "between you and the gateway" : `between the gateway and ${scope.replace(/^to /, "") || "the other side"}`;
}

// src/report.js
var HEADER = "Call-Security";
var MAX_HEADER = 2048;
var MAX_CODES = 16;
var GRADES = ["CLEARTEXT", "KEY_EXPOSED", "PARTIAL", "UNAUTHENTICATED", "HOP_BY_HOP", "END_TO_END"];
var COLOURS = table({
  CLEARTEXT: "red",
  KEY_EXPOSED: "red",
  PARTIAL: "amber",
  UNAUTHENTICATED: "amber",
  HOP_BY_HOP: "green",
  END_TO_END: "green"
});
var TRANSPORTS = /* @__PURE__ */ new Set(["udp", "tcp", "tls", "ws", "wss"]);
var TLS_VERSIONS = /* @__PURE__ */ new Set(["tls1.2", "tls1.3"]);
var LOSSES = /* @__PURE__ */ new Set(["browser", "trunk", "both"]);
var isGrade = (grade) => GRADES.includes(grade);
var colourOf = (grade) => COLOURS[grade] ?? "grey";
function splitParameters(text2) {
  const parts = [];
  let quoted = false;
  let current = "";
  for (let i = 0; i < text2.length; i += 1) {
    const c = text2[i];
    if (quoted && c === "\\" && i + 1 < text2.length) {
      current += c + text2[i + 1];
      i += 1;
      continue;
    }
    if (c === '"') quoted = !quoted;
    if (c === ";" && !quoted) {
      parts.push(current);
      current = "";
    } else {
      current += c;
    }
  }
  parts.push(current);
  return parts;
}
function unquote(value) {
  const text2 = value.trim();
  if (text2.length < 2 || !text2.startsWith('"') || !text2.endsWith('"')) return text2;
  return text2.slice(1, -1).replace(/\\(.)/g, "$1");
}
function parseCallSecurity(header) {
  if (typeof header !== "string" || header.length > MAX_HEADER) return null;
  const fields = /* @__PURE__ */ new Map();
  for (const part of splitParameters(header)) {
    const equals = part.indexOf("=");
    if (equals > 0) fields.set(part.slice(0, equals).trim().toLowerCase(), unquote(part.slice(equals + 1)));
  }
  const words = (name) => (fields.get(name) ?? "").split(",").map((word) => word.trim()).filter(Boolean);
  return reportOf({
    grade: fields.get("grade"),
    worst: fields.get("worst"),
    scope: fields.get("scope"),
    browser: fields.get("browser"),
    trunk: fields.get("trunk"),
    recorded: fields.get("rec") === "yes",
    sequence: Number.parseInt(fields.get("seq") ?? "0", 10),
    policy: fields.get("policy"),
    id: fields.get("id"),
    lost: fields.get("lost"),
    far: fields.get("far"),
    codes: words("codes"),
    refused: words("refused"),
    tone: fields.get("tone")
  });
}
function readReport(object) {
  if (object === null || typeof object !== "object" || object.v !== 1 || object.type !== "call.security") return null;
  const [browser, trunk] = Array.isArray(object.legs) ? object.legs : [];
  return reportOf({
    ...object,
    browser,
    trunk,
    recorded: object.rec === true,
    sequence: object.seq,
    id: object.call_id,
    far: object.far === "browser" ? "browser" : ""
  });
}
var text = (value) => typeof value === "string" ? value : "";
var codes = (value) => Array.isArray(value) ? value.filter((code) => typeof code === "string").slice(0, MAX_CODES) : [];
function reportOf(found) {
  if (!isGrade(found.grade)) return null;
  return {
    grade: found.grade,
    worst: isGrade(found.worst) ? found.worst : found.grade,
    scope: text(found.scope),
    browser: parseLeg(text(found.browser)),
    trunk: parseLeg(text(found.trunk)),
    recorded: found.recorded,
    sequence: Number.isSafeInteger(found.sequence) ? found.sequence : 0,
    policy: text(found.policy),
    id: text(found.id),
    lost: LOSSES.has(found.lost) ? found.lost : "",
    far: text(found.far),
    codes: codes(found.codes),
    refused: codes(found.refused),
    tone: text(found.tone)
  };
}
function parseLeg(summary) {
  const tokens = summary.split(",").map((token) => token.trim()).filter(Boolean);
  if (tokens.length === 0) return null;
  const has = (name) => tokens.includes(name);
  const tls = tokens.find((token) => TLS_VERSIONS.has(token)) ?? "";
  return {
    keying: ["plain", "sdes", "dtls"].find(has) ?? "",
    pending: has("pending"),
    suite: tokens.find((token) => /^(AEAD_|AES_|F8_)/.test(token)) ?? "",
    transport: tokens.find((token) => TRANSPORTS.has(token)) ?? (tls ? "tls" : ""),
    tls,
    verified: has("verified") ? true : has("unverified") ? false : null
  };
}
function suiteName(name) {
  const upper = name.toUpperCase().replace(/^SRTP_/, "");
  const counter = /^AES_?(?:CM_)?(\d+)_(?:CM_)?(?:HMAC_)?SHA1_(\d+)$/.exec(upper);
  return counter ? `AES_CM_${counter[1]}_HMAC_SHA1_${counter[2]}` : upper;
}

// src/crosscheck.js
var DTLS_GRACE = 5e3;
var DTLS_VERSIONS = table({ FEFF: "DTLS 1.0", FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" });
var UNDER_WAY = /* @__PURE__ */ new Set(["new", "connecting"]);
var UNCONFIRMED_GREEN = table({ doubted: "amber", checking: "grey" });
function readTransport(report) {
  for (const entry of report.values()) {
    if (entry.type !== "transport") continue;
    return {
      state: entry.dtlsState ?? "",
      suite: entry.srtpCipher ?? "",
      version: DTLS_VERSIONS[(entry.tlsVersion ?? "").toUpperCase()] ?? ""
    };
  }
  return null;
}
function crossCheck(leg, observed) {
  if (!observed || !observed.state) return "unknown";
  if (UNDER_WAY.has(observed.state)) return "checking";
  if (observed.state !== "connected") return "contradicted";
  if (leg?.suite && observed.suite && suiteName(leg.suite) !== suiteName(observed.suite)) return "contradicted";
  return observed.suite ? "confirmed" : "unknown";
}
function doubtOf(call, now) {
  if (!call.answered || call.ended) return "";
  const verdict = crossCheck(call.report?.browser, call.observed);
  const settled = now - call.answeredAt > DTLS_GRACE;
  if (verdict === "contradicted") return "doubted";
  if (verdict === "checking") return settled ? "doubted" : "checking";
  return verdict === "unknown" && !call.observed && !settled ? "checking" : "";
}
function shownColour(grade, doubt) {
  const colour = colourOf(grade);
  return colour === "green" ? UNCONFIRMED_GREEN[doubt] ?? colour : colour;
}

// src/securitywatch.js
var REPORT_WAIT = 3e3;
var STATS_INTERVAL = 1e3;
var MAX_EARLIER = 16;
var SecurityWatch = class {
  #onChange;
  #onTone;
  #connection = null;
  #timers = [];
  #earlier = [];
  // ids the gateway gave this call before, for example until a transfer
  #toned = false;
  /** `onChange`: something is new. `onTone`: policy wants the person to hear that the call is not protected. */
  constructor({ callId = "", incoming = false, onChange = () => {
  }, onTone = () => {
  } } = {}) {
    this.callId = callId;
    this.incoming = incoming;
    this.#onChange = onChange;
    this.#onTone = onTone;
    this.report = null;
    this.source = "";
    this.overdue = false;
    this.quality = null;
    this.observed = null;
    this.answeredAt = 0;
    this.ended = false;
  }
  get answered() {
    return this.answeredAt > 0;
  }
  /** What a page shows, as one value; docs/web-developers.md explains each field. */
  get state() {
    const { report } = this;
    const doubt = doubtOf(this, Date.now());
    return {
      grade: report?.grade ?? "UNKNOWN",
      worst: report?.worst ?? "UNKNOWN",
      colour: report ? shownColour(report.grade, doubt) : "grey",
      known: report !== null,
      overdue: this.overdue,
      expected: report !== null && !this.answered,
      ended: this.ended,
      browserSees: crossCheck(report?.browser, this.observed),
      scope: report?.scope ?? "",
      browser: report?.browser ?? null,
      trunk: report?.trunk ?? null,
      codes: report?.codes ?? [],
      refused: report?.refused ?? [],
      lost: report?.lost ?? "",
      recorded: report?.recorded ?? false,
      tone: report?.tone ?? "",
      policy: report?.policy ?? "",
      id: report?.id ?? "",
      sequence: report?.sequence ?? 0,
      source: this.source,
      quality: this.quality
    };
  }
  /** A message of the call that may have the header: whatever has `getHeader(name)`, as the messages of both libraries. */
  read(message) {
    this.take(parseCallSecurity(message?.getHeader?.(HEADER)), "header");
  }
  /** The body of an INFO of the package. */
  readInfo(body) {
    let object = null;
    try {
      object = JSON.parse(body);
    } catch {
      return;
    }
    this.take(readReport(object), "info");
  }
  /** A report from anywhere; one that is older than what is known changes nothing. */
  take(report, source) {
    if (report === null || this.#isOlder(report)) return;
    const known = this.report;
    if (known && known.id !== report.id) this.#earlier = [...this.#earlier, known.id].slice(-MAX_EARLIER);
    this.report = report;
    this.source = source;
    this.overdue = false;
    this.#sound();
    this.#onChange(this);
  }
  /** How the call sounds, as the gateway says. */
  hear(quality) {
    if (this.ended) return;
    this.quality = quality;
    this.#onChange(this);
  }
  /** The highest number counts; those of another call the gateway has made of this one begin anew. */
  #isOlder(report) {
    if (this.#earlier.includes(report.id)) return true;
    return this.report !== null && report.id === this.report.id && report.sequence < this.report.sequence;
  }
  /** Before there is sound: at once in a call to somebody, at the answer in a call from somebody. */
  #sound() {
    const wanted = this.report?.tone ?? "";
    if (wanted === "") this.#toned = false;
    if (wanted === "" || this.#toned || this.ended || this.incoming && !this.answered) return;
    this.#toned = true;
    this.#onTone(wanted);
  }
  /** Somebody picked up. */
  accept() {
    if (this.answered || this.ended) return;
    this.answeredAt = Date.now();
    this.#timers.push(setTimeout(() => this.#missReport(), REPORT_WAIT));
    this.#timers.push(setInterval(() => this.look(), STATS_INTERVAL));
    this.#sound();
    this.#onChange(this);
  }
  #missReport() {
    this.overdue = this.report === null;
    this.#onChange(this);
  }
  /** The RTCPeerConnection of the call, whose DTLS is compared with what is reported. */
  attach(connection) {
    if (!connection || connection === this.#connection) return;
    this.#connection = connection;
    connection.addEventListener("connectionstatechange", () => this.look());
  }
  /** Looks at the browser's own statistics now. */
  async look() {
    if (!this.#connection || this.ended) return;
    const observed = readTransport(await this.#connection.getStats());
    if (this.ended || !observed) return;
    this.observed = observed;
    this.#onChange(this);
  }
  /** The call is over; `message` may have the last report. */
  end(message = null) {
    if (this.ended) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.ended = true;
    this.read(message);
    this.#onChange(this);
  }
};

// src/gateway-security.js
var MAX_LATEST = 64;
var GatewaySecurity = class {
  #onSecurity;
  #onEvents;
  #socket = null;
  #watches = /* @__PURE__ */ new Map();
  // session -> SecurityWatch; ended ones are let go
  #latest = /* @__PURE__ */ new Map();
  // SIP Call-ID -> the last object the event socket brought
  #context;
  #tone;
  /**
   * `onSecurity(session, state)`: something is new about a call. `events`: URL of the event socket, none without.
   * `tone`: whether the tone is played that policy may want; a function plays it in the module's place.
   * `onEvents(live)`: the event socket is up, or not.
   */
  constructor({ onSecurity = () => {
  }, events = "", tone = true, audioContext = null, onEvents = () => {
  } } = {}) {
    this.#onSecurity = onSecurity;
    this.#onEvents = onEvents;
    this.#tone = tone;
    this.#context = audioContext;
    if (!events) return;
    this.#socket = new EventSocket(events, {
      onCall: (call) => this.#heard(call),
      onQuality: (call) => this.#sounds(call),
      onState: (live) => this.#onEvents(live)
    });
  }
  /** For INVITEs and their answers: asks the gateway to tell of changes by INFO (RFC 6086). */
  get extraHeaders() {
    return ["Recv-Info: call-security"];
  }
  /** The event socket has brought the whole state and is kept up. */
  get eventsLive() {
    return this.#socket?.live ?? false;
  }
  // --- JsSIP
  /** Everything for a UA of JsSIP but `extraHeaders`, which go into `ua.call()` and `session.answer()`. */
  useJsSIP(ua) {
    ua.on("registered", ({ response }) => this.registered(response));
    ua.on("newRTCSession", ({ session, request }) => this.watchJsSIP(session, request));
  }
  /** One session of JsSIP. `onChange(watch)` is called besides `onSecurity`. */
  watchJsSIP(session, request, onChange = () => {
  }) {
    const incoming = session.direction === "incoming";
    return this.#watch(session, request.call_id, incoming, onChange, (watch) => followJsSIP(session, request, watch));
  }
  // --- SIP.js
  /** One Inviter or Invitation of SIP.js, before `invite()` or `accept()`. */
  watchSIPjs(session, onChange = () => {
  }) {
    const incoming = typeof session.accept === "function";
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
    this.#socket?.use(response?.getHeader?.(TICKET) ?? "");
  }
  /** A call of another library: `key` is handed to `onSecurity`. Call read(), accept(), attach() and end() of what you get. */
  watch(key, { callId, incoming = false }, onChange = () => {
  }) {
    return this.#watch(key, callId, incoming, onChange, () => {
    });
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
    const changed = (watch2) => {
      onChange(watch2);
      this.#onSecurity(key, watch2.state);
      if (watch2.ended) this.#watches.delete(key);
    };
    const watch = new SecurityWatch({ callId, incoming, onChange: changed, onTone: (tone) => this.#play(tone, key) });
    this.#watches.set(key, watch);
    follow(watch);
    watch.take(readReport(this.#latest.get(callId) ?? null), "events");
    return watch;
  }
  #heard(call) {
    const report = readReport(call);
    if (report === null) return;
    this.#latest.delete(call.sip_call_id);
    this.#latest.set(call.sip_call_id, call);
    if (this.#latest.size > MAX_LATEST) this.#latest.delete(this.#latest.keys().next().value);
    for (const watch of this.#watches.values()) if (watch.callId === call.sip_call_id) watch.take(report, "events");
  }
  #sounds(call) {
    const quality = readQuality(call);
    if (quality === null) return;
    for (const watch of this.#watches.values()) if (watch.callId === call.sip_call_id) watch.hear(quality);
  }
  async #play(tone, key) {
    if (typeof this.#tone === "function") this.#tone(tone, key);
    else if (this.#tone && tone === INSECURE_BEEP) await playInsecureBeep(this.#audio());
  }
  #audio() {
    this.#context ??= new AudioContext();
    return this.#context;
  }
};
export {
  GRADES,
  GatewaySecurity,
  HEADER,
  SecurityWatch,
  colourOf,
  crossCheck,
  describeQuality,
  parseCallSecurity,
  playInsecureBeep,
  readQuality,
  readReport,
  readTransport
};
