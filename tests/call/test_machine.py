"""The call machine against everything at any time: hypothesis plays browser, trunk, relay and clock.

What the SIP stack promises is kept: a request has one final failure, or 2xx (each as often as it likes), and nothing
after the failure. Everything else comes in any order, twice, late or out of phase.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import ClassVar, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from gateway.media.relay_commands import OpenLeg
from gateway.policy.model import ProfileRules
from gateway.sdp.offer_answer import State
from gateway.sip.flow import Flow
from tests.call.machine_scene import (
    BROWSER_FLOW,
    CONTACT,
    OTHER,
    TRUNK_CONTACT,
    MachineScene,
    answer,
    opened,
    request,
    sdes_answer,
    trunk_flow,
    vector,
)
from tests.call.promise import RULES
from tests.call.watch import Watcher
from tests.effort import examples
from tests.sites import made_trunk

OFFER = vector("chromium_offer")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
WEAK = "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" + "B" * 40
FOREIGN = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
FLOWS = (trunk_flow(), trunk_flow(), trunk_flow(), trunk_flow(verified=False), trunk_flow("udp"), trunk_flow("tcp"))

TRUNK_BODIES = {
    "nothing": b"",
    "garbage": b"v=0\r\n",
    "keyed": answer("RTP/SAVP", KEY),
    "keyed anew": answer("RTP/SAVP", KEY.replace("B" * 40, "C" * 40), port=4100),
    "keyed, other tag": answer("RTP/SAVP", KEY.replace(":1 ", ":9 ")),
    "optional keys": answer("RTP/AVP", KEY),
    "plain": answer(),
    "plain, elsewhere": answer(port=4900),
    "no key": answer("RTP/SAVP"),
    "weak": answer("RTP/SAVP", WEAK),
    "two kinds": answer("RTP/SAVP", KEY, FOREIGN),
    "other codec": answer().replace(b" 0 101", b" 8 101").replace(b"0 PCMU", b"8 PCMA"),
    "keyed, other codec": answer("RTP/SAVP", KEY).replace(b" 0 101", b" 8 101").replace(b"0 PCMU", b"8 PCMA"),
    "unknown codec": answer("RTP/SAVP", KEY).replace(b" 0 101", b" 18").replace(b"0 PCMU", b"18 G729"),
    "old hold": answer("RTP/SAVP", KEY).replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 0.0.0.0"),
    "refused": answer(port=0),
    "group address": answer().replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 224.0.0.1"),
    "name": answer().replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 phone.invalid"),
    "dual": answer() + b"m=audio 4010 RTP/SAVP 0\r\n" + KEY.encode() + b"\r\n",
}
BROWSER_BODIES = {
    "nothing": b"",
    "garbage": b"\x00",
    "good": OFFER,
    "active": OFFER.replace(b"setup:actpass", b"setup:active"),
    "passive": OFFER.replace(b"setup:actpass", b"setup:passive"),
    "holdconn": OFFER.replace(b"setup:actpass", b"setup:holdconn"),
    "PCMA only": OFFER.replace(b"PCMU/8000", b"XYZ/8000").replace(b"opus/48000", b"xyz/48000"),
    "no mux": OFFER.replace(b"a=rtcp-mux\r\n", b""),
    "no ICE": OFFER.replace(b"a=ice-ufrag", b"a=x-ufrag"),
    "new ICE": OFFER.replace(b"a=ice-ufrag:", b"a=ice-ufrag:XX"),
    "SDES": OFFER.replace(b"a=setup", KEY.encode() + b"\r\na=setup"),
    "plain": answer(),
    "other certificate": OFFER.replace(b"sha-256 C6:25", b"sha-256 00:00"),
    "video": OFFER + b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n",
}
RARELY = st.integers(0, 7).map(lambda number: number == 7)
"""What ends a call is drawn this seldom, else no call would get old."""
TAGS = st.sampled_from(["callee", "callee", "fork-b", "fork-c"])
STATUSES = st.sampled_from([100, 180, 183, 183, 199, 200, 200, 200, 202, 302, 401, 408, 415, 480, 481])
FAILURES = st.sampled_from([404, 486, 487, 488, 491, 500, 503, 603, 606])


class CallMachine(RuleBasedStateMachine):
    """One call; see the module."""

    policies: ClassVar[st.SearchStrategy[ProfileRules | None]] = st.none()
    """Rules of the call in place of those of its profile."""

    @initialize(
        profile=st.sampled_from([Profile.STRICT, *Profile]),
        outbound=st.booleans(),
        emergency=st.sampled_from([False, False, True]),
        flow=st.sampled_from(FLOWS),
        offer=st.sampled_from(["", "", "", "bad"]),
        stage=st.sampled_from(["nothing", "calling", "ringing", "forked", "established", "established", "established"]),
        websocket=st.sampled_from(["wss", "wss", "wss", "ws"]),
        data=st.data(),
    )
    def begin(
        self,
        profile: Profile,
        outbound: bool,
        emergency: bool,
        flow: Flow,
        offer: str,
        stage: str,
        websocket: Literal["wss", "ws"],
        data: st.DataObject,
    ) -> None:
        bodies = BROWSER_BODIES if outbound else TRUNK_BODIES
        good = "good" if outbound else data.draw(st.sampled_from(["keyed", "plain", "optional keys", "nothing"]))
        body = bodies[data.draw(st.sampled_from(sorted(bodies))) if offer else good]
        others = (made_trunk("sip:other.example", name="other", security=profile.value),) * data.draw(st.integers(0, 2))
        self.scene = MachineScene(
            profile=profile,
            rules=data.draw(self.policies),
            outbound=outbound,
            emergency=emergency and outbound,
            flow=flow,
            offer=body,
            browser_flow=replace(BROWSER_FLOW, transport=websocket),
            others=others if emergency and outbound else (),
        )
        self.watcher = Watcher(self.scene)
        self.numbers = itertools.count(2)
        self.failed: set[int] = set()
        """Requests of ours that have their final failure, by identity."""
        self.answered: set[int] = set()
        self._step(None, self.scene.call.open(self.scene.now) + self.scene.call.begin(self.scene.now))
        if stage != "nothing":
            self.everything_goes_well_up_to_the_callee()
        if stage == "ringing" and self.sent(Purpose.INVITE):
            for tag in data.draw(st.lists(TAGS, min_size=1, max_size=3)):
                self._respond(self.sent(Purpose.INVITE)[-1], 180, tag, b"")
        if stage == "forked" and self.sent(Purpose.INVITE):
            for tag in ("callee", "fork-b", "fork-c"):
                self._respond(self.sent(Purpose.INVITE)[-1], 180, tag, b"")
            self.a_phone_answers_doubtfully(data.draw(TAGS), "no key")
        if stage == "established" and self.sent(Purpose.INVITE):
            for tag in data.draw(st.lists(TAGS, max_size=2)):
                self._respond(self.sent(Purpose.INVITE)[-1], 180, tag, b"")
            self.callee_answers_well("callee")

    def _step(self, event: events.Event | None, effects: list[fx.Effect]) -> None:
        self.scene.all.extend(effects)
        self.watcher.see(event, effects)

    def feed(self, event: events.Event) -> None:
        self._step(event, self.scene.call.handle(event, self.scene.now))

    def sent(self, purpose: Purpose) -> list[fx.SendRequest]:
        """Requests of ours the stack would still tell something of."""
        found = [e for e in self.scene.all if isinstance(e, fx.SendRequest) and e.purpose is purpose]
        return [e for e in found if id(e) not in self.failed]

    # The rules. Each is one event.

    @rule()
    def trunk_connects(self) -> None:
        self.feed(events.TrunkConnected(self.scene.connecting, self.scene.flow))

    @rule(really=RARELY, verification=st.sampled_from(["", "certificate has expired"]))
    def trunk_fails(self, really: bool, verification: str) -> None:
        if really:
            self.feed(events.TrunkFailed(self.scene.connecting, "refused", verification))

    @rule()
    def user_is_located(self) -> None:
        self.feed(events.Located("alice", (events.Place(self.scene.browser_flow, CONTACT),)))

    @rule()
    def media_opens(self) -> None:
        for command in self.scene.relayed(OpenLeg):
            self.feed(opened(command))

    @rule(really=RARELY)
    def media_cannot_open(self, really: bool) -> None:
        if really:
            for command in self.scene.relayed(OpenLeg)[-1:]:
                self.feed(relay.LegFailed(command.leg, "full"))

    @rule()
    def everything_goes_well_up_to_the_callee(self) -> None:
        if self.scene.outbound:
            self.trunk_connects()
        else:
            self.user_is_located()
        self.media_opens()

    @precondition(lambda self: self.sent(Purpose.INVITE))
    @rule(status=STATUSES | FAILURES, tag=TAGS, data=st.data())
    def callee_responds(self, status: int, tag: str, data: st.DataObject) -> None:
        self._respond(self.sent(Purpose.INVITE)[-1], status, tag, self._answer(data, status))

    @precondition(lambda self: self.sent(Purpose.INVITE))
    @rule(tag=TAGS)
    def callee_answers_well(self, tag: str) -> None:
        sent = self.sent(Purpose.INVITE)[-1]
        self._respond(sent, 200, tag, self._good_answer(sent))
        if self.watcher.finals["invite-key"] and self.scene.state.live:
            self.caller_acknowledges_well()

    @precondition(lambda self: self.sent(Purpose.INVITE))
    @rule(tag=TAGS, body=st.sampled_from(["no key", "plain", "keyed, other tag", "garbage", "keyed"]))
    def a_phone_answers_doubtfully(self, tag: str, body: str) -> None:
        if self.scene.outbound:
            self._respond(self.sent(Purpose.INVITE)[-1], 200, tag, TRUNK_BODIES[body])

    @precondition(
        lambda self: self.scene.state.caller.dialog is not None and not self.scene.state.caller.invitation.is_confirmed
    )
    @rule(really=st.booleans())
    def the_caller_hangs_up_while_it_rings(self, really: bool) -> None:
        if really:
            self._inside(self.scene.state.caller.kind, "BYE", b"", "caller", late=False)

    @precondition(lambda self: self.scene.state.callee and not self.scene.state.callee.invitation.is_confirmed)
    @rule(tag=TAGS)
    def a_phone_hangs_up_while_it_rings(self, tag: str) -> None:
        callee = self.scene.state.callee
        if callee is not None and callee.early_dialog(tag) is not None:
            self._inside(callee.kind, "BYE", b"", tag, late=False)

    @precondition(lambda self: self.sent(Purpose.REINVITE))
    @rule(status=STATUSES | FAILURES, newest=st.booleans(), data=st.data())
    def peer_responds_to_our_change(self, status: int, newest: bool, data: st.DataObject) -> None:
        sent = self.sent(Purpose.REINVITE)[-1 if newest else 0]
        body = self._body(data, self.scene.kind(sent.leg)) if data.draw(st.booleans()) else self._good_answer(sent)
        self._respond(sent, status, "callee", body if status < 300 else b"")

    @precondition(lambda self: self.sent(Purpose.REINVITE))
    @rule(newest=st.booleans())
    def peer_agrees_to_our_change(self, newest: bool) -> None:
        sent = self.sent(Purpose.REINVITE)[-1 if newest else 0]
        self._respond(sent, 200, "callee", self._good_answer(sent))

    @precondition(lambda self: self.sent(Purpose.UPDATE))
    @rule(status=st.sampled_from([100, 200, 200, 200, 403, 405, 491, 500]))
    def browser_responds_to_our_report(self, status: int) -> None:
        self._respond(self.sent(Purpose.UPDATE)[-1], status, "callee", b"", once=True)

    @precondition(lambda self: self.sent(Purpose.OPTIONS))
    @rule(status=st.sampled_from([100, 200, 200, 403, 405, 408, 481, 500, 501]))
    def peer_says_whether_it_knows_the_call(self, status: int) -> None:
        self._respond(self.sent(Purpose.OPTIONS)[-1], status, "callee", b"", once=True)

    @precondition(lambda self: self.sent(Purpose.BYE))
    @rule(status=st.sampled_from([100, 200, 481, 500]))
    def peer_responds_to_our_bye(self, status: int) -> None:
        sent = self.sent(Purpose.BYE)[-1]
        self._respond(sent, status, sent.request.to.tag or "", b"", once=True)

    def _respond(self, sent: fx.SendRequest, status: int, tag: str, body: bytes, *, once: bool = False) -> None:
        if status >= 300 and id(sent) in self.answered:
            return  # the stack absorbs a failure after a 2xx
        if status >= 300 or (once and status >= 200):
            self.failed.add(id(sent))
        elif status >= 200:
            self.answered.add(id(sent))
        self.feed(self.scene.answer_to(sent, status, body, tag=tag))

    def _answer(self, data: st.DataObject, status: int) -> bytes:
        leg = OTHER[self.scene.state.caller.kind]
        sent = self.sent(Purpose.INVITE)[-1]
        return (
            data.draw(st.sampled_from([b"", self._good_answer(sent)])) or self._body(data, leg) if status > 100 else b""
        )

    def _good_answer(self, sent: fx.SendRequest) -> bytes:
        if self.scene.kind(sent.leg) is LegKind.BROWSER:
            return BROWSER_BODIES["active"]
        body = sent.request.body
        if b" AES_CM_128_HMAC_SHA1_80 " not in body:
            return answer()
        keyed = sdes_answer(body)
        return keyed if b"RTP/SAVP" in body else keyed.replace(b"RTP/SAVP", b"RTP/AVP")

    def _body(self, data: st.DataObject, leg: LegKind) -> bytes:
        bodies = BROWSER_BODIES if leg is LegKind.BROWSER else TRUNK_BODIES
        body = bodies[data.draw(st.sampled_from(sorted(bodies)))]
        return body.replace(b"a=sendrecv", b"a=" + data.draw(st.sampled_from(DIRECTIONS)).encode())

    @precondition(lambda self: self.sent(Purpose.INVITE) or self.sent(Purpose.REINVITE) or self.sent(Purpose.BYE))
    @rule(really=RARELY, purpose=st.sampled_from(Purpose), transport=st.booleans())
    def a_request_of_ours_fails(self, really: bool, purpose: Purpose, transport: bool) -> None:
        open_ = [e for e in self.sent(purpose) if id(e) not in self.answered]
        if really and open_:
            self.failed.add(id(open_[-1]))
            self.watcher.reinvites.discard((open_[-1].leg, open_[-1].request.cseq.number))
            self.feed(events.RequestFailed(open_[-1].ask, transport))

    @precondition(lambda self: self.scene.state.caller.invitation.is_confirmed)
    @rule(data=st.data())
    def caller_acknowledges(self, data: st.DataObject) -> None:
        self.scene_ack(self._body(data, self.scene.state.caller.kind) if self.scene.asks_for_our_offer else b"")

    @precondition(lambda self: self.scene.state.caller.invitation.is_confirmed)
    @rule()
    def caller_acknowledges_well(self) -> None:
        ours = [e.response.body for e in self.scene.all if isinstance(e, fx.Respond) and e.response.status == 200]
        body = b""
        if self.scene.asks_for_our_offer and ours:
            shown = fx.SendRequest(
                self.scene.state.caller.id, request("INVITE", ours[0]), self.scene.flow, Purpose.INVITE, 0
            )
            body = self._good_answer(shown)
        self.scene_ack(body)

    def scene_ack(self, body: bytes) -> None:
        self.feed(events.AckIn("invite-key", request("ACK", body, to_tag="gw-browser")))

    @rule(really=RARELY, transport=st.booleans())
    def the_ack_is_missing(self, really: bool, transport: bool) -> None:
        if really and (transport or self.scene.state.caller.invitation.is_confirmed):
            self.feed(events.AckMissing("invite-key", transport))

    @rule(really=RARELY)
    def caller_cancels(self, really: bool) -> None:
        if really:
            self.feed(events.CancelIn())

    @rule(
        leg=st.sampled_from(LegKind),
        method=st.sampled_from(["INVITE", "INVITE", "UPDATE", "UPDATE", "BYE", "OPTIONS", "INFO"]),
        tag=TAGS,
        late=st.booleans(),
        data=st.data(),
    )
    def a_request_inside_the_dialog(self, leg: LegKind, method: str, tag: str, late: bool, data: st.DataObject) -> None:
        tracked = {e.key[2] for e in self.scene.all if isinstance(e, fx.TrackDialog) and self.scene.kind(e.leg) is leg}
        side = self.scene.leg(leg)
        if side is None or (tag if not side.is_caller else "caller") not in tracked:
            return
        if method == "BYE" and not data.draw(RARELY):
            return
        body = self._body(data, leg) if method in ("INVITE", "UPDATE") else b""
        self._inside(leg, method, body, tag, late=late)

    @rule(leg=st.sampled_from(LegKind), method=st.sampled_from(["INVITE", "UPDATE"]), data=st.data())
    def a_change_inside_the_call(self, leg: LegKind, method: str, data: st.DataObject) -> None:
        side = self.scene.leg(leg)
        if side is not None and side.dialog is not None:
            self._inside(leg, method, self._body(data, leg), side.dialog.remote_tag, late=False)

    def _inside(self, leg: LegKind, method: str, body: bytes, tag: str, *, late: bool) -> None:
        number = next(self.numbers)
        side = self.scene.leg(leg)
        found = request(method, body, cseq=1 if late else number, to_tag=f"gw-{leg}")
        if side is not None and not side.is_caller:
            found = found.with_header("Call-ID", self.scene.callee_call_id)
            found = found.with_header("From", f"<sip:callee@127.0.0.2>;tag={tag}")
        if leg is LegKind.TRUNK:
            found = found.with_header("Contact", TRUNK_CONTACT)
        came = side.flow if side is not None else BROWSER_FLOW
        self.feed(events.RequestIn(self.scene.id(leg), f"{leg}-{number}", found, came))

    @precondition(lambda self: self.scene.owed(State.ANSWERED))
    @rule(data=st.data())
    def a_change_is_acknowledged(self, data: st.DataObject) -> None:
        _, key = data.draw(st.sampled_from(self.scene.owed(State.ANSWERED)))
        self.feed(events.AckIn(key, request("ACK")))

    @precondition(lambda self: self.scene.owed(State.OFFERED_IN_2XX))
    @rule(good=st.booleans(), data=st.data())
    def the_ack_brings_an_answer(self, good: bool, data: st.DataObject) -> None:
        leg, key = data.draw(st.sampled_from(self.scene.owed(State.OFFERED_IN_2XX)))
        ours = [e.response.body for e in self.scene.all if isinstance(e, fx.Respond) and e.key == key][-1]
        body = self._body(data, leg)
        if good:
            body = self._good_answer(
                fx.SendRequest(self.scene.id(leg), request("INVITE", ours), self.scene.flow, Purpose.INVITE, 0)
            )
        self.feed(events.AckIn(key, request("ACK", body)))

    @rule(suite=st.sampled_from([AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80]), old=st.sampled_from([False, False, True]))
    def dtls_connects(self, suite: object, old: bool) -> None:
        self.feed(self.scene.keyed(suite, "DTLSv1" if old else "DTLSv1.2"))  # type: ignore[arg-type]

    @rule(
        termination=st.sampled_from([Termination.FINGERPRINT_MISMATCH, Termination.DTLS_FAILED]),
        really=RARELY,
    )
    def dtls_fails(self, termination: Termination, really: bool) -> None:
        if really:
            self.feed(events.DtlsFailed(self.scene.id(LegKind.BROWSER), termination))

    @rule(name=st.sampled_from([*fx.Timer, fx.Timer.GLARE, fx.Timer.GLARE]), really=RARELY)
    def a_clock_fires(self, name: fx.Timer, really: bool) -> None:
        started = [e for e in self.scene.all if isinstance(e, fx.SetTimer) and e.name is name]
        if started and (really or name is fx.Timer.GLARE):
            self.feed(self.scene.fires(name))

    @rule(leg=st.sampled_from(LegKind))
    def media_starts(self, leg: LegKind) -> None:
        self.feed(relay.MediaStarted(self.scene.id(leg)))

    @rule(leg=st.sampled_from(LegKind), code=st.sampled_from(["media.plain_on_secure", "media.key_mismatch", ""]))
    def the_relay_tells_what_packets_prove(self, leg: LegKind, code: str) -> None:
        self.feed(
            relay.MediaMismatch(self.scene.id(leg), code) if code else relay.LegVerified(self.scene.id(leg), True)
        )

    @rule(leg=st.sampled_from(LegKind), silent=st.sampled_from([True, True, False]))
    def a_leg_falls_silent_or_is_heard_again(self, leg: LegKind, silent: bool) -> None:
        self.feed(relay.LegSilent(self.scene.id(leg)) if silent else relay.LegHeard(self.scene.id(leg)))

    @rule(seconds=st.sampled_from([1.0, 30.0, 600.0]))
    def time_passes_and_silence_is_looked_at(self, seconds: float) -> None:
        self.scene.now += seconds
        if [e for e in self.scene.all if isinstance(e, fx.SetTimer) and e.name is fx.Timer.LIVENESS]:
            self.feed(self.scene.fires(fx.Timer.LIVENESS))

    @rule(leg=st.sampled_from(LegKind))
    def the_relay_tells_of_sources(self, leg: LegKind) -> None:
        here = HostPort("127.0.0.2", 4002)
        self.feed(relay.SourceLearned(self.scene.id(LegKind.TRUNK), here, here))
        self.feed(relay.SourceRejected(self.scene.id(leg), here, "media.latch_mismatch"))

    @rule(
        termination=st.sampled_from([Termination.CONSENT_LOST, Termination.FLOW_LOST, Termination.WORKER_LOST]),
        really=RARELY,
    )
    def something_vital_is_lost(self, termination: Termination, really: bool) -> None:
        if really:
            self.feed(events.Lost(termination))

    @invariant()
    def the_call_ends_in_its_phase_and_only_there(self) -> None:
        if hasattr(self, "watcher"):
            assert (self.watcher.finished == 1) == (not self.scene.state.live)

    def teardown(self) -> None:
        """Bring it to its end as the world would: everything we asked is answered. Then nobody may have to wait."""
        if not hasattr(self, "watcher"):
            return
        self.feed(events.Lost(Termination.SHUTDOWN))
        if self.scene.state.caller.invitation.is_confirmed:
            self.feed(events.AckMissing("invite-key"))
        for purpose in (Purpose.REINVITE, Purpose.UPDATE, Purpose.OPTIONS, Purpose.INVITE, Purpose.BYE):
            for sent in self.sent(purpose):
                self._respond(sent, 487, "callee", b"")
        self.watcher.over()
        self.watcher.late(["callee", "fork-b", "fork-late"])


class AnyPolicyMachine(CallMachine):
    """The same under any policy there could be, however its rules fit together."""

    policies = RULES


PLAYED = settings(
    max_examples=examples(300),
    stateful_step_count=25,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
CallMachine.TestCase.settings = AnyPolicyMachine.TestCase.settings = PLAYED
test_a_call_keeps_its_promises_whatever_happens = CallMachine.TestCase
test_no_call_is_ever_weaker_than_its_policy_requires = AnyPolicyMachine.TestCase
