"""Legs that move between running calls: found by the dialog that is named, only for who has a say in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.call.run.runner import CallRunner
from gateway.sip.events import AckReceived
from gateway.sip.message import Headers, Request
from gateway.sip.replaces import Replaces
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, sdes_answer
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


async def talk(office: Office, number: int) -> CallRunner:
    """Alice speaks with a trunk."""
    office.call(key=f"in-{number}", call_id=f"call-{number}")
    await office.settle()
    body = [request for request, _ in office.sip.sent.values() if request.method == "INVITE"][-1].body
    office.reply("INVITE", 200, sdes_answer(body), tag=f"callee-{number}")
    office.manager.on_event(AckReceived(f"in-{number}", Request("ACK", "sip:x", Headers()), BROWSER_FLOW))
    await office.settle()
    return list(office.manager.index.runners)[-1]


async def refer(office: Office, runner: CallRunner, named: Replaces) -> list[int]:
    dialog = runner.state.caller.dialog
    assert dialog is not None
    lines = messages.fields(
        "REFER",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bKrefer",
        from_=f"<sip:alice@example.test>;tag={dialog.remote_tag}",
        to=f"<sip:600@example.test>;tag={dialog.local_tag}",
        call_id=dialog.call_id,
        cseq=50,
        contact="<sip:alice@client.invalid;transport=ws>",
        extra=(f"Refer-To: <sip:600@example.test?Replaces={named.embedded}>",),
    )
    office.request(messages.request("REFER", "sip:gateway@example.test", lines), key="refer")
    await office.settle()
    return office.statuses("refer")


def outcome(office: Office) -> object:
    """What the log says of the transfer asked for last; its NOTIFYs say the same."""
    sent = [r["sip_sent"] for r in office.audit.records if r["type"] == "call.transfer"][-1]
    return sent["code"] if isinstance(sent, dict) else sent


async def test_the_far_leg_of_a_dialog_of_the_same_user_moves_with_its_dialog(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    office.pool.calls = []
    one, other = await talk(office, 1), await talk(office, 2)
    dialog = other.state.caller.dialog
    far = other.state.legs[max(other.state.legs)].dialog
    assert dialog is not None
    assert far is not None
    assert await refer(office, one, Replaces.naming(dialog.key)) == [202]
    assert office.manager.index.dialogs[far.key][0] is one
    assert not other.state.live
    assert one.state.live


async def test_a_dialog_there_is_not_is_not_found_and_both_calls_go_on(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    one, other = await talk(office, 1), await talk(office, 2)
    assert await refer(office, one, Replaces("no-such-call", "a", "b")) == [202]
    assert outcome(office) == 481
    assert one.state.live
    assert other.state.live


async def test_a_call_takes_nothing_from_itself(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    one = await talk(office, 1)
    dialog = one.state.caller.dialog
    assert dialog is not None
    assert await refer(office, one, Replaces.naming(dialog.key)) == [202]
    assert outcome(office) == 481
    assert one.state.live


async def test_media_in_two_workers_cannot_be_joined_and_both_calls_go_on(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    office.pool.calls = []
    one, other = await talk(office, 1), await talk(office, 2)
    office.pool.calls[0].elsewhere = True
    dialog = other.state.caller.dialog
    assert dialog is not None
    assert await refer(office, one, Replaces.naming(dialog.key)) == [202]
    assert one.state.live
    assert other.state.live
