"""Calls with SIPp as the trunk, called and calling, over UDP and TCP: what real life does to a dialog.

SIPp judges: it fails whenever anything comes that its scenario does not have. The browser is scripted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup, Record
from tests.rig.ports import free_port
from tests.rig.sipp import Scenario, SippTrunk, is_here, loopback, sdp

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not is_here(), reason="sipp (package sip-tester) is not installed"),
]

TRANSPORTS = ("udp", "tcp")
BOTH = pytest.mark.parametrize("transport", ["udp", pytest.param("tcp", marks=pytest.mark.slow)])
"""Over UDP with `make test`, over TCP too with `make test-interop`."""
RELIABLE = "Require: 100rel"


class Stand:
    """A gateway with a trunk for each transport, and SIPp behind them."""

    def __init__(self, directory: Path) -> None:
        self.hosts = {"udp": loopback(1), "tcp": loopback(2)}
        self.ports = {transport: free_port(host=host) for transport, host in self.hosts.items()}
        setup = GatewaySetup(directory, trunks={}, outbound=[])
        for number, transport in enumerate(TRANSPORTS):
            host = self.hosts[transport]
            suffix = ";transport=tcp" if transport == "tcp" else ""
            setup.trunks[transport] = {
                "target": f"sip:{host}:{self.ports[transport]}{suffix}",
                "security": "legacy",
                "networks": [f"{host}/32"],
            }
            setup.outbound.append({"id": transport, "dialled": f"70{number}", "trunk": transport})
        self.gateway = GatewayProcess(setup)

    def number(self, transport: str) -> str:
        """What leads to that trunk."""
        return f"70{TRANSPORTS.index(transport)}"

    def sipp(self, directory: Path, scenario: Scenario, transport: str) -> SippTrunk:
        host, port = self.hosts[transport], self.ports[transport]
        return SippTrunk(directory, scenario, host, port, self.gateway.setup.sip_port, transport=transport)

    def called(
        self,
        directory: Path,
        scenario: Scenario,
        transport: str,
        talk: Callable[[BrowserCall], Awaitable[None]],
    ) -> Record:
        """The browser calls SIPp and goes on as `talk` says; gives the final record of the call."""

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                await talk(await browser.invite(self.number(transport)))
            finally:
                await browser.close()

        with self.sipp(directory, scenario, transport):
            asyncio.run(play())
        return self._final()

    def calling(
        self,
        directory: Path,
        scenario: Scenario,
        transport: str,
        talk: Callable[[BrowserCall], Awaitable[None]],
    ) -> Record:
        """SIPp calls the browser, which goes on as `talk` says."""

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                with self.sipp(directory, scenario, transport) as trunk:
                    async with asyncio.timeout(10):
                        call = await browser.incoming.get()
                    await talk(call)
                    await asyncio.to_thread(trunk.finish)
            finally:
                await browser.close()

        asyncio.run(play())
        return self._final()

    def _final(self) -> Record:
        uid = str(self.gateway.records("call.start")[-1]["call_uid"])
        return self.gateway.final(uid)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("sipp-calls"))
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0
    assert "Traceback" not in made.gateway.log


async def answered_and_hung_up(call: BrowserCall) -> None:
    response = await call.final()
    assert response.status == 200, response.status
    await call.media.connected()
    await call.hang_up()


# 100rel


@BOTH
def test_a_trunk_that_rings_reliably_gets_a_prack_for_each_18x_in_order(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario().gets("INVITE", has="Supported:.*100rel")
    trunk.says(180, "", RELIABLE, "RSeq: 5").gets("PRACK", has="RAck: 5 1 INVITE").says(200)
    trunk.says(180, "", RELIABLE, "RSeq: 5", to="INVITE")  # its own repetition, which crosses the PRACK
    trunk.says(183, sdp(), RELIABLE, "RSeq: 7", to="INVITE")  # overtook the next one
    trunk.says(183, sdp(), RELIABLE, "RSeq: 6", to="INVITE")
    trunk.gets("PRACK", has="RAck: 6 1 INVITE").says(200)
    trunk.says(200, sdp(), to="INVITE").gets("ACK").gets("BYE").says(200)
    final = stand.called(tmp_path, trunk, transport, answered_and_hung_up)
    assert final["termination"] == "hangup-browser"


@BOTH
def test_a_trunk_that_requires_it_is_rung_reliably(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario(is_called=False).asks("INVITE", sdp(), RELIABLE).gets(100, optional=True)
    trunk.gets(180, has="Require: 100rel").asks("PRACK", "", "RAck: [$x_rseq] 1 INVITE").gets(200)
    trunk.gets(200).acknowledges(sequence=1).rests(200).asks("BYE").gets(200)

    async def picked_up(call: BrowserCall) -> None:
        assert call.offer is not None
        assert "100rel" not in bytes(call.offer).decode()
        await call.ring()
        await asyncio.to_thread(stand.gateway.wait_log, "event=leg 1 PRACK")
        await call.accept()
        await call.end()

    assert stand.calling(tmp_path, trunk, transport, picked_up)["termination"] == "hangup-trunk"


@pytest.mark.slow
def test_a_trunk_that_never_acknowledges_its_ringing_is_refused_after_32_seconds(stand: Stand, tmp_path: Path) -> None:
    trunk = Scenario(is_called=False).asks("INVITE", sdp(), RELIABLE).gets(100, optional=True)
    trunk.gets(180).gets(504, within=40).acknowledges(sequence=1)

    async def rings(call: BrowserCall) -> None:
        await call.ring()
        assert (await call.end(40)).method == "CANCEL"

    assert stand.calling(tmp_path, trunk, "udp", rings)["termination"] == "prack-missing"
