"""A gateway between a scripted browser and SIPp as its trunk, called and calling, over UDP and TCP.

SIPp judges: it fails whenever anything comes that its scenario does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup, Record
from tests.rig.ports import free_port
from tests.rig.sipp import Scenario, SippTrunk, loopback, sdp

TRANSPORTS = ("udp", "tcp")
LATE = "late"
"""A trunk over UDP that wants to make the offer."""
BOTH = pytest.mark.parametrize("transport", ["udp", pytest.param("tcp", marks=pytest.mark.slow)])
"""Over UDP with `make test`, over TCP too with `make test-interop`."""
CLOSING_SECONDS = 0.25
"""In which the last connection, cut by the gateway's end, is closed here too."""


class Stand:
    """A gateway with a trunk for each transport, and SIPp behind them."""

    def __init__(self, directory: Path) -> None:
        self.hosts = {"udp": loopback(1), "tcp": loopback(2), LATE: loopback(3)}
        self.ports = {transport: free_port(host=host) for transport, host in self.hosts.items()}
        setup = GatewaySetup(directory, trunks={}, outbound=[])
        for number, transport in enumerate((*TRANSPORTS, LATE)):
            host = self.hosts[transport]
            suffix = ";transport=tcp" if transport == "tcp" else ""
            setup.trunks[transport] = {
                "target": f"sip:{host}:{self.ports[transport]}{suffix}",
                "security": "legacy",
                "networks": [f"{host}/32"],
                "delayed_offer": transport == LATE,
            }
            setup.outbound.append({"id": transport, "dialled": f"70{number}", "trunk": transport})
        self.gateway = GatewayProcess(setup)
        self.loop = asyncio.Runner()
        """One for all calls: a browser's connection is closed a little after its call."""

    def number(self, transport: str) -> str:
        """What leads to that trunk."""
        return f"70{(*TRANSPORTS, LATE).index(transport)}"

    def sipp(self, directory: Path, scenario: Scenario, transport: str, *, patient: bool) -> SippTrunk:
        host, port, gateway = self.hosts[transport], self.ports[transport], self.gateway.setup.sip_port
        wire = "tcp" if transport == "tcp" else "udp"
        return SippTrunk(directory, scenario, host, port, gateway, transport=wire, patient=patient)

    def called(
        self,
        directory: Path,
        scenario: Scenario,
        transport: str,
        talk: Callable[[BrowserCall], Awaitable[None]],
        *,
        patient: bool = False,
    ) -> Record:
        """The browser calls SIPp and goes on as `talk` says; gives the final record of the call.

        Args:
            patient: it is silent for so long that it is asked whether it is there.
        """

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                await talk(await browser.invite(self.number(transport)))
            finally:
                await browser.close()

        with self.sipp(directory, scenario, transport, patient=patient):
            self.loop.run(play())
        return self._final()

    def calling(
        self,
        directory: Path,
        scenario: Scenario,
        transport: str,
        talk: Callable[[BrowserCall], Awaitable[None]],
        *,
        patient: bool = False,
    ) -> Record:
        """SIPp calls the browser, which goes on as `talk` says."""

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                with self.sipp(directory, scenario, transport, patient=patient) as trunk:
                    async with asyncio.timeout(10):
                        call = await browser.incoming.get()
                    await talk(call)
                    await asyncio.to_thread(trunk.finish)
            finally:
                await browser.close()

        self.loop.run(play())
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
    made.loop.run(asyncio.sleep(CLOSING_SECONDS))
    made.loop.close()
    assert "Traceback" not in made.gateway.log


async def answered_and_hung_up(call: BrowserCall) -> None:
    response = await call.final()
    assert response.status == 200, response.status
    await call.media.connected()
    await call.hang_up()


def calls_and_is_answered() -> Scenario:
    """A trunk up to its ACK."""
    trunk = Scenario(is_called=False).asks("INVITE", sdp()).gets(100, optional=True).gets(180, optional=True)
    return trunk.gets(200).acknowledges(sequence=1)


async def picked_up(call: BrowserCall) -> None:
    """Answer a call of the trunk, and stay until it hangs up."""
    await call.accept()
    await call.end()
