"""Calls with SIPp as the trunk after their answer: session timers, hold, fax, and offers of all kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.sipp_stand import (
    BOTH,
    TRANSPORTS,
    Stand,
    answered_and_hung_up,
    calls_and_is_answered,
    picked_up,
    stand,
)
from tests.rig.browser import BrowserCall
from tests.rig.sipp import T38, Scenario, sdp
from tests.rig.tools import needs

__all__ = ["stand"]  # fixtures

pytestmark = [pytest.mark.interop, needs("sipp")]

HOLDS = frozenset({"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"})


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


# In mid-call


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
