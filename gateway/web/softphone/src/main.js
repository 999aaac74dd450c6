// Wires the page to the phone.
import { askForMicrophone, listMicrophones } from './microphone.js';
import { Phone } from './phone.js';
import { playChime, playRingback, stopTones, unlockAudio } from './tones.js';
import { render, renderDuration, renderMicrophones, showDialProblem, showMicrophoneProblem, showSignInProblem } from './view.js';

const CLOCK = 500; // ms between updates of the call's duration
const DIGIT = /^[0-9*#]$/;

const element = (id) => document.getElementById(id);

async function loadConfiguration() {
  const response = await fetch('/config.json', { cache: 'no-store' });
  if (!response.ok) throw new Error(`The gateway answered ${response.status}.`);
  return response.json();
}

function createPhone(config) {
  const phone = new Phone({ config, audio: element('remote-audio'), onChange: () => changed(phone) });
  let previous = { state: 'idle', registration: 'offline' };

  function changed() {
    render(phone, Date.now());
    const state = phone.call?.state ?? 'idle';
    if (state !== previous.state) stateChanged(phone, state);
    if (phone.registration !== previous.registration && phone.registration === 'registered') registered(phone);
    previous = { state, registration: phone.registration };
  }
  return phone;
}

function stateChanged(phone, state) {
  stopTones();
  if (state === 'ringing') playRingback();
  if (state === 'incoming') playChime();
  const focus = { calling: 'hangup', incoming: 'answer', 'in-call': 'hangup', ended: 'number' }[state];
  const focused = document.activeElement;
  // Move the focus only when the element that had it went away with the change of state.
  if (focus && (focused === null || focused === document.body || focused.offsetParent === null)) element(focus).focus();
  if (state === 'in-call') refreshMicrophones();
}

async function registered() {
  element('password').value = '';
  element('number').focus();
  showMicrophoneProblem(await askForMicrophone());
  await refreshMicrophones();
}

async function refreshMicrophones() {
  renderMicrophones(await listMicrophones());
}

function pressDigit(phone, digit) {
  if (phone.call?.answered && !phone.call.ended) phone.call.sendDigit(digit);
  else if (!phone.busy) element('number').value += digit;
}

function dial(phone) {
  unlockAudio();
  const number = element('number').value.trim();
  if (!number) return;
  try {
    phone.dial(number, element('microphone').value);
  } catch (error) {
    showDialProblem(error instanceof TypeError ? 'This is not a number that can be called.' : String(error.message));
  }
}

function onKey(phone, event) {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !DIGIT.test(event.key)) return;
  pressDigit(phone, event.key);
  const key = element('keypad').querySelector(`[data-digit="${event.key}"]`);
  key.classList.add('pressed');
  setTimeout(() => key.classList.remove('pressed'), 150);
}

function connectSignIn(phone) {
  element('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    unlockAudio();
    phone.signIn(element('user').value.trim(), element('password').value);
  });
  element('sign-out').addEventListener('click', () => {
    phone.signOut();
    element('user').focus();
  });
}

function connectCall(phone) {
  const onClick = (id, action) => element(id).addEventListener('click', action);
  element('dial-form').addEventListener('submit', (event) => {
    event.preventDefault();
    dial(phone);
  });
  onClick('answer', () => {
    unlockAudio();
    phone.call?.answer(element('microphone').value);
  });
  onClick('reject', () => phone.call?.reject());
  onClick('hangup', () => phone.call?.hangUp());
  onClick('mute', () => phone.call?.toggleMute());
  onClick('hold', () => phone.call?.toggleHold());
}

function connectKeypad(phone) {
  element('keypad').addEventListener('click', (event) => {
    const key = event.target.closest('[data-digit]');
    if (key) pressDigit(phone, key.dataset.digit);
  });
  document.addEventListener('keydown', (event) => onKey(phone, event));
}

function connectMicrophone(phone) {
  element('microphone').addEventListener('change', (event) => {
    phone.call?.changeMicrophone(event.target.value).catch(() => showMicrophoneProblem('This microphone cannot be used.'));
  });
  navigator.mediaDevices?.addEventListener('devicechange', refreshMicrophones);
}

async function start() {
  const phone = createPhone(await loadConfiguration());
  connectSignIn(phone);
  connectCall(phone);
  connectKeypad(phone);
  connectMicrophone(phone);
  setInterval(() => renderDuration(phone.call, Date.now()), CLOCK);
  window.addEventListener('pagehide', () => phone.signOut());
  window.softphone = { session: () => (phone.busy ? phone.call.session : null) };
  render(phone, Date.now());
}

start().catch((error) => showSignInProblem(`The softphone could not start. ${error.message}`));
