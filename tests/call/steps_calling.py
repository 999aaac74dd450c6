"""Random calls, the first half of their steps: somebody is looked for, rings, answers, refuses or cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.profiles import Profile
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.legs.invite_state import Caller
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from gateway.media.relay_commands import OpenLeg
from gateway.policy.model import ProfileRules
from tests.call.machine_scene import MachineScene, answer, opened, vector
from tests.call.peers import SITE, Peers
from tests.call.test_machine import BROWSER_BODIES, TRUNK_BODIES
from tests.call.watch_legs import LegsWatcher
from tests.sites import made_trunk

T = TypeVar("T")
KEYED_OFFER = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)
RARELY = st.integers(0, 11).map(lambda number: number == 11)
TAGS = st.sampled_from(["callee", "callee", "fork-b", "fork-c"])
WHICH = st.integers(0, 99)
"""Chooses one of those there are."""
REFUSALS = st.sampled_from([302, 404, 408, 415, 480, 481, 486, 487, 488, 500, 503, 600, 603, 606])
IN_DIALOG = st.sampled_from([100, 200, 200, 200, 405, 408, 481, 491, 500, 501])
VITAL = (fx.Timer.RING, fx.Timer.KEYED, fx.Timer.LINGER)
"""Clocks that end things."""


class Calling(RuleBasedStateMachine):
    """A call up to its answer, with whatever its peers may do meanwhile."""

    policies: ClassVar[st.SearchStrategy[ProfileRules | None]] = st.none()
    """Rules of the call in place of those of its profile."""
    played: ClassVar[int] = 0
    """Events fed to all calls so far."""

    @initialize(
        profile=st.sampled_from([Profile.STRICT, Profile.STRICT, *Profile]),
        outbound=st.booleans(),
        emergency=st.sampled_from([False] * 5 + [True]),
        late=st.sampled_from([False, False, False, True]),
        others=st.integers(0, 2),
        weak=st.lists(RARELY, max_size=4),
        stage=st.sampled_from(["new", "ringing", *["talking"] * 4]),
        extension=st.sampled_from(["", "", "Supported", "Require"]),
        beyond=st.sampled_from([False, False, True]),
        timer=st.sampled_from(["", "1800", "1800;refresher=uac", "90;refresher=uas"]),
        delayed=st.sampled_from([False, False, False, True]),
        data=st.data(),
    )
    def begin(
        self,
        profile: Profile,
        outbound: bool,
        emergency: bool,
        late: bool,
        others: int,
        weak: list[bool],
        stage: str,
        extension: str,
        beyond: bool,
        timer: str,
        delayed: bool,
        data: st.DataObject,
    ) -> None:
        offer = b"" if late else vector("chromium_offer") if outbound else KEYED_OFFER
        more = tuple(made_trunk("sip:o.example", name=f"o{n}", security=profile.value) for n in range(others))
        self.scene = MachineScene(
            profile=profile,
            rules=data.draw(self.policies),
            outbound=outbound,
            emergency=emergency and outbound,
            offer=offer,
            others=more if outbound else (),
        )
        object.__setattr__(self.scene.state.context.make, "site", SITE)
        self.timers = {"callee": timer, "fork-b": "1800"}
        """What answering phones say of a session timer."""
        caller = self.scene.state.caller
        if extension and not outbound and caller.invite is not None:
            caller.invite = caller.invite.with_added(((extension, "100rel"),))
        self.scene.configure(delayed_offer=delayed)
        if beyond and not outbound:  # it calls somebody behind another trunk, who has early media
            self.scene.state.hunt.targets = [self.scene.target]
        self.peers, self.watch = Peers(self.scene), LegsWatcher(self.scene)
        self.weak = weak
        self.keys: list[tuple[LegId, str]] = []
        """INVITEs of peers in a dialog that got a 2xx without an ACK so far."""
        self._step(None, self.scene.call.open(self.scene.now) + self.scene.call.begin(self.scene.now))
        if stage != "new":
            self._ring(weak or [False])
        if stage == "talking":
            self._talk()

    def _ring(self, weak: list[bool]) -> None:
        for asked in self.peers.connecting():
            self.feed(self.peers.connected(asked))
        if self.peers.looked_for():
            self.feed(self.peers.found(*weak))
        self.the_relay_opens_all()

    def _talk(self) -> None:
        for sent in self.peers.asked(Purpose.INVITE)[-1:]:
            self._answers_well(sent, "callee")
        if self.watch.finals["invite-key"] and self.scene.state.live:
            self.caller_acknowledges(good=True)
        for leg in self.scene.state.pair:
            if leg.kind is LegKind.BROWSER:
                self.feed(events.DtlsConnected(leg.id, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))

    def _step(self, event: events.Event | None, effects: list[fx.Effect]) -> None:
        type(self).played += 1
        self.scene.all.extend(effects)
        self.watch.see(event, effects)

    def feed(self, event: events.Event | None) -> None:
        if event is not None:
            self._step(event, self.scene.call.handle(event, self.scene.now))

    def _one(self, found: list[T], which: int, what: Callable[[T], None]) -> None:
        """Do something with one of those there are."""
        if found:
            what(found[which % len(found)])

    # Finding and calling somebody.

    @precondition(lambda self: self.peers.connecting())
    @rule(which=WHICH, how=st.sampled_from(["verified"] * 4 + ["unverified", "refused", "certificate"]))
    def a_trunk_connects_or_does_not(self, which: int, how: str) -> None:
        asked = self.peers.connecting()[which % len(self.peers.connecting())]
        if how in ("verified", "unverified"):
            self.feed(self.peers.connected(asked, verified=how == "verified"))
        else:
            self.feed(self.peers.unreachable(asked, "expired" if how == "certificate" else ""))

    @precondition(lambda self: self.peers.looked_for())
    @rule(weak=st.lists(RARELY, max_size=4))
    def the_user_is_found_where_she_is_signed_in(self, weak: list[bool]) -> None:
        self.feed(self.peers.found(*weak))

    @precondition(lambda self: self.peers.unopened())
    @rule()
    def the_relay_opens_all(self) -> None:
        for command in self.peers.unopened():
            self.feed(opened(command))

    @precondition(lambda self: self.peers.unopened())
    @rule(which=WHICH, full=RARELY)
    def the_relay_opens_one_or_has_no_room(self, which: int, full: bool) -> None:
        def tell(command: OpenLeg) -> None:
            self.feed(relay.LegFailed(command.leg, "no_port") if full else opened(command))

        self._one(self.peers.unopened(), which, tell)

    @rule(which=WHICH)
    def somebody_who_may_answers_well(self, which: int) -> None:
        self._ring([False])
        self._one(self.peers.asked(Purpose.INVITE), which, lambda sent: self._answers_well(sent, "callee"))

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(
        which=WHICH,
        status=st.sampled_from([100, 180, 180, 183, 183, 199]),
        tag=TAGS,
        body=st.booleans(),
        rseq=st.sampled_from([0, 0, 1, 1, 2, 3]),
    )
    def a_phone_rings(self, which: int, status: int, tag: str, body: bool, rseq: int) -> None:
        def ring(sent: fx.SendRequest) -> None:
            described = self.peers.good_answer(sent.leg, sent.request.body) if body and status == 183 else b""
            event = self.peers.response(sent, status, described, tag)
            if rseq and isinstance(event, events.ResponseIn):
                marked = event.response.with_added((("Require", "100rel"), ("RSeq", str(rseq))))
                event = replace(event, response=marked)
            self.feed(event)

        self._one(self.peers.asked(Purpose.INVITE), which, ring)

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, tag=TAGS)
    def a_phone_answers_well(self, which: int, tag: str) -> None:
        self._one(self.peers.asked(Purpose.INVITE), which, lambda sent: self._answers_well(sent, tag))

    def _answers_well(self, sent: fx.SendRequest, tag: str) -> None:
        event = self.peers.response(sent, 200, self.peers.good_answer(sent.leg, sent.request.body), tag)
        timer = self.timers.get(tag, "")
        if timer and isinstance(event, events.ResponseIn):
            named = (("Session-Expires", timer), ("Allow", "INVITE, UPDATE" if len(timer) > 4 else "INVITE"))
            event = replace(event, response=event.response.with_added(named))
        self.feed(event)

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, tag=TAGS, data=st.data())
    def a_phone_answers_anything(self, which: int, tag: str, data: st.DataObject) -> None:
        def say(sent: fx.SendRequest) -> None:
            self.feed(self.peers.response(sent, 200, self._any_body(data, sent.leg), tag))

        self._one(self.peers.asked(Purpose.INVITE), which, say)

    def _any_body(self, data: st.DataObject, leg: LegId) -> bytes:
        bodies = BROWSER_BODIES if self.scene.kind(leg) is LegKind.BROWSER else TRUNK_BODIES
        return bodies[data.draw(st.sampled_from(sorted(bodies)))]

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, tag=TAGS, really=RARELY)
    def a_phone_answers_what_cannot_be_read(self, which: int, tag: str, really: bool) -> None:
        def say(sent: fx.SendRequest) -> None:
            event = self.peers.response(sent, 200, self.peers.good_answer(sent.leg, sent.request.body), tag)
            if isinstance(event, events.ResponseIn):
                self.feed(replace(event, response=replace(event.response, unreadable="Bad Contact")))

        if really:
            self._one(self.peers.asked(Purpose.INVITE), which, say)

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, status=REFUSALS, tag=TAGS)
    def a_phone_refuses(self, which: int, status: int, tag: str) -> None:
        self._one(
            self.peers.asked(Purpose.INVITE), which, lambda sent: self.feed(self.peers.response(sent, status, b"", tag))
        )

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, port=st.sampled_from([5061, 5061, 5062, 5063]), reached=st.sampled_from([True, True, False]))
    def a_trunk_sends_the_call_on(self, which: int, port: int, reached: bool) -> None:
        def send_on(sent: fx.SendRequest) -> None:
            event = self.peers.response(sent, 302)
            if isinstance(event, events.ResponseIn):
                number = self.scene.state.legs[sent.leg].number
                contact = f"<sip:{number}@127.0.0.2:{port}>"
                self.feed(replace(event, response=event.response.with_header("Contact", contact)))
            wanted = [e for e in self.scene.all if isinstance(e, fx.ReachTrunk) and e.leg == sent.leg]
            for one in wanted[-1:]:
                there = replace(one.flow, id=one.flow.id + 100, remote=one.place)
                self.feed(events.TrunkReached(one.leg, one.place, there if reached else None))

        self._one(self.peers.asked(Purpose.INVITE), which, send_on)

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, transport=st.booleans(), really=RARELY)
    def a_phone_cannot_be_called(self, which: int, transport: bool, really: bool) -> None:
        if really:
            self._one(
                self.peers.asked(Purpose.INVITE),
                which,
                lambda sent: self.feed(self.peers.failure(sent, transport=transport)),
            )

    @rule(which=WHICH, really=RARELY)
    def a_connection_closes(self, which: int, really: bool) -> None:
        legs = [leg.id for leg in self.scene.state.legs.values() if leg not in self.scene.state.pair or really]
        self._one(legs, which, lambda leg: self.feed(events.ConnectionClosed(leg)))

    @rule(which=WHICH)
    def a_trunk_is_silent(self, which: int) -> None:
        probes = [e.leg for e in self.scene.all if isinstance(e, fx.ProbeTrunk)]
        self._one(probes, which, lambda leg: self.feed(events.TrunkSilent(leg)))

    # The caller.

    @precondition(lambda self: self.scene.state.caller.invitation.is_confirmed)
    @rule(good=st.sampled_from([True, True, False]))
    def caller_acknowledges(self, good: bool) -> None:
        ours = self.peers.our_body("invite-key")
        wanted = self._waits_for_an_answer(CALLER, "invite-key") and good
        self.feed(self.peers.ack("invite-key", self.peers.good_answer(CALLER, ours) if wanted else b""))

    def _waits_for_an_answer(self, leg: LegId, key: str) -> bool:
        talk = self.scene.state.legs[leg].talk
        return talk.is_carried_by(key) and talk.ours_is_open is not None

    @precondition(lambda self: self.scene.state.caller.provisionals.rseq)
    @rule(right=st.sampled_from([True, True, True, False]), body=st.sampled_from([b"", b"", answer()]))
    def caller_acknowledges_its_ringing(self, right: bool, body: bytes) -> None:
        rseq = self.scene.state.caller.provisionals.rseq
        rack = f"{rseq if right else rseq + 1} 1 INVITE"
        self.feed(self.peers.inside(CALLER, "PRACK", body, extra=(("RAck", rack),)))

    @rule(really=RARELY)
    def caller_cancels(self, really: bool) -> None:
        if really and not self.scene.state.caller.invitation.is_confirmed:
            self.feed(events.CancelIn())

    @rule(transport=st.booleans(), really=RARELY)
    def an_ack_is_missing(self, transport: bool, really: bool) -> None:
        caller = self.scene.state.caller
        if (
            really
            and caller.invitation.state is not Caller.ACKNOWLEDGED
            and (transport or caller.invitation.is_confirmed)
        ):
            self.feed(events.AckMissing("invite-key", transport))
