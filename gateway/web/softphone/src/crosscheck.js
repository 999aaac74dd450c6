// What the browser itself observed of its own leg, compared with what the gateway reports. Pure functions.
import { colourOf, suiteName } from './report.js';
import { table } from './table.js';

const DTLS_GRACE = 5000; // ms after the answer within which the browser's own DTLS must be up
const DTLS_VERSIONS = table({ FEFF: 'DTLS 1.0', FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3' });
const UNDER_WAY = new Set(['new', 'connecting']);
const UNCONFIRMED_GREEN = table({ doubted: 'amber', checking: 'grey' });

/** {state, suite, version} of the DTLS transport in an RTCStatsReport, or null when there is none yet. */
export function readTransport(report) {
  for (const entry of report.values()) {
    if (entry.type !== 'transport') continue;
    return {
      state: entry.dtlsState ?? '',
      suite: entry.srtpCipher ?? '',
      version: DTLS_VERSIONS[(entry.tlsVersion ?? '').toUpperCase()] ?? '',
    };
  }
  return null;
}

/**
 * Compares the observation with the browser leg of a report: `confirmed`, `checking` while DTLS is under way,
 * `contradicted` or `unknown`.
 */
export function crossCheck(leg, observed) {
  if (!observed || !observed.state) return 'unknown';
  if (UNDER_WAY.has(observed.state)) return 'checking';
  if (observed.state !== 'connected') return 'contradicted';
  if (leg?.suite && observed.suite && suiteName(leg.suite) !== suiteName(observed.suite)) return 'contradicted';
  return observed.suite ? 'confirmed' : 'unknown';
}

/**
 * The gateway's word is not enough for green: the browser must see DTLS up, with the same suite. Until then it is being
 * checked, which is no alarm; after a few seconds it is doubted. `call`: {report, observed, answered, ended, answeredAt}.
 */
export function doubtOf(call, now) {
  if (!call.answered || call.ended) return '';
  const verdict = crossCheck(call.report?.browser, call.observed);
  const settled = now - call.answeredAt > DTLS_GRACE;
  if (verdict === 'contradicted') return 'doubted';
  if (verdict === 'checking') return settled ? 'doubted' : 'checking';
  return verdict === 'unknown' && !call.observed && !settled ? 'checking' : '';
}

/** `green`, `amber`, `red` or `grey`: of the grade, and green only where the browser has no doubt. */
export function shownColour(grade, doubt) {
  const colour = colourOf(grade);
  return colour === 'green' ? UNCONFIRMED_GREEN[doubt] ?? colour : colour;
}
