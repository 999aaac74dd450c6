// A page on JsSIP without a face, as docs/web-developers.md has it: it signs in by token, calls, and comes back after a
// change of networks.
import JsSIP from 'jssip';

let agent;
let current;
const told = []; // what became of the registration: 'registered', or the status it was refused with

function signIn({ user, realm, server, token, password }) {
  agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(server)],
    uri: `sip:${user}@${realm}`,
    connection_recovery_min_interval: 1,
    ...(token ? { authorization_jwt: `Bearer ${token}` } : {}),
    ...(password ? { password } : {}),
  });
  agent.on('registered', () => {
    told.push('registered');
    if (current?.isEstablished()) current.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  });
  agent.on('registrationFailed', ({ response }) => told.push(response?.status_code ?? 0));
  agent.on('newRTCSession', ({ session }) => follow(session));
  agent.start();
}

function follow(session) {
  current = session;
  const end = session.onTransportError;
  session.onTransportError = () => session.isEstablished() || end.call(session);
  session.on('icecandidate', ({ ready }) => ready());
  session.on('peerconnection', ({ peerconnection }) => listen(peerconnection));
  if (session.connection) listen(session.connection);
}

function listen(connection) {
  connection.addEventListener('track', ({ track }) => {
    document.querySelector('#remote-audio').srcObject = new MediaStream([track]);
  });
}

/** A new token before the old one expires, over the same connection. */
function renew(token) {
  agent.set('authorization_jwt', `Bearer ${token}`);
  agent.register();
}

function call(target) {
  const constraints = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
  const session = agent.call(target, { mediaConstraints: constraints, pcConfig: { iceServers: [] } });
  listen(session.connection);
}

const state = () => ({
  established: current?.isEstablished() ?? false,
  ended: current?.isEnded() ?? true,
  connection: current?.connection?.connectionState ?? 'closed',
  name: /a=ice-ufrag:(\S+)/.exec(current?.connection?.localDescription?.sdp ?? '')?.[1] ?? '',
});

window.jssip = { signIn, renew, call, state, told: () => told, hangUp: () => current.terminate(), stop: () => agent.stop() };
window.JsSIP = JsSIP; // for pages a test writes itself, as those of docs/web-developers.md
