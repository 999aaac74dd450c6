"""100rel on the side of a trunk: PRACK for its 18x, and ours to it until PRACK comes (RFC 3262). No browser sees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.legs.provisionals import MAX_WAITING
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.state import Phase
from gateway.media.relay_commands import Route, SetPeer
from gateway.sip.message import Request, Response
from tests.call.machine_scene import MachineScene, answer, request, trunk_flow
from tests.call.office import Office
from tests.call.office import invite as office_invite

LEGACY = Profile.LEGACY


# Theirs to us.


def calling() -> MachineScene:
    return MachineScene(profile=LEGACY).calling()


def rings(
    scene: MachineScene, rseq: object, status: int = 180, body: bytes = b"", *, tag: str = "callee"
) -> MachineScene:
    """The trunk rings, reliably."""
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE][-1]
    event = scene.answer_to(sent, status, body, tag=tag)
    assert isinstance(event, events.ResponseIn)
    marked = event.response.with_added((("Require", "100rel"), ("RSeq", str(rseq))))
    return scene.feed(replace(event, response=marked))


def pracks(scene: MachineScene) -> list[tuple[str, str]]:
    """RAck and To tag of each PRACK of ours."""
    sent = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.PRACK]
    assert all(r.method == "PRACK" and not r.body for r in sent)
    return [(r.headers.get("RAck") or "", r.to.tag or "") for r in sent]


def told(scene: MachineScene) -> list[int]:
    """What the caller's INVITE was answered, retransmissions included."""
    return [e.response.status for e in scene.all if isinstance(e, fx.Respond) and e.key == "invite-key"]


def test_a_trunk_is_told_that_its_ringing_may_be_reliable_unless_it_is_configured_not_to() -> None:
    assert "100rel" in calling().invite.tokens("Supported")
    assert "Require" not in calling().invite.headers
    off = MachineScene(profile=LEGACY).configure(reliable_provisional=False).calling()
    assert "100rel" not in off.invite.tokens("Supported")


def test_each_reliable_18x_is_acknowledged_in_its_early_dialog() -> None:
    scene = rings(rings(calling(), 41), 42, 183, answer())
    assert pracks(scene) == [("41 1 INVITE", "callee"), ("42 1 INVITE", "callee")]
    first, second = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.PRACK]
    assert (first.cseq.number, second.cseq.number) == (2, 3)
    assert first.uri == "sip:callee@127.0.0.2:5061"
    assert told(scene) == [180, 183]


def test_a_repeated_18x_is_neither_acknowledged_nor_told_again() -> None:
    scene = rings(rings(rings(calling(), 41), 41), 41)
    assert pracks(scene) == [("41 1 INVITE", "callee")]
    assert told(scene) == [180]


@pytest.mark.parametrize("rseq", [43, 40, 1, 2**32 - 1])
def test_an_18x_out_of_order_is_left_for_its_repetition(rseq: int) -> None:
    scene = rings(rings(calling(), 41), rseq, 183, answer())
    assert pracks(scene) == [("41 1 INVITE", "callee")]
    assert told(scene) == [180], "nothing of it was used"
    rings(rings(scene, 42), 43, 183, answer())
    assert [rack for rack, _ in pracks(scene)] == ["41 1 INVITE", "42 1 INVITE", "43 1 INVITE"]
    assert told(scene) == [180, 180, 183]


def test_each_early_dialog_of_a_fork_counts_for_itself() -> None:
    scene = rings(rings(rings(calling(), 41, tag="one"), 900, tag="two"), 42, tag="one")
    assert pracks(scene) == [("41 1 INVITE", "one"), ("900 1 INVITE", "two"), ("42 1 INVITE", "one")]


@pytest.mark.parametrize("rseq", ["x", 0, 2**32])
def test_an_18x_whose_number_is_none_is_an_ordinary_one(rseq: object) -> None:
    scene = rings(calling(), rseq)
    assert pracks(scene) == []
    assert told(scene) == [180]


def test_forks_beyond_those_that_are_kept_get_no_prack_and_are_not_followed() -> None:
    scene = calling()
    for number in range(40):
        rings(scene, 41, tag=f"phone-{number}")
    assert len(pracks(scene)) == 16


@pytest.mark.parametrize("outcome", [200, 481, 500, None])
def test_whatever_comes_of_the_prack_the_call_goes_on(outcome: int | None) -> None:
    scene = rings(calling(), 41, 183, answer())
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.PRACK][-1]
    event = events.RequestFailed(sent.ask, False) if outcome is None else scene.answer_to(sent, outcome)
    scene.feed(event).reply(200)
    assert scene.state.live
    assert told(scene)[-1] == 200


def test_a_fork_that_rang_reliably_and_answers_late_is_acknowledged_and_hung_up_on_once() -> None:
    """Our PRACK has counted its dialog's CSeq up; that is no BYE."""
    scene = rings(rings(calling(), 41, tag="one"), 51, tag="two").reply(200, answer(), tag="one")
    scene.clear().reply(200, answer(), tag="two").reply(200, answer(), tag="two")
    assert [e.request.to.tag for e in scene.take(fx.SendAck)] == ["two", "two"]
    assert [e.request.to.tag for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE] == ["two"]


def test_the_invite_of_a_retry_begins_a_count_of_its_own() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    rings(scene, 41)
    scene.reply(488)
    assert scene.invite.cseq.number > 1
    rings(scene, 7)
    assert pracks(scene)[-1] == (f"7 {scene.invite.cseq.number} INVITE", "callee")


def test_no_browser_is_offered_100rel() -> None:
    scene = MachineScene(profile=LEGACY, outbound=False, offer=answer()).calling()
    assert "100rel" not in bytes(scene.invite).decode()


# Ours to them.


def asked(*fields: tuple[str, str], offer: bytes | None = None) -> MachineScene:
    """A trunk calls a phone behind another trunk, which has early media; its INVITE has these header fields."""
    scene = MachineScene(profile=LEGACY, outbound=False, offer=answer() if offer is None else offer)
    scene.state.hunt.targets = [scene.target]
    caller = scene.state.caller
    assert caller.invite is not None
    caller.invite = caller.invite.with_added(fields)
    scene.begin().connect().open_media()
    return scene


REQUIRED, SUPPORTED = ("Require", "100rel"), ("Supported", "100rel")


def ours(scene: MachineScene) -> list[Response]:
    return [e.response for e in scene.all if isinstance(e, fx.Respond) and e.key == "invite-key"]


def prack(scene: MachineScene, response: Response, body: bytes = b"", *, cseq: int = 50, rack: str = "") -> int:
    """The caller acknowledges; gives what it is answered."""
    scene.inside(
        LegKind.TRUNK, "PRACK", body, cseq=cseq, extra=(("RAck", rack or f"{response.headers.get('RSeq')} 1 INVITE"),)
    )
    return [e.response.status for e in scene.all if isinstance(e, fx.Respond) and e.key == f"trunk-{cseq}"][-1]


def is_reliable(response: Response) -> bool:
    return "100rel" in response.tokens("Require") and response.headers.get("RSeq") is not None


def test_a_caller_that_requires_it_gets_each_18x_reliably() -> None:
    scene = asked(REQUIRED).reply(180)
    assert [(r.status, is_reliable(r)) for r in ours(scene)] == [(180, True)]


def test_a_caller_that_supports_it_gets_ringing_as_it_is_and_a_description_reliably() -> None:
    scene = asked(SUPPORTED).reply(180).reply(183, answer())
    assert [(r.status, is_reliable(r)) for r in ours(scene)] == [(180, False), (183, True)]
    assert ours(scene)[1].body


def test_a_trunk_that_calls_is_on_record_and_known_to_the_relay_before_it_hears_early_media() -> None:
    scene = asked(SUPPORTED).clear().reply(183, answer())
    kinds = [e for e in scene.done if isinstance(e, fx.WriteAudit | SetPeer | Route | fx.Respond)]
    caller = scene.state.caller.id
    recorded = next(n for n, e in enumerate(kinds) if isinstance(e, fx.WriteAudit) and e.record["leg_id"] == caller)
    placed = next(n for n, e in enumerate(kinds) if isinstance(e, SetPeer) and e.leg == caller)
    routed = next(n for n, e in enumerate(kinds) if isinstance(e, Route))
    assert recorded < placed < routed < len(kinds) - 1
    assert scene.reply(200, answer()).records.count("leg.secured") + scene.records.count("leg.downgraded") == 2


def test_a_caller_that_does_not_say_so_gets_nothing_reliably() -> None:
    scene = asked().reply(180).reply(183, answer()).reply(200, answer())
    assert not any(is_reliable(r) for r in ours(scene))
    assert told(scene) == [180, 183, 200]


def test_a_trunk_that_is_configured_without_gets_nothing_reliably() -> None:
    scene = MachineScene(profile=LEGACY, outbound=False, offer=answer()).configure(reliable_provisional=False)
    scene.state.caller.reliable_provisional = False
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added((SUPPORTED,))
    scene.state.hunt.targets = [scene.target]
    scene.begin().connect().open_media().reply(183, answer())
    assert not any(is_reliable(r) for r in ours(scene))


def test_it_is_repeated_with_doubled_pauses_until_its_prack_comes() -> None:
    scene = asked(REQUIRED).reply(180)
    pauses = []
    for _ in range(4):
        timer = [e for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.PRACK][-1]
        pauses.append(timer.seconds)
        scene.now += timer.seconds
        scene.feed(scene.fires(Timer.PRACK))
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert len({bytes(r) for r in ours(scene)}) == 1, "the very same response"
    assert len(ours(scene)) == 5
    assert prack(scene, ours(scene)[0]) == 200
    assert scene.take(fx.ClearTimer)[-1] == fx.ClearTimer(Timer.PRACK, scene.state.caller.id)
    scene.clear().feed(scene.fires(Timer.PRACK))
    assert scene.effects == [], "a clock that crossed the PRACK says nothing"


def test_without_a_prack_for_64_t1_the_invite_is_refused_and_the_callee_called_off() -> None:
    scene = asked(REQUIRED).reply(180)
    begun = scene.now
    while scene.state.live:
        scene.now += [e for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.PRACK][-1].seconds
        scene.feed(scene.fires(Timer.PRACK))
    assert scene.now - begun == pytest.approx(32.0)
    assert told(scene) == [180] * 7 + [504]
    assert scene.state.termination is Termination.PRACK_MISSING
    assert len(scene.take(fx.CancelInvite)) == 1


@pytest.mark.parametrize("rack", ["1 1 INVITE", "{} 2 INVITE", "{} 1 UPDATE", "{} 1 invite"])
def test_a_prack_for_something_else_is_481_and_changes_nothing(rack: str) -> None:
    scene = asked(REQUIRED).reply(180)
    assert prack(scene, ours(scene)[0], rack=rack.format(ours(scene)[0].headers.get("RSeq"))) == 481
    assert scene.state.caller.provisionals.sent is not None
    assert prack(scene, ours(scene)[0], cseq=51) == 200


def test_a_second_prack_for_the_same_response_is_481() -> None:
    scene = asked(REQUIRED).reply(180)
    assert prack(scene, ours(scene)[0]) == 200
    assert prack(scene, ours(scene)[0], cseq=51) == 481


def test_a_prack_without_rack_is_400() -> None:
    scene = asked(REQUIRED).reply(180)
    scene.inside(LegKind.TRUNK, "PRACK", cseq=50)
    assert scene.responses[-1].status == 400
    assert scene.state.caller.provisionals.sent is not None


def test_the_next_18x_waits_for_the_prack_of_the_one_before_and_counts_on() -> None:
    scene = asked(REQUIRED).reply(180).reply(183, answer())
    assert told(scene) == [180]
    prack(scene, ours(scene)[0])
    assert told(scene) == [180, 183]
    first, second = (int(r.headers.get("RSeq") or 0) for r in ours(scene))
    assert second == first + 1


def test_a_callee_cannot_make_us_keep_any_number_of_18x() -> None:
    scene = asked(REQUIRED)
    for _ in range(30):
        scene.reply(180)
    assert len(scene.state.caller.provisionals.waiting) == MAX_WAITING


def test_no_2xx_leaves_while_a_description_is_unacknowledged() -> None:
    scene = asked(SUPPORTED).reply(183, answer()).reply(200, answer())
    assert told(scene) == [183]
    assert scene.state.answered_at is None
    assert len(scene.take(fx.SendAck)) == 1, "the callee has its ACK"
    assert prack(scene, ours(scene)[0]) == 200
    assert told(scene) == [183, 200]
    assert ours(scene)[0].body == ours(scene)[1].body, "that same exact answer (RFC 3261 13.2.1)"
    scene.ack()
    assert scene.state.phase is Phase.ESTABLISHED


def test_no_2xx_overtakes_a_description_that_still_waits() -> None:
    scene = asked(REQUIRED).reply(180).reply(183, answer()).reply(200, answer())
    assert told(scene) == [180]
    prack(scene, ours(scene)[0])
    assert told(scene) == [180, 183]
    prack(scene, ours(scene)[1], cseq=51)
    assert told(scene) == [180, 183, 200]


def test_a_2xx_overtakes_ringing_and_its_prack_is_answered_after_that() -> None:
    scene = asked(REQUIRED).reply(180).reply(200, answer())
    assert told(scene) == [180, 200]
    assert fx.ClearTimer(Timer.PRACK, scene.state.caller.id) in scene.effects
    assert prack(scene, ours(scene)[0]) == 200
    assert told(scene) == [180, 200]


@pytest.mark.parametrize("what", ["cancel", "bye", "no prack", "connection"])
def test_a_caller_that_leaves_while_the_2xx_waits_ends_the_answered_call_once(what: str) -> None:
    scene = asked(SUPPORTED).reply(183, answer()).reply(200, answer())
    match what:
        case "cancel":
            scene.feed(events.CancelIn())
        case "bye":
            scene.inside(LegKind.TRUNK, "BYE", cseq=60)
        case "connection":
            scene.feed(events.AckMissing("invite-key", transport=True))
        case _:
            scene.now += 40
            scene.feed(scene.fires(Timer.PRACK))
    expected = {"no prack": 504, "connection": 503}.get(what, 487)
    assert told(scene) == [183, expected]
    assert scene.records.count("call.final") <= 1
    assert [e.purpose for e in scene.take(fx.SendRequest)][-1] is Purpose.BYE
    assert scene.order(fx.Finished) == ["Finished"]
    assert prack(scene, ours(scene)[0], cseq=70) == 200, "it is answered all the same"
    assert told(scene)[-1] == expected


def test_a_callee_that_hangs_up_while_the_2xx_waits_leaves_the_caller_a_480() -> None:
    scene = asked(SUPPORTED).reply(183, answer()).reply(200, answer())
    callee = scene.state.callee
    assert callee is not None
    bye = request("BYE", cseq=60, to_tag=callee.local_tag).with_header("Call-ID", callee.call_id)
    bye = bye.with_header("From", "<sip:callee@127.0.0.2>;tag=callee")
    scene.feed(events.RequestIn(callee.id, "callee-bye", bye, callee.flow))
    assert told(scene) == [183, 480]


def test_an_invite_without_offer_that_requires_it_hears_no_ringing_and_gets_our_offer_in_the_200() -> None:
    scene = asked(REQUIRED, offer=b"").reply(180).reply(183, answer()).reply(200, answer())
    assert told(scene) == [200]
    assert ours(scene)[0].body


def test_an_invite_without_offer_that_only_can_rings_as_ever() -> None:
    scene = asked(SUPPORTED, offer=b"").reply(180).reply(200, answer())
    assert [(r.status, is_reliable(r)) for r in ours(scene)] == [(180, False), (200, False)]


def test_a_browser_that_supports_it_gets_nothing_reliably() -> None:
    scene = MachineScene(profile=LEGACY)
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added((SUPPORTED,))
    scene.calling().reply(180).reply(183, answer())
    assert not any(is_reliable(r) for r in ours(scene))


# Who may require it.


def requiring(message: Request) -> Request:
    return message.with_added((REQUIRED,))


def test_a_browser_that_requires_it_gets_420(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.request(requiring(office_invite()))
    (answered,) = [response for _, response in office.sip.answers]
    assert (answered.status, answered.headers.get("Unsupported")) == (420, "100rel")


def test_a_trunk_may_require_it_where_it_is_configured_so(tmp_path: Path) -> None:
    statuses = []
    for trunk in ("pbx", "old"):
        office = Office(tmp_path / trunk)
        sites = office.services.sites
        quiet = replace(sites.current.trunks["old"], reliable_provisional=False)
        sites.current = replace(sites.current, trunks={**sites.current.trunks, "old": quiet})
        flow = replace(trunk_flow("udp"), trunk=trunk)
        asked = requiring(office_invite("100")).with_header("From", "<sip:4711@pbx.example>;tag=far")
        options = replace(asked.with_header("CSeq", "1 OPTIONS"), method="OPTIONS")
        office.request(options, flow=flow)
        statuses.append([response.status for _, response in office.sip.answers])
    assert statuses == [[200], [420]]
