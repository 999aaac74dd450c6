// What the browser itself observed of its own leg, to compare with what the gateway claims. Pure functions.
import { suiteName, suiteWords } from './callsecurity.js';
import { table } from './table.js';

const DTLS_VERSIONS = table({ FEFF: 'DTLS 1.0', FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3' });

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

const UNDER_WAY = new Set(['new', 'connecting']);

/**
 * Compares the observation with the browser leg of the header: `confirmed`, `checking` while DTLS is under way,
 * `contradicted` or `unknown`.
 */
export function crossCheck(leg, observed) {
  if (!observed || !observed.state) return 'unknown';
  if (UNDER_WAY.has(observed.state)) return 'checking';
  if (observed.state !== 'connected') return 'contradicted';
  if (leg?.suite && observed.suite && suiteName(leg.suite) !== suiteName(observed.suite)) return 'contradicted';
  return observed.suite ? 'confirmed' : 'unknown';
}

/** The observation in words, appended to the browser leg. */
export function describeObservation(leg, verdict, observed) {
  if (verdict === 'confirmed') {
    const details = [suiteWords(observed.suite), observed.version].filter(Boolean).join(', ');
    return leg ? `Your browser confirms it (${details}).` : `Your browser sees SRTP (${details}).`;
  }
  if (verdict === 'contradicted') {
    const details = observed.state === 'connected' ? `it uses ${suiteWords(observed.suite)}` : `DTLS is ${observed.state}`;
    return `Your browser does not confirm it: ${details}.`;
  }
  return verdict === 'checking' ? 'Your browser is checking it.' : '';
}
