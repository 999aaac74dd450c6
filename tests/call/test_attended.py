"""Attended transfer, decided by the pure machines of two calls: the far leg of one becomes a leg of the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, HostPort, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.handed import hand_out, is_same_peer
from gateway.call.machine.transfer import MAX_REFUSED
from gateway.media.relay_commands import CloseLeg, OpenLeg, Route, Unroute
from gateway.media.relay_events import LegSilent
from gateway.policy.model import effective_policy
from gateway.sdp.codecs import Codec
from gateway.sip.replaces import Replaces
from gateway.sip.session_timer import Timing
from gateway.site import RegistrationRelay
from tests.call.machine_scene import SITE, MachineScene, answer
from tests.call.test_setup import finished
from tests.call.test_transfer import hears, sent, talking, told

THIRD = LegId(3)
NAMED = Replaces("other-call-id", "gw-browser", "other")
TO = "<sip:gateway@example.test;transport=ws?Replaces=other-call-id%3Bto-tag%3Dgw-browser%3Bfrom-tag%3Dother>"


def refer(scene: MachineScene, leg: LegKind = LegKind.BROWSER, to: str = TO, cseq: int = 50) -> MachineScene:
    return scene.inside(leg, "REFER", cseq=cseq, extra=(("Refer-To", to),))


def offered(other: MachineScene, named: LegId = CALLER, replaces: Replaces = NAMED) -> events.Handed:
    handed = hand_out(other.state, named, replaces)
    assert isinstance(handed, events.Handed), handed
    return handed


@dataclass
class Pair:
    """Two calls of one user, who joins them."""

    call: MachineScene
    other: MachineScene

    def found(self) -> Pair:
        self.call.feed(events.DialogFound(offered(self.other)))
        return self

    def moved(self) -> Pair:
        """The runner has carried out `TakeOver`."""
        handed = offered(self.other)
        left = handed.leg.id
        handed.leg.id = self.call.take(fx.TakeOver)[-1].leg
        self.call.feed(events.TakenOver(handed))
        self.other.feed(events.HandedOver(left))
        return self


def pair(profile: Profile = Profile.STRICT, other: Profile = Profile.STRICT) -> Pair:
    found = Pair(talking(profile), talking(other))
    for scene in (found.call, found.other):
        answer_asks(scene)
    return found


def answer_asks(scene: MachineScene) -> MachineScene:
    """The browser answers what it was told by UPDATE."""
    for effect in list(scene.all):
        if isinstance(effect, fx.SendRequest) and effect.purpose is Purpose.UPDATE:
            scene.feed(scene.answer_to(effect, 200))
    return scene


def byes(scene: MachineScene) -> list[LegId]:
    return [e.leg for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]


def test_the_dialog_is_looked_up_before_the_number_and_nobody_is_called() -> None:
    scene = refer(talking())
    (effect,) = scene.take(fx.FindDialog)
    assert (effect.leg, effect.replaces) == (CALLER, NAMED)
    assert not scene.take(fx.ConnectTrunk)
    assert not [r for r in scene.responses if r.cseq.method == "REFER"], "it is answered when it is known what it names"


def test_the_far_legs_of_both_calls_are_joined_and_who_asked_is_let_go_by_both() -> None:
    both = pair()
    refer(both.call)
    both.found()
    assert both.call.responses[-1].status == 202
    assert told(both.call) == [("100", "active;expires=240")]
    both.moved()
    hears(both.call)
    assert told(both.call)[-1] == ("200", "terminated;reason=noresource")
    assert [leg.id for leg in both.call.state.pair] == [LegId(2), THIRD]
    assert byes(both.call) == [CALLER]
    assert both.call.state.live
    assert finished(both.other) is Termination.TRANSFERRED
    assert byes(both.other) == [CALLER], "the far one is not hung up on: it speaks on in the other call"


def test_nothing_is_opened_and_nobody_is_asked_anew() -> None:
    both = pair()
    refer(both.call)
    both.call.clear()
    both.found().moved()
    assert not both.call.told(OpenLeg)
    assert not [e for e in both.call.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]
    assert {(r.source, r.sink) for r in both.call.told(Route)} == {(LegId(2), THIRD), (THIRD, LegId(2))}


def test_the_record_of_the_leg_stands_before_its_routes_and_these_before_the_farewell() -> None:
    both = pair()
    refer(both.call)
    both.call.clear()
    both.found().moved()
    hears(both.call)
    steps = both.call.done
    record = next(n for n, e in enumerate(steps) if isinstance(e, fx.WriteAudit) and e.record.get("leg_id") == THIRD)
    routes = [n for n, e in enumerate(steps) if isinstance(e, Route)]
    left = [n for n, e in enumerate(steps) if isinstance(e, Unroute | CloseLeg)]
    assert record < min(routes)
    assert max(routes) < min(left)
    assert both.call.record("leg.secured")["leg_id"] == THIRD


def test_its_requests_go_on_where_the_other_call_stopped_counting() -> None:
    both = pair()
    before = both.other.trunk_leg.dialog
    assert before is not None
    key, sequence = before.key, before.local_seq
    refer(both.call)
    both.found().moved()
    leg = both.call.state.legs[THIRD]
    assert leg.dialog is not None
    assert leg.dialog.key == key
    both.call.inside(LegKind.TRUNK, "BYE", cseq=90)
    bye = sent(both.call, "BYE")[-1]
    assert bye.cseq.number == sequence + 1


def test_either_end_hanging_up_ends_the_joined_call_for_the_other() -> None:
    for end in (LegId(2), THIRD):
        both = pair()
        refer(both.call)
        both.found().moved()
        hears(both.call)
        leg = both.call.state.legs[end]
        assert leg.dialog is not None
        bye = both.call.in_dialog(LegKind.TRUNK, "BYE", cseq=900)
        bye = bye.with_header("Call-ID", leg.call_id).with_header("To", f"<sip:x@y>;tag={leg.local_tag}")
        both.call.feed(events.RequestIn(end, "bye", bye, leg.flow))
        assert finished(both.call) is Termination.HANGUP_TRUNK
        assert byes(both.call) == [CALLER, LegId(2) if end == THIRD else THIRD]


@pytest.mark.parametrize(("status", "is_others"), [(481, False), (481, True), (491, False), (603, False), (486, False)])
def test_a_dialog_that_cannot_be_had_is_told_as_an_outcome_and_recorded(status: int, is_others: bool) -> None:
    """481 to the REFER itself would end the dialog it came in, and with it the call (RFC 3261 12.2.1.2)."""
    scene = refer(talking()).feed(events.DialogMissing(status, is_others))
    hears(scene)
    assert scene.responses[-1].status == 202
    assert told(scene) == [("100", "active;expires=240"), (str(status), "terminated;reason=noresource")]
    assert scene.record("call.transfer")["decision"] == "refused"
    assert scene.record("call.transfer")["sip_sent"] == {"code": status}
    assert finished(scene) is None
    assert refer(scene, cseq=51).take(fx.FindDialog), "the next one is looked at again"


def test_a_trunk_that_names_a_dialog_we_do_not_know_is_called_with_replaces() -> None:
    scene = talking(outbound=False)
    to = "<sip:602@pbx.example?Replaces=far%40pbx%3Bto-tag%3D7%3Bfrom-tag%3D8>"
    refer(scene, LegKind.TRUNK, to).feed(events.DialogMissing(481, is_others=False))
    assert scene.responses[-1].status == 202
    scene.connect().open_media()
    assert scene.invite.headers.get("Replaces") == "far@pbx;to-tag=7;from-tag=8"
    assert scene.invite.headers.get("Require") == "replaces"
    assert [e.trunk for e in scene.all if isinstance(e, fx.ConnectTrunk)] == ["pbx"]


def test_a_trunk_is_called_back_whoever_of_ours_the_number_is() -> None:
    """Its dialog is at the trunk: a user of ours who has that number has nothing to do with it."""
    scene = talking(outbound=False)
    to = "<sip:100@pbx.example?Replaces=far%40pbx%3Bto-tag%3D7%3Bfrom-tag%3D8>"
    refer(scene, LegKind.TRUNK, to).feed(events.DialogMissing(481, is_others=False))
    assert [e.trunk for e in scene.take(fx.ConnectTrunk)] == ["pbx"]
    assert not scene.take(fx.Locate)[1:]


def test_a_dialog_of_somebody_else_is_not_asked_for_at_the_trunk() -> None:
    scene = refer(talking(outbound=False), LegKind.TRUNK).feed(events.DialogMissing(481, is_others=True))
    hears(scene)
    assert told(scene)[-1][0] == "481"
    assert not scene.take(fx.ConnectTrunk)


def test_a_browser_reaches_no_trunk_with_replaces() -> None:
    scene = refer(talking()).feed(events.DialogMissing(481, is_others=False))
    hears(scene)
    assert told(scene)[-1][0] == "481"
    assert not scene.take(fx.ConnectTrunk)


def test_who_wants_no_notify_is_told_in_the_answer_by_a_status_that_ends_no_dialog() -> None:
    scene = talking().inside(LegKind.BROWSER, "REFER", cseq=50, extra=(("Refer-To", TO), ("Refer-Sub", "false")))
    scene.feed(events.DialogMissing(481, is_others=False))
    assert scene.responses[-1].status == 404
    assert told(scene) == []


def test_when_it_cannot_be_had_after_all_both_calls_go_on() -> None:
    both = pair()
    refer(both.call)
    both.found()
    both.call.feed(events.NotTaken(503))
    hears(both.call)
    assert told(both.call)[-1] == ("503", "terminated;reason=noresource")
    assert [leg.id for leg in both.call.state.pair] == [CALLER, LegId(2)]
    assert finished(both.call) is None
    assert finished(both.other) is None
    assert byes(both.call) == byes(both.other) == []


@pytest.mark.parametrize("weak", ["call", "other"])
def test_who_would_be_protected_less_than_before_is_not_joined_whichever_call_is_the_weaker(weak: str) -> None:
    """POLICY mid.transfer_weaker holds for both: each of them was promised the floor of its own call."""
    plain, strict = talking(Profile.LEGACY), talking()
    assert not plain.trunk_leg.vector.keying.keyed
    both = Pair(plain, strict) if weak == "call" else Pair(strict, plain)
    for scene in (plain, strict):
        answer_asks(scene)
    refer(both.call)
    both.found()
    hears(both.call)
    assert told(both.call)[-1][0] == "488"
    assert "mid.transfer_weaker" in str(both.call.record("leg.violation")["codes"])
    assert not both.call.take(fx.TakeOver)
    assert finished(both.call) is None
    assert finished(both.other) is None


def test_two_weak_calls_may_be_joined() -> None:
    both = pair(Profile.LEGACY, Profile.LEGACY)
    refer(both.call)
    both.found().moved()
    assert [leg.id for leg in both.call.state.pair] == [LegId(2), THIRD]


def test_the_joined_call_holds_the_higher_of_both_floors() -> None:
    both = pair(Profile.PREFER, Profile.STRICT)
    refer(both.call)
    both.found().moved()
    assert both.call.state.policy.rules.require == effective_policy(Profile.STRICT, "pbx").rules.require
    weaker = answer("RTP/AVP")
    both.call.inside(LegKind.TRUNK, "INVITE", weaker, cseq=95)
    assert both.call.responses[-1].status == 488


def test_without_a_common_codec_they_are_not_joined() -> None:
    both = pair()
    refer(both.call)
    handed = offered(both.other)
    talk = handed.leg.talk
    assert talk.agreed is not None
    theirs = talk.agreed.theirs
    alien = replace(theirs.content, remote=replace(theirs.content.remote, codecs=(Codec(99, "X-ALIEN", 8000),)))
    talk.agreed = replace(talk.agreed, theirs=replace(theirs, content=alien))
    both.call.feed(events.DialogFound(handed))
    hears(both.call)
    assert told(both.call)[-1][0] == "488"
    assert not both.call.take(fx.TakeOver)


def test_who_asked_may_hang_up_while_the_leg_is_on_its_way() -> None:
    both = pair()
    refer(both.call)
    both.found()
    both.call.inside(LegKind.BROWSER, "BYE", cseq=51)
    assert finished(both.call) is None
    both.moved()
    assert [leg.id for leg in both.call.state.pair] == [LegId(2), THIRD]
    assert byes(both.call) == []


def test_who_asked_and_left_leaves_nobody_waiting_when_it_fails() -> None:
    scene = refer(talking())
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    scene.feed(events.DialogMissing(481, is_others=False))
    assert scene.responses[-1].status == 404
    assert finished(scene) is not None
    assert byes(scene) == [LegId(2)]


def test_a_refer_is_answered_although_its_call_ended_before_the_dialog_was_found() -> None:
    scene = refer(talking())
    scene.inside(LegKind.TRUNK, "BYE", cseq=51)
    scene.feed(events.DialogFound(offered(pair().other)))
    refers = [r for r in scene.responses if r.cseq.method == "REFER"]
    assert [r.status for r in refers] == [481]
    assert not scene.take(fx.TakeOver)


def test_a_leg_that_comes_to_a_call_that_has_ended_is_hung_up_on() -> None:
    both = pair()
    refer(both.call)
    both.found()
    both.call.inside(LegKind.TRUNK, "BYE", cseq=51)
    both.moved()
    assert byes(both.call)[-1] == THIRD


def test_a_second_transfer_waits_for_the_first() -> None:
    scene = refer(talking())
    refer(scene, cseq=51)
    assert scene.responses[-1].status == 491


def test_refused_transfers_leave_no_more_records_than_somebody_can_make_by_mistake() -> None:
    scene = talking()
    for number in range(1000):
        refer(scene, cseq=100 + number).feed(events.DialogMissing(481, is_others=False))
        hears(scene)
    assert [r.status for r in scene.responses if r.cseq.method == "REFER"] == [202] * 1000
    assert scene.records.count("call.transfer") == MAX_REFUSED
    assert finished(scene) is None
    assert len(scene.state.legs) == 2


# What the other call gives.


def test_a_call_that_rings_or_changes_or_searches_gives_nothing_away_now() -> None:
    ringing = MachineScene().calling()
    assert hand_out(ringing.state, CALLER, NAMED) == 491
    changing = talking()
    changing.inside(LegKind.BROWSER, "INVITE", changing.offer.replace(b"a=sendrecv", b"a=sendonly"), cseq=60)
    assert [e for e in changing.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
    assert hand_out(changing.state, CALLER, NAMED) == 491
    searching = talking().inside(LegKind.BROWSER, "REFER", cseq=50, extra=(("Refer-To", "<sip:601@example.test>"),))
    assert hand_out(searching.state, CALLER, NAMED) == 491


def test_a_leg_that_is_being_asked_something_does_not_move() -> None:
    scene = talking().feed(LegSilent(LegId(2)))
    question = scene.take(fx.SendRequest)[-1]
    assert question.purpose is Purpose.OPTIONS
    assert hand_out(scene.state, CALLER, NAMED) == 491
    scene.feed(scene.answer_to(question, 200))
    assert isinstance(hand_out(scene.state, CALLER, NAMED), events.Handed)


def test_a_leg_that_was_silent_is_watched_in_the_call_it_comes_to() -> None:
    both = pair()
    both.other.feed(LegSilent(LegId(2)))
    both.other.feed(both.other.answer_to(both.other.take(fx.SendRequest)[-1], 200))
    refer(both.call)
    both.found().moved()
    clocks = [e.leg for e in both.call.all if isinstance(e, fx.SetTimer) and e.name is fx.Timer.LIVENESS]
    assert clocks == [THIRD]
    assert [e.leg for e in both.call.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.OPTIONS] == [THIRD]


def test_a_leg_brings_its_session_timer_as_old_as_it_is() -> None:
    both = pair()
    far = both.other.state.legs[LegId(2)]
    far.timing, far.refreshed_at = Timing(1800, is_ours=True), both.call.now - 600.0
    refer(both.call)
    both.found().moved()
    assert fx.SetTimer(fx.Timer.SESSION, 300.0, THIRD) in both.call.all


def test_a_browser_that_is_not_keyed_yet_does_not_move() -> None:
    scene = answer_asks(talking())
    scene.browser_leg.keyed = None
    assert hand_out(scene.state, LegId(2), NAMED) == 491


def test_an_early_only_replaces_finds_no_call_that_was_answered() -> None:
    assert hand_out(talking().state, CALLER, replace(NAMED, early_only=True)) == 486


def test_of_a_call_that_has_ended_nothing_is_given() -> None:
    scene = talking().inside(LegKind.TRUNK, "BYE", cseq=51)
    assert hand_out(scene.state, CALLER, NAMED) == 603


def test_what_is_given_is_a_likeness_and_looking_changes_nothing() -> None:
    scene = answer_asks(talking())
    before = dict(vars(scene.trunk_leg))
    handed = offered(scene)
    handed.leg.id, handed.leg.recorded = LegId(9), None
    assert handed.leg.dialog is not None
    handed.leg.dialog.local_seq += 5
    assert vars(scene.trunk_leg) == before
    assert scene.trunk_leg.dialog is not handed.leg.dialog


@pytest.mark.parametrize(("one", "other", "same"), [("alice", "Alice", True), ("alice", "bob", False), ("", "", False)])
def test_a_user_has_a_say_in_her_own_dialogs_only(one: str, other: str, same: bool) -> None:
    legs = [talking().browser_leg, talking().browser_leg]
    legs[0].number, legs[1].number = one, other
    assert is_same_peer(SITE, *legs) is same
    relayed = replace(SITE, registration=RegistrationRelay(trunk="pbx", address=HostPort("192.0.2.1", 5060)))
    assert not is_same_peer(relayed, *legs)  # Alice may be another one there (RFC 3261 19.1.4)
    legs[1].number = one
    assert is_same_peer(relayed, *legs) is bool(one)


def test_a_trunk_has_no_say_in_the_dialogs_of_a_user_or_of_another_trunk() -> None:
    scene, other = talking(), talking()
    scene.browser_leg.number = "pbx"
    assert not is_same_peer(SITE, scene.browser_leg, scene.trunk_leg)
    assert is_same_peer(SITE, scene.trunk_leg, other.trunk_leg)
    other.trunk_leg.trunk_id = "old"
    assert not is_same_peer(SITE, scene.trunk_leg, other.trunk_leg)


def test_a_2xx_that_is_repeated_late_is_acknowledged_by_the_call_that_asked() -> None:
    both = pair()
    invite = next(e for e in both.other.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE)
    refer(both.call)
    both.found().moved()
    both.other.clear()
    both.other.feed(both.other.answer_to(invite, 200, b"v=0\r\n"))
    assert len(both.other.take(fx.SendAck)) == 1
    assert not both.other.take(fx.SendRequest)
