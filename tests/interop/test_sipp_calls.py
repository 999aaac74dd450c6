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
from tests.rig.sipp import T38, Scenario, SippTrunk, loopback, sdp
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("sipp"),
]

TRANSPORTS = ("udp", "tcp")
LATE = "late"
"""A trunk over UDP that wants to make the offer."""
BOTH = pytest.mark.parametrize("transport", ["udp", pytest.param("tcp", marks=pytest.mark.slow)])
"""Over UDP with `make test`, over TCP too with `make test-interop`."""
CLOSING_SECONDS = 0.25
"""In which the last connection, cut by the gateway's end, is closed here too."""
RELIABLE = "Require: 100rel"
HOLDS = frozenset({"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"})


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

    async def rung_and_picked_up(call: BrowserCall) -> None:
        assert call.offer is not None
        assert "100rel" not in bytes(call.offer).decode()
        await call.ring()
        await asyncio.to_thread(stand.gateway.wait_log, "event=leg 1 PRACK")
        await picked_up(call)

    assert stand.calling(tmp_path, trunk, transport, rung_and_picked_up)["termination"] == "hangup-trunk"


@pytest.mark.slow
def test_a_trunk_that_never_acknowledges_its_ringing_is_refused_after_32_seconds(stand: Stand, tmp_path: Path) -> None:
    trunk = Scenario(is_called=False).asks("INVITE", sdp(), RELIABLE).gets(100, optional=True)
    trunk.gets(180).gets(504, within=40).acknowledges(sequence=1)

    async def rings(call: BrowserCall) -> None:
        await call.ring()
        assert (await call.end(40)).method == "CANCEL"

    assert stand.calling(tmp_path, trunk, "udp", rings)["termination"] == "prack-missing"


@BOTH
def test_reliable_early_media_may_be_moved_by_update_and_the_200_says_nothing_more(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario().gets("INVITE").says(183, sdp(4100), RELIABLE, "RSeq: 1").gets("PRACK").says(200)
    trunk.asks("UPDATE", sdp(4200, version=2)).gets(200, has="m=audio")
    trunk.says(200, to="INVITE").gets("ACK").gets("BYE").says(200)
    assert stand.called(tmp_path, trunk, transport, answered_and_hung_up)["trunk_rtp"].endswith(":4200")


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

    async def heard_nothing_of_it(call: BrowserCall) -> None:
        await picked_up(call)
        assert not [r for r in call.seen if r.method == "INVITE"]

    assert stand.calling(tmp_path, trunk, transport, heard_nothing_of_it)["termination"] == "hangup-trunk"


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


# Early media, ringing, and who gives up


@BOTH
def test_early_media_that_changes_is_followed_until_the_answer(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario().gets("INVITE").says(180).says(183, sdp(4100)).says(183).says(183, sdp(4200, version=2))
    trunk.says(200, sdp(4300, version=3)).gets("ACK").gets("BYE").says(200)

    async def listened(call: BrowserCall) -> None:
        told = [(await call.provisional()).status for _ in range(5)]
        assert told == [100, 180, 183, 180, 183]
        await answered_and_hung_up(call)

    assert stand.called(tmp_path, trunk, transport, listened)["trunk_rtp"].endswith(":4300")


@BOTH
def test_a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up_on(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario().gets("INVITE").says(180).gets("CANCEL").says(200)
    trunk.says(200, sdp(), to="INVITE").gets("ACK").gets("BYE").says(200)

    async def gave_up(call: BrowserCall) -> None:
        while (await call.provisional()).status != 180:
            pass
        await call.cancel()
        assert (await call.final()).status == 487

    assert stand.called(tmp_path, trunk, transport, gave_up)["termination"] == "cancelled"


@BOTH
def test_an_answer_that_is_repeated_because_our_ack_was_lost_is_acknowledged_again(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario().gets("INVITE").says(200, sdp()).gets("ACK")
    trunk.says(200, sdp(), to="INVITE").gets("ACK").says(200, sdp(), to="INVITE").gets("ACK")
    trunk.asks("BYE").gets(200)

    async def listened(call: BrowserCall) -> None:
        assert (await call.final()).status == 200
        await call.end()

    assert stand.called(tmp_path, trunk, transport, listened)["termination"] == "hangup-trunk"


@BOTH
def test_our_answer_is_repeated_until_the_ack_comes(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario(is_called=False).asks("INVITE", sdp()).gets(100, optional=True).gets(180, optional=True)
    trunk = trunk.gets(200).rests(700) if transport == "udp" else trunk.gets(200).gets(200)
    trunk.acknowledges(sequence=1).asks("BYE").gets(200)  # over UDP SIPp swallows what comes twice

    assert stand.calling(tmp_path, trunk, transport, picked_up)["termination"] == "hangup-trunk"


@pytest.mark.slow
def test_an_answer_that_is_never_acknowledged_ends_the_call(stand: Stand, tmp_path: Path) -> None:
    trunk = Scenario(is_called=False).asks("INVITE", sdp()).gets(100, optional=True).gets(180, optional=True)
    trunk.gets(200).gets("BYE", within=40).says(200)

    async def picked_up(call: BrowserCall) -> None:
        await call.accept()
        await call.end(40)

    assert stand.calling(tmp_path, trunk, "udp", picked_up, patient=True)["termination"] == "ack-missing"


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_phone_may_ring_for_longer_than_any_transaction_without_a_response(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario().gets("INVITE").says(180).rests(62_000).says(200, sdp()).gets("ACK").gets("BYE").says(200)

    async def waited(call: BrowserCall) -> None:
        statuses = [(await call.provisional(70)).status for _ in range(3)]
        assert statuses == [100, 180, 180], "after a minute it hears that it rings on"
        await answered_and_hung_up(call)

    assert stand.called(tmp_path, trunk, transport, waited)["termination"] == "hangup-browser"


# In mid-call


async def stayed(call: BrowserCall) -> None:
    """Answer, and stay until the other side hangs up."""
    assert (await call.final()).status == 200
    await call.media.connected()
    await call.end()


@BOTH
def test_a_bye_in_the_middle_of_our_reinvite_ends_the_call_once(stand: Stand, tmp_path: Path, transport: str) -> None:
    trunk = Scenario().gets("INVITE").says(200, sdp()).gets("ACK")
    trunk.gets("INVITE", has="a=sendonly", keep="again").asks("BYE").gets(200).says(487, to="again").gets("ACK")

    async def held(call: BrowserCall) -> None:
        assert (await call.final()).status == 200
        await call.media.connected()
        assert (await call.request("INVITE", call.media.description(direction="sendonly"))).status == 200
        await call.end()

    assert stand.called(tmp_path, trunk, transport, held)["termination"] == "hangup-trunk"


@BOTH
def test_each_form_of_hold_is_answered_and_passed_on_without_a_new_handshake(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = calls_and_is_answered()
    forms = [("sendonly", "", "recvonly"), ("inactive", "", "inactive"), ("sendrecv", "0.0.0.0", "recvonly")]
    number = 1
    for direction, address, answered in forms:
        for body, expected in (
            (sdp(direction=direction, version=number, address=address or "[local_ip]"), answered),
            (sdp(version=number + 1), "sendrecv"),
        ):
            number += 1
            trunk.asks("INVITE", body).gets(100, optional=True).gets(200, has=f"a={expected}")
            trunk.acknowledges(sequence=number).rests(150)
    trunk.asks("BYE").gets(200)

    async def listened(call: BrowserCall) -> None:
        await call.accept()
        await call.media.connected()
        await call.end(20)
        offers = [r.body.decode() for r in call.seen if r.method == "INVITE"]
        said = [line for body in offers for line in body.splitlines() if line in HOLDS]
        assert said[::2] == ["a=sendonly", "a=inactive", "a=sendonly"], "what the trunk does"
        assert set(said[1::2]) == {"a=sendrecv"}
        assert len({line for body in offers for line in body.splitlines() if "fingerprint" in line}) == 1
        assert (
            len({line for body in offers for line in body.splitlines() if line.startswith(("a=ice-u", "a=ice-p"))}) == 2
        )

    assert stand.calling(tmp_path, trunk, transport, listened)["termination"] == "hangup-trunk"


@BOTH
def test_fax_is_refused_and_the_call_goes_on_wherever_its_audio_moves(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    """T.38 gets 488; music on hold and direct media move the address, with an offer or in the ACK."""
    trunk = calls_and_is_answered()
    trunk.asks("INVITE", T38).gets(100, optional=True).gets(488).acknowledges(sequence=2, refused=True)
    trunk.asks("INVITE", sdp(4400, version=2)).gets(100, optional=True).gets(200).acknowledges(sequence=3)
    trunk.asks("INVITE").gets(100, optional=True).gets(200, has="m=audio").acknowledges(
        sdp(4500, version=3), sequence=4
    )
    trunk.asks("BYE").gets(200)

    async def listened(call: BrowserCall) -> None:
        await call.accept()
        await call.end(20)
        assert not [r for r in call.seen if r.method == "INVITE"], "nothing of it concerns the browser"

    assert stand.calling(tmp_path, trunk, transport, listened)["trunk_rtp"].endswith(":4500")


@BOTH
def test_a_trunk_that_calls_without_an_offer_gets_ours_and_answers_in_the_ack(
    stand: Stand, tmp_path: Path, transport: str
) -> None:
    trunk = Scenario(is_called=False).asks("INVITE").gets(100, optional=True).gets(180, optional=True)
    trunk.gets(200, has="m=audio").acknowledges(sdp(4600), sequence=1).asks("BYE").gets(200)

    assert stand.calling(tmp_path, trunk, transport, picked_up)["trunk_rtp"].endswith(":4600")


def test_a_trunk_that_wants_to_make_the_offer_gets_our_answer_in_each_ack(stand: Stand, tmp_path: Path) -> None:
    trunk = Scenario().gets("INVITE", lacks="application/sdp").says(180).says(200, sdp(4700))
    trunk.gets("ACK", has="m=audio [0-9]+ RTP/AVP 0")
    trunk.says(200, sdp(4700), to="INVITE").gets("ACK", has="m=audio [0-9]+ RTP/AVP 0").gets("BYE").says(200)
    assert stand.called(tmp_path, trunk, LATE, answered_and_hung_up)["trunk_rtp"].endswith(":4700")
