// One call whose connection to the gateway died: it waits for the next one, then its sound looks for a way from there.
const AWAY = 'The connection is interrupted. The call is kept while a new one is tried…';
const BACK = 'The connection is back.';
const RETRY = 200; // ms, while another change of the call is under way
const MAX_TRIES = 100; // 20 s
const BACK_SHOWN = 4000; // ms

export class Comeback {
  #session;
  #call;
  #timer = 0;
  #retry = 0;
  #tries = 0;

  /** `call`: what it has to be told, `{restarted, tooLate}`, and what it shows, `notice` and `tell`. */
  constructor(session, call) {
    this.#session = session;
    this.#call = call;
  }

  /** The connection is gone and the call is not over yet. */
  get waiting() {
    return this.#timer !== 0;
  }

  /** The gateway keeps the call for so many seconds, and the sound may even go on. */
  wait(seconds) {
    this.#timer = setTimeout(() => this.#call.tooLate(), seconds * 1000);
    this.#call.tell(AWAY);
  }

  /** There is a new connection, and the gateway knows whose it is: ICE begins anew from here, under the keys there are. */
  restart() {
    this.stop();
    this.#tries = 0;
    this.#attempt();
  }

  stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#timer = 0;
  }

  #attempt() {
    if (this.#session.isEnded() || this.waiting) return;
    const begun = this.#session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => this.#done());
    if (!begun && (this.#tries += 1) < MAX_TRIES) this.#retry = setTimeout(() => this.#attempt(), RETRY);
  }

  #done() {
    const call = this.#call;
    if (this.#session.isEnded()) return;
    call.restarted();
    call.tell(BACK);
    this.#retry = setTimeout(() => call.notice === BACK && call.tell(''), BACK_SHOWN);
  }
}
