"""The media end of a probe that plays a browser: ICE, DTLS-SRTP and codecs by aiortc. The one file that knows it."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
from array import array
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from gateway.base.errors import SdpError, TransportError
from gateway.probe.result import End
from gateway.probe.tones import MAX_SECONDS, RATE, TICK, listen, tone

CONNECT_SECONDS = 10.0
"""How long ICE and DTLS may take together: as long as the gateway waits for them."""
SETTLE_SECONDS = 1.0
"""How long checks that are under way are waited for before the end."""


class ToneTrack(MediaStreamTrack):
    """A tone, a packet each 20 ms."""

    kind = "audio"

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._frequency, self._start = frequency, 0
        self._began: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._start / RATE - loop.time()))
        frame = AudioFrame(format="s16", layout="mono", samples=TICK)
        frame.planes[0].update(tone(self._frequency, self._start, TICK).tobytes())
        frame.pts, frame.sample_rate, frame.time_base = self._start, RATE, fractions.Fraction(1, RATE)
        self._start += TICK
        return frame


class BrowserEnd:
    """One peer connection that sends a tone and measures what comes.

    Args:
        codec: offered alone, `opus`, `PCMU`, `PCMA` or `G722`; "": all.
    """

    def __init__(self, frequency: float, codec: str = "") -> None:
        self.end = End("browser", sent_hz=frequency)
        loop = asyncio.get_running_loop()
        self.ice_done: asyncio.Future[float] = loop.create_future()
        self.dtls_done: asyncio.Future[float] = loop.create_future()
        self.first_audio: asyncio.Future[float] = loop.create_future()
        self._samples = array("h")
        self._began_at: float | None = None
        self._listening: asyncio.Task[None] | None = None
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # nobody else is asked where we are
        self._peer.on("iceconnectionstatechange", self._ice)
        self._peer.on("connectionstatechange", self._state)
        self._peer.on("track", self._track)
        transceiver = self._peer.addTransceiver(ToneTrack(frequency), direction="sendrecv")
        known = RTCRtpSender.getCapabilities("audio").codecs
        chosen = [found for found in known if not codec or found.name.lower() == codec.lower()]
        if not chosen:
            raise SdpError(f"there is no codec {codec} here")
        transceiver.setCodecPreferences(chosen)

    async def offer(self) -> bytes:
        """Our offer, with all candidates in it."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp).encode()

    async def accept(self, answer: bytes) -> None:
        """Take the answer to it.

        Raises:
            SdpError: it cannot be used.
        """
        await self._describe(answer, "answer")

    async def reply(self, offer: bytes) -> bytes:
        """Take an offer, and answer it.

        Raises:
            SdpError: it cannot be used.
        """
        await self._describe(offer, "offer")
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp).encode()

    async def _describe(self, body: bytes, kind: str) -> None:
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(body.decode("utf-8", "replace"), kind))
        except Exception as error:  # whatever a library makes of a description it cannot read
            raise SdpError(f"the description of the gateway cannot be used: {error}") from error

    async def connected(self) -> None:
        """Wait for ICE and DTLS.

        Raises:
            TransportError: they did not come about in time.
        """
        for what, done in (("ICE", self.ice_done), ("DTLS", self.dtls_done)):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.shield(done)
            except TimeoutError:
                raise TransportError(f"{what} was not finished within {CONNECT_SECONDS:g} s") from None
        self.end.protection = "dtls"
        self._note_codec()

    def _note_codec(self) -> None:
        """The first codec the other side named is the one that is used (RFC 3264 6.1)."""
        lines = str(self._peer.remoteDescription.sdp).splitlines()
        formats = next((line.split()[3:] for line in lines if line.startswith("m=audio")), [])
        first = next(iter(formats), "")
        named = (line.split(" ", 1)[1] for line in lines if line.startswith(f"a=rtpmap:{first} "))
        self.end.codec = next(named, first).partition("/")[0]

    def _ice(self) -> None:
        if self._peer.iceConnectionState in ("connected", "completed"):
            _done(self.ice_done)

    def _state(self) -> None:
        if self._peer.connectionState == "connected":
            _done(self.ice_done)
            _done(self.dtls_done)

    def _track(self, track: Any) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen(track))

    async def _listen(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self._heard(await track.recv())

    def _heard(self, frame: Any) -> None:
        """Put the sound at its place, thinned out to telephone speech; what is missing before it is silence."""
        _done(self.first_audio)
        if frame.format.name != "s16" or frame.sample_rate % RATE:
            return
        at = float(frame.pts * frame.time_base)
        if self._began_at is None:
            self._began_at = at
        place = round((at - self._began_at) * RATE)
        missing = place - len(self._samples)
        if missing < -TICK // 2 or place >= MAX_SECONDS * RATE:
            return
        channels = len(frame.layout.channels)
        heard = array("h", bytes(frame.planes[0])[: frame.samples * channels * 2])
        self.end.lost += max(0, missing) // TICK
        self._samples.extend(array("h", bytes(2 * max(0, missing))))
        self._samples.extend(heard[:: channels * (frame.sample_rate // RATE)])

    def finish(self) -> End:
        """What came back."""
        self.end.heard = listen(self._samples)
        return self.end

    async def close(self) -> None:
        """Send and hear nothing more.

        The library goes on with checks that it is told to stop in their midst: they are let come to their end.
        """
        if self._peer.iceConnectionState == "checking":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_SECONDS):
                    await asyncio.shield(self.ice_done)
        await self._peer.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)


def _done(future: asyncio.Future[float]) -> None:
    if not future.done():
        future.set_result(asyncio.get_running_loop().time())
