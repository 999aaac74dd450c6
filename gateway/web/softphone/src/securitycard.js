// What the security card shows, worked out from a call. Pure: facts in, words and colours out.
import { describeLeg, endsInBrowser, isGrade, legColour, titleOf, wasWorse, whoCouldListen } from './callsecurity.js';
import { crossCheck, doubtOf, shownColour } from './crosscheck.js';
import { describeObservation } from './mediastats.js';

const NO_LEG = { words: 'Not known', colour: 'grey' };

const IDLE = {
  grade: 'UNKNOWN',
  colour: 'grey',
  title: 'No call',
  words: 'When you call, this says who could listen.',
  browser: { words: 'No call', colour: 'grey' },
  trunk: { words: 'No call', colour: 'grey' },
  scope: '',
  notes: '',
  inBrowser: false,
};

/** Everything on the card for this call at this time (ms since the epoch). */
export function cardFor(call, now) {
  const card = contentFor(call, now);
  return { ...card, badge: card === IDLE ? '' : card.title };
}

function contentFor(call, now) {
  if (!call) return IDLE;
  if (call.refusal) return refusedCard(call);
  if (call.ended && !call.answered && !call.hadEarlyMedia) return call.report ? unheardCard(call) : IDLE;
  if (!call.report) return silentCard(call);
  return reportCard(call, now);
}

/** A call that never had sound gets no verdict: there was nothing to hear. */
function unheardCard(call) {
  return {
    ...IDLE,
    title: call.incoming ? 'Not answered here' : 'No call was made',
    words: call.incoming
      ? 'Nothing was said on this page, so there was nothing to hear.'
      : 'It ended before anything was said, so there was nothing to hear.',
    browser: { words: 'Not set up', colour: 'grey' },
    trunk: { words: 'Not set up', colour: 'grey' },
    scope: scopeOf(call),
  };
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
    words: waiting
      ? 'Waiting for the gateway to say how this call is protected.'
      : whoCouldListen({ grade: 'UNKNOWN', scope: '' }, { past: call.ended }),
    browser: browserLeg(null, call.observed),
    trunk: NO_LEG,
  };
}

function reportCard(call, now) {
  const { report } = call;
  const state = doubtOf(call, now);
  return {
    grade: isGrade(report.grade) ? report.grade : 'UNKNOWN',
    colour: shownColour(report.grade, state),
    title: titleFor(call, state),
    words: whoCouldListen(report, { past: call.ended }),
    browser: browserLeg(report.browser, call.observed),
    trunk: report.trunk ? leg(report.trunk) : NO_LEG,
    scope: scopeOf(call),
    notes: notesFor(report),
    inBrowser: endsInBrowser(report),
  };
}

function titleFor(call, state) {
  const title = titleOf(call.report.grade);
  if (call.ended) return `Your last call: ${title.charAt(0).toLowerCase()}${title.slice(1)}`;
  if (!call.answered) return `Expected: ${title}`;
  if (state === 'doubted') return 'Your browser does not confirm this';
  return state === 'checking' ? `Checking: ${title}` : title;
}

const scopeOf = (call) => call.report?.scope.replace(/^to /, '') ?? '';
const leg = (value) => ({ words: describeLeg(value), colour: legColour(value) });

// The header is written before DTLS ends and then says "pending": the browser knows better from then on.
function browserLeg(claimed, observed) {
  const verdict = crossCheck(claimed, observed);
  const agreed = claimed && verdict === 'confirmed' ? { ...claimed, suite: claimed.suite || observed.suite, pending: false } : claimed;
  const words = [agreed ? describeLeg(agreed) : '', describeObservation(claimed, verdict, observed)].filter(Boolean).join(' ');
  const colour = legColour(agreed);
  const confirmed = verdict !== 'contradicted' && verdict !== 'checking';
  return { words: words || 'Not known', colour: confirmed || colour !== 'green' ? colour : 'grey' };
}

function notesFor(report) {
  const notes = [];
  if (wasWorse(report)) notes.push(`Earlier in this call: ${titleOf(report.worst).toLowerCase()}.`);
  if (report.refused?.length) notes.push('The other side tried to protect it less, and was refused.');
  if (report.recorded) notes.push('This call is being recorded.');
  if (report.policy) notes.push(`Policy ${report.policy}.`);
  return notes.join(' ');
}
