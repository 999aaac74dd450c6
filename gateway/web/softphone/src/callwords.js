// How a call stands, in words. Pure functions.
const STATE_WORDS = {
  idle: 'Ready',
  calling: 'Calling…',
  ringing: 'Ringing…',
  early: 'Connecting, you hear the other network…',
  incoming: 'Incoming call',
  'in-call': 'In call',
  held: 'On hold',
  ended: 'Call ended',
};

export function callWords(call) {
  if (!call) return STATE_WORDS.idle;
  if (call.state === 'held' && !call.heldHere) return 'The other side put you on hold';
  if (call.state === 'in-call' && call.muted) return 'In call, microphone muted';
  return call.missed ? 'Missed call' : STATE_WORDS[call.state];
}

/** `MM:SS` since the answer; '' before it and after the end. */
export function durationOf(call, now) {
  if (!call?.talking) return '';
  const seconds = Math.max(0, Math.floor((now - call.answeredAt) / 1000));
  const two = (value) => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}
