"""A carrier with two servers behind one domain, through the real front door: which of them gets a browser's call.

The carrier's DNS is a nameserver of our own, its servers are sockets that do as they are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.sip.message import Request
from gateway.trunks.health import SILENT_SECONDS
from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import GatewaySetup
from tests.rig.hosted import HostedGateway, until
from tests.rig.nameserver import NameServer, nameserver
from tests.rig.ports import free_port
from tests.rig.trunk import Answer, FakeTrunk, Script, description

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]
FIRST, SECOND = "127.0.2.31", "127.0.2.32"
DOMAIN = "carrier.test"


class Carrier:
    """Two servers of one domain, one gateway, and a browser that calls."""

    def __init__(self, dns: NameServer, gateway: HostedGateway, alice: ScriptedBrowser, ports: list[int]) -> None:
        self.dns, self.gateway, self.alice = dns, gateway, alice
        self.answers: dict[str, int] = {}
        """What a server says in place of 200."""
        pairs = zip((FIRST, SECOND), ports, strict=True)
        self.servers = {host: FakeTrunk(host, port, self._script(host)).start() for host, port in pairs}

    def _script(self, host: str) -> Script:
        def script(_request: Request) -> list[Answer]:
            status = self.answers.get(host, 200)
            return [(status, description(host) if status == 200 else b"")]

        return script

    def invites(self, host: str) -> list[Request]:
        """Each INVITE once, however often it was sent."""
        seen = [request for request in self.servers[host].seen if request.method == "INVITE"]
        return list({request.via.branch: request for request in seen}.values())

    async def call(self) -> int:
        """Alice dials 700; the status she gets. An answered call is hung up."""
        call = await self.alice.invite("700")
        response = await call.final()
        if response.status == 200:
            await call.hang_up()
        return response.status


@asynccontextmanager
async def carrier(directory: Path, *, ttl: int = 300) -> AsyncIterator[Carrier]:
    ports = [free_port(host=host) for host in (FIRST, SECOND)]
    async with nameserver() as dns:
        dns.says(
            f"_sip._udp.{DOMAIN}", "SRV", *(f"{10 * n} 0 {p} s{n}.{DOMAIN}." for n, p in enumerate(ports)), ttl=ttl
        )
        for number, host in enumerate((FIRST, SECOND)):
            dns.says(f"s{number}.{DOMAIN}", "A", host, ttl=ttl)
        trunk = {"target": f"sip:{DOMAIN};transport=udp", "security": "legacy", "networks": ["127.0.2.0/24"]}
        setup = GatewaySetup(
            directory,
            trunks={"carrier": trunk},
            outbound=[{"id": "all", "dialled": "7*", "trunk": "carrier"}],
            overrides={"dns": {"servers": [str(dns.address)]}},
        )
        gateway = await HostedGateway(setup).start()
        alice = await ScriptedBrowser(setup.origin, "alice").sign_in()
        made = Carrier(dns, gateway, alice, ports)
        try:
            yield made
        finally:
            await alice.close()
            await gateway.stop()
            for server in made.servers.values():
                await asyncio.to_thread(server.stop)


async def test_a_503_of_the_first_server_is_never_heard_by_the_caller_and_its_retry_after_is_heeded(
    tmp_path: Path,
) -> None:
    async with carrier(tmp_path) as scene:
        scene.answers[FIRST] = 503
        scene.servers[FIRST].more = (("Retry-After", "30 (maintenance);duration=10"),)
        assert await scene.call() == 200
        (first,), (second,) = scene.invites(FIRST), scene.invites(SECOND)
        assert second.call_id == first.call_id
        assert second.headers.get("CSeq") == first.headers.get("CSeq")
        assert second.via.branch != first.via.branch
        assert scene.gateway.gateway.counters[Counter.TRUNK_FAILOVER] == 1
        assert await scene.call() == 200
        assert (len(scene.invites(FIRST)), len(scene.invites(SECOND))) == (1, 2)
        assert "asks for no calls for 30 s" in scene.gateway.log


async def test_a_dead_first_server_costs_the_first_call_seconds_and_the_next_one_nothing(tmp_path: Path) -> None:
    async with carrier(tmp_path) as scene:
        scene.servers[FIRST].deaf = True
        async with asyncio.timeout(SILENT_SECONDS + 4):
            assert await scene.call() == 200
        assert f"trunk=carrier place=udp:{FIRST}:{scene.servers[FIRST].port} state=up->down" in scene.gateway.log
        async with asyncio.timeout(SILENT_SECONDS):
            assert await scene.call() == 200
        assert len(scene.invites(SECOND)) == 2


@pytest.mark.parametrize("status", [486, 600, 603])
async def test_what_a_person_says_at_the_first_server_is_not_asked_of_the_second(tmp_path: Path, status: int) -> None:
    async with carrier(tmp_path) as scene:
        scene.answers[FIRST] = status
        assert await scene.call() == status
        assert scene.invites(SECOND) == []


async def test_calls_go_on_after_the_carriers_dns_has_died_even_with_ttl_zero(tmp_path: Path) -> None:
    async with carrier(tmp_path, ttl=0) as scene:
        assert await scene.call() == 200
        scene.dns.servfail.add("*")
        await asyncio.sleep(1.1)  # the least an answer holds
        assert await scene.call() == 200
        assert await scene.call() == 200
        assert len(scene.invites(FIRST)) == 3
        told = [line for line in scene.gateway.log.splitlines() if "dns name=_sip._udp" in line]
        assert len(told) == 1
        assert "what it said last is kept" in told[0]


async def test_a_domain_that_is_gone_is_told_to_the_caller_at_once(tmp_path: Path) -> None:
    async with carrier(tmp_path, ttl=0) as scene:
        scene.dns.records.clear()
        assert await scene.call() == 503
        scene.dns.silent.add("*")
        assert await scene.call() == 503
        await until(lambda: not scene.gateway.gateway.manager.live_calls, "the call is still there")
