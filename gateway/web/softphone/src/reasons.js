// Why a call or a registration failed, in words: from SIP status, reason phrase, Warning (RFC 3261 20.43) and
// Reason (RFC 3326). Pure functions; what the peer wrote is only ever shown as text.
import { unquote } from './callsecurity.js';
import { table } from './table.js';

const MAX_WORDS = 200;

const STATUS_WORDS = table({
  400: 'The request was not understood',
  401: 'Wrong user name or password',
  403: 'The call is not allowed',
  404: 'This number cannot be called from here',
  407: 'Wrong user name or password',
  408: 'Nobody answered in time',
  410: 'This number is no longer in use',
  415: 'The other side cannot handle this kind of call',
  480: 'The other side is not available now',
  484: 'The number is incomplete',
  486: 'The line is busy',
  487: 'The call was cancelled',
  488: 'The two sides could not agree on how to carry the call',
  500: 'Something failed on the way',
  502: 'The telephone network answered with an error',
  503: 'The telephone network cannot be reached now',
  504: 'The telephone network did not answer in time',
  600: 'The line is busy',
  603: 'The call was declined',
  606: 'The two sides could not agree on how to carry the call',
});

// Q.850 causes in the Reason of a failure (RFC 6432): they say more than the status.
const Q850_WORDS = table({
  1: 'This number is not in use',
  2: 'There is no way to this number from here',
  3: 'There is no way to this number from here',
  17: 'The line is busy',
  18: 'The other side cannot be reached now',
  19: 'Nobody answered in time',
  20: 'The other side cannot be reached now',
  21: 'The call was declined',
  22: 'This number is no longer in use',
  25: 'There is no way to this number from here',
  26: 'Answered elsewhere',
  27: 'The other side cannot be reached now',
  28: 'The number is incomplete',
  34: 'The telephone network has no line free for the call now',
  38: 'The telephone network is out of order',
  41: 'The telephone network failed for a moment. Try again',
  42: 'The telephone network is overloaded. Try again in a while',
  44: 'The telephone network has no line free for the call now',
  47: 'The telephone network is overloaded. Try again in a while',
  102: 'The telephone network did not answer in time',
});

// What a refused transfer means, where the status alone would be about a call.
const REFER_WORDS = table({
  403: 'This transfer is not allowed',
  404: 'That number cannot be called from here',
  405: 'The gateway cannot transfer this call',
  408: 'Nobody answered there in time',
  480: 'Nobody can be reached there now',
  481: 'One of the two calls has ended',
  486: 'The line is busy there',
  487: 'It was cancelled',
  488: 'The call could not be carried on there, or not as well protected',
  600: 'The line is busy there',
  603: 'The call was declined there',
  606: 'The call could not be carried on there, or not as well protected',
});

const CAUSE_WORDS = table({
  'Connection Error': 'The connection to the gateway was lost',
  'Request Timeout': 'The gateway did not answer in time',
  Canceled: 'The call was cancelled',
  Rejected: 'The call was declined',
  'No Answer': 'Nobody answered in time',
  Expires: 'Nobody answered in time',
  'User Denied Media Access': 'The microphone may not be used. Allow it in the browser and call again',
  'WebRTC Error': 'The browser could not set up the call',
  'Bad Media Description': 'The gateway and the browser could not agree on the audio',
  'Internal Error': 'The softphone failed',
  'Authentication Error': 'Wrong user name or password',
  'No ACK': 'The answer was never acknowledged',
  'Dialog Error': 'The call is no longer known to the gateway',
  'RTP Timeout': 'No audio arrived any more',
});

// Warn-codes that speak of protection: 302 transport protocol, 380/381 SIPS (RFC 5630), 399 as the gateway uses it.
const SECURITY_WARNINGS = new Set([302, 380, 381]);
const ORDINARY_ENDS = new Set(['Q.850 16', 'Q.850 31', 'SIP 200']); // somebody hung up
// In a CANCEL: another phone answered. In a BYE too, where two answered at once and this one came second.
const ELSEWHERE = table({ 'SIP 200': 'Answered on another device.', 'Q.850 26': 'Answered elsewhere.' });
const SECURITY_STATUSES = new Set([488, 606]);

const clip = (text) => (text.length > MAX_WORDS ? `${text.slice(0, MAX_WORDS)}…` : text);

/** {code, text} of a Warning header (`302 gateway "SRTP required"`), or null. */
export function parseWarning(header) {
  const match = /^\s*(\d{3})\s+\S+\s+("(?:[^"\\]|\\.)*")/.exec(header ?? '');
  return match ? { code: Number(match[1]), text: clip(unquote(match[2])) } : null;
}

/** {protocol, cause, text} of a Reason header (`SIP;cause=488;text="encryption removed"`), or null. */
export function parseReason(header) {
  const match = /^\s*([A-Za-z0-9.]+)\s*(;.*)?$/.exec(header ?? '');
  if (!match) return null;
  const rest = match[2] ?? '';
  const cause = /;\s*cause\s*=\s*(\d{1,3})/i.exec(rest);
  const text = /;\s*text\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)/i.exec(rest);
  return { protocol: match[1], cause: cause ? Number(cause[1]) : 0, text: text ? clip(unquote(text[1])) : '' };
}

const numberOf = ({ protocol, cause }) => `${protocol} ${cause}`;

/**
 * Why a session failed before the answer.
 * Returns {words, detail, security}: words for everybody; detail for whoever mends it, as the gateway put it; security
 * says that the refusal is about protection, in words, or ''.
 */
export function describeFailure({ originator, message, cause }) {
  const status = message?.status_code ?? 0;
  if (originator === 'local' && status === 0) return { words: localWords(cause), detail: '', security: '' };
  if (status === 0) return { words: requestWords(message, cause), detail: '', security: '' };
  const warning = parseWarning(message.getHeader('Warning'));
  const phrase = clip(message.reason_phrase || '');
  const security = isAboutSecurity(status, warning) ? warning?.text || STATUS_WORDS[status] : '';
  const cause850 = parseReason(message.getHeader('Reason'));
  const said = security || (cause850?.protocol === 'Q.850' && Q850_WORDS[cause850.cause]) || STATUS_WORDS[status] || warning?.text || phrase || cause;
  const detail = [warning?.text && warning.text !== said ? `${capitalise(warning.text)}.` : '', `${status} ${phrase}`.trim()];
  return { words: `${capitalise(said)}.`, detail: detail.filter(Boolean).join(' '), security };
}

function isAboutSecurity(status, warning) {
  if (warning) return SECURITY_WARNINGS.has(warning.code) || /encrypt|certificate|secur|srtp/i.test(warning.text);
  return SECURITY_STATUSES.has(status);
}

function localWords(cause) {
  return cause === 'Canceled' ? 'You cancelled the call.' : cause === 'Rejected' ? 'You declined the call.' : causeWords(cause);
}

function requestWords(message, cause) {
  const reason = parseReason(message?.getHeader?.('Reason'));
  const elsewhere = reason && ELSEWHERE[numberOf(reason)];
  if (elsewhere) return elsewhere;
  if (reason?.protocol === 'SIP' && reason.text) return `${capitalise(reason.text)}.`;
  return cause === 'Canceled' ? 'The caller hung up before you answered.' : causeWords(cause);
}

/** Why an established call ended: {words, detail}. */
export function describeEnd({ originator, message, cause }) {
  const reason = parseReason(message?.getHeader?.('Reason'));
  const elsewhere = originator === 'remote' && reason?.text && ELSEWHERE[numberOf(reason)];
  if (elsewhere) return { words: elsewhere, detail: '' };
  const odd = reason?.cause && !ORDINARY_ENDS.has(numberOf(reason));
  const isOurs = odd && reason.protocol === 'SIP' && reason.text; // the gateway's own words for why it ended the call
  const detail = odd ? [numberOf(reason), isOurs ? '' : reason.text].filter(Boolean).join(': ') : '';
  if (isOurs) return { words: `${capitalise(reason.text)}.`, detail };
  if (cause !== 'Terminated') return { words: causeWords(cause), detail };
  return { words: originator === 'local' ? 'You hung up.' : 'The other side hung up.', detail };
}

/** Why a transfer was refused: `message` is the response to the REFER, or what a NOTIFY told of the call to the target. */
export function describeRefer(message, cause) {
  if (!message) return causeWords(cause);
  const reason = parseReason(message.getHeader('Reason'));
  const ours = reason?.protocol === 'SIP' && reason.text ? reason.text : parseWarning(message.getHeader('Warning'))?.text;
  const network = reason?.protocol === 'Q.850' ? Q850_WORDS[reason.cause] : '';
  const status = message.status_code;
  const said = ours || network || REFER_WORDS[status] || STATUS_WORDS[status] || clip(message.reason_phrase || '') || `Status ${status}`;
  return `${capitalise(said)}.`;
}

/** True when nobody took a call that came in, and nobody was told that it would not be taken. */
export const wasMissed = ({ originator, cause, message }) => originator === 'remote' && cause === 'Canceled'
  && !(numberOf(parseReason(message?.getHeader?.('Reason')) ?? {}) in ELSEWHERE);

/** Ends that no message tells of: the browser sees them itself. */
export const LOST = Object.freeze({
  gateway: { words: 'The connection to the gateway was lost, and the call with it.', detail: 'WebSocket closed' },
  media: { words: 'The sound connection failed, so the call was ended.', detail: 'ICE or DTLS failed' },
});

/** Why signing in failed. */
export function describeRegistration({ response, cause }) {
  const status = response?.status_code ?? 0;
  const warning = parseWarning(response?.getHeader?.('Warning'));
  if (warning) return `${capitalise(warning.text)}.`; // the gateway's own words
  if (status === 401 || status === 403 || status === 407) {
    return `Wrong user name or password (${status}). Capital letters count in both.`;
  }
  if (status) return `The gateway refused the registration (${status} ${clip(response.reason_phrase || '')}).`;
  return causeWords(cause);
}

const causeWords = (cause) => `${CAUSE_WORDS[cause] ?? clip(cause || 'The call failed')}.`;

const capitalise = (text) => {
  const trimmed = text.replace(/[.\s]+$/, '');
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
};
