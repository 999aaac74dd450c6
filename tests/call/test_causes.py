"""What a refusal means: by the cause of the telephone network first, then by the status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import causes, events
from gateway.call.machine import effects as fx
from gateway.sip.message import Request
from gateway.sip.reason import Q850, SIP, Reason
from tests.call.machine_scene import MachineScene, answer, request, sdes_answer
from tests.call.test_emergency import emergency, trunks
from tests.call.test_inbound import KEY
from tests.call.test_setup import finished


def ringing_browser() -> MachineScene:
    """A call from a trunk."""
    return MachineScene(outbound=False, offer=answer("RTP/SAVP", KEY))


def refused(status: int, *lines: str, outbound: bool = True) -> MachineScene:
    """A call whose callee refuses with these Reason headers."""
    scene = (MachineScene() if outbound else ringing_browser()).calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    event = scene.answer_to(sent, status)
    assert isinstance(event, events.ResponseIn)
    reasons = [("Reason", line) for line in lines]
    return scene.feed(replace(event, response=event.response.with_added(reasons)))


def last(scene: MachineScene, method: str) -> Request:
    return [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.request.method == method][-1]


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack()


@pytest.mark.parametrize(
    ("status", "cause", "termination"),
    [
        (486, 0, Termination.BUSY),
        (600, 0, Termination.BUSY),
        (503, 17, Termination.BUSY),
        (480, 0, Termination.UNAVAILABLE),
        (480, 18, Termination.UNAVAILABLE),
        (480, 19, Termination.NO_ANSWER),
        (480, 20, Termination.UNAVAILABLE),
        (408, 0, Termination.NO_ANSWER),
        (404, 0, Termination.UNALLOCATED),
        (604, 0, Termination.UNALLOCATED),
        (503, 1, Termination.UNALLOCATED),
        (404, 3, Termination.UNROUTABLE),
        (410, 0, Termination.NUMBER_CHANGED),
        (484, 0, Termination.INCOMPLETE),
        (404, 28, Termination.INCOMPLETE),
        (403, 0, Termination.REJECTED),
        (603, 0, Termination.REJECTED),
        (480, 21, Termination.REJECTED),
        *((503, cause, Termination.CONGESTION) for cause in (34, 38, 41, 42, 44, 47)),
        (503, 0, Termination.TRUNK_UNAVAILABLE),
        (503, 16, Termination.TRUNK_UNAVAILABLE),
        (503, 127, Termination.TRUNK_UNAVAILABLE),
        (504, 0, Termination.NETWORK_TIMEOUT),
        (500, 102, Termination.NETWORK_TIMEOUT),
        (500, 0, Termination.TRUNK_ERROR),
        (420, 0, Termination.TRUNK_REFUSED),
        (487, 0, Termination.CANCELLED),
        (699, 0, Termination.TRUNK_ERROR),
    ],
)
def test_every_refusal_has_a_reason_of_its_own_and_keeps_its_status(
    status: int, cause: int, termination: Termination
) -> None:
    scene = refused(status, *([f"Q.850;cause={cause}"] if cause else []))
    assert finished(scene) is termination
    assert scene.responses[-1].status == status


@pytest.mark.parametrize("status", range(300, 700))
def test_a_living_trunk_is_never_unreachable(status: int) -> None:
    for cause in (None, *range(128)):
        said = () if cause is None else (Reason(Q850, cause),)
        termination, told = causes.of_refusal(status, said)
        assert termination is not Termination.TRUNK_UNREACHABLE
        assert 400 <= told < 700


def test_credentials_the_trunk_wants_stay_an_error_of_the_trunk_whatever_it_gives_as_cause() -> None:
    assert causes.of_refusal(401, (Reason(Q850, 17),)) == (Termination.TRUNK_LOGIN, 502)
    assert causes.of_refusal(407, ()) == (Termination.TRUNK_LOGIN, 502)


@pytest.mark.parametrize("status", [300, 302, 380, 400, 401, 407, 480, 486, 500, 503, 603])
def test_a_browser_that_refuses_is_no_fault_of_a_trunk(status: int) -> None:
    scene = refused(status, outbound=False)
    termination = finished(scene)
    assert termination is not None
    assert termination.party in ("callee", "caller")
    assert scene.responses[-1].status >= 400


@pytest.mark.parametrize("outbound", [True, False])
def test_the_cause_of_a_refusal_goes_on_as_a_number_and_only_that_of_q850(outbound: bool) -> None:
    scene = refused(503, 'SIP;cause=503;text="x"', 'q.850 ; cause=34;text="ring 0900"', outbound=outbound)
    assert scene.responses[-1].headers.get_all("Reason") == ['Q.850;cause=34;text="No circuit or channel available"']
    assert scene.state.end.reasons == (Reason(SIP, 503, "x"), Reason(Q850, 34, "ring 0900"))


@pytest.mark.parametrize("leg", list(LegKind))
def test_the_cause_of_a_bye_reaches_the_other_side(leg: LegKind) -> None:
    scene = talking()
    bye = request("BYE", cseq=9, to_tag=f"gw-{leg}", extra=(("Reason", 'Q.850;cause=41;text="own words"'),))
    side = scene.leg(leg)
    assert side is not None
    if not side.is_caller:
        bye = bye.with_header("Call-ID", scene.callee_call_id)
        bye = bye.with_header("From", "<sip:callee@127.0.0.2>;tag=callee")
    scene.feed(events.RequestIn(side.id, "bye", bye, side.flow))
    assert last(scene, "BYE").headers.get_all("Reason") == ['Q.850;cause=41;text="Temporary failure"']


def test_a_bye_that_gives_no_cause_says_nothing_on() -> None:
    scene = talking().inside(LegKind.TRUNK, "BYE", cseq=3)
    assert "Reason" not in last(scene, "BYE").headers


def test_sip_200_in_a_bye_is_an_ordinary_end() -> None:
    scene = talking()
    bye = request("BYE", cseq=9, to_tag="gw-browser", extra=(("Reason", "SIP;cause=200"),))
    scene.feed(events.RequestIn(scene.id(LegKind.BROWSER), "bye", bye, scene.state.caller.flow))
    assert "Reason" not in last(scene, "BYE").headers


@pytest.mark.parametrize(
    ("said", "termination", "headers"),
    [
        (
            (Reason(SIP, 200, "x"),),
            Termination.ANSWERED_ELSEWHERE,
            (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),),
        ),
        (
            (Reason(Q850, 26),),
            Termination.ANSWERED_ELSEWHERE,
            (("Reason", 'Q.850;cause=26;text="Non-selected user clearing"'),),
        ),
        ((Reason(SIP, 487),), Termination.CANCELLED, (("Reason", 'SIP;cause=487;text="Request Terminated"'),)),
        ((), Termination.CANCELLED, ()),
    ],
)
def test_that_another_phone_answered_reaches_the_browser(
    said: tuple[Reason, ...], termination: Termination, headers: tuple[tuple[str, str], ...]
) -> None:
    scene = ringing_browser().calling().reply(180).feed(events.CancelIn(said))
    assert finished(scene) is termination
    assert scene.responses[-1].status == 487
    assert [e.headers for e in scene.take(fx.CancelInvite)] == [headers]


def test_a_phone_that_rang_too_long_is_cancelled_with_the_reason() -> None:
    scene = MachineScene().calling().reply(180).feed(events.TimerFired(fx.Timer.RING))
    (cancel,) = scene.take(fx.CancelInvite)
    assert cancel.headers == (("Reason", 'SIP;cause=408;text="Nobody answered in time"'),)


@pytest.mark.parametrize(("cause", "next_trunk"), [(0, False), (17, False), (21, False), (34, True), (3, True)])
def test_an_emergency_call_goes_on_to_its_next_trunk_when_the_network_refused_and_no_person(
    cause: int, next_trunk: bool
) -> None:
    scene = emergency().calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    event = scene.answer_to(sent, 603)
    assert isinstance(event, events.ResponseIn)
    reasons = [("Reason", f"Q.850;cause={cause}")] if cause else []
    scene.feed(replace(event, response=event.response.with_added(reasons)))
    assert trunks(scene) == (["pbx", "second"] if next_trunk else ["pbx"])


@pytest.mark.parametrize(
    ("status", "said", "termination"),
    [
        (480, (Reason(SIP, 486),), Termination.BUSY),
        (503, (Reason(SIP, 404),), Termination.UNALLOCATED),
        (503, (Reason(SIP, 404), Reason(Q850, 34)), Termination.CONGESTION),
        (480, (Reason(SIP, 200),), Termination.UNAVAILABLE),
        (486, (Reason(SIP, 404),), Termination.BUSY),
    ],
)
def test_a_status_given_for_many_things_is_read_with_that_of_somebody_further_on(
    status: int, said: tuple[Reason, ...], termination: Termination
) -> None:
    assert causes.of_refusal(status, said) == (termination, status)
