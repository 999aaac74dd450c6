"""REFER in the hands of strangers and of those who send too many: nobody is called, and the log does not fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.transfer import MAX_LEGS, MAX_REFUSED
from gateway.media.relay_commands import OpenLeg
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, request, trunk_flow
from tests.call.office import Office
from tests.call.test_transfer import hears, refer, sent, talking, told


@pytest.mark.asyncio
async def test_a_refer_outside_a_dialog_is_405_and_nobody_is_called(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for key, flow in (("browser", BROWSER_FLOW), ("trunk", trunk_flow())):
        office.request(request("REFER", extra=(("Refer-To", "<sip:601@example.test>"),)), key=key, flow=flow)
        await office.settle()
        assert office.statuses(key) == [405]
    assert office.methods == []


@pytest.mark.asyncio
async def test_a_refer_with_the_tags_of_a_dialog_from_anothers_connection_is_481(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.call("700")
    await office.settle()
    office.reply("INVITE", 180)
    await office.settle()
    tag = next(response.to.tag for _, response in office.sip.answers if response.to.tag)
    stranger = request("REFER", to_tag=tag, cseq=50, extra=(("Refer-To", "<sip:601@example.test>"),))
    for name, value in (("Call-ID", "call-1"), ("From", "<sip:alice@example.test>;tag=caller")):
        stranger = stranger.with_header(name, value)
    office.request(stranger, key="stranger", flow=trunk_flow())
    await office.settle()
    office.request(stranger, key="herself")
    await office.settle()
    assert (office.statuses("stranger"), office.statuses("herself")) == ([481], [491])  # she only has to wait
    assert office.methods == ["INVITE"]


def test_a_flood_of_forbidden_transfers_leaves_no_more_records_than_are_needed_to_see_it() -> None:
    scene = talking()
    for number in range(MAX_REFUSED * 3):
        scene.inside(LegKind.BROWSER, "REFER", cseq=50 + number, extra=(("Refer-To", "<sip:900@example.test>"),))
    assert {response.status for response in scene.responses[-MAX_REFUSED * 3 :]} == {403}
    assert scene.records.count("call.transfer") == MAX_REFUSED
    assert not scene.take(fx.ConnectTrunk)


def test_a_flood_of_transfers_to_a_busy_phone_ends_when_the_call_has_had_its_legs() -> None:
    scene = talking()
    for number in range(MAX_LEGS * 2):
        scene.inside(LegKind.BROWSER, "REFER", cseq=50 + number, extra=(("Refer-To", "<sip:601@example.test>"),))
        if scene.responses[-1].status == 202:
            scene.connect().open_media().reply(486, tag="target")
            hears(scene)
    assert scene.responses[-1].status == 403
    assert len(scene.state.legs) == MAX_LEGS
    assert len(sent(scene, "INVITE")) == MAX_LEGS - 1


def test_refers_that_come_at_once_begin_one_search() -> None:
    scene = refer(talking()).clear()
    for number in range(60, 80):
        scene.inside(LegKind.BROWSER, "REFER", cseq=number, extra=(("Refer-To", f"<sip:6{number}@example.test>"),))
    assert {response.status for response in scene.responses[-20:]} == {491}
    assert not scene.told(OpenLeg)
    assert [status for status, _ in told(scene)] == ["100"]


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:601@example.test;method=BYE>", 501),
        ("<mailto:601@example.test>", 416),
        ("<sip:*21*0900%23@example.test>", 403),
        ("<sip:0900123@example.test>", 403),
        ("<sip:bob@evil.example>", 403),
        ("<tel:601;phone-context=evil.example>", 404),
        ("<sip:601@example.test", 400),
    ],
)
def test_what_cannot_or_may_not_be_called_is_refused_and_the_call_goes_on(to: str, status: int) -> None:
    scene: MachineScene = refer(talking(), to=to)
    assert scene.responses[-1].status == status
    assert not scene.take(fx.ConnectTrunk)
    assert not scene.take(fx.Locate)
    assert not scene.take(fx.Finished)
