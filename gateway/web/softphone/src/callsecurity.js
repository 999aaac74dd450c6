// Reads the Call-Security header and says in words who could listen. No DOM, no network: pure functions.
import { table } from './table.js';

export const HEADER = 'Call-Security';

const MAX_HEADER = 2048; // a header longer than this is not ours

/** Grades in order, weakest first, as the gateway names them. */
export const GRADES = ['CLEARTEXT', 'KEY_EXPOSED', 'PARTIAL', 'UNAUTHENTICATED', 'HOP_BY_HOP', 'END_TO_END'];

const COLOURS = table({
  CLEARTEXT: 'red',
  KEY_EXPOSED: 'red',
  PARTIAL: 'amber',
  UNAUTHENTICATED: 'amber',
  HOP_BY_HOP: 'green',
  END_TO_END: 'green',
});

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

/** Splits `a=1;b="x;y"` at the semicolons outside of quotes. */
function splitParameters(text) {
  const parts = [];
  let quoted = false;
  let current = '';
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (quoted && c === '\\' && i + 1 < text.length) {
      current += c + text[i + 1];
      i += 1;
      continue;
    }
    if (c === '"') quoted = !quoted;
    if (c === ';' && !quoted) {
      parts.push(current);
      current = '';
    } else {
      current += c;
    }
  }
  parts.push(current);
  return parts;
}

export function unquote(value) {
  const text = value.trim();
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text;
  return text.slice(1, -1).replace(/\\(.)/g, '$1');
}

/** The header as an object, or null when it is missing or its grade is not one we know. */
export function parseCallSecurity(header) {
  if (typeof header !== 'string' || header.length > MAX_HEADER) return null;
  const fields = new Map();
  for (const part of splitParameters(header)) {
    const equals = part.indexOf('=');
    if (equals > 0) fields.set(part.slice(0, equals).trim().toLowerCase(), unquote(part.slice(equals + 1)));
  }
  const grade = fields.get('grade') ?? '';
  if (!GRADES.includes(grade)) return null;
  const worst = fields.get('worst') ?? grade;
  return {
    grade,
    worst: GRADES.includes(worst) ? worst : grade,
    scope: fields.get('scope') ?? '',
    browser: parseLeg(fields.get('browser')),
    trunk: parseLeg(fields.get('trunk')),
    recorded: fields.get('rec') === 'yes',
    sequence: Number.parseInt(fields.get('seq') ?? '0', 10) || 0,
    policy: fields.get('policy') ?? '',
    id: fields.get('id') ?? '',
    lost: fields.get('lost') in LOSSES ? fields.get('lost') : '',
    far: fields.get('far') ?? '',
  };
}

/** One leg: `sdes,AEAD_AES_256_GCM,tls1.3,verified`; `pending` stands for what is not agreed yet. */
function parseLeg(text) {
  const tokens = (text ?? '').split(',').map((token) => token.trim()).filter(Boolean);
  if (tokens.length === 0) return null;
  const has = (name) => tokens.includes(name);
  const tls = tokens.find((token) => token in TLS_VERSIONS) ?? '';
  return {
    keying: ['plain', 'sdes', 'dtls'].find(has) ?? '',
    pending: has('pending'),
    suite: tokens.find((token) => token in SUITES || /^(AEAD_|AES_)/.test(token)) ?? '',
    transport: tokens.find((token) => token in TRANSPORTS) ?? (tls ? 'tls' : ''),
    tls,
    verified: has('verified') ? true : has('unverified') ? false : null,
  };
}

/** True when the other end of the call is a browser too: the gateway says so, or its leg to there is a WebSocket's. */
export function endsInBrowser(report) {
  if (report?.far) return report.far === 'browser';
  return ['ws', 'wss'].includes(report?.trunk?.transport);
}

export const colourOf = (grade) => COLOURS[grade] ?? 'grey';
export const titleOf = (grade) => TITLES[grade] ?? TITLES.UNKNOWN;
export const describeLoss = (report) => LOSSES[report?.lost] ?? '';
export const isGrade = (grade) => GRADES.includes(grade);

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

/**
 * The SDES name of a suite. Browsers write AEAD_AES_256_GCM, SRTP_AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80 or
 * SRTP_AES128_CM_HMAC_SHA1_80, some without HMAC: all the same suites.
 */
export function suiteName(name) {
  const text = name.toUpperCase().replace(/^SRTP_/, '');
  const counter = /^AES_?(?:CM_)?(\d+)_(?:CM_)?(?:HMAC_)?SHA1_(\d+)$/.exec(text);
  return counter ? `AES_CM_${counter[1]}_HMAC_SHA1_${counter[2]}` : text;
}

export const suiteWords = (suite) => SUITES[suiteName(suite)] ?? suite;
