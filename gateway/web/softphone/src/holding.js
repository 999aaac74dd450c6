// Hold and resume of one call, one change after the other: JsSIP would begin a second while the first is under way.
const RETRY = 200; // ms, while the other side is changing something
const MAX_TRIES = 200; // 40 s: longer than any transaction lives, which then ends the call by itself

export class Holding {
  #session;
  #timer = 0;
  #tries = 0;
  #confirmed = false;
  #changing = false;
  #silenced = false;
  #paused = false;
  #waiting = [];

  constructor(session) {
    this.#session = session;
    this.wanted = false;
    session.on('confirmed', () => {
      this.#confirmed = true; // before the ACK there is no second INVITE (RFC 3261 14.1)
      this.#attempt();
    });
  }

  /** Holds or resumes as soon as it can be done; until then nothing is said into a call that shall be held. */
  want(held) {
    this.wanted = held;
    this.#tries = 0;
    this.#attempt();
  }

  /** Resolves when the other side has agreed to what is wanted, or nobody wants it any more. */
  agreed() {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#attempt();
    });
  }

  /** There is no connection: what is wanted waits, and so does what was under way, for nobody answers it any more. */
  pause() {
    this.#paused = true;
    this.#changing = false;
    this.#attempt();
  }

  /** There is one again. */
  goOn() {
    this.#paused = false;
    this.#tries = 0;
    this.#attempt();
  }

  /** The call has ended. */
  stop() {
    clearTimeout(this.#timer);
    this.#release();
  }

  #attempt() {
    clearTimeout(this.#timer);
    if (this.#session.isEnded()) return;
    if (!this.#changing && this.#session.isOnHold().local === this.wanted) this.#settle();
    else if (this.#paused) this.#hush(this.wanted);
    else if (this.#changing || !this.#confirmed || !this.#change()) this.#postpone();
  }

  #change() {
    this.#changing = true;
    const done = () => {
      this.#changing = false;
      this.#attempt();
    };
    const begun = this.wanted ? this.#session.hold({}, done) : this.#session.unhold({}, done);
    this.#changing = begun;
    if (begun) this.#silenced = false; // JsSIP has switched the microphone
    return begun;
  }

  #settle() {
    if (this.#silenced) this.#hush(false);
    this.#release();
  }

  #postpone() {
    if (this.wanted) this.#hush(true);
    if (!this.#changing && (this.#tries += 1) < MAX_TRIES) this.#timer = setTimeout(() => this.#attempt(), RETRY);
  }

  #hush(silent) {
    this.#silenced = silent;
    const { local, remote } = this.#session.isOnHold();
    const heard = !silent && !local && !remote && !this.#session.isMuted().audio;
    for (const { track } of this.#session.connection?.getSenders() ?? []) if (track) track.enabled = heard;
  }

  #release() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
