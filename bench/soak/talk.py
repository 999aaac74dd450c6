"""What the ends of the calls say and hear: 50 packets a second each, which name their sender, number and time.

A packet counts when it opens and says what it was sent with. Delay is from just before it was sealed, in a batch of a
few calls, to the system's time of its arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from struct import Struct

from bench.rate import LoadMedia
from bench.soak.exchange import Exchange, Place, clock
from tests.rig.media import Address, MediaEnd, TrunkMedia
from tests.rig.srtp import Profile

INTERVAL = 0.02
"""Seconds between packets of one end."""
GROUPS = 10
"""Parts of that time; each call talks in one of them."""
MAX_BEHIND = 50
"""Turns that are made up for when this process was held up, a tenth of a second; more are left out."""
REPORT_EVERY = 250
"""Packets between two reports of an end, 5 s: who never sends any is called suspect."""
FILLING = bytes(range(144))
_header, _name, _report = Struct("!BBHII").pack, Struct("!IIQ"), Struct("!BBHIQIII").pack
_HEADER = 12
_PACKET = _HEADER + _name.size + len(FILLING)


@dataclass
class Heard:
    """What has arrived since the last look."""

    sent: int = 0
    arrived: int = 0
    delays: list[int] = field(default_factory=list)
    """Nanoseconds."""
    reports: int = 0
    unopened: int = 0
    """What came and does not authenticate."""
    late: list[int] = field(default_factory=list)
    """How much after its time each turn of this process was, in nanoseconds."""


class Voice:
    """One end of a call.

    Args:
        number: of the end, even ones are browsers; who hears it has the one beside it.
    """

    def __init__(self, number: int, media: WiredBrowser | WiredTrunk, heard: Heard) -> None:
        self.number, self.media, self._heard = number, media, heard
        self.place = Place(media.address[0])
        self.sent = self.arrived = 0
        media.voice = self

    def begin(self) -> None:
        """Talk to where the signalling said, from now on."""
        assert self.media.target is not None
        self.place.towards(self.media.target)

    def speak(self) -> None:
        """Have the next packet ready to leave."""
        which, srtp = self.sent, self.media.srtp
        self.sent += 1
        head = _header(0x80, 0, which & 0xFFFF, which * 160 & 0xFFFFFFFF, self.media.ssrc)
        packet = head + _name.pack(self.number, which, clock()) + FILLING
        self.place.write(srtp.seal(packet) if srtp is not None else packet)

    @property
    def report(self) -> bytes:
        """A sender report (RFC 3550 6.4.1)."""
        packet = _report(0x80, 200, 6, self.media.ssrc, 0, self.sent * 160 & 0xFFFFFFFF, self.sent, self.sent * 160)
        return self.media.srtp.seal_rtcp(packet) if self.media.srtp is not None else packet

    def hear(self, data: bytes, at: int) -> None:
        """Take what came."""
        heard, srtp = self._heard, self.media.srtp
        if 64 <= data[1] & 127 <= 95:
            heard.reports += 1
            return
        packet = srtp.open(data) if srtp is not None else data
        if packet is None:
            heard.unopened += 1
            return
        if len(packet) != _PACKET:
            return
        sender, _, sent = _name.unpack_from(packet, _HEADER)
        if sender == self.number ^ 1:
            self.arrived += 1
            heard.arrived += 1
            heard.delays.append(at - sent)


class _Wired(MediaEnd):
    """An end of a path that shares its socket with others.

    Args:
        exchange: of its side.
    """

    exchange: Exchange
    voice: Voice | None = None

    def _bind(self, host: str, port: int) -> None:
        self.socket, self.address = self.exchange.socket, (host, self.exchange.port)
        self.exchange.takes[socket.inet_aton(host)] = self._arrived

    def send(self, data: bytes, to: Address | None = None) -> None:
        target = to or self.target
        assert target is not None
        self.exchange.say(self.address[0], data, target)

    def close(self) -> None:
        for task in getattr(self, "_tasks", ()):
            task.cancel()
        key = socket.inet_aton(self.address[0])
        if self.exchange.takes.get(key) == self._arrived:
            del self.exchange.takes[key]

    def _arrived(self, data: bytes, source: Address, at: int) -> None:
        if not data or not 128 <= data[0] < 192:
            self._take(data, source)
        elif self.voice is not None and len(data) >= _HEADER:
            self.voice.hear(data, at)


class WiredBrowser(_Wired, LoadMedia):
    """A browser of the exchange."""

    def __init__(self, exchange: Exchange, host: str) -> None:
        self.exchange = exchange
        super().__init__(host=host)


class WiredTrunk(_Wired, TrunkMedia):
    """A phone behind a trunk."""

    def __init__(self, exchange: Exchange, host: str, profile: Profile | None) -> None:
        self.exchange = exchange
        super().__init__(host, profile)


@dataclass
class Talk:
    """One call's two voices."""

    browser: Voice
    phone: Voice

    @property
    def lost(self) -> int:
        """Packets that were sent and did not arrive."""
        return self.browser.sent + self.phone.sent - self.browser.arrived - self.phone.arrived


class Floor:
    """All who talk."""

    def __init__(self) -> None:
        self.browsers, self.phones = Exchange(), Exchange()
        self.heard = Heard()
        self.stalled = 0
        """Turns that were left out."""
        self._groups: list[list[Talk]] = [[] for _ in range(GROUPS)]
        self._task = asyncio.get_running_loop().create_task(self._forever())

    async def close(self) -> None:
        """Say no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.browsers.close()
        self.phones.close()

    def add(self, talk: Talk) -> None:
        """Let these two talk."""
        talk.browser.begin()
        talk.phone.begin()
        min(self._groups, key=len).append(talk)

    def remove(self, talk: Talk) -> None:
        """Let them say no more; they hear what is on its way."""
        for group in self._groups:
            if talk in group:
                group.remove(talk)

    def look(self) -> Heard:
        """What was heard since the last look."""
        found = Heard(**vars(self.heard))
        self.heard.__init__()  # type: ignore[misc]
        return found

    async def _forever(self) -> None:
        loop, turn = asyncio.get_running_loop(), 0
        step = INTERVAL / GROUPS
        start = loop.time()
        while True:
            behind = loop.time() - start - turn * step
            if behind < 0:
                await asyncio.sleep(-behind)
                continue
            if behind > MAX_BEHIND * step:
                left_out = int(behind / step)
                turn, self.stalled = turn + left_out, self.stalled + left_out
            self.heard.late.append(int(behind * 1e9))
            self._turn(self._groups[turn % GROUPS])
            self.browsers.take()
            self.phones.take()
            turn += 1
            await asyncio.sleep(0)

    def _turn(self, group: list[Talk]) -> None:
        browsers, phones = [], []
        for talk in group:
            talk.browser.speak()
            browsers.append(talk.browser.place)
            if talk.browser.sent % REPORT_EVERY == 0:
                talk.browser.media.send(talk.browser.report)
        self.browsers.send(browsers)
        for talk in group:
            talk.phone.speak()
            phones.append(talk.phone.place)
        self.phones.send(phones)
        self.heard.sent += len(browsers) + len(phones)
