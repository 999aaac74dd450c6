// A softphone on SIP.js without a face: a test signs it in, calls with it, and reads what it was told.
import { Inviter, Invitation, Registerer, RegistererState, SessionState, UserAgent } from 'sip.js';

const HEADER = 'Call-Security';
const CONSTRAINTS = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
const GATHERING = 500; // ms; the gateway is ICE-lite and needs none of our candidates
const OVER = /^\s*terminated\b/i; // Subscription-State of the last NOTIFY

let agent;
let registerer;
let current; // the call the functions below are about: the newest one, unless a test selects another
const calls = []; // in the order they came: {session, received, told, reason}

const read = (call, name, message) => call.received.push([name, message.getHeader(HEADER) ?? '']);
const readResponse = (call, { message }) => read(call, message.statusCode, message);

/** What a page does with the answers to its INVITE; the security of the call is in their header. */
const requestDelegate = (call) => ({
  onProgress: (response) => readResponse(call, response),
  onAccept: (response) => readResponse(call, response),
  onReject: ({ message }) => {
    call.reason = `${message.statusCode} ${message.reasonPhrase}`;
    readResponse(call, { message });
  },
});

/** `received`: messages that carry a report, as [start line, Call-Security]; `told`: statuses of a REFER and its NOTIFYs. */
function follow(session) {
  const call = { session, received: [], told: [], reason: '' };
  calls.push(call);
  current = call;
  session.delegate = {
    onSessionDescriptionHandler: () => { if (call === current) listen(); },
    onInvite: (request) => read(call, 'INVITE', request),
    onBye: (bye) => { call.reason = `BYE ${bye.request.getHeader('Reason') ?? ''}`.trim(); },
  };
  return call;
}

function listen() {
  document.querySelector('#remote-audio').srcObject = current.session.sessionDescriptionHandler?.remoteMediaStream ?? null;
}

function select(number) {
  current = calls[number];
  listen();
}

/** With `token` in place of a password: the issuer's JWT goes with each REGISTER. */
async function signIn({ user, password, realm, server, token }) {
  agent = new UserAgent({
    uri: UserAgent.makeURI(`sip:${user}@${realm}`),
    authorizationUsername: user,
    authorizationPassword: password,
    transportOptions: { server },
    logLevel: 'error',
    sessionDescriptionHandlerFactoryOptions: {
      iceGatheringTimeout: GATHERING,
      peerConnectionConfiguration: { iceServers: [], rtcpMuxPolicy: 'require', bundlePolicy: 'max-bundle' },
    },
    delegate: { onInvite: ring },
  });
  await agent.start();
  registerer = new Registerer(agent, token ? { extraHeaders: [`Authorization: Bearer ${token}`] } : {});
  await settled(registerer, () => registerer.register(), RegistererState.Registered);
}

function ring(invitation) {
  read(follow(invitation), 'INVITE', invitation.request);
}

async function signOut() {
  await settled(registerer, () => registerer.unregister(), RegistererState.Unregistered);
  await agent.stop();
}

/** Resolves when the registration has that state; `act` asks for it and rejects when it is refused. */
function settled(subject, act, wanted) {
  return new Promise((resolve, reject) => {
    subject.stateChange.addListener((state) => { if (state === wanted) resolve(); });
    act({}).catch(reject);
  });
}

async function call(target, { earlyMedia = false } = {}) {
  const options = { earlyMedia, sessionDescriptionHandlerOptions: { constraints: CONSTRAINTS } };
  const placed = follow(new Inviter(agent, UserAgent.makeURI(target), options));
  await placed.session.invite({ requestDelegate: requestDelegate(placed) });
}

const answer = () => current.session.accept({ sessionDescriptionHandlerOptions: { constraints: CONSTRAINTS } });

/** A re-INVITE with these options of SIP.js; resolves with the status it got. */
function reinvite(options) {
  const asked = current;
  return new Promise((resolve, reject) => {
    const done = (response) => { readResponse(asked, response); resolve(response.message.statusCode); };
    asked.session.invite({ ...options, requestDelegate: { onAccept: done, onReject: done } }).catch(reject);
  });
}

/** The WebSocket is gone: a new one, the same registration, and ICE anew over it. Resolves with the status of the re-INVITE. */
async function comeBack() {
  await agent.reconnect();
  await new Promise((resolve, reject) => {
    registerer.register({ requestDelegate: { onAccept: resolve, onReject: reject } }).catch(reject);
  });
  return reinvite({ sessionDescriptionHandlerOptions: { offerOptions: { iceRestart: true }, constraints: CONSTRAINTS } });
}

/** `sendonly`, or `sendrecv` again. */
const hold = (held) => reinvite({ sessionDescriptionHandlerOptions: { hold: held, constraints: CONSTRAINTS } });

/**
 * Hands the call over to a URI, or joins its other side with that of `other`, a call by number. Resolves with the statuses
 * the page was told, that of the REFER first, when it was refused or no more NOTIFYs come.
 */
function refer({ target, other }) {
  const { session } = current;
  const told = (current.told = []);
  const to = target === undefined ? calls[other].session : UserAgent.makeURI(target);
  return new Promise((resolve, reject) => {
    const onNotify = (notification) => {
      notification.accept();
      told.push(Number(/^SIP\/2\.0 (\d{3})/.exec(notification.request.body)?.[1]));
      if (OVER.test(notification.request.getHeader('Subscription-State') ?? '')) resolve(told);
    };
    const onAccept = ({ message }) => { told.push(message.statusCode); };
    const onReject = ({ message }) => { told.push(message.statusCode); resolve(told); };
    session.refer(to, { onNotify, requestDelegate: { onAccept, onReject } }).catch(reject);
  });
}

/** BYE, CANCEL or a refusal, whichever the state of the call asks for. */
function hangUp() {
  const { session } = current;
  if (session.state === SessionState.Established) return session.bye();
  return session instanceof Invitation ? session.reject() : session.cancel();
}

window.sipjs = {
  signIn,
  signOut,
  call,
  answer,
  select,
  hold,
  comeBack,
  refer,
  askForOffer: () => reinvite({ withoutSdp: true }),
  hangUp,
  sendDigits: (digits) => current.session.sessionDescriptionHandler.sendDtmf(digits),
  state: () => current?.session.state ?? '',
  reason: () => current?.reason ?? '',
  received: () => current?.received ?? [],
  told: () => current?.told ?? [],
  connection: () => current?.session.sessionDescriptionHandler?.peerConnection,
};
window.SIP = { Inviter, Registerer, UserAgent }; // for pages a test writes itself, as those of docs/web-developers.md
