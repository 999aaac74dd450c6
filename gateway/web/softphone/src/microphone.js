// Choice of the microphone and the constraints it is opened with.

/** `?raw=1` is the music mode: echo cancellation, noise suppression and gain control off. */
const raw = new URLSearchParams(location.search).get('raw') === '1';

const PROCESSING = raw
  ? { echoCancellation: false, noiseSuppression: false, autoGainControl: false }
  : { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export function constraintsFor(deviceId) {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  return { audio: { ...PROCESSING, ...device }, video: false };
}

/** Microphones the browser will tell us about; labels come only once the user has allowed the microphone. */
export async function listMicrophones() {
  if (!navigator.mediaDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === 'audioinput' && device.deviceId !== '' && device.deviceId !== 'default');
}

/** Asks once, so that the list has names and a missing microphone shows before the first call. '' or why not. */
export async function askForMicrophone() {
  if (!navigator.mediaDevices) return 'This page must be opened over HTTPS to use the microphone.';
  try {
    const stream = await navigator.mediaDevices.getUserMedia(constraintsFor(''));
    for (const track of stream.getTracks()) track.stop();
    return '';
  } catch (error) {
    return error.name === 'NotFoundError' ? 'No microphone was found.' : 'The microphone may not be used. Allow it in the browser.';
  }
}

/** Opens another microphone for a running call and puts it in the place of the old one. */
export async function switchMicrophone(connection, deviceId) {
  const sender = connection.getSenders().find((candidate) => candidate.track?.kind === 'audio');
  if (!sender) return null;
  const stream = await navigator.mediaDevices.getUserMedia(constraintsFor(deviceId));
  const [track] = stream.getAudioTracks();
  const previous = sender.track;
  track.enabled = previous?.enabled ?? true; // stays muted if it was
  await sender.replaceTrack(track);
  previous?.stop();
  return track;
}
