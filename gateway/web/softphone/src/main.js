// Wires the page to the phone.
import { CallList } from './calllist.js';
import { DialForm } from './dialform.js';
import { askForMicrophone, listMicrophones } from './microphone.js';
import { Phone } from './phone.js';
import { playDigit, playTone, unlockAudio } from './tones.js';
import { render, renderDuration, renderMicrophones, showMicrophoneProblem, showSignInProblem } from './view.js';

const CLOCK = 500; // ms between updates of the call's duration
const ANSWER_KEY = 'KeyA'; // with Alt: the one key that answers, wherever the focus is
const DIGIT = /^[0-9*#]$/;

const element = (id) => document.getElementById(id);

async function loadConfiguration() {
  const response = await fetch('/config.json', { cache: 'no-store' });
  if (!response.ok) throw new Error(`The gateway answered ${response.status}.`);
  return response.json();
}

/** The phone and what shows it: {phone, form, list}. */
function createPhone(config) {
  const phone = new Phone({ config, audio: element('remote-audio'), onChange: changed });
  const microphone = () => element('microphone').value;
  const form = new DialForm(phone, microphone);
  const list = new CallList(phone, {
    answer: (call) => answer(phone, call),
    resume: (call) => phone.bringForward(call),
    join: (call) => phone.join(call),
    end: (call) => (call.state === 'incoming' ? call.reject() : call.hangUp()),
  });
  let previous = { picture: pictureOf(phone), registration: 'offline' };

  function changed() {
    render(phone, Date.now());
    form.render();
    list.render(Date.now());
    const picture = pictureOf(phone);
    if (picture !== previous.picture) pictureChanged(phone);
    if (phone.registration !== previous.registration && phone.registration === 'registered') registered(phone);
    previous = { picture, registration: phone.registration };
  }
  return { phone, form, list };
}

/** Which calls there are and how they stand: when this changes, tones and focus may have to. */
const pictureOf = (phone) => [phone.call, ...phone.others].map((call) => `${call?.id} ${call?.state ?? 'idle'}`).join();

function pictureChanged(phone) {
  playTone(toneFor(phone));
  keepFocus('call-state');
  if (phone.call?.state === 'in-call') refreshMicrophones();
}

/** Nothing rings over a talk: who calls meanwhile is told by quiet pips. */
function toneFor(phone) {
  if (phone.call?.state === 'incoming') return 'chime';
  if (phone.call?.state === 'ringing') return 'ringback';
  return phone.ringing ? 'pips' : '';
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

function pressDigit({ phone, form }, digit) {
  unlockAudio();
  if (form.takesDigits) {
    element('number').value += digit;
    playDigit(digit);
  } else if (phone.call?.talking && phone.call.sendDigit(digit)) {
    playDigit(digit);
  }
}

function answer(phone, call) {
  unlockAudio();
  phone.answer(call, element('microphone').value);
}

function onKey(page, event) {
  if (event.altKey && event.code === ANSWER_KEY && page.phone.ringing) {
    event.preventDefault();
    answer(page.phone, page.phone.ringing);
    return;
  }
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !DIGIT.test(event.key)) return;
  pressDigit(page, event.key);
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

function connectCall({ phone, form }) {
  const onClick = (id, action) => element(id).addEventListener('click', action);
  onClick('answer', () => answer(phone, phone.call));
  onClick('reject', () => phone.call?.reject());
  onClick('hangup', () => phone.call?.hangUp());
  onClick('mute', () => phone.call?.toggleMute());
  onClick('hold', () => phone.toggleHold());
  onClick('transfer', () => form.open('transfer'));
  onClick('add', () => form.open('add'));
}

function connectKeypad(page) {
  element('keypad').addEventListener('click', (event) => {
    const key = event.target.closest('[data-digit]');
    if (key) pressDigit(page, key.dataset.digit);
  });
  document.addEventListener('keydown', (event) => onKey(page, event));
}

function connectMicrophone(phone) {
  element('microphone').addEventListener('change', (event) => {
    const changes = phone.live.map((call) => call.changeMicrophone(event.target.value));
    Promise.all(changes).catch(() => showMicrophoneProblem('This microphone cannot be used.'));
  });
  navigator.mediaDevices?.addEventListener('devicechange', refreshMicrophones);
}

/** `change` of the connection comes for its speed too; another kind of network is another way to the gateway. */
function connectNetwork(phone) {
  window.addEventListener('online', () => phone.networkChanged());
  let kind = navigator.connection?.type;
  navigator.connection?.addEventListener('change', () => {
    if (navigator.connection.type === kind) return;
    kind = navigator.connection.type;
    if (kind !== 'none') phone.networkChanged();
  });
}

async function start() {
  const page = createPhone(await loadConfiguration());
  const { phone, form, list } = page;
  connectSignIn(phone);
  connectCall(page);
  connectKeypad(page);
  connectMicrophone(phone);
  connectNetwork(phone);
  setInterval(() => {
    renderDuration(phone.call, Date.now());
    list.renderDurations(Date.now());
  }, CLOCK);
  window.addEventListener('beforeunload', (event) => phone.live.length > 0 && event.preventDefault()); // "Leave this page?"
  window.addEventListener('pagehide', () => phone.signOut());
  window.softphone = {
    session: () => (phone.busy ? phone.call.session : null),
    sessions: () => phone.live.map((call) => call.session),
  };
  render(phone, Date.now());
  form.render();
  if (document.activeElement === document.body) element('user').focus();
}

start().catch((error) => showSignInProblem(`The softphone could not start. ${error.message}`));
