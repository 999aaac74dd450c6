"""The call machine while legs come and go: forks, several browsers, transfers, one after the other and on bad days.

Hypothesis plays everybody (`peers`), a watcher looks at each step (`watch_legs`). `make test` plays a short form;
`make fuzz` plays `STEPS`, and says how many it has played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, TypeVar

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call import effects as fx
from gateway.call import events
from gateway.call.effects import Purpose
from gateway.call.handed import hand_out
from gateway.call.invite_state import Caller
from gateway.media import relay_events as relay
from gateway.media.relay_commands import OpenLeg
from tests.call.machine_scene import MachineScene, answer, opened, vector
from tests.call.peers import NUMBERS, SITE, Peers
from tests.call.test_attended import NAMED, answer_asks
from tests.call.test_machine import BROWSER_BODIES, TRUNK_BODIES
from tests.call.test_transfer import talking
from tests.call.watch_legs import LegsWatcher
from tests.effort import SEARCHING, examples
from tests.sites import made_trunk

STEPS = 100_000
"""Events that `make fuzz` feeds to calls."""
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


class LegsMachine(RuleBasedStateMachine):
    """One call; see the module."""

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
    )
    def begin(
        self, profile: Profile, outbound: bool, emergency: bool, late: bool, others: int, weak: list[bool], stage: str
    ) -> None:
        offer = b"" if late else vector("chromium_offer") if outbound else KEYED_OFFER
        more = tuple(made_trunk("sip:o.example", name=f"o{n}", security=profile.value) for n in range(others))
        self.scene = MachineScene(
            profile=profile,
            outbound=outbound,
            emergency=emergency and outbound,
            offer=offer,
            others=more if outbound else (),
        )
        object.__setattr__(self.scene.state.context.make, "site", SITE)
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
    @rule(which=WHICH, status=st.sampled_from([100, 180, 180, 183, 199]), tag=TAGS, body=st.booleans())
    def a_phone_rings(self, which: int, status: int, tag: str, body: bool) -> None:
        def ring(sent: fx.SendRequest) -> None:
            described = self.peers.good_answer(sent.leg, sent.request.body) if body and status == 183 else b""
            self.feed(self.peers.response(sent, status, described, tag))

        self._one(self.peers.asked(Purpose.INVITE), which, ring)

    @precondition(lambda self: self.peers.asked(Purpose.INVITE))
    @rule(which=WHICH, tag=TAGS)
    def a_phone_answers_well(self, which: int, tag: str) -> None:
        self._one(self.peers.asked(Purpose.INVITE), which, lambda sent: self._answers_well(sent, tag))

    def _answers_well(self, sent: fx.SendRequest, tag: str) -> None:
        self.feed(self.peers.response(sent, 200, self.peers.good_answer(sent.leg, sent.request.body), tag))

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

    # Inside the dialogs.

    def _talking(self) -> list[LegId]:
        return [leg.id for leg in self.scene.state.legs.values() if leg.dialog is not None]

    def _inside(self, leg: LegId, method: str, body: bytes = b"", **how: object) -> None:
        event = self.peers.inside(leg, method, body, **how)  # type: ignore[arg-type]
        self.feed(event)
        answers = [e.response for e in self.scene.all if isinstance(e, fx.Respond) and e.key == event.key]
        if method == "INVITE" and answers[-1].status == 200:
            self.keys.append((leg, event.key))

    @precondition(lambda self: self._talking())
    @rule(which=WHICH, number=st.sampled_from(NUMBERS), told=st.sampled_from([True, True, True, False]))
    def somebody_hands_the_call_over(self, which: int, number: str, told: bool) -> None:
        extra = (("Refer-To", f"<sip:{number}@example.test>"), *(() if told else (("Refer-Sub", "false"),)))
        self._one(self._talking(), which, lambda leg: self._inside(leg, "REFER", extra=extra))

    @precondition(lambda self: self._talking())
    @rule(which=WHICH)
    def somebody_hands_the_call_over_to_another_one(self, which: int) -> None:
        extra = (("Refer-To", "<sip:601@example.test?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>"),)
        self._one(self._talking(), which, lambda leg: self._inside(leg, "REFER", extra=extra))

    @precondition(lambda self: self.peers.looked_up())
    @rule(
        profile=st.sampled_from([Profile.STRICT, Profile.STRICT, *Profile]),
        status=st.sampled_from([0, 0, 0, 0, 481, 491, 603]),
        others=st.booleans(),
        taken=st.sampled_from([True, True, True, False]),
    )
    def the_dialog_is_found_or_not(self, profile: Profile, status: int, others: bool, taken: bool) -> None:
        self.peers.found_dialogs += 1
        other = answer_asks(talking(profile, outbound=self._asks_as_browser()))
        handed = hand_out(other.state, CALLER, NAMED)
        if status or not isinstance(handed, events.Handed):
            self.feed(events.DialogMissing(status or 491, is_others=others))
            return
        self.feed(events.DialogFound(handed))
        taking = self.peers.taking()
        if taking is None:
            return
        self.peers.taken += 1  # at once: nothing comes between
        handed.leg.id = taking.leg
        self.feed(events.TakenOver(handed) if taken else events.NotTaken(503))

    def _asks_as_browser(self) -> bool:
        return self.scene.kind(self.scene.state.hunt.by) is LegKind.BROWSER

    @precondition(lambda self: self.peers.asked(Purpose.NOTIFY))
    @rule(which=WHICH, status=IN_DIALOG)
    def a_notify_is_answered(self, which: int, status: int) -> None:
        self._one(self.peers.asked(Purpose.NOTIFY), which, lambda s: self.feed(self.peers.response(s, status)))

    @precondition(lambda self: self.peers.asked(Purpose.NOTIFY))
    @rule()
    def all_notifies_are_answered(self) -> None:
        for sent in self.peers.asked(Purpose.NOTIFY):
            self.feed(self.peers.response(sent, 200))

    @precondition(lambda self: self.peers.asked(Purpose.NOTIFY, Purpose.UPDATE, Purpose.OPTIONS, Purpose.REINVITE))
    @rule(which=WHICH, transport=st.booleans(), really=st.sampled_from([False, False, True]))
    def a_request_in_a_dialog_is_lost(self, which: int, transport: bool, really: bool) -> None:
        asked = self.peers.asked(Purpose.NOTIFY, Purpose.UPDATE, Purpose.OPTIONS, Purpose.REINVITE, Purpose.BYE)
        if really:
            self._one(asked, which, lambda sent: self.feed(self.peers.failure(sent, transport=transport)))

    @precondition(lambda self: self.peers.asked(Purpose.UPDATE, Purpose.OPTIONS, Purpose.BYE))
    @rule(which=WHICH, status=IN_DIALOG)
    def what_was_asked_in_a_dialog_is_answered(self, which: int, status: int) -> None:
        asked = self.peers.asked(Purpose.UPDATE, Purpose.OPTIONS, Purpose.BYE)
        self._one(asked, which, lambda sent: self.feed(self.peers.response(sent, status)))

    @precondition(lambda self: self.peers.asked(Purpose.REINVITE))
    @rule(which=WHICH, status=IN_DIALOG, data=st.data(), good=st.sampled_from([True, True, False]))
    def a_change_of_ours_is_answered(self, which: int, status: int, data: st.DataObject, good: bool) -> None:
        def say(sent: fx.SendRequest) -> None:
            said = self.peers.good_answer(sent.leg, sent.request.body) if good else self._any_body(data, sent.leg)
            self.feed(self.peers.response(sent, status, said if status == 200 else b""))

        self._one(self.peers.asked(Purpose.REINVITE), which, say)

    @precondition(lambda self: self._talking())
    @rule(
        which=WHICH, method=st.sampled_from(["INVITE", "UPDATE"]), how=st.sampled_from(["same", "hold", "none", "any"])
    )
    def somebody_changes_its_session(self, which: int, method: str, how: str) -> None:
        def say(leg: LegId) -> None:
            browser = self.scene.kind(leg) is LegKind.BROWSER
            good = vector("chromium_offer") if browser else self._same_again(leg)
            held = good.replace(b"a=sendrecv", b"a=sendonly")
            body = {"same": good, "hold": held, "none": b"", "any": answer()}[how]
            self._inside(leg, method, body)

        self._one(self._talking(), which, say)

    def _same_again(self, leg: LegId) -> bytes:
        return KEYED_OFFER if self.watch.agreed.get(leg, {}).get("keying") == "sdes" else answer()

    @precondition(lambda self: self.keys)
    @rule(which=WHICH, how=st.sampled_from(["acked", "acked", "acked", "bare", "missing", "cut"]))
    def a_change_is_acknowledged_or_not(self, which: int, how: str) -> None:
        leg, key = self.keys.pop(which % len(self.keys))
        if how in ("missing", "cut"):
            self.feed(events.AckMissing(key, transport=how == "cut"))
            return
        is_ours = self._waits_for_an_answer(leg, key) and how == "acked"
        self.feed(self.peers.ack(key, self.peers.good_answer(leg, self.peers.our_body(key)) if is_ours else b""))

    @precondition(lambda self: self._talking())
    @rule(which=WHICH, seconds=st.sampled_from(["0", "60"]))
    def somebody_subscribes(self, which: int, seconds: str) -> None:
        extra = (("Event", "refer"), ("Expires", seconds))
        self._one(self._talking(), which, lambda leg: self._inside(leg, "SUBSCRIBE", extra=extra))

    @precondition(lambda self: self._talking())
    @rule(which=WHICH, really=st.sampled_from([False, False, True]))
    def somebody_hangs_up(self, which: int, really: bool) -> None:
        if really:
            self._one(self._talking(), which, lambda leg: self._inside(leg, "BYE"))

    @rule(really=st.booleans())
    def who_asked_for_the_transfer_hangs_up(self, really: bool) -> None:
        by = self.scene.state.legs.get(self.scene.state.hunt.by)
        if really and by is not None and by.dialog is not None:
            self._inside(by.id, "BYE")

    @rule(which=WHICH, tag=TAGS, really=RARELY)
    def a_phone_hangs_up_in_its_early_dialog(self, which: int, tag: str, really: bool) -> None:
        early = [leg.id for leg in self.scene.state.legs.values() if leg.early_dialog(tag) is not None]
        if really:
            self._one(early, which, lambda leg: self._inside(leg, "BYE", tag=tag))

    # Media.

    @rule(which=WHICH, old=RARELY)
    def a_handshake_finishes(self, which: int, old: bool) -> None:
        begun = [e.leg for e in self.scene.all if isinstance(e, fx.StartDtls)]
        version = "DTLSv1" if old else "DTLSv1.2"
        self._one(begun, which, lambda leg: self.feed(events.DtlsConnected(leg, AEAD_AES_128_GCM, version, "sha-256")))

    @rule(which=WHICH, mismatch=st.booleans(), really=RARELY)
    def a_handshake_fails(self, which: int, mismatch: bool, really: bool) -> None:
        begun = [e.leg for e in self.scene.all if isinstance(e, fx.StartDtls)]
        why = Termination.FINGERPRINT_MISMATCH if mismatch else Termination.DTLS_FAILED
        if really or (begun and begun[which % len(begun)] not in self.watch.places):
            self._one(begun, which, lambda leg: self.feed(events.DtlsFailed(leg, why)))

    @rule(which=WHICH, what=st.sampled_from(["started", "verified", "mismatch", "silent", "heard", "unsent"]))
    def the_relay_tells_of_a_leg(self, which: int, what: str) -> None:
        def tell(leg: LegId) -> None:
            told: dict[str, events.Event] = {
                "started": relay.MediaStarted(leg),
                "verified": relay.LegVerified(leg, True),
                "mismatch": relay.MediaMismatch(leg, "media.plain_on_secure"),
                "silent": relay.LegSilent(leg),
                "heard": relay.LegHeard(leg),
                "unsent": relay.MediaUnsent(leg, relay.UnsentCause.UNSENT),
            }
            self.feed(told[what])

        self._one(sorted(self.watch.known & set(self.watch.agreed)), which, tell)

    @rule(which=WHICH, really=RARELY)
    def consent_is_lost(self, which: int, really: bool) -> None:
        legs = [leg for leg in sorted(self.watch.known) if really or leg not in self.watch.places]
        self._one(legs, which, lambda leg: self.feed(relay.ConsentLost(leg)))

    # Time.

    @precondition(lambda self: self.watch.clocks)
    @rule(which=WHICH, really=RARELY)
    def a_clock_runs_out(self, which: int, really: bool) -> None:
        clocks = [clock for clock in self.watch.clocks if really or clock[0] not in VITAL]

        def fire(clock: tuple[fx.Timer, LegId]) -> None:
            self.scene.now = max(self.scene.now, self.watch.clocks[clock])
            self.feed(events.TimerFired(*clock))

        self._one(clocks, which, fire)

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.now += seconds

    def teardown(self) -> None:
        """Bring it to its end as the world would: everything we asked is answered. Then nobody may have to wait."""
        if not hasattr(self, "watch"):
            return
        self.feed(events.Lost(Termination.SHUTDOWN))
        self._answer_what_is_looked_up()
        self.watch.ended()
        if self.scene.state.caller.invitation.is_confirmed and self.scene.state.caller.invitation.owes_bye:
            self.feed(events.AckMissing("invite-key"))
        while asked := [sent for sent in self.peers.asked(*Purpose) if sent.ask in self.watch.open]:
            self.feed(self.peers.response(asked[0], 487))
        self.watch.over()

    def _answer_what_is_looked_up(self) -> None:
        """The runner answers at once, whatever has become of the call."""
        if self.peers.looked_up():
            self.feed(events.DialogMissing(481, is_others=False))


def _settings(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=40,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


LegsMachine.TestCase.settings = _settings(examples(200))
test_a_call_keeps_its_promises_whoever_comes_and_goes = LegsMachine.TestCase


@pytest.mark.skipif(not SEARCHING, reason="the long form is for `make fuzz`")
@pytest.mark.timeout(3600)
def test_it_keeps_them_for_a_hundred_thousand_steps(pytestconfig: pytest.Config) -> None:
    LegsMachine.played = calls = 0
    while LegsMachine.played < STEPS:
        run_state_machine_as_test(LegsMachine, settings=_settings(200))
        calls += 200
    reporter: TerminalReporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    reporter.write_line(f"\nplayed {LegsMachine.played} steps of {calls} calls whose legs come and go")
