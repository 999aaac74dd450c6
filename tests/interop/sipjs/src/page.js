// A softphone on SIP.js without a face: a test signs it in, calls with it, and reads what it was told.
import { Inviter, Registerer, RegistererState, SessionState, UserAgent } from 'sip.js';

const HEADER = 'Call-Security';
const CONSTRAINTS = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
const GATHERING = 500; // ms; the gateway is ICE-lite and needs none of our candidates

let agent;
let registerer;
let session;
let incoming;
let received = []; // messages of the call that carry a report: [start line, Call-Security]
let reason = '';

const read = (name, message) => received.push([name, message.getHeader(HEADER) ?? '']);
const readResponse = ({ message }) => read(message.statusCode, message);

/** What a page does with the answers to its INVITE; the security of the call is in their header. */
const requestDelegate = {
  onProgress: readResponse,
  onAccept: readResponse,
  onReject: ({ message }) => { reason = `${message.statusCode} ${message.reasonPhrase}`; readResponse({ message }); },
};

function follow(next) {
  session = next;
  received = [];
  reason = '';
  session.delegate = {
    onSessionDescriptionHandler: (handler) => {
      document.querySelector('#remote-audio').srcObject = handler.remoteMediaStream;
    },
    onInvite: (request) => read('INVITE', request),
    onBye: (bye) => { reason = `BYE ${bye.request.getHeader('Reason') ?? ''}`.trim(); },
  };
}

async function signIn({ user, password, realm, server }) {
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
  registerer = new Registerer(agent);
  await settled(registerer, () => registerer.register(), RegistererState.Registered);
}

function ring(invitation) {
  follow(invitation);
  incoming = invitation;
  read('INVITE', invitation.request);
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
  follow(new Inviter(agent, UserAgent.makeURI(target), options));
  await session.invite({ requestDelegate });
}

const answer = () => incoming.accept({ sessionDescriptionHandlerOptions: { constraints: CONSTRAINTS } });

/** A re-INVITE with these options of SIP.js; resolves with the status it got. */
function reinvite(options) {
  return new Promise((resolve, reject) => {
    const done = (response) => { readResponse(response); resolve(response.message.statusCode); };
    session.invite({ ...options, requestDelegate: { onAccept: done, onReject: done } }).catch(reject);
  });
}

/** `sendonly`, or `sendrecv` again. */
const hold = (held) => reinvite({ sessionDescriptionHandlerOptions: { hold: held, constraints: CONSTRAINTS } });

/** BYE, CANCEL or a refusal, whichever the state of the call asks for. */
function hangUp() {
  if (session.state === SessionState.Established) return session.bye();
  return session === incoming ? session.reject() : session.cancel();
}

window.sipjs = {
  signIn,
  signOut,
  call,
  answer,
  hold,
  askForOffer: () => reinvite({ withoutSdp: true }),
  hangUp,
  sendDigits: (digits) => session.sessionDescriptionHandler.sendDtmf(digits),
  state: () => session?.state ?? '',
  reason: () => reason,
  received: () => received,
  connection: () => session?.sessionDescriptionHandler?.peerConnection,
};
