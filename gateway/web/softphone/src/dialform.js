// The form in which a number or a name is put: to call, to call one more, or to hand the call in front over.
import { unlockAudio } from './tones.js';
import { show, setData, setText } from './page.js';

const element = (id) => document.getElementById(id);
const FULL = 'There are as many calls as this page can keep. End one of them first.';

export class DialForm {
  #phone;
  #microphone;
  #purpose = ''; // of a form that was opened: `transfer` or `add`
  #for = null; // the call it was opened for

  constructor(phone, microphone) {
    this.#phone = phone;
    this.#microphone = microphone;
    element('dial-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    element('ask-first').addEventListener('click', () => this.#dial());
    element('cancel-dial').addEventListener('click', () => this.#close());
    element('dial-form').addEventListener('keydown', (event) => event.key === 'Escape' && this.#purpose && this.#close());
  }

  /** The keypad writes into the form, and sends nothing into a call. */
  get takesDigits() {
    return this.#purpose !== '' || !this.#phone.busy;
  }

  open(purpose) {
    if (!this.#phone.call?.talking || this.#phone.call.transferring) return;
    this.#purpose = purpose;
    this.#for = this.#phone.call;
    this.render();
    element('number').value = ''; // it holds who is in front
    element('number').focus();
  }

  #close() {
    const opener = element(this.#purpose === 'transfer' ? 'transfer' : 'add');
    this.#purpose = '';
    this.render();
    opener.focus();
  }

  render() {
    const { call, busy, registration } = this.#phone;
    if (this.#purpose && (call !== this.#for || !call.talking || call.transferring)) this.#purpose = '';
    const transfer = this.#purpose === 'transfer';
    const incoming = call?.state === 'incoming';
    show('dial-form', this.#purpose !== '' || !busy || incoming); // whoever types a number goes on typing while somebody calls
    setData('dial-form', 'purpose', this.#purpose || 'call');
    setText('number-label', transfer ? `Transfer ${call.peer} to` : 'Number or name');
    setText('call', transfer ? 'Transfer' : 'Call');
    element('call').disabled = registration !== 'registered' || (busy && this.#purpose === '');
    show('ask-first', transfer);
    show('cancel-dial', this.#purpose !== '');
    const offered = this.#purpose === '' && Boolean(call?.talking) && !call.transferring;
    show('transfer', offered);
    show('add', offered);
  }

  #submit() {
    if (this.#purpose === 'transfer') this.#attempt((number) => this.#phone.transfer(number));
    else this.#dial();
  }

  #dial() {
    this.#attempt((number) => {
      if (!this.#phone.dial(number, this.#microphone()) && this.#phone.busy) this.#tell(FULL);
    });
  }

  #attempt(action) {
    unlockAudio();
    const number = element('number').value.trim();
    if (!number) return;
    try {
      action(number);
    } catch (error) {
      this.#tell(describeProblem(error));
    }
  }

  #tell(words) {
    if (this.#phone.busy) this.#phone.call.tell(words);
    else setText('reason', words);
  }
}

function describeProblem(error) {
  if (error instanceof RangeError) return `Only numbers and names of ${error.message} can be called from here.`;
  return error instanceof TypeError || error instanceof URIError ? 'This is not a number that can be called.' : String(error.message);
}
