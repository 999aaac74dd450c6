// Wires the page to the phone.
import { askForMicrophone, listMicrophones } from './microphone.js';
import { Phone } from './phone.js';
import { playChime, playDigit, playRingback, stopTones, unlockAudio } from './tones.js';
import { render, renderDuration, renderMicrophones, showDialProblem, showMicrophoneProblem, showSignInProblem } from './view.js';

const CLOCK = 500; // ms between updates of the call's duration
const ANSWER_KEY = 'KeyA'; // with Alt: the one key that answers, wherever the focus is
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
  keepFocus('call-state');
  if (state === 'in-call') refreshMicrophones();
}

/**
 * When the element that had the focus went away it goes to a place where a key does nothing: a second Enter must neither
 * cancel the call the first one made, nor answer the one that came meanwhile.
 */
function keepFocus(place) {
  const focused = document.activeElement;
  if (focused === null || focused === document.body || focused.offsetParent === null) element(place).focus();
}

async function registered() {
  element('password').value = '';
  keepFocus('number');
  showMicrophoneProblem(await askForMicrophone());
  await refreshMicrophones();
}

async function refreshMicrophones() {
  renderMicrophones(await listMicrophones());
}

function pressDigit(phone, digit) {
  unlockAudio();
  if (phone.call?.answered && !phone.call.ended) {
    if (phone.call.sendDigit(digit)) playDigit(digit);
  } else if (!phone.busy) {
    element('number').value += digit;
    playDigit(digit);
  }
}

function dial(phone) {
  unlockAudio();
  const number = element('number').value.trim();
  if (!number) return;
  try {
    phone.dial(number, element('microphone').value);
  } catch (error) {
    showDialProblem(dialProblem(error));
  }
}

function dialProblem(error) {
  if (error instanceof RangeError) return `Only numbers and names of ${error.message} can be called from here.`;
  return error instanceof TypeError ? 'This is not a number that can be called.' : String(error.message);
}

function answer(phone) {
  unlockAudio();
  if (phone.call?.state === 'incoming') phone.call.answer(element('microphone').value);
}

function onKey(phone, event) {
  if (event.altKey && event.code === ANSWER_KEY && phone.call?.state === 'incoming') {
    event.preventDefault();
    answer(phone);
    return;
  }
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
  element('ring-here').addEventListener('click', () => phone.ringHere());
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
  onClick('answer', () => answer(phone));
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
  window.addEventListener('beforeunload', (event) => phone.busy && event.preventDefault()); // "Leave this page?"
  window.addEventListener('pagehide', () => phone.signOut());
  window.softphone = { session: () => (phone.busy ? phone.call.session : null) };
  render(phone, Date.now());
  if (document.activeElement === document.body) element('user').focus();
}

start().catch((error) => showSignInProblem(`The softphone could not start. ${error.message}`));
