// Says in words who could listen to a call. No DOM, no network: pure functions.
import { GRADES, endsInBrowser, suiteName } from './report.js';
import { table } from './table.js';

export { GRADES, HEADER, colourOf, endsInBrowser, isGrade, parseCallSecurity, suiteName, unquote } from './report.js';

const TITLES = table({
  CLEARTEXT: 'Not encrypted all the way',
  KEY_EXPOSED: 'Encrypted, but the key was visible',
  PARTIAL: 'Only partly protected',
  UNAUTHENTICATED: 'Encrypted, identity not proven',
  HOP_BY_HOP: 'Encrypted on every hop',
  END_TO_END: 'Encrypted end to end',
  UNKNOWN: 'Protection unknown',
});

const SUITES = table({
  AEAD_AES_256_GCM: 'AES-256-GCM',
  AEAD_AES_128_GCM: 'AES-128-GCM',
  AES_CM_256_HMAC_SHA1_80: 'AES-256 with an 80-bit tag',
  AES_CM_128_HMAC_SHA1_80: 'AES-128 with an 80-bit tag',
  AES_CM_128_HMAC_SHA1_32: 'AES-128 with a 32-bit tag',
});

const TRANSPORTS = table({
  udp: 'signalling over UDP, not encrypted',
  tcp: 'signalling over TCP, not encrypted',
  tls: 'signalling over TLS',
  ws: 'signalling over an unencrypted WebSocket',
  wss: 'signalling over a secure WebSocket',
});

const LOSSES = table({
  browser: 'Some of the sound for you is lost: the gateway cannot pass it on.',
  trunk: 'Some of your sound is lost: the gateway cannot pass it on.',
  both: 'Some sound is lost in both directions: the gateway cannot pass it on.',
});

const TLS_VERSIONS = table({ 'tls1.2': 'TLS 1.2', 'tls1.3': 'TLS 1.3' });

export const titleOf = (grade) => TITLES[grade] ?? TITLES.UNKNOWN;
export const describeLoss = (report) => LOSSES[report?.lost] ?? '';

/** True when the call was weaker at some time than it is now. */
export const wasWorse = (report) => GRADES.indexOf(report.worst) < GRADES.indexOf(report.grade);

/** Who can hear this call, or could while it lasted: the sentence a person decides on. */
export function whoCouldListen(report, { past = false } = {}) {
  const destination = destinationOf(report);
  const listen = past ? 'could have listened' : 'could listen';
  switch (report.grade) {
    case 'CLEARTEXT':
      return `Anyone on the network path ${weakPath(report, destination)} ${listen}.`;
    case 'KEY_EXPOSED':
      return `Anyone who ${past ? 'saw' : 'can see'} the signalling and the audio ${weakPath(report, destination)} ${listen}, `
        + 'because the key crossed the network unprotected.';
    case 'PARTIAL':
      return `Someone on the network path ${past ? 'could have heard or forged' : 'could hear or forge'} parts of this call.`;
    case 'UNAUTHENTICATED':
      return 'Nobody by just tapping the line, but someone able to intercept and change the traffic '
        + `${past ? 'could have listened' : 'could'}, because one side did not prove who it is.`;
    case 'HOP_BY_HOP':
      if (endsInBrowser(report)) return 'Only this gateway and the two of you. Nobody on the network in between.';
      return past
        ? `Only this gateway and whoever carried the call beyond ${destination}. Nobody on the network in between.`
        : `Only this gateway and whoever carries the call beyond ${destination}. Nobody on the network in between.`;
    case 'END_TO_END':
      return `Nobody but the two of you. This gateway ${past ? 'could' : 'can'}not listen either.`;
    default:
      return past
        ? 'The gateway did not say how this call was protected. Think of it as if anyone had listened.'
        : 'The gateway did not say how this call is protected. Treat it as if anyone could listen.';
  }
}

function destinationOf(report) {
  return report.scope.replace(/^to /, '') || 'the other side';
}

function weakPath(report, destination) {
  const browserIsWeak = report.browser && ['amber', 'red'].includes(legColour(report.browser));
  const trunkIsWeak = !report.trunk || ['amber', 'red'].includes(legColour(report.trunk));
  if (browserIsWeak && !trunkIsWeak) return 'between you and this gateway';
  if (browserIsWeak && trunkIsWeak) return `between you and ${destination}`;
  return `between this gateway and ${destination}`;
}

/** Colour of one leg alone. */
export function legColour(leg) {
  if (!leg || leg.keying === '') return 'grey';
  if (leg.keying === 'plain') return 'red';
  const open = leg.transport === 'udp' || leg.transport === 'tcp';
  if (leg.keying === 'sdes' && open) return 'red';
  if (open || leg.transport === 'ws' || leg.verified === false) return 'amber';
  return leg.pending ? 'grey' : 'green';
}

/** One leg in words. */
export function describeLeg(leg) {
  if (!leg) return 'Not known';
  if (leg.keying === '' && leg.pending) return 'Not agreed yet.';
  const parts = [describeKeying(leg), describeSignalling(leg)].filter(Boolean);
  return `${parts.join('; ')}.`;
}

function describeKeying(leg) {
  const suite = leg.suite ? `, ${suiteWords(leg.suite)}` : leg.pending ? ', keys not agreed yet' : '';
  switch (leg.keying) {
    case 'plain':
      return 'Plain RTP, the audio is not encrypted';
    case 'sdes':
      return `SRTP${suite} (key in the signalling, SDES)`;
    case 'dtls':
      return `SRTP${suite} (DTLS)`;
    default:
      return 'Audio protection not known';
  }
}

function describeSignalling(leg) {
  const how = leg.tls ? `signalling over ${TLS_VERSIONS[leg.tls]}` : TRANSPORTS[leg.transport] ?? '';
  if (!how) return '';
  if (leg.transport !== 'tls') return how;
  if (leg.verified === true) return `${how}, certificate verified`;
  return leg.verified === false ? `${how}, certificate not verified` : how;
}

export const suiteWords = (suite) => SUITES[suiteName(suite)] ?? suite;
