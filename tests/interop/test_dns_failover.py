"""A carrier behind real DNS: dnsmasq in a network of its own, where it is recorded what was asked and who was called.

Of the carrier's domain dnsmasq asks a nameserver of ours, which says what a test wants. The carrier's servers are in
that network too.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest

from gateway.sip.message import Request, parse_message
from gateway.trunks.dns import DNS_SECONDS
from gateway.trunks.health import SILENT_SECONDS
from tests.rig.browser import ScriptedBrowser
from tests.rig.capture import Capture, Packet
from tests.rig.dnsmasq import DNS_PORT, Dnsmasq
from tests.rig.gateway import GatewaySetup
from tests.rig.hosted import HostedGateway
from tests.rig.nameserver import NameServer, nameserver
from tests.rig.namespace import Namespace, made_namespace
from tests.rig.tools import needs
from tests.rig.trunk import Answer, FakeTrunk, description

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("dnsmasq"), needs("tcpdump")]
slow = pytest.mark.slow

DOMAIN = "carrier.test"
SRV = f"_sip._udp.{DOMAIN}"
OFFICE, AUTHORITY, SILENT, NOBODY = 2, 3, 4, 5
"""Nameservers: dnsmasq, ours behind it, one that never says anything, an address where nobody listens."""
SERVERS = (11, 12)
SIP_PORT = 5060
LEAST_HOLD = 1.1
"""Seconds after which an answer with TTL 0 is asked for anew."""


@pytest.fixture(scope="module")
def network() -> Iterator[Namespace]:
    made = made_namespace((OFFICE, AUTHORITY, SILENT, NOBODY, *SERVERS))
    yield made
    made.stop()


class NamedCarrier:
    """Two servers with names, a gateway that knows their domain alone, and a browser that calls."""

    def __init__(self, network: Namespace, authority: NameServer, gateway: HostedGateway, capture: Capture) -> None:
        self.network, self.authority, self.gateway = network, authority, gateway
        self._capture = capture
        self.status = 200
        """What each server says."""
        with network.entered():
            self.servers = [FakeTrunk(network.host(n), SIP_PORT, self._script(n)).start() for n in SERVERS]
        self.alice: ScriptedBrowser

    def _script(self, octet: int) -> Callable[[Request], Sequence[Answer]]:
        host = self.network.host(octet)
        return lambda _request: [(self.status, description(host) if self.status == 200 else b"")]

    def says(self, *weights: int, ttl: int = 300, priorities: Sequence[int] = (1, 2)) -> None:
        """The domain names both servers."""
        pairs = zip(priorities, weights or (0, 0), range(2), strict=True)
        self.authority.says(SRV, "SRV", *(f"{p} {w} {SIP_PORT} s{n}.{DOMAIN}." for p, w, n in pairs), ttl=ttl)
        for number, octet in enumerate(SERVERS):
            self.authority.says(f"s{number}.{DOMAIN}", "A", self.network.host(octet), ttl=ttl)

    async def call(self) -> int:
        """Alice dials 700; the status she gets. An answered call is hung up."""
        call = await self.alice.invite("700")
        response = await call.final()
        if response.status == 200:
            await call.hang_up()
        return response.status

    def seen(self) -> Seen:
        """What went over the cable so far, and nothing more."""
        return Seen(self.network, self._capture.stop())


class Seen:
    """Questions and INVITEs of a capture, in their order."""

    def __init__(self, network: Namespace, packets: list[Packet]) -> None:
        here = network.host(1)
        sent = [packet for packet in packets if packet.source[0] == here]
        self.asked: list[tuple[int, str, str]] = []
        """Who was asked (its last octet), for which name, for which kind."""
        self.called: list[int] = []
        """Whom an INVITE went to; each once, however often it was sent."""
        self.invites: list[Request] = []
        branches: set[str] = set()
        for packet in sent:
            octet = int(packet.destination[0].rpartition(".")[2])
            if packet.destination[1] == DNS_PORT:
                question = dns.message.from_wire(packet.payload).question[0]
                kind = dns.rdatatype.to_text(question.rdtype)
                self.asked.append((octet, question.name.to_text(omit_final_dot=True), kind))
            elif packet.payload.startswith(b"INVITE"):
                message = parse_message(packet.payload, stream=False)
                if isinstance(message, Request) and message.via.branch not in branches:
                    branches.add(message.via.branch)
                    self.called.append(octet)
                    self.invites.append(message)

    def count(self, name: str, kind: str, whom: int = OFFICE) -> int:
        return self.asked.count((whom, name, kind))


@asynccontextmanager
async def named_carrier(
    network: Namespace, directory: Path, *, nameservers: Sequence[int] = (OFFICE,), says: Sequence[str] = ()
) -> AsyncIterator[NamedCarrier]:
    with ExitStack() as stack:
        with network.entered():
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind((network.host(AUTHORITY), DNS_PORT))
            silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            silent.bind((network.host(SILENT), DNS_PORT))
        options = [f"--server=/test/{network.host(AUTHORITY)}", *says]
        office = Dnsmasq(directory, network, network.host(OFFICE), options).start()
        stack.callback(office.stop)
        capture = Capture(directory / "wire.pcap", interface=network.interface).start()
        stack.callback(capture.abandon)
        async with nameserver(bound=bound) as authority:
            trunk = {"target": f"sip:{DOMAIN};transport=udp", "security": "legacy", "networks": [network.network]}
            setup = GatewaySetup(
                directory,
                trunks={"carrier": {**trunk, "keepalive": 0}},
                outbound=[{"id": "all", "dialled": "7*", "trunk": "carrier"}],
                overrides={"dns": {"servers": [f"{network.host(n)}:{DNS_PORT}" for n in nameservers]}},
                trunk_address=network.host(1),
                sip=("udp",),
            )
            gateway = await HostedGateway(setup).start()
            made = NamedCarrier(network, authority, gateway, capture)
            made.alice = await ScriptedBrowser(setup.origin, "alice").sign_in()
            try:
                yield made
            finally:
                await made.alice.close()
                await gateway.stop()
                for server in made.servers:
                    await asyncio.to_thread(server.stop)


# Servers of the carrier


async def test_the_server_with_the_next_priority_is_called_where_the_first_one_refuses(
    network: Namespace, tmp_path: Path
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says()
        scene.servers[0].script = lambda _request: [(503, b"")]
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == list(SERVERS)
    first, second = seen.invites
    assert (first.call_id, first.cseq) == (second.call_id, second.cseq)
    assert seen.count(SRV, "SRV") == 1
    assert {seen.count(f"s{n}.{DOMAIN}", "A") for n in range(2)} == {1}


@slow
@pytest.mark.parametrize("is_gone", [False, True], ids=["says nothing", "nobody listens"])
async def test_a_dead_first_server_is_passed_over_and_not_called_first_again(
    network: Namespace, tmp_path: Path, is_gone: bool
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says()
        if is_gone:
            await asyncio.to_thread(scene.servers[0].stop)
        scene.servers[0].deaf = True
        async with asyncio.timeout(SILENT_SECONDS + 4):
            assert await scene.call() == 200
        async with asyncio.timeout(SILENT_SECONDS):
            assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [*SERVERS, SERVERS[1]]


@slow
async def test_servers_of_one_priority_are_called_in_proportion_to_their_weights(
    network: Namespace, tmp_path: Path
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says(25, 75, priorities=(1, 1))
        scene.status = 486
        for _ in range(80):
            assert await scene.call() == 486
        seen = scene.seen()
    called = Counter(seen.called)
    assert called.total() == 80
    assert 4 <= called[SERVERS[0]] <= 40  # 20 on the average; beyond these once in 100,000 runs
    assert seen.count(SRV, "SRV") == 1


# Nameservers


@slow
@pytest.mark.parametrize("dead", [SILENT, NOBODY], ids=["says nothing", "nobody listens"])
async def test_a_dead_first_nameserver_leaves_time_for_the_second(
    network: Namespace, tmp_path: Path, dead: int
) -> None:
    async with named_carrier(network, tmp_path, nameservers=(dead, OFFICE)) as scene:
        scene.says()
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0]]
    assert seen.count(SRV, "SRV", dead) >= 1
    assert seen.count(SRV, "SRV") == 1


@slow
async def test_a_first_nameserver_that_fails_is_followed_by_the_second(network: Namespace, tmp_path: Path) -> None:
    async with named_carrier(network, tmp_path, nameservers=(OFFICE, AUTHORITY)) as scene:
        scene.says()
        ours = scene.network.host(OFFICE)
        scene.authority.servfail_for.add(ours)
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0]]
    assert (seen.count(SRV, "SRV"), seen.count(SRV, "SRV", AUTHORITY)) == (1, 1)


@slow
async def test_servfail_before_anything_is_known_fails_the_call_and_nobody_is_called(
    network: Namespace, tmp_path: Path
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says()
        scene.authority.servfail.add("*")
        assert await scene.call() == 503
        seen = scene.seen()
    assert seen.called == []
    assert seen.count(SRV, "SRV") == 1
    assert seen.count(DOMAIN, "A") == 1


@slow
@pytest.mark.parametrize("how", ["servfail", "silent"])
async def test_what_was_known_serves_while_the_nameserver_fails(network: Namespace, tmp_path: Path, how: str) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says(ttl=0)
        assert await scene.call() == 200
        getattr(scene.authority, how).add("*")
        await asyncio.sleep(LEAST_HOLD)
        for _ in range(3):
            async with asyncio.timeout(DNS_SECONDS):
                assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0]] * 4
    assert "what it said last is kept" in scene.gateway.log


@slow
async def test_ttl_0_is_asked_for_anew_and_a_server_that_moved_is_followed(network: Namespace, tmp_path: Path) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says(ttl=0)
        assert await scene.call() == 200
        scene.authority.says(f"s0.{DOMAIN}", "A", network.host(SERVERS[1]), ttl=0)
        await asyncio.sleep(LEAST_HOLD)
        assert await scene.call() == 200
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0], SERVERS[1], SERVERS[1]]
    assert (seen.count(SRV, "SRV"), seen.count(f"s0.{DOMAIN}", "A")) == (2, 2)


@slow
async def test_a_slow_nameserver_costs_the_first_call_its_slowness_and_the_next_one_nothing(
    network: Namespace, tmp_path: Path
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.says()
        scene.authority.delay = 0.7
        began = time.monotonic()
        assert await scene.call() == 200
        assert time.monotonic() - began >= scene.authority.delay
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0]] * 2
    assert seen.count(SRV, "SRV") == 1


@slow
async def test_an_answer_too_large_for_a_datagram_is_asked_for_over_tcp(network: Namespace, tmp_path: Path) -> None:
    best = f"--srv-host={SRV},s1.{DOMAIN},{SIP_PORT},1,0"
    says = [best, *(f"--srv-host={SRV},a-server-with-a-long-name-{n}.{DOMAIN},{SIP_PORT},2,0" for n in range(24))]
    async with named_carrier(network, tmp_path, says=says) as scene:
        scene.says()
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[1]]
    assert seen.count(SRV, "SRV") == 1


@slow
async def test_a_domain_that_is_gone_calls_nobody_and_one_that_is_back_is_called(
    network: Namespace, tmp_path: Path
) -> None:
    async with named_carrier(network, tmp_path) as scene:
        scene.authority.negative_ttl = 1
        assert await scene.call() == 503
        scene.says()
        await asyncio.sleep(LEAST_HOLD + 1)  # dnsmasq keeps it for its own second
        assert await scene.call() == 200
        seen = scene.seen()
    assert seen.called == [SERVERS[0]]
    names = {(name, kind) for _, name, kind in seen.asked}
    assert names == {
        (SRV, "SRV"),
        (DOMAIN, "A"),
        (DOMAIN, "AAAA"),
        *((f"s{n}.{DOMAIN}", k) for n in range(2) for k in ("A", "AAAA")),
    }
