// What the browser itself observed of its own leg, to compare with what the gateway claims. Pure functions.
import { suiteWords } from './callsecurity.js';

const DTLS_VERSIONS = { FEFF: 'DTLS 1.0', FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3' };

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

/** Compares the observation with the browser leg of the header: `confirmed`, `contradicted` or `unknown`. */
export function crossCheck(leg, observed) {
  if (!observed || !observed.state) return 'unknown';
  if (observed.state !== 'connected') return 'contradicted';
  if (leg?.suite && observed.suite && normalise(leg.suite) !== normalise(observed.suite)) return 'contradicted';
  return observed.suite ? 'confirmed' : 'unknown';
}

// Browsers write either the SDES name (AES_CM_128_HMAC_SHA1_80) or the DTLS one (SRTP_AES128_CM_SHA1_80).
function normalise(suite) {
  const name = suite.toUpperCase().replace(/^SRTP_/, '').replace('_HMAC', '');
  return name.replace(/^AES_CM_(\d+)/, 'AES$1_CM').replace(/^AES_(\d+)_CM/, 'AES$1_CM');
}

/** The observation in words, appended to the browser leg. */
export function describeObservation(verdict, observed) {
  if (verdict === 'confirmed') {
    const details = [suiteWords(observed.suite), observed.version].filter(Boolean).join(', ');
    return `Your browser confirms it (${details}).`;
  }
  if (verdict === 'contradicted') {
    const details = observed.state === 'connected' ? `it uses ${suiteWords(observed.suite)}` : `DTLS is ${observed.state}`;
    return `Your browser does not confirm it: ${details}.`;
  }
  return '';
}
