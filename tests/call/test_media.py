"""The media of a call with several browsers, through a real relay worker: handshakes, keys and legs of their own."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections.abc import AsyncIterator
from typing import TypeVar, cast

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import SUITES
from gateway.base.errors import MediaError
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId, Secret
from gateway.call.machine.effects import StartDtls
from gateway.call.machine.events import DtlsConnected, DtlsFailed
from gateway.call.run.media import CallMedia, MediaEvent
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import CloseLeg, IcePort, OpenLeg, OwnPort, PayloadMap, RelayPlan, Route, SetPeer
from gateway.media.relay_events import LegFailed, LegOpened, MediaStarted
from gateway.webrtc.dtls import DtlsEndpoint, DtlsIdentity, DtlsState
from tests.call.office import Pool
from tests.media import packets
from tests.media.peers import (
    BROWSER_PORT,
    LOOPBACK,
    TRUNK_BIND,
    TRUNK_HOST,
    WAIT_SECONDS,
    BrowserPeer,
    Keys,
    Peer,
    media,
    running_pool,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PORT = BROWSER_PORT + 80
NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
OURS, FORGED = DtlsIdentity.generate(NOW), DtlsIdentity.generate(NOW)
ONE, OTHER, TRUNK = LegId(1), LegId(2), LegId(3)
PCMU = RelayPlan((PayloadMap(0, 0),))
E = TypeVar("E", bound=MediaEvent)
_names = itertools.count()


class DtlsBrowser:
    """A browser with a certificate: checks, a handshake as client, then SRTP under the keys of that."""

    def __init__(self, leg: LegId) -> None:
        self.leg = leg
        self.ufrag, self.password = f"name{next(_names):06}", "p" * 24
        self.identity = DtlsIdentity.generate(NOW)
        self.peer = BrowserPeer(self)
        self.peer.server = HostPort(LOOPBACK, PORT)
        self.dtls = DtlsEndpoint(self.identity, "client", (OURS.fingerprint,))

    @property
    def command(self) -> OpenLeg:
        return OpenLeg(self.leg, IcePort(self.ufrag, Secret(self.password)))

    async def begin(self) -> None:
        """Check, and send a ClientHello that has arrived when this returns."""
        await self.peer.check()
        self.dtls.start(0.0)
        self._flush()
        await self.peer.check()

    async def shake_hands(self) -> None:
        """Go on until the handshake is over on this side."""
        await self.begin()
        await self.finish()

    async def finish(self) -> None:
        while self.dtls.state not in (DtlsState.CONNECTED, DtlsState.FAILED):
            self.dtls.receive(bytes(await self.peer.receive()), 0.0)
            self._flush()
        if self.dtls.keys is not None:
            self.peer.keys = Keys(self.dtls.keys.suite, self.dtls.keys.tx, self.dtls.keys.rx)

    def _flush(self) -> None:
        for datagram in self.dtls.take_datagrams():
            self.peer.send(datagram, self.peer.server)


class MediaBench:
    """The media of one call, what it told, and the browsers of it."""

    def __init__(self, pool: RelayPool) -> None:
        self.events: list[MediaEvent] = []
        self.broken: list[Exception] = []
        self._news = asyncio.Event()
        self.media = CallMedia(pool, OURS, self._listen, self.broken.append)
        self.browsers: list[DtlsBrowser] = []

    def _listen(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def told(self, kind: type[E], leg: LegId) -> E:
        """The event of that kind about a leg, waited for if need be."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and getattr(event, "leg", None) == leg:
                        return event
                self._news.clear()
                await self._news.wait()

    async def browser(self, leg: LegId) -> DtlsBrowser:
        found = DtlsBrowser(leg)
        self.browsers.append(found)
        await self.media.open(found.command)
        return found

    async def keyed(self, leg: LegId) -> DtlsBrowser:
        """A browser whose handshake is complete and whose keys are with the relay."""
        found = await self.browser(leg)
        self.media.start_dtls(StartDtls(leg, "server", (found.identity.fingerprint,), SUITES))
        await found.shake_hands()
        await self.told(DtlsConnected, leg)
        self.media.release_keys(leg)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[RelayPool]:
    async with running_pool(media(first_port=PORT, trunk_ports=(29100, 29139)), quarantine_seconds=0.0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bench(pool: RelayPool) -> AsyncIterator[MediaBench]:
    made = MediaBench(pool)
    yield made
    await made.media.close()
    for browser in made.browsers:
        browser.peer.close()
    assert pool.call_count == 0
    assert made.broken == []


async def test_two_browsers_shake_hands_each_for_itself_and_hear_each_other(bench: MediaBench) -> None:
    one, other = await bench.keyed(ONE), await bench.keyed(OTHER)
    assert one.peer.keys.from_peer != other.peer.keys.from_peer
    bench.media.carry_out(Route(ONE, OTHER, PCMU))
    bench.media.carry_out(Route(OTHER, ONE, PCMU))
    for speaker, listener in ((one, other), (other, one)):
        async with asyncio.timeout(WAIT_SECONDS):
            await bench.media._call.counters()  # type: ignore[union-attr]
        speaker.peer.send_media(packets.rtp(1))
        assert await listener.peer.receive_media() == packets.rtp(1)
    await bench.told(MediaStarted, ONE)
    await bench.told(MediaStarted, OTHER)
    numbers = await bench.media.close()
    assert [(numbers[leg].rtp_rx, numbers[leg].rtp_tx) for leg in (ONE, OTHER)] == [(1, 1), (1, 1)]


async def test_no_media_passes_before_the_keys_are_released(bench: MediaBench) -> None:
    browser = await bench.browser(ONE)
    bench.media.start_dtls(StartDtls(ONE, "server", (browser.identity.fingerprint,), SUITES))
    await browser.shake_hands()
    await bench.told(DtlsConnected, ONE)
    assert bench.media._call is not None
    browser.peer.send_media(packets.rtp(1))
    await browser.peer.check()  # behind the packet on the same port
    assert (await bench.media._call.counters())[ONE].unkeyed_dropped == 1


async def test_a_forged_certificate_fails_its_leg_and_no_other(bench: MediaBench) -> None:
    good = await bench.keyed(ONE)
    victim = await bench.browser(OTHER)
    bench.media.start_dtls(StartDtls(OTHER, "server", (FORGED.fingerprint,), SUITES))
    await victim.shake_hands()
    assert (await bench.told(DtlsFailed, OTHER)).termination is Termination.FINGERPRINT_MISMATCH
    bench.media.release_keys(OTHER)
    assert bench.media._call is not None
    victim.peer.send_media(packets.rtp(1))
    await victim.peer.check()
    assert (await bench.media._call.counters())[OTHER].unkeyed_dropped == 1
    good.peer.send_media(packets.rtp(1))
    await bench.told(MediaStarted, ONE)


async def test_what_a_browser_sends_before_its_fingerprint_is_known_waits_for_it(bench: MediaBench) -> None:
    browser = await bench.browser(ONE)
    await browser.begin()
    assert bench.media._call is not None
    await bench.media._call.counters()
    assert browser.peer.pending() == []
    bench.media.start_dtls(StartDtls(ONE, "server", (browser.identity.fingerprint,), SUITES))
    await browser.finish()
    await bench.told(DtlsConnected, ONE)


async def test_legs_that_are_opened_together_begin_the_call_together(bench: MediaBench) -> None:
    browser = DtlsBrowser(ONE)
    bench.browsers.append(browser)
    await bench.media.open(browser.command, OpenLeg(TRUNK, OwnPort(TRUNK_BIND, "203.0.113.9")))
    opened = await bench.told(LegOpened, TRUNK)
    assert [address.host for address in opened.rtp] == ["203.0.113.9"]
    assert opened.rtcp == HostPort("203.0.113.9", opened.rtp[0].port + 1)
    assert (await bench.told(LegOpened, ONE)).rtp[0].port == PORT


async def test_legs_that_are_opened_at_one_time_come_into_one_call(bench: MediaBench, pool: RelayPool) -> None:
    found = [DtlsBrowser(LegId(n)) for n in range(1, 5)]
    bench.browsers += found
    await asyncio.gather(*(bench.media.open(browser.command) for browser in found))
    assert pool.call_count == 1
    for browser in found:
        await bench.told(LegOpened, browser.leg)


async def test_a_leg_that_cannot_be_opened_is_told_and_the_others_go_on(bench: MediaBench) -> None:
    one = await bench.keyed(ONE)
    await bench.media.open(OpenLeg(TRUNK, OwnPort("192.0.2.1")))
    assert "bad_address" in (await bench.told(LegFailed, TRUNK)).reason
    bench.media.carry_out(CloseLeg(TRUNK))
    one.peer.send_media(packets.rtp(1))
    await bench.told(MediaStarted, ONE)


async def test_a_first_leg_that_cannot_be_opened_leaves_room_for_another_try(bench: MediaBench) -> None:
    await bench.media.open(OpenLeg(TRUNK, OwnPort("192.0.2.1")))
    await bench.told(LegFailed, TRUNK)
    await bench.keyed(ONE)


async def test_a_leg_closed_while_it_is_being_opened_is_closed_and_not_told(bench: MediaBench) -> None:
    for leg in (ONE, TRUNK):  # the first of the call, and one more
        opening = asyncio.create_task(bench.media.open(OpenLeg(leg, OwnPort(TRUNK_BIND))))
        await asyncio.sleep(0)
        bench.media.carry_out(CloseLeg(leg))
        await opening
    assert bench.media._call is not None
    assert await bench.media._call.counters() == {}
    assert bench.events == []


async def test_a_call_that_ends_while_a_leg_is_being_opened_leaves_nothing(pool: RelayPool) -> None:
    for first in (True, False):
        made = MediaBench(pool)
        if not first:
            await made.media.open(OpenLeg(ONE, OwnPort(TRUNK_BIND)))
        told = len(made.events)
        opening = asyncio.create_task(made.media.open(OpenLeg(TRUNK, OwnPort(TRUNK_BIND))))
        await asyncio.sleep(0)
        await made.media.close()
        await opening
        assert pool.call_count == 0
        assert len(made.events) == told


async def test_a_browser_whose_leg_is_closed_is_told_goodbye_and_its_handshake_is_over(bench: MediaBench) -> None:
    stays, leaves = await bench.keyed(ONE), await bench.keyed(OTHER)
    bench.media.carry_out(CloseLeg(OTHER))
    leaves.dtls.receive(bytes(await leaves.peer.receive()), 0.0)
    assert leaves.dtls.state is DtlsState.CLOSED
    bench.media.start_dtls(StartDtls(OTHER, "server", (leaves.identity.fingerprint,), SUITES))
    bench.media.release_keys(OTHER)
    stays.peer.send_media(packets.rtp(1))
    await bench.told(MediaStarted, ONE)


async def test_a_peer_with_a_name_for_an_address_is_a_media_error(bench: MediaBench) -> None:
    await bench.media.open(OpenLeg(TRUNK, OwnPort(TRUNK_BIND)))
    with pytest.raises(MediaError):
        bench.media.carry_out(SetPeer(TRUNK, False, HostPort("pbx.example.com", 4000)))
    with Peer(TRUNK_HOST).socket as own:
        bench.media.carry_out(SetPeer(TRUNK, False, HostPort(*own.getsockname())))


async def test_before_there_is_a_relay_commands_go_nowhere_and_the_end_has_no_numbers() -> None:
    pool = Pool()
    pool.full = True
    made = MediaBench(cast(RelayPool, pool))
    made.media.carry_out(Route(ONE, OTHER, PCMU))
    made.media.release_keys(ONE)
    await made.media.open(OpenLeg(ONE, IcePort("name", Secret("x" * 24))))
    assert made.events == [LegFailed(ONE, "no port")]
    assert await made.media.close() == {}
