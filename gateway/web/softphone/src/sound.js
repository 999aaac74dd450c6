// The peer connection of one call: the sound of the other side, and whether any comes through.
const SILENCE_WAIT = 3000; // ms without an answer to ICE until another network is supposed
const MEDIA_WAIT = 10000; // ms after which sound that failed and did not come back is given up

export class Sound {
  #call;
  #onSilence;
  #connection = null;
  #waits = new Set();
  #failing = 0; // the timer that ends a call without sound
  #wasConnected = false;

  /**
   * `call` is told: streamCame(stream), connectionChanged(), interrupted(), restored(), soundLost(); it says whether it is
   * `waiting` for its gateway. `onSilence`: another network may help; null where the gateway keeps no call.
   */
  constructor(call, onSilence) {
    this.#call = call;
    this.#onSilence = onSilence;
  }

  attach(connection) {
    this.#connection = connection;
    connection.addEventListener('track', ({ track }) => {
      if (track.kind === 'audio') this.#call.streamCame(new MediaStream([track]));
    });
    connection.addEventListener('connectionstatechange', () => this.#changed(connection.connectionState));
  }

  stop() {
    for (const timer of this.#waits) clearTimeout(timer);
    this.#waits.clear();
    clearTimeout(this.#failing);
  }

  /** ICE and DTLS together (W3C webrtc 4.4.3): `failed` is final, `disconnected` may come back. */
  #changed(state) {
    this.#call.connectionChanged();
    if (state === 'failed') this.#failed();
    else if (state === 'disconnected') this.#interrupted();
    else if (state === 'connected') this.#back();
  }

  /** Final for these paths; in another network there are others, if it has ever worked. */
  #failed() {
    if (!this.#onSilence || !this.#wasConnected) {
      this.#call.soundLost();
      return;
    }
    if (this.#failing) return;
    this.#failing = setTimeout(() => this.#call.waiting || this.#call.soundLost(), MEDIA_WAIT);
    if (!this.#call.waiting) this.#onSilence();
  }

  #interrupted() {
    if (!this.#call.waiting) this.#call.interrupted();
    const timer = setTimeout(() => {
      this.#waits.delete(timer);
      const stillSilent = this.#connection.connectionState === 'disconnected';
      if (stillSilent && !this.#call.ended && !this.#call.waiting) this.#onSilence?.();
    }, SILENCE_WAIT);
    this.#waits.add(timer);
  }

  #back() {
    this.#wasConnected = true;
    clearTimeout(this.#failing);
    this.#failing = 0;
    this.#call.restored();
  }
}
