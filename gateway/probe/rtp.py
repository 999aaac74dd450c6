"""The media end of a probe that plays a trunk: PCMU over RTP, in the clear, or under keys of SDES or DTLS (RFC 3550,
RFC 4568, RFC 5763)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
from array import array
from dataclasses import replace
from enum import StrEnum

from gateway.base.crypto_suite import SUITES
from gateway.base.errors import SdpError, TransportError
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.values import Secret
from gateway.media.worker.srtp import SrtpReceiver, SrtpSender
from gateway.probe.handshaking import Handshaking, is_dtls
from gateway.probe.result import End
from gateway.probe.tones import MAX_SECONDS, RATE, TICK, from_ulaw, listen, to_ulaw, tone
from gateway.sdp.association import Association, role_by_answer, role_in_answer
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import LocalAudio, RemoteAudio, audio_lines, strongest
from gateway.webrtc.dtls import SrtpKeys

PCMU = Codec(0, "PCMU", 8000)
HEADER = struct.Struct("!BBHII")
MAX_DATAGRAM = 1500
SECONDS_PER_TICK = TICK / RATE


class Offer(StrEnum):
    """What is offered: no keys, such that may be ignored (RFC 8643), or keys or nothing (RFC 4568, RFC 5763)."""

    PLAIN = "plain"
    OSRTP = "osrtp"
    SDES = "sdes"
    DTLS = "dtls"


class RtpEnd(asyncio.DatagramProtocol):
    """One port. It hears what authenticates, and sends a tone or silence.

    Args:
        frequency: of the tone it sends; 0 is silence.
    """

    def __init__(self, host: str, offer: Offer, frequency: float) -> None:
        self.host, self.offer, self.end = host, offer, End("trunk", sent_hz=frequency)
        self.first_audio: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.received = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._keys = [
            CryptoAttribute(number + 1, suite.name, Secret(secrets.token_bytes(suite.master_length)))
            for number, suite in enumerate(SUITES)
        ]
        self._handshake = Handshaking(self._put, self._shaken) if offer is Offer.DTLS else None
        self._sender: SrtpSender | None = None
        self._receiver: SrtpReceiver | None = None
        self._remote: tuple[str, int] | None = None
        self._samples = array("h")
        self._first_stamp: int | None = None
        self._talk: asyncio.Task[None] | None = None

    async def open(self) -> RtpEnd:
        """Bind a port.

        Raises:
            TransportError: the address is none of this machine.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=(self.host, 0), family=family
            )
        except OSError as error:
            raise TransportError(f"media cannot be bound to {self.host}: {error.strerror}") from error
        return self

    @property
    def port(self) -> int:
        if self._transport is None:
            raise TransportError("media is not open")
        return int(self._transport.get_extra_info("sockname")[1])

    def describe(self) -> bytes:
        """Our offer."""
        demanded = {Offer.SDES: Proto.SAVP, Offer.DTLS: Proto.DTLS_SAVP}
        cryptos = tuple(self._keys) if self.offer in (Offer.OSRTP, Offer.SDES) else ()
        ours = self._local(demanded.get(self.offer, Proto.AVP), cryptos, Setup.ACTPASS)
        return build_offer(ours, session_id=secrets.randbits(31), version=1)

    def _local(self, proto: Proto, cryptos: tuple[CryptoAttribute, ...], setup: Setup) -> LocalAudio:
        port = self.port
        ours = LocalAudio(proto, self.host, port, port, True, (PCMU,), cryptos=cryptos)
        if self._handshake is None:
            return ours
        return replace(ours, fingerprint=self._handshake.fingerprint, setup=setup)

    def accept(self, answer: bytes) -> None:
        """Take the answer to our offer.

        Raises:
            SdpError: it cannot be used.
        """
        line = strongest(audio_lines(SessionDescription.parse(answer)))
        if self._handshake is not None:
            self._shake(self._handshake, line, role_by_answer(line.setup))
            return
        key = next(iter(line.cryptos), None)
        ours = next((k for k in self._keys if key is not None and (k.tag, k.suite) == (key.tag, key.suite)), None)
        if key is not None and self.offer is not Offer.PLAIN and ours is not None:
            self._keyed(ours, key)
        elif self.offer is Offer.SDES or line.proto.keyed:
            raise SdpError("the answer has no key that was asked for")
        else:
            self.end.protection = "plain"
        self._connect(line)

    def reply(self, offer: bytes) -> bytes:
        """Take an offer, and answer it.

        Raises:
            SdpError: it cannot be used.
        """
        description = SessionDescription.parse(offer)
        line = strongest(audio_lines(description))
        if self._handshake is not None:
            role = role_in_answer(line.setup, Setup.PASSIVE)
            self._shake(self._handshake, line, role)
            local = self._local(line.proto, (), role)
            return build_answer(local, description, audio_index=line.index, session_id=secrets.randbits(31), version=1)
        theirs = next(iter(line.cryptos), None)
        cryptos: tuple[CryptoAttribute, ...] = ()
        if theirs is not None and self.offer is not Offer.PLAIN:
            ours = theirs.with_key(Secret(secrets.token_bytes(theirs.crypto_suite.master_length)))
            self._keyed(ours, theirs)
            cryptos = (ours,)
        else:
            self.end.protection = "plain"
        self._connect(line)
        local = self._local(line.proto, cryptos, Setup.PASSIVE)
        return build_answer(local, description, audio_index=line.index, session_id=secrets.randbits(31), version=1)

    def _keyed(self, ours: CryptoAttribute, theirs: CryptoAttribute) -> None:
        names = [line.mki.octets if line.mki is not None else b"" for line in (ours, theirs)]
        self._sender = SrtpSender(ours.crypto_suite, ours.key, names[0])
        self._receiver = SrtpReceiver(theirs.crypto_suite, theirs.key, names[1])
        self.end.protection = f"sdes,{theirs.suite}"

    def _shake(self, handshake: Handshaking, line: RemoteAudio, role: Setup) -> None:
        if not line.offers(Keying.DTLS):
            raise SdpError("the other side does not take DTLS")
        self._connect(line)
        handshake.begin(Association.of(role, line))

    def _shaken(self, keys: SrtpKeys) -> None:
        self._sender, self._receiver = SrtpSender(keys.suite, keys.tx), SrtpReceiver(keys.suite, keys.rx)
        self.end.protection = f"dtls,{keys.suite.name}"

    def _put(self, datagram: bytes) -> None:
        if self._transport is not None and self._remote is not None:
            self._transport.sendto(datagram, self._remote)

    async def keyed(self) -> None:
        """Wait for the keys of a handshake, where they come from one.

        Raises:
            SdpError: there are none, and why.
        """
        if self._handshake is not None:
            await self._handshake.over()

    def _connect(self, line: RemoteAudio) -> None:
        if line.rtp is None or not any(codec.key[:2] == PCMU.key[:2] for codec in line.codecs):
            raise SdpError("the other side does not take PCMU")
        self.end.codec = "PCMU"
        self._remote = (line.rtp.host, line.rtp.port)

    def talk(self) -> None:
        """Send the tone, or silence, from now on."""
        self._talk = asyncio.get_running_loop().create_task(self._talking())

    async def _talking(self) -> None:
        loop = asyncio.get_running_loop()
        ssrc, number, start, due = secrets.randbits(32), secrets.randbits(15), 0, loop.time()
        silence = bytes([0xFF]) * TICK
        while self._transport is not None and self._remote is not None:
            sound = to_ulaw(tone(self.end.sent_hz, start, TICK)) if self.end.sent_hz else silence
            packet = HEADER.pack(0x80, PCMU.payload_type | (0 if start else 0x80), number & 0xFFFF, start, ssrc) + sound
            protected = self._sender.protect(packet, False) if self._sender is not None else packet
            if isinstance(protected, bytes) and (self._sender is not None or self._handshake is None):
                self._transport.sendto(protected, self._remote)
            number, start, due = number + 1, start + TICK, due + SECONDS_PER_TICK
            await asyncio.sleep(max(0.0, due - loop.time()))

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._handshake is not None and (is_dtls(data) or self._receiver is None):
            if is_dtls(data):
                self._handshake.receive(data)
            return
        if len(data) < HEADER.size or len(data) > MAX_DATAGRAM or 64 <= data[1] & 0x7F < 96:
            return
        packet = data
        if self._receiver is not None:
            opened = self._receiver.unprotect(data, False)
            if not isinstance(opened, bytes):
                self.end.refused += 1
                return
            packet = opened
        self.received += 1
        first, kind, _number, stamp, _ssrc = HEADER.unpack_from(packet)
        if kind & 0x7F == PCMU.payload_type:
            self._heard(stamp, from_ulaw(packet[HEADER.size + 4 * (first & 0x0F) :]))

    def _heard(self, stamp: int, samples: array[int]) -> None:
        """Put the sound at its place; what is missing before it is silence."""
        if not self.first_audio.done():
            self.first_audio.set_result(asyncio.get_running_loop().time())
        if self._first_stamp is None:
            self._first_stamp = stamp
        place = (stamp - self._first_stamp) & 0xFFFFFFFF
        missing = place - len(self._samples)
        if 0 <= missing and place < MAX_SECONDS * RATE:
            self.end.lost += missing // TICK
            self._samples.extend(array("h", bytes(2 * missing)))
            self._samples.extend(samples)

    def finish(self) -> End:
        """What came back."""
        self.end.heard = listen(self._samples)
        return self.end

    async def close(self) -> None:
        """Send and hear nothing more."""
        if self._talk is not None:
            self._talk.cancel()
            await asyncio.gather(self._talk, return_exceptions=True)
        if self._handshake is not None:
            self._handshake.close()
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.close()
