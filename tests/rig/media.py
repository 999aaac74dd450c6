"""Ends of a media path that say something recognisable and keep all they hear."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import struct
from dataclasses import dataclass

from gateway.sip.message import Request
from tests.rig.srtp import CM_80, Profile, Srtp

_RUN = secrets.token_hex(5)
FROM_BROWSER = f"spoken-by-the-browser-{_RUN}".encode()
FROM_TRUNK = f"spoken-by-the-trunk--{_RUN}".encode()
"""What each side says: nobody else on this machine says the same, not even another run of these tests."""
FRAME = 160
PACKET_SECONDS = 0.02
WAIT_SECONDS = 5.0
MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
Address = tuple[str, int]


def family_of(host: str) -> socket.AddressFamily:
    """The protocol of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def frame(mark: bytes, sequence: int) -> bytes:
    """A PCMU frame nobody else sends: the mark over and over, and the sequence number."""
    return (mark * (FRAME // len(mark) + 1))[: FRAME - 4] + struct.pack("!I", sequence)


def rtp(sequence: int, payload: bytes, *, ssrc: int = 0x5EED, kind: int = 0) -> bytes:
    """An RTP packet (RFC 3550 5.1)."""
    return struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, sequence * FRAME, ssrc) + payload


@dataclass(frozen=True)
class Heard:
    """A datagram that arrived, in clear if it could be opened."""

    raw: bytes
    source: Address
    payload: bytes | None


class MediaEnd:
    """A UDP socket that talks every 20 ms once told to."""

    def __init__(self, mark: bytes, host: str, port: int = 0) -> None:
        self.mark = mark
        self.srtp: Srtp | None = None
        self.target: Address | None = None
        self.heard: list[Heard] = []
        self.sent = 0
        self.wire: list[bytes] = []
        """What was sent as RTP or SRTP, byte for byte."""
        self.ssrc = secrets.randbits(32)
        self._loop = asyncio.get_running_loop()
        self._bind(host, port)
        self._talk: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def _bind(self, host: str, port: int) -> None:
        self.socket = socket.socket(family_of(host), socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, port))
        self.address: Address = self.socket.getsockname()[:2]
        self._loop.add_reader(self.socket, self._readable)

    def send(self, data: bytes, to: Address | None = None) -> None:
        target = to or self.target
        assert target is not None
        try:
            self.socket.sendto(data, target)
        except (BlockingIOError, ConnectionRefusedError):
            return

    def move(self, host: str) -> None:
        """Be in another network from now on: another address, the same keys; nothing comes to the old one any more."""
        self._loop.remove_reader(self.socket)
        self.socket.close()
        self._bind(host, 0)

    def say(self, *, plain: bool = False) -> None:
        """One packet; `plain` leaves the protection off."""
        self.sent += 1
        packet = rtp(self.sent, frame(self.mark, self.sent), ssrc=self.ssrc)
        sealed = self.srtp.seal(packet) if self.srtp is not None and not plain else packet
        self.wire.append(sealed)
        self.send(sealed)

    def talk(self) -> None:
        """From now on a packet every 20 ms."""
        if self._talk is None:
            self._talk = self._loop.create_task(self._talking())

    def hush(self) -> None:
        if self._talk is not None:
            self._talk.cancel()
            self._talk = None

    async def _talking(self) -> None:
        while True:
            self.say()
            await asyncio.sleep(PACKET_SECONDS)

    def payloads(self) -> list[bytes]:
        return [h.payload for h in self.heard if h.payload is not None]

    async def hears(self, mark: bytes, count: int = 10) -> None:
        """Wait for that many more packets of the other end."""
        wanted = count + sum(p.startswith(mark) for p in self.payloads())
        async with asyncio.timeout(WAIT_SECONDS):
            while sum(p.startswith(mark) for p in self.payloads()) < wanted:
                self._news.clear()
                await self._news.wait()

    def close(self) -> None:
        self.hush()
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket)
            self.socket.close()

    def _readable(self) -> None:
        while True:
            try:
                data, source = self.socket.recvfrom(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._take(data, source)

    def _take(self, data: bytes, source: Address) -> None:
        self._media(data, source)

    def _media(self, data: bytes, source: Address) -> None:
        if len(data) >= 12 and 192 <= data[1] <= 223:
            return  # RTCP
        clear = self.srtp.open(data) if self.srtp is not None else data
        payload = clear[12:] if clear is not None and len(clear) >= 12 else None
        self.heard.append(Heard(data, source, payload))
        self._news.set()


class TrunkMedia(MediaEnd):
    """The trunk's media: answers an offer in plain RTP or with an SDES key of its own."""

    def __init__(self, host: str, profile: Profile | None = None) -> None:
        super().__init__(FROM_TRUNK, host, _even_port(host))
        self.profile = profile
        self.key = secrets.token_bytes(profile.master) if profile else b""

    @property
    def inline(self) -> str:
        return base64.b64encode(self.key).decode()

    def answer(self, request: Request, *, signalled: Address | None = None) -> bytes:
        """The answer to the gateway's offer; afterwards the end knows where to talk to and with which keys."""
        offer = request.body.decode()
        host, port = line(offer, "c=").split()[-1], int(line(offer, "m=audio").split()[0])
        self.target = (host, port)
        lines: list[str] = []
        if self.profile is not None:
            tag, suite, keyed = self._offered(offer)
            if self.srtp is None or self.srtp.receive_key != keyed:
                self.srtp = Srtp(self.profile, self.key, keyed)
            lines = [f"a=crypto:{tag} {suite} inline:{self.inline}"]
        asked = next((found for found in lines_of(offer, "a=") if found in MIRROR), "")
        return self.body(*lines, direction=MIRROR.get(asked, "sendrecv"), signalled=signalled)

    def _offered(self, offer: str) -> tuple[str, str, bytes]:
        assert self.profile is not None
        for found in lines_of(offer, "a=crypto:"):
            tag, suite, inline = found.split()[:3]
            if suite == self.profile.sdes:
                return tag, suite, base64.b64decode(inline.removeprefix("inline:").split("|")[0])
        raise AssertionError(f"no {self.profile.sdes} in the offer")

    def body(self, *lines: str, direction: str = "sendrecv", signalled: Address | None = None) -> bytes:
        host, port = signalled or self.address
        protocol = "IP6" if ":" in host else "IP4"
        head = [
            "v=0",
            f"o=- 7 7 IN {protocol} {host}",
            "s=-",
            f"c=IN {protocol} {host}",
            "t=0 0",
            f"m=audio {port} {'RTP/SAVP' if self.profile else 'RTP/AVP'} 0",
            "a=rtpmap:0 PCMU/8000",
            f"a={direction}",
            *lines,
        ]
        return ("\r\n".join(head) + "\r\n").encode()


def line(text: str, start: str) -> str:
    """What follows `start` on the first line that begins so."""
    return lines_of(text, start)[0]


def lines_of(text: str, start: str) -> list[str]:
    return [found.removeprefix(start) for found in text.splitlines() if found.startswith(start)]


def _even_port(host: str) -> int:
    while True:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
            if port % 2 == 0:
                return port


__all__ = ["CM_80", "FROM_BROWSER", "FROM_TRUNK", "Address", "MediaEnd", "TrunkMedia", "frame", "line", "rtp"]
