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
CLOSING_SECONDS = 0.25
"""In which the last connection, cut by the gateway's end, is closed here too."""
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
        self.loop = asyncio.Runner()
        """One for all calls: a browser's connection is closed a little after its call."""

    def number(self, transport: str) -> str:
        """What leads to that trunk."""
        return f"70{TRANSPORTS.index(transport)}"

    def sipp(self, directory: Path, scenario: Scenario, transport: str, *, patient: bool) -> SippTrunk:
        host, port, gateway = self.hosts[transport], self.ports[transport], self.gateway.setup.sip_port
        return SippTrunk(directory, scenario, host, port, gateway, transport=transport, patient=patient)

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
    ) -> Record:
        """SIPp calls the browser, which goes on as `talk` says."""

        async def play() -> None:
            browser = await ScriptedBrowser(self.gateway.setup.origin).sign_in()
            try:
                with self.sipp(directory, scenario, transport, patient=False) as trunk:
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


# Session timers


async def refreshed(call: BrowserCall) -> None:
    """Talk until the other side hangs up; what came in the dialog of the browser is for nobody but the browser."""
    response = await call.final()
    assert response.status == 200
    await call.media.connected()
    await call.end(110)
    assert not [r for r in call.seen if r.method == "INVITE"]


@BOTH
def test_a_trunk_that_wants_a_longer_interval_gets_it(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario().gets("INVITE", has="Session-Expires: 1800;refresher=uac")
    trunk.says(422, "", "Min-SE: 3600").gets("ACK")
    trunk.gets("INVITE", has="Session-Expires: 3600;refresher=uac").says(
        200, sdp(), "Session-Expires: 3600;refresher=uac", "Require: timer"
    )
    trunk.gets("ACK").gets("BYE").says(200)
    assert stand.called(tmp_path, trunk, transport, answered_and_hung_up)["termination"] == "hangup-browser"


@BOTH
def test_a_trunk_that_calls_with_a_timer_refreshes_it_by_update_and_reinvite(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    timer = ("Supported: timer", "Session-Expires: 90;refresher=uac", "Allow: INVITE, UPDATE, ACK, BYE")
    trunk = Scenario(is_called=False).asks("INVITE", sdp(), *timer).gets(100, optional=True).gets(180, optional=True)
    trunk.gets(200, has="Session-Expires: 90;refresher=uac").acknowledges(sequence=1)
    trunk.asks("UPDATE", "", *timer).gets(200, has="Session-Expires: 90;refresher=uac")
    trunk.asks("INVITE", sdp(), *timer).gets(100, optional=True)
    trunk.gets(200, has="Session-Expires: 90;refresher=uac").acknowledges(sequence=3)
    trunk.asks("BYE").gets(200)

    async def picked_up(call: BrowserCall) -> None:
        await call.accept()
        await call.end()
        assert not [r for r in call.seen if r.method == "INVITE"], "the browser hears nothing of it"

    assert stand.calling(tmp_path, trunk, transport, picked_up)["termination"] == "hangup-trunk"


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_the_gateway_refreshes_half_way_by_what_the_trunk_takes(
    stand: Stand, tmp_path: Path, transport: str, method: str
) -> None:
    allow = "Allow: INVITE, ACK, BYE, CANCEL" + (", UPDATE" if method == "UPDATE" else "")
    timer = ("Session-Expires: 90;refresher=uac", "Require: timer", allow)
    trunk = Scenario().gets("INVITE").says(200, sdp(), *timer).gets("ACK")
    trunk.gets(method, has="Session-Expires: 90;refresher=uac", keep="again", within=60)
    if method == "UPDATE":
        trunk.says(200, "", *timer)
    else:
        trunk.says(200, sdp(), *timer).gets("ACK")
    trunk.asks("BYE").gets(200)
    assert stand.called(tmp_path, trunk, transport, refreshed, patient=True)["termination"] == "hangup-trunk"


@pytest.mark.slow
def test_a_trunk_that_promised_to_refresh_and_does_not_has_ended_the_call(stand: Stand, tmp_path: Path) -> None:
    trunk = Scenario().gets("INVITE").says(200, sdp(), "Session-Expires: 90;refresher=uas", "Require: timer")
    trunk.gets("ACK").gets("BYE", has="Reason: SIP;cause=408", within=70).says(200)
    assert stand.called(tmp_path, trunk, "udp", refreshed, patient=True)["termination"] == "session-expired"


# Redirections


@BOTH
def test_a_trunk_sends_the_call_on_inside_itself(stand: Stand, tmp_path: Path, transport: str) -> None:
    number = stand.number(transport)
    trunk = Scenario().gets("INVITE")
    trunk.says(302, "", f"Contact: <sip:{number}@[local_ip]:[local_port];user=phone>", contact=False).gets("ACK")
    trunk.gets("INVITE", has=f"INVITE sip:{number}@.*;user=phone SIP").says(200, sdp()).gets("ACK").gets("BYE").says(
        200
    )
    assert stand.called(tmp_path, trunk, transport, answered_and_hung_up)["termination"] == "hangup-browser"


async def refused(call: BrowserCall) -> None:
    response = await call.final()
    assert response.status == 480, response.status


@BOTH
def test_a_trunk_sends_no_call_out_of_itself(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario().gets("INVITE")
    trunk.says(302, "", f"Contact: <sip:{stand.number(transport)}@192.0.2.1>", contact=False).gets("ACK")
    assert stand.called(tmp_path, trunk, transport, refused)["termination"] == "redirect-refused"
