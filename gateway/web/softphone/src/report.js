// What the gateway reports of a call's protection: reads the Call-Security header, and the object of JSON that comes by
// INFO and over the event socket. No DOM, no network, no words: pure functions.
import { table } from './table.js';

export const HEADER = 'Call-Security';

const MAX_HEADER = 2048; // a header longer than this is not ours
const MAX_CODES = 16;

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

const TRANSPORTS = new Set(['udp', 'tcp', 'tls', 'ws', 'wss']);
const TLS_VERSIONS = new Set(['tls1.2', 'tls1.3']);
const LOSSES = new Set(['browser', 'trunk', 'both']);

export const isGrade = (grade) => GRADES.includes(grade);
export const colourOf = (grade) => COLOURS[grade] ?? 'grey';

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

/** The header as a report, or null when it is missing or its grade is not one we know. */
export function parseCallSecurity(header) {
  if (typeof header !== 'string' || header.length > MAX_HEADER) return null;
  const fields = new Map();
  for (const part of splitParameters(header)) {
    const equals = part.indexOf('=');
    if (equals > 0) fields.set(part.slice(0, equals).trim().toLowerCase(), unquote(part.slice(equals + 1)));
  }
  const words = (name) => (fields.get(name) ?? '').split(',').map((word) => word.trim()).filter(Boolean);
  return reportOf({
    grade: fields.get('grade'),
    worst: fields.get('worst'),
    scope: fields.get('scope'),
    browser: fields.get('browser'),
    trunk: fields.get('trunk'),
    recorded: fields.get('rec') === 'yes',
    sequence: Number.parseInt(fields.get('seq') ?? '0', 10),
    policy: fields.get('policy'),
    id: fields.get('id'),
    lost: fields.get('lost'),
    far: fields.get('far'),
    codes: words('codes'),
    refused: words('refused'),
    tone: fields.get('tone'),
  });
}

/** An object of JSON as a report, or null when it is none of a version and a grade we know. */
export function readReport(object) {
  if (object === null || typeof object !== 'object' || object.v !== 1 || object.type !== 'call.security') return null;
  const [browser, trunk] = Array.isArray(object.legs) ? object.legs : [];
  return reportOf({
    ...object,
    browser,
    trunk,
    recorded: object.rec === true,
    sequence: object.seq,
    id: object.call_id,
    far: object.far === 'browser' ? 'browser' : '',
  });
}

const text = (value) => (typeof value === 'string' ? value : '');
const codes = (value) => (Array.isArray(value) ? value.filter((code) => typeof code === 'string').slice(0, MAX_CODES) : []);

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
    lost: LOSSES.has(found.lost) ? found.lost : '',
    far: text(found.far),
    codes: codes(found.codes),
    refused: codes(found.refused),
    tone: text(found.tone),
  };
}

/** One leg: `sdes,AEAD_AES_256_GCM,tls1.3,verified`; `pending` stands for what is not agreed yet. */
function parseLeg(summary) {
  const tokens = summary.split(',').map((token) => token.trim()).filter(Boolean);
  if (tokens.length === 0) return null;
  const has = (name) => tokens.includes(name);
  const tls = tokens.find((token) => TLS_VERSIONS.has(token)) ?? '';
  return {
    keying: ['plain', 'sdes', 'dtls'].find(has) ?? '',
    pending: has('pending'),
    suite: tokens.find((token) => /^(AEAD_|AES_|F8_)/.test(token)) ?? '',
    transport: tokens.find((token) => TRANSPORTS.has(token)) ?? (tls ? 'tls' : ''),
    tls,
    verified: has('verified') ? true : has('unverified') ? false : null,
  };
}

/** True when the other end of the call is a browser too: the gateway says so, or its leg to there is a WebSocket's. */
export function endsInBrowser(report) {
  if (report?.far) return report.far === 'browser';
  return ['ws', 'wss'].includes(report?.trunk?.transport);
}

/**
 * The SDES name of a suite. Browsers write AEAD_AES_256_GCM, SRTP_AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80 or
 * SRTP_AES128_CM_HMAC_SHA1_80, some without HMAC: all the same suites.
 */
export function suiteName(name) {
  const upper = name.toUpperCase().replace(/^SRTP_/, '');
  const counter = /^AES_?(?:CM_)?(\d+)_(?:CM_)?(?:HMAC_)?SHA1_(\d+)$/.exec(upper);
  return counter ? `AES_CM_${counter[1]}_HMAC_SHA1_${counter[2]}` : upper;
}
