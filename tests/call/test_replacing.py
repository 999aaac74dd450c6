"""An INVITE with Replaces takes the place of a leg: for its own user or trunk only, and never at less protection."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.errors import MediaError
from gateway.base.values import CALLER, HostPort, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_commands import CloseLeg, Route, Unroute
from gateway.sip.events import AckReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.replaces import Replaces
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, request, trunk_flow
from tests.call.office import Office, invite
from tests.call.test_attended import byes
from tests.call.test_joining import KEYED, Dialog, answers, dial, far_call_id, runner_of
from tests.call.test_joining import byes as hung_up_on
from tests.call.test_setup import finished
from tests.call.test_transfer import talking

pytestmark = pytest.mark.asyncio

OTHER_PAGE = Flow(9, "wss", HostPort("192.0.2.1", 8443), HostPort("192.0.2.98", 50001))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    found = Office(tmp_path, calls=8)
    found.pool.calls = []
    return found


def coming(replaces: str, body: bytes = KEYED, *extra: tuple[str, str]) -> Request:
    """What the PBX sends for a phone that takes a call over."""
    found = request("INVITE", body, extra=(("Replaces", replaces), ("Require", "replaces"), *extra))
    found = found.with_header("Call-ID", "coming").with_header("From", "<sip:4712@pbx.example>;tag=new")
    return found.with_header("Contact", "<sip:4712@127.0.0.2:5061;transport=tls>")


async def far_dialog(office: Office) -> Dialog:
    """The dialog the trunk has with us, of a call of the browser."""
    await dial(office, "600", "one")
    return Dialog(office, far_call_id(office, "600"), trunk_flow())


async def test_a_phone_of_the_pbx_takes_the_place_of_another_in_the_same_call(office: Office) -> None:
    far = await far_dialog(office)
    office.request(coming(far.replaces), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [200]
    ack = request("ACK", cseq=1, to_tag="gw").with_header("Call-ID", "coming")
    office.manager.on_event(AckReceived("new", ack, trunk_flow()))
    await office.settle()
    await answers(office)
    assert hung_up_on(office) == [far.call_id]
    assert [r["type"] for r in office.audit.records].count("call.start") == 1
    (runner,) = office.manager.index.runners
    assert [leg.id for leg in runner.state.pair] == [CALLER, LegId(3)]
    assert runner.state.live
    Dialog(office, "coming", trunk_flow()).send("BYE", key="bye")
    await office.settle()
    assert office.statuses("bye") == [200]
    assert hung_up_on(office)[-1] == "one"
    await answers(office, "BYE", "UPDATE")
    assert office.manager.live_calls == 0
    assert not office.manager.index.dialogs
    assert not office.manager.index.call_ids


async def test_another_page_of_the_same_user_takes_the_call(office: Office) -> None:
    mine = await dial(office, "600", "one")
    office.manager.location.identities.authenticate(OTHER_PAGE, "alice")
    other = invite("600", call_id="page-2").with_added([("Replaces", mine.replaces)])
    office.request(other, key="new", flow=OTHER_PAGE)
    await office.settle()
    assert office.statuses("new") == [200]
    assert hung_up_on(office) == ["one"]
    (runner,) = office.manager.index.runners
    assert {leg.id for leg in runner.state.pair} == {LegId(2), LegId(3)}


async def test_a_page_of_another_user_finds_no_such_dialog(office: Office) -> None:
    mine = await dial(office, "600", "one")
    office.manager.location.identities.authenticate(OTHER_PAGE, "bob")
    office.request(invite("600", call_id="x").with_added([("Replaces", mine.replaces)]), key="new", flow=OTHER_PAGE)
    await office.settle()
    assert office.statuses("new") == [481]
    assert hung_up_on(office) == []


async def test_a_trunk_finds_no_dialog_of_a_user_and_a_user_none_of_a_trunk(office: Office) -> None:
    mine, far = await dial(office, "600", "one"), None
    far = Dialog(office, far_call_id(office, "600"), trunk_flow())
    office.request(coming(mine.replaces), key="trunk", flow=trunk_flow())
    office.request(invite("600", call_id="x").with_added([("Replaces", far.replaces)]), key="page")
    await office.settle()
    assert office.statuses("trunk") == office.statuses("page") == [481]
    assert hung_up_on(office) == []


async def test_a_flow_that_proves_less_finds_nothing(office: Office) -> None:
    far = await far_dialog(office)
    office.request(coming(far.replaces), key="new", flow=trunk_flow("udp"))
    await office.settle()
    assert office.statuses("new") == [481]
    assert "leg.violation" in [r["type"] for r in office.audit.records]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda replaces: replaces.replace("to-tag=", "to-tag=x"), 481),
        (lambda replaces: replaces + ";early-only", 486),
        (lambda replaces: replaces.partition(";")[0], 400),
        (lambda replaces: replaces + "x" * 2000, 400),
    ],
    ids=["guessed tag", "early only", "no tags", "too long"],
)
async def test_what_names_no_dialog_to_be_had_is_refused(office: Office, change: object, status: int) -> None:
    far = await far_dialog(office)
    office.request(coming(change(far.replaces)), key="new", flow=trunk_flow())  # type: ignore[operator]
    await office.settle()
    assert office.statuses("new") == [status]
    assert hung_up_on(office) == []


async def test_tags_the_other_way_round_name_nothing_in_an_invite(office: Office) -> None:
    far = await far_dialog(office)
    _, ours, theirs = far.key
    office.request(coming(f"{far.call_id};to-tag={theirs};from-tag={ours}"), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [481]


async def test_a_call_that_has_just_ended_declines_so_that_no_phone_rings_for_it(office: Office) -> None:
    far = await far_dialog(office)
    replaces = far.replaces
    office.request(coming(replaces).with_header("Call-ID", "first"), key="bye-not", flow=trunk_flow("udp"))
    far.send("BYE", key="bye")
    await office.settle()
    assert office.manager.live_calls == 1, "our BYE to the browser is unanswered"
    office.request(coming(replaces), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [603]


@pytest.mark.parametrize("body", [answer(), b""], ids=["plain", "without an offer"])
async def test_a_weaker_offer_is_refused_and_the_call_goes_on(office: Office, body: bytes) -> None:
    far = await far_dialog(office)
    office.request(coming(far.replaces, body), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [488]
    assert hung_up_on(office) == []
    far.send("OPTIONS", key="alive")
    await office.settle()
    assert office.statuses("alive") == [200]
    assert len(runner_of(office, "one").state.legs) == 2


async def test_a_relay_without_room_leaves_the_call_as_it_was(office: Office) -> None:
    far = await far_dialog(office)
    assert office.pool.calls is not None

    async def full(_: object) -> None:
        raise MediaError("no port")

    office.pool.calls[0].open = full  # type: ignore[assignment, method-assign]
    office.request(coming(far.replaces), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [503]
    assert hung_up_on(office) == []
    assert len(runner_of(office, "one").state.legs) == 2


async def test_two_that_come_at_once_are_one_and_one_that_waits(office: Office) -> None:
    far = await far_dialog(office)
    office.request(coming(far.replaces), key="new", flow=trunk_flow())
    office.request(coming(far.replaces).with_header("Call-ID", "second"), key="late", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [200]
    assert office.statuses("late") == [491]


async def test_an_ack_that_never_comes_ends_the_call_for_all(office: Office) -> None:
    far = await far_dialog(office)
    office.request(coming(far.replaces), key="new", flow=trunk_flow())
    await office.settle()
    runner_of(office, "one").feed(events.AckMissing("new"))
    await office.settle()
    await answers(office, "BYE", "UPDATE")
    assert sorted(hung_up_on(office)) == sorted([far.call_id, "one", "coming"])


def scene() -> MachineScene:
    found = talking()
    body = KEYED
    named = Replaces("x", "gw-trunk", "callee")
    return found.feed(events.Replacing(LegId(2), "new", coming(str(named), body), trunk_flow(), named)).open_media()


async def test_the_record_stands_before_the_routes_and_these_before_the_answer_and_the_farewell() -> None:
    found = scene()
    steps = found.done
    record = next(n for n, e in enumerate(steps) if isinstance(e, fx.WriteAudit) and e.record.get("leg_id") == 3)
    routes = [n for n, e in enumerate(steps) if isinstance(e, Route)]
    said = next(n for n, e in enumerate(steps) if isinstance(e, fx.Respond) and e.key == "new")
    left = [n for n, e in enumerate(steps) if isinstance(e, Unroute | CloseLeg)]
    assert record < min(routes)
    assert max(routes) < min(left)
    goodbye = next(n for n, e in enumerate(steps) if isinstance(e, fx.SendRequest) and e.purpose is fx.Purpose.BYE)
    assert max(routes) < said < goodbye
    assert byes(found) == [LegId(2)]


async def test_the_browser_hears_who_is_there_now() -> None:
    found = scene()
    updates = [e.request for e in found.take(fx.SendRequest) if e.request.method == "UPDATE"]
    assert "4712" in (updates[-1].headers.get("P-Asserted-Identity") or "")
    assert finished(found) is None
    assert found.leg(LegKind.TRUNK) is found.state.legs[LegId(3)]


async def test_a_page_is_told_that_replaces_is_understood(office: Office) -> None:
    office.request(request("OPTIONS"), key="ask", flow=BROWSER_FLOW)
    (said,) = [r for k, r in office.sip.answers if k == "ask"]
    assert "replaces" in (said.headers.get("Supported") or "")
