"""Who has left a call by handing it over, or has lost the race to it, cannot touch it any more: whatever still comes of
that leg is answered as the protocol wants, and means nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.media import relay_events as relay
from gateway.media.relay_commands import CloseLeg, Unroute
from gateway.policy.model import effective_policy
from tests.call.machine_scene import MachineScene, sdes_answer, vector
from tests.call.test_setup import finished
from tests.call.test_transfer import THIRD, hears, refer, sent, talking, target_answers, told
from tests.sites import made_trunk


def leaving() -> MachineScene:
    """The browser has handed the call over; its last NOTIFY is unanswered, so it has not been hung up on."""
    scene = target_answers(refer(talking()))
    assert scene.state.caller.gone
    assert not scene.state.caller.invitation.is_over
    return scene


def gone() -> MachineScene:
    """The same, hung up on."""
    scene = leaving()
    hears(scene)
    assert scene.state.caller.invitation.is_over
    return scene


def asked_last(scene: MachineScene, purpose: Purpose, leg: LegId = CALLER) -> fx.SendRequest:
    return [e for e in scene.all if isinstance(e, fx.SendRequest) and (e.purpose, e.leg) == (purpose, leg)][-1]


def running(scene: MachineScene) -> set[tuple[Timer, LegId]]:
    """Clocks that were set and neither ran out nor were stopped."""
    found: set[tuple[Timer, LegId]] = set()
    for effect in scene.all:
        if isinstance(effect, fx.SetTimer):
            found.add((effect.name, effect.leg))
        elif isinstance(effect, fx.ClearTimer):
            found.discard((effect.name, effect.leg))
    return found


def untouched(scene: MachineScene) -> None:
    """The call goes on between the two who are left."""
    assert finished(scene) is None
    assert {leg.id for leg in scene.state.pair} == {LegId(2), THIRD}
    assert not [clock for clock in running(scene) if clock[1] == CALLER]


@pytest.mark.parametrize("status", [200, 408, 481, 491, 500])
def test_what_becomes_of_a_report_to_one_who_left_ends_nothing(status: int) -> None:
    scene = talking()
    scene.feed(relay.MediaMismatch(LegId(2), "media.plain_on_secure"))  # so that there is something to report
    report = asked_last(scene, Purpose.UPDATE)
    target_answers(refer(scene))
    hears(scene)
    scene.feed(scene.answer_to(report, status))
    untouched(scene)


@pytest.mark.parametrize("transport", [True, False])
def test_a_report_to_one_who_left_that_is_lost_is_not_told_again(transport: bool) -> None:
    scene = talking()
    scene.feed(relay.MediaMismatch(LegId(2), "media.plain_on_secure"))
    report = asked_last(scene, Purpose.UPDATE)
    target_answers(refer(scene))
    hears(scene)
    scene.feed(events.RequestFailed(report.ask, transport))
    untouched(scene)


@pytest.mark.parametrize("status", [200, 408, 481])
def test_the_question_whether_a_trunk_is_there_means_nothing_once_it_left(status: int) -> None:
    scene = talking(outbound=False)
    scene.feed(relay.LegSilent(CALLER))
    question = asked_last(scene, Purpose.OPTIONS)
    refer(scene, LegKind.TRUNK, to="<sip:602@pbx.example>")
    target_answers(scene)
    hears(scene)
    scene.feed(scene.answer_to(question, status))
    untouched(scene)


def test_a_question_without_answer_means_nothing_once_the_trunk_left() -> None:
    scene = talking(outbound=False)
    scene.feed(relay.LegSilent(CALLER))
    question = asked_last(scene, Purpose.OPTIONS)
    refer(scene, LegKind.TRUNK, to="<sip:602@pbx.example>")
    target_answers(scene)
    hears(scene)
    scene.feed(events.RequestFailed(question.ask, transport=False))
    untouched(scene)


def test_the_end_of_its_connection_means_nothing_once_a_leg_left() -> None:
    scene = talking(outbound=False)
    refer(scene, LegKind.TRUNK, to="<sip:602@pbx.example>")
    target_answers(scene)
    hears(scene)
    scene.clear().feed(events.ConnectionClosed(CALLER))
    assert scene.effects == []


@pytest.mark.parametrize("transport", [True, False])
def test_a_change_of_one_who_left_needs_no_ack_any_more(transport: bool) -> None:
    scene = refer(talking())
    scene.inside(LegKind.BROWSER, "INVITE", vector("chromium_offer"), cseq=51)
    assert scene.responses[-1].status == 200
    target_answers(scene)
    hears(scene)
    scene.feed(events.AckMissing("browser-51", transport))
    untouched(scene)


def test_a_handshake_of_one_who_left_writes_no_record_and_releases_no_key() -> None:
    scene = gone().clear()
    scene.feed(events.DtlsConnected(CALLER, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    scene.feed(events.DtlsFailed(CALLER, Termination.FINGERPRINT_MISMATCH))
    assert scene.effects == []


def test_who_is_let_go_is_unrouted_and_closed_once_whoever_hangs_up_first() -> None:
    scene = refer(talking())
    scene.connect().open_media()
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    scene.reply(200, sdes_answer(scene.invite.body), tag="target")
    assert scene.relayed(CloseLeg) == [CloseLeg(CALLER)]
    assert [command.sink for command in scene.relayed(Unroute)].count(CALLER) == 1


def test_who_hung_up_has_no_clock_of_a_subscription_not_even_after_its_last_word() -> None:
    scene = refer(talking())
    notify = asked_last(scene, Purpose.NOTIFY)
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    assert not [clock for clock in running(scene) if clock[1] == CALLER]
    scene.feed(scene.answer_to(notify, 200))
    assert not [clock for clock in running(scene) if clock[1] == CALLER]


def test_the_goodbye_of_one_who_was_leaving_when_the_call_ended_is_answered_and_no_more() -> None:
    scene = leaving()
    scene.feed(events.Lost(Termination.SHUTDOWN)).clear()
    leg = scene.state.caller
    request = scene.in_dialog(LegKind.BROWSER, "BYE", cseq=60).with_header("To", f"<sip:x@y>;tag={leg.local_tag}")
    scene.feed(events.RequestIn(CALLER, "browser-60", request, leg.flow))
    assert [type(e) for e in scene.effects] == [fx.Respond]


@pytest.mark.parametrize("method", ["REFER", "SUBSCRIBE"])
def test_a_call_that_is_over_neither_begins_a_transfer_nor_tells_of_one(method: str) -> None:
    scene = refer(talking())
    scene.feed(events.Lost(Termination.SHUTDOWN)).clear()
    extra = {"REFER": (("Refer-To", "<sip:601@example.test>"),), "SUBSCRIBE": (("Event", "refer"), ("Expires", "60"))}
    scene.inside(LegKind.BROWSER, method, cseq=60, extra=extra[method])
    assert [e.response.status for e in scene.take(fx.Respond)] == [481]
    assert [type(e) for e in scene.effects] == [fx.Respond]


def test_a_report_that_is_refused_after_the_end_sets_no_clock() -> None:
    scene = talking()
    scene.feed(relay.MediaMismatch(LegId(2), "media.plain_on_secure"))
    report = asked_last(scene, Purpose.UPDATE)
    scene.feed(events.Lost(Termination.SHUTDOWN))
    scene.feed(scene.answer_to(report, 500))
    assert {name for name, _ in running(scene)} <= {Timer.LINGER}


def test_a_report_that_waits_when_the_call_ends_waits_no_more() -> None:
    scene = talking()
    scene.feed(relay.MediaMismatch(LegId(2), "media.plain_on_secure"))
    scene.feed(scene.answer_to(asked_last(scene, Purpose.UPDATE), 500))
    assert (Timer.REPORT, CALLER) in running(scene)
    scene.feed(events.Lost(Termination.SHUTDOWN))
    assert {name for name, _ in running(scene)} <= {Timer.LINGER}


def test_an_answer_of_the_target_that_cannot_be_read_leaves_the_call_as_it_was() -> None:
    scene = refer(talking())
    scene.connect().open_media()
    event = scene.answer_to(asked_last(scene, Purpose.INVITE, THIRD), 200, sdes_answer(scene.invite.body), tag="target")
    assert isinstance(event, events.ResponseIn)
    scene.feed(replace(event, response=replace(event.response, unreadable="Bad Contact")))
    hears(scene)
    assert finished(scene) is None
    assert {leg.id for leg in scene.state.pair} == {CALLER, LegId(2)}
    assert told(scene)[-1][0] == str(Termination.ANSWER_UNREADABLE.status)
    assert len(sent(scene, "BYE")) == 1


def test_a_first_trunk_with_early_media_counts_no_more_when_the_second_is_tried() -> None:
    scene = MachineScene(others=(made_trunk("sip:other.example", name="other"),)).calling()
    scene.reply(183, sdes_answer(scene.invite.body), tag="early")
    assert LegId(2) in scene.state.posture.legs()
    scene.reply(500, tag="early").connect()
    assert LegId(2) not in scene.state.posture.legs()


def test_a_trunk_that_is_silent_while_somebody_else_is_looked_for_is_still_watched() -> None:
    scene = talking()
    scene.feed(relay.LegSilent(LegId(2)))
    refer(scene).inside(LegKind.BROWSER, "BYE", cseq=51)
    scene.feed(scene.answer_to(asked_last(scene, Purpose.OPTIONS, LegId(2)), 200))
    scene.now += 30.0
    scene.clear().feed(events.TimerFired(Timer.LIVENESS, LegId(2)))
    assert [e.purpose for e in scene.take(fx.SendRequest)] == [Purpose.OPTIONS]
    assert (Timer.LIVENESS, LegId(2)) in running(scene)


def test_a_trunk_that_could_not_be_asked_is_not_waited_for_when_the_next_one_is_tried() -> None:
    scene = MachineScene(others=(made_trunk("sip:other.example", name="other"),)).calling()
    assert (Timer.SILENT, LegId(2)) in running(scene)
    scene.feed(events.RequestFailed(asked_last(scene, Purpose.INVITE, LegId(2)).ask, transport=True)).connect()
    assert (Timer.SILENT, LegId(2)) not in running(scene)


def test_a_place_the_relay_had_no_room_for_is_not_closed_there() -> None:
    scene = MachineScene(others=(made_trunk("sip:other.example", name="other"),)).begin().connect()
    scene.feed(relay.LegFailed(LegId(2), "no_port"))
    assert scene.relayed(CloseLeg) == []


def test_an_emergency_call_stays_one_when_who_was_called_is_handed_over() -> None:
    scene = talking()
    scene.state.policy = effective_policy(Profile.STRICT, "pbx", emergency=True)
    target_answers(refer(scene))
    hears(scene)
    assert scene.state.policy.emergency


@pytest.mark.parametrize(("transport", "goodbyes"), [(False, 1), (True, 0)])
def test_who_asked_and_acknowledges_nothing_is_told_goodbye_where_it_can_be(transport: bool, goodbyes: int) -> None:
    scene = refer(talking())
    scene.inside(LegKind.BROWSER, "INVITE", vector("chromium_offer"), cseq=51)
    scene.feed(events.AckMissing("browser-51", transport))
    assert scene.state.live
    assert len(sent(scene, "BYE")) == goodbyes


@pytest.mark.parametrize(("status", "goodbyes"), [(408, 1), (481, 0)])
def test_who_asked_and_does_not_answer_is_told_goodbye_unless_it_knows_no_call(status: int, goodbyes: int) -> None:
    scene = talking(outbound=False)
    scene.feed(relay.LegSilent(CALLER))
    question = asked_last(scene, Purpose.OPTIONS)
    refer(scene, LegKind.TRUNK, to="<sip:602@pbx.example>")
    scene.feed(scene.answer_to(question, status))
    assert scene.state.live
    assert len(sent(scene, "BYE")) == goodbyes
