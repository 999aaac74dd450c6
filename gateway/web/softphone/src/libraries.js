// How the two libraries tell a page what a SecurityWatch wants to know. Nothing of them is imported: a session is
// recognised by what it does.
const PACKAGE = 'call-security';

/** Follows a session of JsSIP; `request` is the INVITE of `newRTCSession`. */
export function followJsSIP(session, request, watch) {
  const remote = (handler) => ({ originator, ...event }) => originator === 'remote' && handler(event);
  session.on('progress', remote(({ response }) => watch.read(response)));
  session.on('accepted', ({ originator, response }) => {
    if (originator === 'remote') watch.read(response);
    watch.accept();
  });
  session.on('reinvite', ({ request: message }) => watch.read(message));
  session.on('update', ({ request: message }) => watch.read(message));
  session.on('newInfo', remote(({ info, request: message }) => {
    if (isOurs(message)) watch.readInfo(info.body);
  }));
  session.on('peerconnection', ({ peerconnection }) => watch.attach(peerconnection));
  session.on('failed', ({ message }) => watch.end(message));
  session.on('ended', ({ message }) => watch.end(message));
  if (session.connection) watch.attach(session.connection);
  if (watch.incoming) watch.read(request);
}

/** Follows an Inviter or an Invitation of SIP.js. What its delegate does already is still done. */
export function followSIPjs(session, watch) {
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
    },
  };
  session.stateChange.addListener((state) => {
    watch.attach(session.sessionDescriptionHandler?.peerConnection);
    if (state === 'Established') watch.accept();
    if (state === 'Terminated') watch.end();
  });
  if (watch.incoming) watch.read(session.request);
}

/** A delegate of SIP.js for the answers to a request, which hands them to the watch as well. */
export function delegateSIPjs(watch, before = {}) {
  const reading = (name) => (response) => {
    watch.read(response.message);
    before[name]?.(response);
  };
  return { ...before, onProgress: reading('onProgress'), onAccept: reading('onAccept'), onReject: reading('onReject') };
}

const isOurs = (message) => message?.getHeader('Info-Package')?.split(';')[0].trim().toLowerCase() === PACKAGE;
