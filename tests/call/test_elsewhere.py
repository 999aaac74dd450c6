"""An INVITE that one place of a trunk does not take goes to the next (RFC 3263 4.3), by the pure machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.trunks.failover import MAX_PLACES
from gateway.trunks.health import SILENT_SECONDS, TRY_SECONDS
from gateway.trunks.target import Spot, TrunkTarget
from tests.call.machine_scene import MachineScene, sdes_answer, trunk_flow
from tests.sites import made_trunk


def place(number: int) -> Flow:
    """A connection to one of the places of the trunk."""
    return replace(trunk_flow(), id=20 + number, remote=HostPort(f"127.0.0.{number}", 5061))


def spot(number: int) -> Spot:
    return Spot("tls", place(number).remote)


def calling(**options: object) -> MachineScene:
    """A call whose INVITE is at the first place of its trunk, which has others."""
    scene = MachineScene(**options).begin()  # type: ignore[arg-type]
    return reaches(scene, 1)


def reaches(scene: MachineScene, number: int, *, more: bool = True, down: bool = False) -> MachineScene:
    """The place that was asked for is this one."""
    scene.feed(events.TrunkConnected(scene.connecting, place(number), down, more))
    return scene.open_media()


def wanted(scene: MachineScene) -> list[fx.ConnectTrunk]:
    return [effect for effect in scene.all if isinstance(effect, fx.ConnectTrunk)]


def invites(scene: MachineScene) -> list[fx.SendRequest]:
    return [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]


def fails(scene: MachineScene, how: str) -> MachineScene:
    """What the last INVITE comes to."""
    sent = invites(scene)[-1]
    match how:
        case "503":
            return scene.feed(scene.answer_to(sent, 503))
        case "silence":
            return scene.feed(events.TimerFired(Timer.SILENT, sent.leg))
        case _:
            return scene.feed(events.RequestFailed(sent.ask, transport=how == "connection lost"))


@pytest.mark.parametrize("how", ["503", "timeout", "connection lost", "silence"])
def test_a_place_that_does_not_take_the_call_is_followed_by_the_next_and_the_caller_hears_nothing_of_it(
    how: str,
) -> None:
    scene = calling().clear()
    fails(scene, how)
    (asked,) = [e for e in scene.take(fx.ConnectTrunk)]
    assert (asked.trunk, asked.tried) == ("pbx", (spot(1),))
    assert fx.Count(Counter.TRUNK_FAILOVER) in scene.effects
    assert asked.unheard == (place(1) if how == "silence" else None)
    assert [r.status for r in scene.responses if r.status >= 200] == []
    reaches(scene, 2)
    assert invites(scene)[-1].flow == place(2)
    scene.reply(200, sdes_answer(invites(scene)[-1].request.body))
    assert scene.responses[-1].status == 200


def test_the_next_place_gets_the_same_request_in_a_transaction_of_its_own_with_keys_of_its_own() -> None:
    scene = reaches(fails(calling(), "503"), 2)
    first, second = (sent.request for sent in invites(scene))
    for name in ("Call-ID", "CSeq", "From", "To"):
        assert second.headers.get(name) == first.headers.get(name)
    assert invites(scene)[0].ask != invites(scene)[1].ask
    assert crypto(first)
    assert crypto(second)
    assert not crypto(first) & crypto(second)


def test_the_next_place_gets_the_number_that_a_challenge_at_the_first_one_led_to() -> None:
    """RFC 3263 4.3: a phone behind both must not take the second INVITE for an older one."""
    scene = calling()
    sent = invites(scene)[-1]
    event = scene.answer_to(sent, 401)
    assert isinstance(event, events.ResponseIn)
    scene.feed(events.Challenged(sent.ask, sent.request, (("Authorization", "Digest x"),), event.response, event.flow))
    challenged = invites(scene)[-1].request
    second = invites(reaches(fails(scene, "503"), 2))[-1].request
    assert (challenged.cseq.number, second.cseq.number) == (2, 2)
    assert second.call_id == challenged.call_id
    assert "Authorization" not in second.headers


def crypto(request: Request) -> set[bytes]:
    return {line for line in request.body.splitlines() if line.startswith(b"a=crypto")}


@pytest.mark.parametrize("status", [400, 403, 404, 480, 486, 487, 500, 600, 603, 604])
def test_what_a_person_or_the_network_says_is_said_at_every_place(status: int) -> None:
    scene = calling().clear()
    scene.reply(status)
    assert scene.take(fx.ConnectTrunk) == []
    assert scene.state.termination is not None


@pytest.mark.parametrize("cause", [17, 21, 1])
def test_a_503_whose_reason_says_that_the_callee_is_busy_goes_nowhere_else(cause: int) -> None:
    scene = calling().clear()
    event = scene.answer_to(invites(scene)[-1], 503)
    assert isinstance(event, events.ResponseIn)
    said = event.response.with_header("Reason", f"Q.850;cause={cause}")
    scene.feed(replace(event, response=said))
    assert scene.take(fx.ConnectTrunk) == []


def test_without_other_places_nothing_is_asked_for_and_the_caller_hears_the_503() -> None:
    scene = reaches(MachineScene().begin(), 1, more=False).clear()
    scene.reply(503)
    assert scene.take(fx.ConnectTrunk) == []
    assert scene.responses[-1].status == 503


def test_when_every_place_failed_the_next_trunk_of_the_route_is_tried_and_at_last_the_best_reason_is_told() -> None:
    other = made_trunk("sip:other.example", name="other", security="legacy")
    scene = fails(calling(others=(other,)), "503").clear()
    scene.feed(events.TrunkFailed(scene.connecting, "every place was tried", ""))
    (asked,) = scene.take(fx.ConnectTrunk)
    assert (asked.trunk, asked.tried) == ("other", ())
    scene.clear().feed(events.TrunkFailed(asked.leg, "refused", ""))
    assert scene.responses[-1].status == 503


def test_when_no_place_is_left_the_caller_hears_what_was_wrong_with_the_one_that_was_tried() -> None:
    scene = fails(calling(), "silence")
    scene.feed(events.TrunkFailed(scene.connecting, "every place was tried", ""))
    assert scene.state.termination is Termination.TRUNK_SILENT
    assert scene.responses[-1].status == 504


def test_a_trunk_that_wants_to_be_left_alone_is_unavailable_and_the_next_one_tried() -> None:
    other = made_trunk("sip:other.example", name="other", security="legacy")
    scene = MachineScene(others=(other,)).begin().clear()
    scene.feed(events.TrunkFailed(scene.connecting, "it wants no calls now", "", Termination.TRUNK_UNAVAILABLE))
    assert [e.trunk for e in scene.take(fx.ConnectTrunk)] == ["other"]
    scene = MachineScene().begin()
    scene.feed(events.TrunkFailed(scene.connecting, "it wants no calls now", "", Termination.TRUNK_UNAVAILABLE))
    assert scene.state.termination is Termination.TRUNK_UNAVAILABLE


def test_a_silent_place_is_left_without_a_question_and_its_late_answer_is_hung_up_on() -> None:
    scene = calling().clear()
    assert [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SILENT] == [SILENT_SECONDS]
    fails(scene, "silence")
    assert scene.take(fx.ProbeTrunk) == []
    assert scene.take(fx.CancelInvite)
    late = invites(scene)[0]
    reaches(scene, 2)
    scene.clear().feed(scene.answer_to(late, 200, sdes_answer(late.request.body), tag="late"))
    assert [e.request.to.tag for e in scene.take(fx.SendAck)] == ["late"]
    assert [e.request.to.tag for e in scene.take(fx.SendRequest) if e.request.method == "BYE"] == ["late"]
    assert scene.state.live
    scene.reply(200, sdes_answer(invites(scene)[-1].request.body))
    assert scene.responses[-1].status == 200


def test_a_doubtful_place_gets_little_time() -> None:
    scene = reaches(MachineScene().begin(), 1, down=True)
    assert [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SILENT] == [TRY_SECONDS]


def test_a_call_is_not_sent_around_without_end() -> None:
    scene = calling()
    for number in range(2, 30):
        if not scene.state.live:
            break
        reaches(fails(scene, "503"), number)
    assert len(invites(scene)) == MAX_PLACES + 1
    assert scene.state.termination is Termination.TRUNK_UNAVAILABLE


def test_a_caller_who_gives_up_while_the_next_place_is_looked_for_is_called_nowhere() -> None:
    scene = fails(calling(), "503").feed(events.CancelIn())
    count = len(invites(scene))
    reaches(scene, 2)
    assert len(invites(scene)) == count
    assert scene.state.termination is Termination.CANCELLED


def test_the_request_names_the_target_that_led_there() -> None:
    scene = fails(calling(), "503")
    found_for = TrunkTarget.parse("sip:b.example:5071;transport=tls")
    scene.feed(events.TrunkConnected(scene.connecting, place(2), found_for=found_for)).open_media()
    assert str(invites(scene)[0].request.uri).startswith("sip:600@pbx.example")
    assert str(invites(scene)[1].request.uri).startswith("sip:600@b.example:5071")


def test_a_call_for_help_says_that_it_is_one_each_time() -> None:
    scene = fails(calling(emergency=True), "503")
    assert [asked.urgent for asked in wanted(scene)] == [True, True]
    assert wanted(scene)[1].leg == LegId(3)
