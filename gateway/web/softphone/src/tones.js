// Local tones: ringback while the other side rings (180 without audio), a soft chime for an incoming call.

const RINGBACK = { frequencies: [425], on: 1.0, off: 4.0, level: 0.06 };
const CHIME = { frequencies: [660, 880], on: 0.35, off: 2.2, level: 0.08 };
const RAMP = 0.02; // seconds; without it the tone clicks

let context = null;

/** Browsers start audio only after a click or a key: call this from one. */
export function unlockAudio() {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume().catch(() => {});
}

function scheduleBurst({ frequencies, on, level }, start, gain) {
  for (const [index, frequency] of frequencies.entries()) {
    const from = start + (index * on) / frequencies.length;
    const to = frequencies.length > 1 ? from + on / frequencies.length : start + on;
    const oscillator = new OscillatorNode(context, { frequency });
    oscillator.connect(gain);
    oscillator.start(from);
    oscillator.stop(to);
  }
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(level, start + RAMP);
  gain.gain.setValueAtTime(level, start + on - RAMP);
  gain.gain.linearRampToValueAtTime(0, start + on);
}

class Cadence {
  #timer = 0;
  #gain = null;

  start(tone) {
    if (this.#timer || !context) return;
    this.#gain = new GainNode(context, { gain: 0 });
    this.#gain.connect(context.destination);
    const burst = () => scheduleBurst(tone, context.currentTime + 0.01, this.#gain);
    burst();
    this.#timer = setInterval(burst, (tone.on + tone.off) * 1000);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#gain?.disconnect();
    this.#gain = null;
  }
}

const cadence = new Cadence();

export const playRingback = () => cadence.start(RINGBACK);
export const playChime = () => cadence.start(CHIME);
export const stopTones = () => cadence.stop();
