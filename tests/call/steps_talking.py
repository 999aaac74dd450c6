"""Random calls, the other half of their steps: what is asked inside the dialogs, what media tells, and time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.handed import hand_out
from gateway.media import relay_events as relay
from tests.call.machine_scene import answer, vector
from tests.call.peers import NUMBERS
from tests.call.steps_calling import IN_DIALOG, KEYED_OFFER, RARELY, TAGS, VITAL, WHICH, Calling
from tests.call.test_attended import NAMED, answer_asks
from tests.call.test_transfer import talking


class Talking(Calling):
    """A call whose legs talk, change, hand over and leave."""

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

    @precondition(
        lambda self: self.peers.asked(
            Purpose.NOTIFY, Purpose.UPDATE, Purpose.OPTIONS, Purpose.REINVITE, Purpose.REFRESH, Purpose.PRACK
        )
    )
    @rule(which=WHICH, transport=st.booleans(), really=st.sampled_from([False, False, True]))
    def a_request_in_a_dialog_is_lost(self, which: int, transport: bool, really: bool) -> None:
        asked = self.peers.asked(*(purpose for purpose in Purpose if purpose is not Purpose.INVITE))
        if really:
            self._one(asked, which, lambda sent: self.feed(self.peers.failure(sent, transport=transport)))

    @precondition(
        lambda self: self.peers.asked(Purpose.UPDATE, Purpose.OPTIONS, Purpose.BYE, Purpose.REFRESH, Purpose.PRACK)
    )
    @rule(which=WHICH, status=IN_DIALOG)
    def what_was_asked_in_a_dialog_is_answered(self, which: int, status: int) -> None:
        asked = self.peers.asked(Purpose.UPDATE, Purpose.OPTIONS, Purpose.BYE, Purpose.REFRESH, Purpose.PRACK)
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
        which=WHICH,
        method=st.sampled_from(["INVITE", "UPDATE"]),
        how=st.sampled_from(["same", "hold", "none", "any"]),
        timer=st.sampled_from(["", "600", "600;refresher=uac", "600;refresher=uas"]),
    )
    def somebody_changes_its_session(self, which: int, method: str, how: str, timer: str) -> None:
        def say(leg: LegId) -> None:
            browser = self.scene.kind(leg) is LegKind.BROWSER
            good = vector("chromium_offer") if browser else self._same_again(leg)
            held = good.replace(b"a=sendrecv", b"a=sendonly")
            body = {"same": good, "hold": held, "none": b"", "any": answer()}[how]
            extra = (("Supported", "timer"), ("Session-Expires", timer), ("Allow", "UPDATE")) if timer else ()
            self._inside(leg, method, body, extra=extra)

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

    @rule(which=WHICH, tag=TAGS, how=st.sampled_from(["same", "same", "hold", "any", "none"]))
    def a_phone_changes_its_early_media(self, which: int, tag: str, how: str) -> None:
        def say(leg: LegId) -> None:
            good = vector("chromium_offer") if self.scene.kind(leg) is LegKind.BROWSER else self._same_again(leg)
            held = good.replace(b"a=sendrecv", b"a=sendonly")
            self._inside(leg, "UPDATE", {"same": good, "hold": held, "none": b"", "any": answer()}[how], tag=tag)

        early = [
            leg.id for leg in self.scene.state.legs.values() if leg.early_dialog(tag) is not None and not leg.dialog
        ]
        self._one(early, which, say)

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
        clocks = [clock for clock in self.watch.clocks if really or not self._ends_things(clock)]

        def fire(clock: tuple[fx.Timer, LegId]) -> None:
            self.scene.now = max(self.scene.now, self.watch.clocks[clock])
            self.feed(events.TimerFired(*clock))

        self._one(clocks, which, fire)

    def _ends_things(self, clock: tuple[fx.Timer, LegId]) -> bool:
        name, leg = clock
        timing = self.scene.state.legs[leg].timing if name is fx.Timer.SESSION else None
        return name in VITAL or (timing is not None and not timing.is_ours)

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.now += seconds
