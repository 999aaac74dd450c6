// What the security card shows, worked out from a call. Pure: facts in, words and colours out.
import { colourOf, describeLeg, isGrade, legColour, titleOf, wasWorse, whoCouldListen } from './callsecurity.js';
import { crossCheck, describeObservation } from './mediastats.js';

const NO_LEG = { words: 'Not known', colour: 'grey' };
const DTLS_GRACE = 5000; // ms after the answer within which the browser's own DTLS must be up

const IDLE = {
  grade: 'UNKNOWN',
  colour: 'grey',
  title: 'No call',
  words: 'When you call, this says who could listen.',
  browser: { words: 'No call', colour: 'grey' },
  trunk: { words: 'No call', colour: 'grey' },
  scope: '',
  notes: '',
};

/** Everything on the card for this call at this time (ms since the epoch). */
export function cardFor(call, now) {
  const card = contentFor(call, now);
  return { ...card, badge: card === IDLE ? '' : card.title };
}

function contentFor(call, now) {
  if (!call) return IDLE;
  if (call.refusal) return refusedCard(call);
  if (!call.report) return call.ended && !call.answered ? IDLE : silentCard(call);
  return reportCard(call, now);
}

function refusedCard(call) {
  return {
    ...IDLE,
    grade: call.report?.grade ?? 'UNKNOWN',
    title: 'Call refused to protect you',
    words: call.hadEarlyMedia ? `${call.refusal}.` : `${call.refusal}. Nothing was sent, so nobody could listen.`,
    browser: { words: 'Not set up', colour: 'grey' },
    trunk: call.report?.trunk ? leg(call.report.trunk) : { words: 'Refused', colour: 'grey' },
    scope: scopeOf(call),
  };
}

function silentCard(call) {
  const waiting = !call.reportOverdue && !call.ended;
  return {
    ...IDLE,
    title: waiting ? 'Not known yet' : titleOf('UNKNOWN'),
    words: waiting ? 'Waiting for the gateway to say how this call is protected.' : whoCouldListen({ grade: 'UNKNOWN', scope: '' }),
    browser: browserLeg(null, call.observed),
    trunk: NO_LEG,
  };
}

function reportCard(call, now) {
  const { report } = call;
  const doubt = isDoubted(call, now);
  const colour = doubt && colourOf(report.grade) === 'green' ? 'amber' : colourOf(report.grade);
  return {
    grade: isGrade(report.grade) ? report.grade : 'UNKNOWN',
    colour,
    title: tense(call) + (doubt ? 'Your browser does not confirm this' : titleOf(report.grade)),
    words: whoCouldListen(report),
    browser: browserLeg(report.browser, call.observed),
    trunk: report.trunk ? leg(report.trunk) : NO_LEG,
    scope: scopeOf(call),
    notes: notesFor(report),
  };
}

function tense(call) {
  if (!call.answered) return 'Expected: ';
  return call.ended ? 'Last call: ' : '';
}

const scopeOf = (call) => call.report?.scope.replace(/^to /, '') ?? '';
const leg = (value) => ({ words: describeLeg(value), colour: legColour(value) });

/** The gateway's word is not enough for green: the browser must see DTLS up, with the same suite. */
function isDoubted(call, now) {
  const verdict = crossCheck(call.report.browser, call.observed);
  if (!call.answered || call.ended || verdict === 'confirmed') return false;
  const settled = now - call.answeredAt > DTLS_GRACE;
  return verdict === 'contradicted' && (settled || call.observed.state === 'connected');
}

// The header is written before DTLS ends and then says "pending": the browser knows better from then on.
function browserLeg(claimed, observed) {
  const verdict = crossCheck(claimed, observed);
  const agreed = claimed && verdict === 'confirmed' ? { ...claimed, suite: claimed.suite || observed.suite, pending: false } : claimed;
  const words = [agreed ? describeLeg(agreed) : '', describeObservation(claimed, verdict, observed)].filter(Boolean).join(' ');
  const colour = legColour(agreed);
  return { words: words || 'Not known', colour: verdict === 'contradicted' && colour === 'green' ? 'grey' : colour };
}

function notesFor(report) {
  const notes = [];
  if (wasWorse(report)) notes.push(`Earlier in this call: ${titleOf(report.worst).toLowerCase()}.`);
  if (report.recorded) notes.push('This call is being recorded.');
  if (report.policy) notes.push(`Policy ${report.policy}.`);
  return notes.join(' ');
}
