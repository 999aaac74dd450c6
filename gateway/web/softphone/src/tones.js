// Local tones: ringback while the other side rings (180 without audio), a soft chime for an incoming call, two quiet
// pips now and then when somebody calls while another call is there.

const RINGBACK = { frequencies: [425], on: 1.0, off: 4.0, level: 0.06 };
const CHIME = { frequencies: [660, 880], on: 0.35, off: 2.2, level: 0.08 };
const PIPS = { frequencies: [425, 0, 425], on: 0.6, off: 9.4, level: 0.015 }; // 0 is silence
const RAMP = 0.02; // seconds; without it the tone clicks

let context = null;

/** Browsers start audio only after a click or a key: call this from one. */
export function unlockAudio() {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume().catch(() => {});
  return context;
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

const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477];
const KEYS = ['123', '456', '789', '*0#'];
const KEY_TONE = { seconds: 0.08, level: 0.04 };

/** The tone of a key (ITU-T Q.23), for the ear of whoever pressed it only. */
export function playDigit(digit) {
  const row = KEYS.findIndex((keys) => keys.includes(digit));
  if (!context || row < 0) return;
  const gain = new GainNode(context, { gain: KEY_TONE.level });
  gain.connect(context.destination);
  for (const frequency of [ROWS[row], COLUMNS[KEYS[row].indexOf(digit)]]) {
    const oscillator = new OscillatorNode(context, { frequency });
    oscillator.connect(gain);
    oscillator.start();
    oscillator.stop(context.currentTime + KEY_TONE.seconds);
  }
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
const TONES = { ringback: RINGBACK, chime: CHIME, pips: PIPS };
let playing = '';

/** `ringback`, `chime`, `pips` or '' for silence; the tone that sounds already goes on. */
export function playTone(name) {
  if (name === playing) return;
  playing = name;
  cadence.stop();
  if (name) cadence.start(TONES[name]);
}
