"""A call in a real relay worker with any number of browsers and trunks, each with names, ports and keys of its own."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_call import LegCounters, RelayCall
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import IcePort, OpenLeg, OwnPort, Place, Route, SetPeer
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import RelayEvent
from tests.media import packets
from tests.media.packets import Relayed
from tests.media.peers import TRUNK_BIND, WAIT_SECONDS, BrowserPeer, E, Keys, TrunkPeer, keys_command, plan

SAME = {0: 0, 8: 8, 101: 101}


class MeshBrowser:
    """A browser leg and the browser."""

    def __init__(self, mesh: RelayedMesh, leg: LegId) -> None:
        self._mesh, self.leg = mesh, leg
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.peer = BrowserPeer(self)

    @property
    def place(self) -> Place:
        return IcePort(self.ufrag, Secret(self.password))

    async def connect(self, _suite: CryptoSuite | None = None) -> None:
        """Check and keys."""
        await self.peer.check()
        self._mesh.relay.send(keys_command(self.leg, self.peer.keys))

    def send(self, packet: bytes) -> None:
        self.peer.send_media(packet)

    def report(self, packet: bytes) -> None:
        self.peer.send_media(packet)

    async def hears(self) -> Relayed:
        return await self.peer.receive_media()

    def pending(self) -> list[Relayed]:
        """What has arrived and was not read, still protected."""
        return self.peer.pending()

    def close(self) -> None:
        self.peer.close()


class MeshTrunk:
    """A leg with ports of its own and the trunk."""

    place: Place = OwnPort(TRUNK_BIND)

    def __init__(self, mesh: RelayedMesh, leg: LegId) -> None:
        self._mesh, self.leg = mesh, leg
        self.peer = TrunkPeer(self)

    @property
    def trunk_rtp(self) -> HostPort:
        return self._mesh.relay.legs[self.leg].rtp[0]

    @property
    def trunk_rtcp(self) -> HostPort:
        return self._mesh.relay.legs[self.leg].rtcp or self.trunk_rtp

    async def connect(self, suite: CryptoSuite | None = None) -> None:
        """Keys, if it has any, and address."""
        if suite is not None:
            self.peer.keys = Keys(suite)
            self._mesh.relay.send(keys_command(self.leg, self.peer.keys))
        rtp, rtcp = self.peer.rtp.address, self.peer.rtcp.address
        self._mesh.relay.send(SetPeer(self.leg, suite is not None, rtp, rtcp))

    def send(self, packet: bytes) -> None:
        self.peer.send_media(packet)

    def report(self, packet: bytes) -> None:
        self.peer.send_rtcp(packet)

    async def hears(self) -> Relayed:
        return await self.peer.receive_media()

    def pending(self) -> list[Relayed]:
        """What has arrived and was not read, still protected."""
        return self.peer.rtp.pending() + self.peer.rtcp.pending()

    def close(self) -> None:
        self.peer.close()


MeshPart = MeshBrowser | MeshTrunk
M = TypeVar("M", MeshBrowser, MeshTrunk)


class RelayedMesh:
    """The call; legs are numbered as they come, and nobody hears anybody before it is said."""

    def __init__(self) -> None:
        self.events: list[RelayEvent] = []
        self.relay: RelayCall
        self._parts: list[MeshPart] = []
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)

    async def begin(self, pool: RelayPool) -> MeshBrowser:
        """Open the call with a browser."""
        first = MeshBrowser(self, LegId(next(self._numbers)))
        self._parts.append(first)
        self.relay = await pool.open(OpenLeg(first.leg, first.place), listener=self._listen)
        await first.connect()
        return first

    async def browser(self) -> MeshBrowser:
        return await self._add(MeshBrowser(self, LegId(next(self._numbers))), None)

    async def trunk(self, suite: CryptoSuite | None = None) -> MeshTrunk:
        return await self._add(MeshTrunk(self, LegId(next(self._numbers))), suite)

    async def _add(self, part: M, suite: CryptoSuite | None) -> M:
        self._parts.append(part)
        await self.relay.open(OpenLeg(part.leg, part.place))
        await part.connect(suite)
        return part

    def adopt(self, part: MeshPart, other: RelayedMesh) -> None:
        """Take a part over from another call; it has its number of this one from now on."""
        number = LegId(next(self._numbers))
        self.relay.adopt(number, other.relay, part.leg)
        other._parts.remove(part)
        self._parts.append(part)
        part._mesh, part.leg = self, number

    def _listen(self, event: RelayEvent) -> None:
        self.events.append(event)
        self._news.set()

    def route(
        self, source: MeshPart, sink: MeshPart, numbers: Mapping[int, int] = SAME, *, is_open: bool = True
    ) -> None:
        """Let one hear the other."""
        self.relay.send(Route(source.leg, sink.leg, plan(numbers, is_open=is_open)))

    def join(self, one: MeshPart, other: MeshPart) -> None:
        """Let both hear each other."""
        self.route(one, other)
        self.route(other, one)

    async def numbers(self, part: MeshPart) -> PacketCounters:
        """What became of the packets of a leg; every earlier command is in effect."""
        return (await self.relay.counters())[part.leg]

    async def until(self, reached: Callable[[LegCounters], bool]) -> LegCounters:
        """Wait until the counters say so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                counters = await self.relay.counters()
                if reached(counters):
                    return counters
                await asyncio.sleep(0.002)

    async def event(self, kind: type[E], leg: LegId) -> E:
        """The first event of that kind and leg, waited for if need be."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and getattr(event, "leg", None) == leg:
                        return event
                self._news.clear()
                await self._news.wait()

    def close_peers(self) -> None:
        for part in self._parts:
            part.close()


Mesh = tuple[RelayedMesh, MeshBrowser]
"""A call and its first browser."""


async def talks(speaker: MeshPart, listener: MeshPart, first: int, count: int = 3, ssrc: int = 0x1111) -> list[Relayed]:
    """Some packets of one that the other hears."""
    heard = []
    for n in range(first, first + count):
        speaker.send(packets.rtp(n, ssrc=ssrc))
        heard.append(await listener.hears())
        assert heard[-1] == packets.rtp(n)
    return heard


@asynccontextmanager
async def new_mesh(pool: RelayPool) -> AsyncIterator[Mesh]:
    """A fresh call in a pool with its first browser, closed at the end."""
    mesh = RelayedMesh()
    try:
        yield mesh, await mesh.begin(pool)
        await mesh.relay.close()
    finally:
        mesh.close_peers()
