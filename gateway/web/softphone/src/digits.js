// Keypad tones of one call: queued until they can be sent, which is later than the SIP answer.
const DTMF = { duration: 100, interToneGap: 70 };
const MAX_QUEUED = 64;
const MAX_SHOWN = 16;

export class Digits {
  #session;
  #onSent;
  #queued = '';
  #sent = '';

  /** `onSent`: told the last digits that were sent. */
  constructor(session, { onSent }) {
    this.#session = session;
    this.#onSent = onSent;
  }

  /** False: there is no room for it. */
  press(digit) {
    if (this.#queued.length >= MAX_QUEUED) return false;
    this.#queued += digit;
    return true;
  }

  /** Sends what waits, once DTLS is up: as telephone-events where they were agreed on, else by INFO, which the gateway refuses
   *  where nobody takes digits. */
  flush() {
    const { connection } = this.#session;
    if (!this.#queued || connection?.connectionState !== 'connected') return;
    const digits = this.#queued;
    this.#queued = '';
    const events = connection.getSenders().some(({ dtmf }) => dtmf?.canInsertDTMF);
    this.#session.sendDTMF(digits, { ...DTMF, transportType: events ? 'RFC2833' : 'INFO' });
    this.#sent = (this.#sent + digits).slice(-MAX_SHOWN);
    this.#onSent(this.#sent);
  }
}
