// Puts the phone's state and the call in front on the page.
import { describeLoss, endsInBrowser } from './callsecurity.js';
import { callWords, durationOf } from './callwords.js';
import { setData, setText, show } from './page.js';
import { describeQuality } from './quality.js';
import { describeStanding } from './reginfo.js';
import { cardFor } from './securitycard.js';

const REGISTRATION_WORDS = {
  offline: 'Signed out',
  connecting: 'Connecting…',
  registered: 'Signed in',
  failed: 'Not signed in',
};

const element = (id) => document.getElementById(id);

export function render(phone, now) {
  const call = phone.call;
  const state = call?.state ?? 'idle';
  renderRegistration(phone);
  renderStanding(phone);
  renderCall(call, state);
  renderActions(call, state);
  renderSecurity(cardFor(call, now));
  renderDuration(call, now);
}

function renderRegistration({ registration, registrationReason, signedIn, user }) {
  setData('registration', 'state', registration);
  setText('registration', registrationWords(registration, user));
  setText('sign-in-problem', registrationReason);
  show('sign-in-card', !signedIn);
  show('phone-card', signedIn);
  show('security', signedIn);
  show('sign-out', signedIn || registration === 'connecting');
  element('sign-in').disabled = registration === 'connecting';
}

function registrationWords(registration, user) {
  return registration === 'registered' ? `Signed in as ${user}` : REGISTRATION_WORDS[registration];
}

function renderStanding({ registration, standing }) {
  const { words, offer } = registration === 'registered' ? describeStanding(standing) : { words: '', offer: false };
  setData('registration', 'place', standing.place);
  setText('standing-words', words);
  setData('standing', 'place', standing.place);
  show('standing', words !== '');
  show('ring-here', offer);
}

function renderCall(call, state) {
  setData('call-state', 'state', state);
  setText('call-state', callWords(call));
  setText('peer', call?.peer ?? '');
  setText('peer-kind', call && endsInBrowser(call.report) ? 'In a browser' : '');
  setText('reason', call?.ended ? call.reason : call?.notice || describeLoss(call?.report));
  setData('quality', 'quality', call?.quality?.quality ?? '');
  setText('quality', describeQuality(call?.quality, call?.report?.scope));
  setText('reason-detail', call?.ended ? call.detail : '');
  show('reason-more', Boolean(call?.ended && call.detail));
}

function renderActions(call, state) {
  const talking = state === 'in-call' || state === 'held';
  const live = call !== null && !call.ended;
  show('answer', state === 'incoming');
  show('reject', state === 'incoming');
  show('answer-hint', state === 'incoming');
  show('hangup', live && state !== 'incoming');
  show('mute', talking);
  show('hold', talking && !call.transferring);
  toggle('mute', talking && call.muted, 'Unmute', 'Mute');
  toggle('hold', talking && call.heldHere, 'Resume', 'Hold');
}

/** The label says what the button will do; a pressed state beside it would say the same thing twice, once the wrong way. */
function toggle(id, on, whenOn, otherwise) {
  setData(id, 'on', String(on));
  setText(id, on ? whenOn : otherwise);
}

function renderSecurity(card) {
  setData('security', 'grade', card.grade);
  setData('security', 'colour', card.colour);
  setText('security-title', card.title);
  setText('security-words', card.words);
  setText('security-badge', card.badge);
  setText('security-short', card.badge ? card.words : '');
  setData('security-badge', 'colour', card.colour);
  for (const side of ['browser', 'trunk']) {
    setText(`leg-${side}`, card[side].words);
    setData(`leg-${side}`, 'colour', card[side].colour);
    setData(`link-${side}`, 'colour', card[side].colour);
  }
  setText('trunk-name', card.scope || 'Network');
  setText('trunk-label', card.scope || 'the telephone network');
  setText('security-notes', card.notes);
  show('beyond', !card.inBrowser);
}

export const renderDuration = (call, now) => setText('duration', durationOf(call, now));

export function renderMicrophones(devices) {
  const select = element('microphone');
  const chosen = select.value;
  const options = devices.map((device, index) => new Option(device.label || `Microphone ${index + 1}`, device.deviceId));
  select.replaceChildren(new Option('Default microphone', ''), ...options);
  select.value = devices.some((device) => device.deviceId === chosen) ? chosen : '';
}

export const showMicrophoneProblem = (words) => setText('microphone-problem', words);
export const showSignInProblem = (words) => setText('sign-in-problem', words);
