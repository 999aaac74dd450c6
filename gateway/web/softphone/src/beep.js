// The tone that says "this call is not protected", made in the page: nobody but who sits before it hears it.

const BURSTS = [[880, 0.16], [0, 0.06], [660, 0.16], [0, 0.06], [440, 0.28]]; // Hz (0: silence), seconds
const LEVEL = 0.15;
const RAMP = 0.015; // seconds; without it the tone clicks

export const INSECURE_BEEP = 'insecure_beep';

/** Plays it once, in 0.72 s, from high to low. Resolves when it is over; with false when this page may not make sound yet. */
export async function playInsecureBeep(context) {
  if (context.state === 'suspended') {
    await Promise.race([context.resume(), new Promise((resolve) => { setTimeout(resolve, 200); })]).catch(() => {});
  }
  if (context.state !== 'running') return false;
  const gain = new GainNode(context, { gain: 0 });
  gain.connect(context.destination);
  let at = context.currentTime + 0.01;
  for (const [frequency, seconds] of BURSTS) {
    if (frequency) sound(context, gain, frequency, at, seconds);
    at += seconds;
  }
  await new Promise((resolve) => { setTimeout(resolve, (at - context.currentTime) * 1000); });
  gain.disconnect();
  return true;
}

function sound(context, gain, frequency, at, seconds) {
  const oscillator = new OscillatorNode(context, { frequency });
  oscillator.connect(gain);
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LEVEL, at + RAMP);
  gain.gain.setValueAtTime(LEVEL, at + seconds - RAMP);
  gain.gain.linearRampToValueAtTime(0, at + seconds);
  oscillator.start(at);
  oscillator.stop(at + seconds);
}
