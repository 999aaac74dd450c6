"""One user on several browsers: all ring, the first good answer wins, and no other one spoils it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.state import Phase
from gateway.media.relay_commands import CloseLeg, OpenLeg
from gateway.media.relay_events import LegFailed, LegOpened
from gateway.sip.message import Request
from tests.call.machine_scene import BROWSER_FLOW, CONTACT, MachineScene, answer, browser_answer, opened, trunk_flow
from tests.effort import examples

KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
PLACES = tuple(events.Place(replace(BROWSER_FLOW, id=number), CONTACT) for number in (11, 12, 13))
A, B, C = LegId(2), LegId(3), LegId(4)


def by_trunk(places: tuple[events.Place, ...] = PLACES, offer: bytes = answer("RTP/SAVP", KEY)) -> MachineScene:
    """A trunk calls a user."""
    return MachineScene(outbound=False, offer=offer, flow=trunk_flow(), places=places)


def by_browser(places: tuple[events.Place, ...] = PLACES) -> MachineScene:
    """Another user calls her."""
    return MachineScene(callee="bob", places=places)


@pytest.fixture(params=[by_trunk, by_browser], ids=["by a trunk", "by a browser"])
def make(request: pytest.FixtureRequest) -> Callable[..., MachineScene]:
    made: Callable[..., MachineScene] = request.param
    return made


@pytest.fixture
def scene(make: Callable[..., MachineScene]) -> MachineScene:
    """Three browsers ring."""
    return make().calling()


def invites(scene: MachineScene) -> dict[LegId, fx.SendRequest]:
    """The INVITE each browser got."""
    return {e.leg: e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE}


def says(scene: MachineScene, leg: LegId, status: int, body: bytes = b"") -> MachineScene:
    sent = invites(scene)[leg]
    if status == 200 and not body:
        body = browser_answer(sent.request.body)
    return scene.feed(scene.answer_to(sent, status, body, tag=f"tag-{leg}"))


def cancelled(scene: MachineScene) -> dict[LegId, str]:
    """Who was told to stop ringing, and why."""
    legs = {sent.ask: leg for leg, sent in invites(scene).items()}
    return {legs[e.ask]: dict(e.headers).get("Reason", "") for e in scene.all if isinstance(e, fx.CancelInvite)}


def byes(scene: MachineScene) -> list[Request]:
    return [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]


def finals(scene: MachineScene) -> list[int]:
    """What the caller heard in the end."""
    return [response.status for response in scene.responses if response.status >= 200]


def closed(scene: MachineScene) -> list[LegId]:
    return [command.leg for command in scene.relayed(CloseLeg)]


def test_each_browser_has_an_invite_a_place_and_names_of_its_own(scene: MachineScene) -> None:
    sent = invites(scene)
    assert {leg: e.flow.id for leg, e in sent.items()} == {A: 11, B: 12, C: 13}
    places = [command.place for command in scene.relayed(OpenLeg) if command.leg != CALLER]
    assert len(set(places)) == 3
    assert len({(e.request.call_id) for e in sent.values()}) == 3
    assert len({e.request.from_.tag for e in sent.values()}) == 3


@pytest.mark.parametrize("winner", [A, B, C])
def test_the_first_answer_wins_and_the_others_stop_ringing_and_hear_why(scene: MachineScene, winner: LegId) -> None:
    for leg in (A, B, C):
        says(scene, leg, 180)
    says(scene, winner, 200)
    losers = [leg for leg in (A, B, C) if leg != winner]
    assert cancelled(scene) == dict.fromkeys(losers, ELSEWHERE)
    assert closed(scene) == losers
    assert finals(scene) == [200]
    assert [leg.id for leg in scene.state.pair] == [CALLER, winner]
    for leg in losers:
        says(scene, leg, 487)
    assert scene.ack().state.phase is Phase.ESTABLISHED
    assert byes(scene) == []


def test_a_browser_stops_ringing_though_it_never_said_that_it_rang(scene: MachineScene) -> None:
    says(scene, B, 200)
    assert set(cancelled(scene)) == {A, C}


@pytest.mark.parametrize("status", [400, 403, 404, 408, 480, 486, 488, 491, 500, 503, 604, 606])
def test_a_browser_that_refuses_leaves_the_others_ringing(scene: MachineScene, status: int) -> None:
    says(scene, A, status)
    assert finals(scene) == []
    assert closed(scene) == [A]
    says(scene, B, 180)
    says(scene, C, 200)
    assert finals(scene) == [200]


@pytest.mark.parametrize("status", [600, 603])
def test_a_person_who_declines_ends_it_on_all_her_browsers(scene: MachineScene, status: int) -> None:
    says(scene, A, 180)
    says(scene, B, status)
    assert finals(scene) == [status]
    assert set(cancelled(scene)) == {A, C}
    assert scene.state.phase is Phase.ENDED


def unknown_codecs(offer: bytes) -> bytes:
    """An answer with payload types of one codec nobody has."""
    lines = [line for line in browser_answer(offer).split(b"\r\n") if not line.startswith((b"a=rtpmap", b"a=fmtp"))]
    kept = [b"m=audio 9 UDP/TLS/RTP/SAVPF 96" if line.startswith(b"m=audio") else line for line in lines]
    return b"\r\n".join([*kept[:-1], b"a=rtpmap:96 XYZ/8000", b""])


Failure = Callable[[MachineScene], MachineScene]
FAILURES: dict[str, Failure] = {
    "its connection drops": lambda s: s.feed(events.ConnectionClosed(A)),
    "its INVITE cannot be sent": lambda s: s.feed(events.RequestFailed(invites(s)[A].ask, transport=True)),
    "its connection drops and its INVITE fails": lambda s: s.feed(events.ConnectionClosed(A)).feed(
        events.RequestFailed(invites(s)[A].ask, transport=True)
    ),
    "it says nothing": lambda s: s.feed(events.RequestFailed(invites(s)[A].ask, transport=False)),
    "it answers without WebRTC": lambda s: says(s, A, 200, answer()),
    "it answers with garbage": lambda s: says(s, A, 200, b"v=0\r\n"),
    "it answers with no codec anybody has": lambda s: says(s, A, 200, unknown_codecs(invites(s)[A].request.body)),
    "it answers without a fingerprint": lambda s: says(
        s, A, 200, browser_answer(invites(s)[A].request.body).replace(b"a=fingerprint", b"a=x")
    ),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_browser_that_fails_leaves_the_others_ringing(scene: MachineScene, failure: Failure) -> None:
    for leg in (A, B, C):
        says(scene, leg, 180)
    failure(scene)
    assert finals(scene) == []
    assert closed(scene) == [A]
    assert scene.state.live
    says(scene, C, 200)
    assert finals(scene) == [200]
    assert cancelled(scene)[B] == ELSEWHERE
    assert [leg.id for leg in scene.state.pair] == [CALLER, C]


def test_a_browser_that_answered_badly_is_hung_up_on_with_the_reason(scene: MachineScene) -> None:
    says(scene, A, 200, answer())
    (bye,) = byes(scene)
    assert bye.to.tag == f"tag-{A}"
    assert "cause=488" in str(bye.headers.get("Reason"))
    assert scene.record("leg.violation")["leg_id"] == A


def test_a_browser_too_weak_for_the_policy_is_not_called_and_spoils_nothing(make: Callable[..., MachineScene]) -> None:
    weak = events.Place(replace(BROWSER_FLOW, id=11, transport="ws"), CONTACT)
    scene = make((weak, *PLACES[1:])).calling()
    assert set(invites(scene)) == {B, C}
    assert A not in [command.leg for command in scene.relayed(OpenLeg)]
    assert scene.record("leg.violation")["leg_id"] == A
    says(scene, C, 200)
    assert finals(scene) == [200]


def test_when_all_browsers_are_too_weak_the_caller_hears_that(make: Callable[..., MachineScene]) -> None:
    weak = tuple(events.Place(replace(BROWSER_FLOW, id=n, transport="ws"), CONTACT) for n in (11, 12))
    scene = make(weak).calling()
    assert (invites(scene), finals(scene)) == ({}, [403])
    assert scene.records.count("leg.violation") == 2


@pytest.mark.parametrize("last", [486, 480, 603])
def test_what_a_person_says_tells_more_than_that_another_browser_was_weak(
    make: Callable[..., MachineScene], last: int
) -> None:
    weak = events.Place(replace(BROWSER_FLOW, id=11, transport="ws"), CONTACT)
    scene = make((weak, *PLACES[1:])).calling()
    says(scene, B, 200, answer())
    says(scene, C, last)
    assert finals(scene) == [last]


def test_no_room_at_the_relay_for_one_browser_leaves_the_others(make: Callable[..., MachineScene]) -> None:
    scene = make().begin().locate()
    for command in scene.relayed(OpenLeg):
        scene.feed(LegFailed(B, "full") if command.leg == B else opened(command))
    assert set(invites(scene)) == {A, C}
    says(scene, A, 200)
    assert finals(scene) == [200]


def test_a_place_that_opens_after_its_browser_was_lost_calls_nobody(make: Callable[..., MachineScene]) -> None:
    scene = make().begin().locate()
    first, *others = [command for command in scene.relayed(OpenLeg) if command.leg != CALLER]
    scene.feed(events.ConnectionClosed(first.leg))
    for command in scene.relayed(OpenLeg):
        scene.feed(opened(command))
    assert set(invites(scene)) == {command.leg for command in others}
    assert closed(scene) == [first.leg]


def test_a_browser_whose_place_opens_late_rings_late_or_not_at_all(make: Callable[..., MachineScene]) -> None:
    scene = make().begin().locate()
    *early, late = scene.relayed(OpenLeg)
    for command in early:
        scene.feed(opened(command))
    assert late.leg not in invites(scene)
    says(scene, A, 200)
    scene.feed(opened(late))
    assert late.leg not in invites(scene)
    assert set(closed(scene)) == {B, C}
    assert isinstance(opened(late), LegOpened)


def test_of_two_answers_that_cross_the_second_is_acknowledged_and_hung_up_on_with_the_reason(
    scene: MachineScene,
) -> None:
    says(scene, B, 200)
    scene.clear()
    says(scene, A, 200)
    says(scene, A, 200)  # sent again, because our ACK was lost
    acks = [e.request for e in scene.take(fx.SendAck)]
    assert [ack.to.tag for ack in acks] == [f"tag-{A}", f"tag-{A}"]
    (bye,) = byes(scene)
    assert (bye.to.tag, bye.headers.get("Reason")) == (f"tag-{A}", ELSEWHERE)
    assert scene.record("leg.lost")["leg_id"] == A
    assert finals(scene) == [200]
    assert [leg.id for leg in scene.state.pair] == [CALLER, B]
    assert not [e for e in scene.take(fx.StartDtls) if e.leg == A]


@pytest.mark.parametrize("lost", [A, C])
def test_a_connection_of_a_browser_that_lost_ends_nothing_when_it_drops(scene: MachineScene, lost: LegId) -> None:
    says(scene, B, 200).ack()
    says(scene, lost, 487)
    scene.feed(events.ConnectionClosed(lost))
    assert scene.state.phase is Phase.ESTABLISHED
    scene.feed(events.ConnectionClosed(B)).feed(events.TimerFired(fx.Timer.RETURN, B))
    assert scene.state.termination is Termination.FLOW_LOST


def test_a_caller_who_gives_up_stops_all_of_them(scene: MachineScene) -> None:
    says(scene, B, 180)
    scene.feed(events.CancelIn())
    assert set(cancelled(scene)) == {A, B, C}
    assert all("200" not in why for why in cancelled(scene).values())
    assert finals(scene) == [487]
    says(scene, C, 200)  # it crossed the CANCEL
    (bye,) = byes(scene)
    assert bye.headers.get("Reason") is None


def test_nobody_who_answers_in_time_stops_all_of_them(scene: MachineScene) -> None:
    says(scene, A, 486)
    scene.feed(scene.fires(Timer.RING))
    assert set(cancelled(scene)) == {B, C}
    assert scene.state.termination is Termination.RING_TIMEOUT


def test_when_the_last_one_refuses_the_caller_hears_the_best_of_the_reasons(scene: MachineScene) -> None:
    says(scene, A, 500)
    says(scene, B, 486)
    assert finals(scene) == []
    says(scene, C, 503)
    assert finals(scene) == [486]


def test_all_browsers_gone_is_a_user_who_is_not_there(scene: MachineScene) -> None:
    for leg in (A, B, C):
        scene.feed(events.ConnectionClosed(leg))
    assert finals(scene) == [480]


def test_records_of_losers_and_winner_name_their_legs_and_there_is_one_end(scene: MachineScene) -> None:
    says(scene, A, 200, answer())
    says(scene, C, 200).ack()
    scene.feed(events.DtlsConnected(C, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    scene.feed(events.Lost(Termination.SHUTDOWN))
    legs = [(e.record["type"], e.record.get("leg_id")) for e in scene.all if isinstance(e, fx.WriteAudit)]
    assert ("leg.violation", A) in legs
    assert ("leg.secured", C) in legs
    assert not any(leg == B for _, leg in legs)
    assert sum(isinstance(e, fx.Finished) for e in scene.all) == 1


class ThreeBrowsers:
    """Plays three browsers as the SIP stack promises: one failure ends an INVITE, a 2xx may come again."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene = scene
        self.over: set[LegId] = set()
        self.answered: set[LegId] = set()
        self.left: set[LegId] = set()

    def open(self, leg: LegId) -> None:
        for command in self.scene.relayed(OpenLeg):
            if command.leg in (leg, CALLER) and not self.scene.state.legs[command.leg].is_open:
                self.scene.feed(opened(command))

    def says(self, leg: LegId, what: str) -> None:
        if leg not in invites(self.scene) or leg in self.over | self.left:
            return
        if what in ("good", "bad"):
            self.answered.add(leg)
            says(self.scene, leg, 200, answer() if what == "bad" else b"")
        elif leg not in self.answered:
            if int(what) >= 300:
                self.over.add(leg)
            says(self.scene, leg, int(what))

    def closes(self, leg: LegId) -> None:
        """Its connection is gone, and with it any INVITE that has no answer."""
        if leg in self.left or leg not in self.scene.state.legs:
            return
        self.left.add(leg)
        self.scene.feed(events.ConnectionClosed(leg))
        self.fails(leg, transport=True)

    def fails(self, leg: LegId, *, transport: bool) -> None:
        sent = invites(self.scene).get(leg)
        if sent is not None and leg not in self.over | self.answered:
            self.over.add(leg)
            self.scene.feed(events.RequestFailed(sent.ask, transport))

    def play(self, step: tuple[LegId, str]) -> None:
        leg, what = step
        match what:
            case "opens":
                self.open(leg)
            case "closes":
                self.closes(leg)
            case "times out":
                self.fails(leg, transport=False)
            case "caller gives up":
                if not finals(self.scene):
                    self.scene.feed(events.CancelIn())
            case "rings out":
                self.scene.feed(events.TimerFired(Timer.RING, CALLER))
            case _:
                self.says(leg, what)

    def end(self) -> None:
        """The caller acknowledges and hangs up; whoever was cancelled says so; goodbyes are answered."""
        scene = self.scene
        if not finals(scene):
            scene.feed(events.CancelIn())
        if finals(scene)[0] == 200:
            scene.ack()
        scene.feed(events.Lost(Termination.SHUTDOWN))
        for leg in invites(scene):
            if leg not in self.over | self.answered | self.left:
                self.says(leg, "487")
        for sent in [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]:
            scene.feed(scene.answer_to(sent, 200))


LEGS = st.sampled_from([A, B, C])
OFTEN = ["opens", "opens", "opens", "180", "good", "good", "bad", "closes", "603"]
WHAT = st.sampled_from([*OFTEN, "486", "480", "488", "500", "times out", "caller gives up", "rings out"])


@settings(max_examples=examples(300), deadline=None)
@given(by=st.sampled_from([by_trunk, by_browser]), steps=st.lists(st.tuples(LEGS, WHAT), max_size=14))
def test_whatever_three_browsers_do_one_is_the_call_at_most_and_nothing_is_left_of_the_others(
    by: Callable[..., MachineScene], steps: list[tuple[LegId, str]]
) -> None:
    scene = by().begin().locate()
    player = ThreeBrowsers(scene)
    for step in steps:
        player.play(step)
        state = scene.state
        won = [leg for leg in (A, B, C) if state.legs[leg].dialog is not None]
        assert len(won) <= 1
        open_ = {command.leg for command in scene.relayed(OpenLeg)} - set(closed(scene)) - {CALLER}
        if state.live and won:
            assert open_ == set(won), "no place is left of a browser that lost"
        elif state.live:
            assert open_ <= set(state.hunt.ringing)
    player.end()
    assert len(finals(scene)) == 1
    assert sum(isinstance(e, fx.Finished) for e in scene.all) == 1
    for leg in player.answered:
        ended = [bye for bye in byes(scene) if bye.to.tag == f"tag-{leg}"]
        assert len(ended) == 1, "each dialog that was made is ended once"
    for leg in invites(scene):
        settled = leg in player.over | player.answered | player.left
        assert settled, "each INVITE is answered or cancelled"
    assert not scene.state.asks
