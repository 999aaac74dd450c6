"""What must be true of every call, whatever happens to it: a watcher that sees each step of the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.values import LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.forks import LateForks
from gateway.media.relay_commands import CloseLeg, Command, OpenLeg, Route, SetKeys, SetPeer
from gateway.policy.evaluate import judge
from gateway.sip.message import Request, Response
from tests.call import promise
from tests.call.machine_scene import MachineScene

ACCEPTED = ("leg.secured", "leg.downgraded")
BROWSER_SECRETS = (b"ice-ufrag", b"a=candidate", b"a=fingerprint", b"192.0.2.", b"msid", b"Call-Security")
TRUNK_SECRETS = (b"a=crypto", b"inline:", b"127.0.0.", b"pbx.example")


class Watcher:
    """Looks at the effects of each event and remembers what a later one must agree with."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene = scene
        self.records: list[str] = []
        self.finished = self.forgotten = 0
        self.finals: Counter[str] = Counter()
        """Final responses by request key."""
        self.places: set[LegId] = set()
        """Legs the relay has a place for."""
        self.agreed: dict[LegId, str] = {}
        """Keying of each leg as its last accepting record says."""
        self.reinvites: set[tuple[LegId, int]] = set()
        self.answered: set[str] = set()
        """To tags the callee answered with."""
        self.byes: Counter[str] = Counter()
        """To tags we said goodbye to."""
        self.asked: dict[int, fx.SendRequest] = {}
        """Every request of ours, by its number."""
        self.worst = Grade.END_TO_END
        self.judged: set[int] = set()
        """Legs the log has said anything of."""
        self.told = ""
        """The last Call-Security header that left for the browser."""
        self.open: set[int] = set()
        """Requests of ours without a final response, by number."""
        self.srtp_agreed = False
        """The trunk leg had keys once."""
        self.updates: set[int] = set()
        """CSeq numbers of reports by UPDATE that wait for their response."""
        self.questions: set[int] = set()
        """CSeq numbers of OPTIONS that wait for their response."""

    def _purpose(self, ask: int) -> Purpose | None:
        sent = self.asked.get(ask)
        return sent.purpose if sent is not None else None

    def see(self, event: events.Event | None, effects: Sequence[fx.Effect]) -> None:
        """Judge one step: the event, and what the machine wanted done."""
        if (
            isinstance(event, events.ResponseIn)
            and event.response.status >= 200
            and self._purpose(event.ask) is Purpose.REINVITE
        ):
            self._change_answered(event, effects)
        if isinstance(event, events.RequestFailed) or (
            isinstance(event, events.ResponseIn) and event.response.status >= 200
        ):
            self.open.discard(event.ask)
        self._fired = isinstance(event, events.TimerFired) and event.name is fx.Timer.LINGER
        for effect in effects:
            self._one(effect)
        self._posture()
        promise.is_kept(self.scene.state)
        self._report(event)
        self._liveness(event)
        if isinstance(event, events.ResponseIn):
            self._response(event, effects)
        elif isinstance(event, events.RequestIn):
            assert self.finals[event.key] == 1, "each request is answered at once and once"
            if self._is_of_a_lost_fork(event):
                assert [type(e) for e in effects] == [fx.Respond], "a fork that lost is no part of the call"

    def _change_answered(self, event: events.ResponseIn, effects: Sequence[fx.Effect]) -> None:
        present = (self.asked[event.ask].leg, event.response.cseq.number)
        if present not in self.reinvites:
            assert all(isinstance(e, fx.SendAck) for e in effects), "an answer that comes again means nothing more"
        self.reinvites.discard(present)

    def _is_of_a_lost_fork(self, event: events.RequestIn) -> bool:
        leg = self.scene.state.legs.get(event.leg)
        won = leg.dialog.remote_tag if leg is not None and leg.dialog is not None else None
        return won is not None and event.request.from_.tag != won

    def _one(self, effect: fx.Effect) -> None:
        assert self.records or isinstance(effect, fx.WriteAudit), "nothing happens before call.start"
        match effect:
            case fx.WriteAudit():
                self._record(effect.record)
            case fx.Finished():
                self.finished += 1
                assert self.finished == 1
            case fx.Forget():
                self.forgotten += 1
                assert self.finished == self.forgotten == 1
                assert not self.open or self._fired, "nothing is forgotten that waits for an answer"
            case fx.Respond():
                self._respond(effect)
            case fx.SendRequest():
                self._send(effect)
            case fx.SendAck():
                self._to(self.scene.kind(effect.leg), effect.request)
            case fx.Relay():
                self._relay(effect.command)
            case fx.ConnectTrunk() | fx.Locate() | fx.TrackDialog():
                pass
            case fx.StartDtls() | fx.ReleaseDtlsKeys():
                self._handshake(effect)
            case _:
                pass

    def _record(self, record: dict[str, object]) -> None:
        kind = str(record["type"])
        assert (kind == "call.start") == (not self.records), "call.start is the first record and the only one"
        self.records.append(kind)
        promise.was_recorded(record, self.scene.state.policy)
        if kind.startswith("leg."):
            self.judged.add(int(str(record["leg_id"])))
        vector = record.get("vector_after")
        if kind in ACCEPTED and isinstance(vector, dict):
            self.agreed[LegId(int(str(record["leg_id"])))] = str(vector["keying"])
            self.srtp_agreed |= record["leg"] == "trunk" and vector["keying"] == "sdes"

    def _relay(self, command: Command) -> None:
        assert not self.finished, "the media is closed"
        match command:
            case OpenLeg():
                assert command.leg not in self.places, "a place is opened once"
                self.places.add(command.leg)
            case CloseLeg():
                self.places.remove(command.leg)
            case SetKeys():
                assert self.agreed.get(command.leg) == "sdes"
            case SetPeer():
                assert self.agreed.get(command.leg) == ("sdes" if command.keyed else "plain")
                assert command.keyed or not (self._strict or self._needs_keys)
            case Route():
                assert {command.source, command.sink} <= self.places
            case _:
                pass

    def _handshake(self, effect: fx.StartDtls | fx.ReleaseDtlsKeys) -> None:
        assert not self.finished, "the media is closed"
        assert isinstance(effect, fx.StartDtls) or self.agreed.get(effect.leg) == "dtls"

    @property
    def _strict(self) -> bool:
        return self.scene.rules is None and self.scene.profile is Profile.STRICT and not self.scene.emergency

    @property
    def _needs_keys(self) -> bool:
        """The policy lets nothing be plain, whatever else it says."""
        policy = self.scene.state.policy
        denied = Code.MEDIA_PLAIN_RTP in policy.rules.deny
        return not policy.emergency and (policy.rules.require > Grade.CLEARTEXT or denied)

    def _respond(self, effect: fx.Respond) -> None:
        response = effect.response
        leg = self._asker(effect.key)
        self._to(leg, response)
        assert self.finals[effect.key] == 0, "nothing follows a final response"
        if response.status >= 200:
            self.finals[effect.key] += 1
        if effect.key == "invite-key" and response.status == 200 and not self.scene.asks_for_our_offer:
            assert any(self.scene.kind(leg) is LegKind.TRUNK for leg in self.agreed), (
                "the record stands before the answer"
            )
        if self._strict and response.status == 200 and response.body and leg is LegKind.TRUNK:
            assert b"a=crypto" in response.body

    def _asker(self, key: str) -> LegKind:
        return self.scene.state.caller.kind if key == "invite-key" else LegKind(key.partition("-")[0])

    def _report(self, event: events.Event | None) -> None:
        """Whatever changed a leg: once its event is dealt with, the browser has been told, or is about to be."""
        state = self.scene.state
        if isinstance(event, events.ResponseIn | events.RequestFailed) and self._purpose(event.ask) is Purpose.UPDATE:
            if isinstance(event, events.RequestFailed) or event.response.status >= 200:
                self.updates.clear()
        browser = self.scene.leg(LegKind.BROWSER)
        if browser is None or browser.told is None or not (state.live and browser.invitation.is_open):
            return
        if not self.updates and not browser.told.waits and browser.told.takes_update:
            assert self.told.startswith(f"grade={state.posture.current.name};worst={state.posture.worst.name};")

    def _liveness(self, event: events.Event | None) -> None:
        """What the peer says to the question decides: a call nobody knows is over, any other goes on."""
        if isinstance(event, events.RequestFailed) and self._purpose(event.ask) is Purpose.OPTIONS:
            self.questions.clear()
            assert self.finished or self.scene.emergency
        asked = isinstance(event, events.ResponseIn) and self._purpose(event.ask) is Purpose.OPTIONS
        if asked and isinstance(event, events.ResponseIn) and event.response.status >= 200:
            self.questions.clear()
            status = event.response.status
            assert self.finished or status not in (408, 481) or (status == 408 and self.scene.emergency)

    def _send(self, effect: fx.SendRequest) -> None:
        request = effect.request
        self._to(self.scene.kind(effect.leg), request)
        assert effect.ask not in self.open, "each request has a number of its own"
        self.open.add(effect.ask)
        self.asked[effect.ask] = effect
        if effect.purpose is Purpose.INVITE:
            self._rings(effect)
        if effect.purpose is Purpose.OPTIONS:
            assert self.scene.kind(effect.leg) is LegKind.TRUNK
            assert not self.finished
            assert not any(leg == effect.leg for leg, _ in self.reinvites), "no CSeq overtakes a change"
            self.questions.add(request.cseq.number)
            assert len(self.questions) == 1, "one question at a time"
        if effect.purpose is Purpose.UPDATE:
            assert self.scene.kind(effect.leg) is LegKind.BROWSER
            assert not request.body
            self.updates.add(request.cseq.number)
            assert len(self.updates) == 1, "one report at a time"
        if effect.purpose is Purpose.REINVITE:
            self.reinvites.add((effect.leg, request.cseq.number))
            assert [leg for leg, _ in self.reinvites].count(effect.leg) == 1, "one offer at a time in a dialog"
            assert not self.finished
        elif effect.purpose is Purpose.BYE:
            assert self.finished or effect.leg != self.scene.state.caller.id
            if effect.leg != self.scene.state.caller.id:
                self.byes[request.to.tag or ""] += 1
                assert self.byes[request.to.tag or ""] == 1, "one BYE for each dialog"

    def _rings(self, effect: fx.SendRequest) -> None:
        """Nobody is called when policy is known to refuse, nor again in the clear after SRTP was agreed to."""
        state = self.scene.state
        for leg in state.pair:
            assert judge(state.policy, leg.vector).allowed
        if self.srtp_agreed and self.scene.kind(effect.leg) is LegKind.TRUNK and not self.scene.emergency:
            assert b"a=crypto" in effect.request.body

    def late(self, tags: Sequence[str]) -> None:
        """After the end: whatever fork still answers is acknowledged, and hung up on once."""
        state = self.scene.state
        sent = [e for e in self.scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
        if state.callee is None or not state.callee.forks_until:
            return
        forks = LateForks(state.callee, state.termination)
        for tag in (*tags, *tags):
            event = self.scene.answer_to([e for e in sent if e.leg == state.callee.id][-1], 200, tag=tag)
            assert isinstance(event, events.ResponseIn)
            ack, *rest = forks.answer(event.response)
            assert isinstance(ack, fx.SendAck)
            assert ack.request.to.tag == tag
            self.byes[tag] += len(rest)
            winner = state.callee.dialog.remote_tag if state.callee.dialog is not None else None
            assert self.byes[tag] <= 1
            assert self.byes[tag] == 1 or tag == winner, "an unwanted answer has its BYE"

    def _to(self, leg: LegKind, message: Request | Response) -> None:
        """Nothing of one side shows on the other."""
        secrets = BROWSER_SECRETS if leg is LegKind.TRUNK else TRUNK_SECRETS
        text = bytes(message) if isinstance(message, Request) else message.body
        for secret in secrets:
            assert secret not in text
        header = message.headers.get("Call-Security")
        if leg is LegKind.TRUNK:
            assert header is None
        self.told = header or self.told

    def _posture(self) -> None:
        posture = self.scene.state.posture
        if posture.legs():
            assert posture.worst <= self.worst
            assert posture.worst <= posture.current
            self.worst = posture.worst

    def _response(self, event: events.ResponseIn, effects: Sequence[fx.Effect]) -> None:
        response, number = event.response, event.response.cseq.number
        acks = [e.request for e in effects if isinstance(e, fx.SendAck)]
        if 200 <= response.status < 300 and self._purpose(event.ask) in (Purpose.INVITE, Purpose.REINVITE):
            assert [(a.cseq.number, a.to.tag) for a in acks] == [(number, response.to.tag)], "each 2xx is acknowledged"
        else:
            assert acks == []
        if 200 <= response.status < 300 and self._purpose(event.ask) is Purpose.INVITE:
            self.answered.add(response.to.tag or "")
            self._unwanted_is_ended()

    def _unwanted_is_ended(self) -> None:
        """Every dialog the callee confirmed either is the call, or has our BYE."""
        state = self.scene.state
        callee = state.callee
        winner = callee.dialog.remote_tag if callee is not None and callee.dialog is not None else None
        for tag in self.answered:
            assert self.byes[tag] or (tag == winner and (state.live or self.ended_by_callee))

    @property
    def ended_by_callee(self) -> bool:
        """The callee knows already: it said BYE, or that there is no dialog."""
        return self.finished == 1

    def over(self) -> None:
        """The call has been brought to its end."""
        assert self.finished == 1
        assert self.forgotten == 1
        assert self.finals["invite-key"] == 1, "the caller has its one final response"
        assert not self.reinvites
        self._unwanted_is_ended()
        for leg in self.scene.state.pair:
            if leg.is_agreed or self.scene.state.answered_at is not None:
                assert leg.id in self.judged, "every leg that was agreed, or answered, has a record"
