"""Calls with SIPp as the trunk up to their answer: ringing, early media, redirections, and who gives up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.interop.sipp_stand import (
    BOTH,
    LATE,
    TRANSPORTS,
    Stand,
    answered_and_hung_up,
    picked_up,
    stand,
)
from tests.rig.browser import BrowserCall
from tests.rig.sipp import Scenario, sdp
from tests.rig.tools import needs

__all__ = ["stand"]  # fixtures

pytestmark = [pytest.mark.interop, needs("sipp")]

RELIABLE = "Require: 100rel"


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


# Who makes the offer


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
