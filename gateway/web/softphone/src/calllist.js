// The calls behind the one in front: who, since when, who could listen, and what can be done with each.
import { describeLoss, titleOf } from './callsecurity.js';
import { cardFor } from './securitycard.js';
import { callWords, durationOf } from './callwords.js';
import { setText, show, writeData, writeText } from './page.js';

const element = (id) => document.getElementById(id);

export class CallList {
  #phone;
  #items = new Map(); // call -> <li>
  #told = new Map(); // call -> what was said of it last
  #front = null;

  /** `actions` has a function of a call for each `data-action` of the template. */
  constructor(phone, actions) {
    this.#phone = phone;
    element('calls').addEventListener('click', (event) => {
      if (event.detail > 1) return; // the second half of a double click lands on another button: the line has changed
      const action = event.target.closest('[data-action]')?.dataset.action;
      const call = this.#callOf(event.target.closest('li'));
      if (action && call) actions[action](call);
    });
  }

  render(now) {
    const calls = this.#phone.others;
    for (const [call, item] of this.#items) if (!calls.includes(call)) this.#remove(call, item);
    const known = new Set(this.#items.keys());
    for (const call of calls) this.#renderCall(call, this.#itemOf(call), now);
    show('calls-card', calls.length > 0);
    for (const call of calls) if (!known.has(call) && call.state === 'incoming') this.#reveal(call);
    this.#announce(calls);
  }

  renderDurations(now) {
    for (const [call, item] of this.#items) writeText(part(item, 'duration'), durationOf(call, now));
  }

  #callOf(item) {
    return [...this.#items].find(([, known]) => known === item)?.[0];
  }

  #itemOf(call) {
    if (!this.#items.has(call)) {
      const item = element('call-template').content.firstElementChild.cloneNode(true);
      this.#items.set(call, item);
      element('calls').append(item);
    }
    return this.#items.get(call);
  }

  #remove(call, item) {
    item.remove();
    this.#items.delete(call);
    this.#told.delete(call);
  }

  #renderCall(call, item, now) {
    const card = cardFor(call, now);
    const verdict = card.badge && !(call.ended && !call.answered && !call.refusal); // nothing was said in it
    writeData(item, 'state', call.state);
    writeData(item, 'grade', card.grade);
    writeData(item, 'colour', card.colour);
    writeText(part(item, 'peer'), call.peer);
    writeText(part(item, 'state'), callWords(call));
    writeText(part(item, 'duration'), durationOf(call, now));
    writeText(part(item, 'reason'), reasonOf(call));
    writeText(part(item, 'badge'), verdict ? `${card.badge}.` : '');
    writeText(part(item, 'security'), verdict ? card.words : '');
    this.#renderActions(call, item);
  }

  /** On a small screen a new line may be below its edge. */
  #reveal(call) {
    this.#items.get(call).scrollIntoView({ block: 'nearest' });
  }

  #renderActions(call, item) {
    const incoming = call.state === 'incoming';
    offer(item, 'answer', call, incoming);
    offer(item, 'join', call, this.#phone.canJoin(call));
    offer(item, 'resume', call, call.talking && !call.transferring);
    offer(item, 'end', call, !call.ended, incoming ? 'Decline' : 'Hang up');
    part(item, 'hint').hidden = call !== this.#phone.ringing;
    part(item, 'join-hint').hidden = !this.#phone.canJoin(call);
  }

  /** A sentence for those who do not see the list, whenever a call in it comes, changes or ends, or another comes to the front. */
  #announce(calls) {
    const { call: front } = this.#phone;
    const changed = calls.map((call) => [call, sentenceOf(call)]).filter(([call, said]) => this.#told.get(call) !== said);
    for (const [call, said] of changed) this.#told.set(call, said);
    const news = changed.map(([, said]) => said);
    if (front !== this.#front && front?.talking && calls.length) news.unshift(sentenceOf(front));
    this.#front = front;
    if (news.length) setText('calls-news', news.join(' '));
  }
}

const part = (item, name) => item.querySelector(`[data-part="${name}"]`);
const reasonOf = (call) => (call.ended ? call.reason : call.notice || describeLoss(call.report));

function offer(item, action, call, possible, words) {
  const button = item.querySelector(`[data-action="${action}"]`);
  button.hidden = !possible;
  if (words) writeText(button, words);
  const label = `${button.textContent}: ${call.peer}`;
  if (button.getAttribute('aria-label') !== label) button.setAttribute('aria-label', label);
}

function sentenceOf(call) {
  const grade = call.report && !call.ended ? `${titleOf(call.report.grade)}.` : '';
  return [`${call.peer}: ${callWords(call)}.`, reasonOf(call), grade].filter(Boolean).join(' ');
}
