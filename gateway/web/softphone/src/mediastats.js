// What the browser itself observed of its own leg, in words. Pure functions.
import { suiteWords } from './callsecurity.js';

export { crossCheck, readTransport } from './crosscheck.js';

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
