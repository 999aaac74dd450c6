"""What must be true of every call, whatever happens to it: a watcher that sees each step of the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.call import effects as fx
from gateway.call import events
from gateway.call.effects import LegName, Purpose
from gateway.call.forks import LateForks
from gateway.policy.evaluate import judge
from gateway.sip.message import Request, Response
from tests.call.machine_scene import MachineScene

MEDIA = (fx.SetTrunkKeys, fx.SetTrunkMedia, fx.ReleaseDtlsKeys, fx.StartDtls, fx.SetPayloads, fx.SetDirection)
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
        self.agreed: dict[str, str] = {}
        """Keying of each leg as its last accepting record says."""
        self.reinvites: set[tuple[str, int]] = set()
        self.answered: set[str] = set()
        """To tags the callee answered with."""
        self.byes: Counter[str] = Counter()
        """To tags we said goodbye to."""
        self.worst = Grade.END_TO_END
        self.judged: set[str] = set()
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

    def see(self, event: events.Event | None, effects: Sequence[fx.Effect]) -> None:
        """Judge one step: the event, and what the machine wanted done."""
        if isinstance(event, events.ResponseIn) and event.response.status >= 200 and event.purpose is Purpose.REINVITE:
            self._change_answered(event, effects)
        if isinstance(event, events.RequestFailed) or (
            isinstance(event, events.ResponseIn) and event.response.status >= 200
        ):
            self.open.discard(event.ask)
        self._fired = isinstance(event, events.TimerFired) and event.name is fx.Timer.LINGER
        for effect in effects:
            self._one(effect)
        self._posture()
        self._report(event)
        self._liveness(event)
        if isinstance(event, events.ResponseIn):
            self._response(event, effects)
        elif isinstance(event, events.RequestIn):
            assert self.finals[event.key] == 1, "each request is answered at once and once"
            if self._is_of_a_lost_fork(event):
                assert [type(e) for e in effects] == [fx.Respond], "a fork that lost is no part of the call"

    def _change_answered(self, event: events.ResponseIn, effects: Sequence[fx.Effect]) -> None:
        present = (event.leg, event.response.cseq.number)
        if present not in self.reinvites:
            assert all(isinstance(e, fx.SendAck) for e in effects), "an answer that comes again means nothing more"
        self.reinvites.discard(present)

    def _is_of_a_lost_fork(self, event: events.RequestIn) -> bool:
        leg = self.scene.state.leg(event.leg)
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
                self._to(effect.leg, effect.request)
            case fx.OpenMedia() | fx.ConnectTrunk() | fx.TrackDialog():
                pass
            case _ if isinstance(effect, MEDIA):
                self._media(effect)
            case _:
                pass

    def _record(self, record: dict[str, object]) -> None:
        kind = str(record["type"])
        assert (kind == "call.start") == (not self.records), "call.start is the first record and the only one"
        self.records.append(kind)
        if kind.startswith("leg."):
            self.judged.add(str(record["leg"]))
        vector = record.get("vector_after")
        if kind in ACCEPTED and isinstance(vector, dict):
            self.agreed[str(record["leg"])] = str(vector["keying"])
            self.srtp_agreed |= record["leg"] == "trunk" and vector["keying"] == "sdes"

    def _media(self, effect: fx.Effect) -> None:
        assert not self.finished, "the media is closed"
        match effect:
            case fx.SetTrunkKeys():
                assert self.agreed.get("trunk") == "sdes"
            case fx.SetTrunkMedia():
                assert self.agreed.get("trunk") == ("sdes" if effect.keyed else "plain")
                assert effect.keyed or not self._strict
            case fx.ReleaseDtlsKeys():
                assert self.agreed.get("browser") == "dtls"
            case _:
                pass

    @property
    def _strict(self) -> bool:
        return self.scene.profile is Profile.STRICT and not self.scene.emergency

    def _respond(self, effect: fx.Respond) -> None:
        response = effect.response
        leg = self._asker(effect.key)
        self._to(leg, response)
        assert self.finals[effect.key] == 0, "nothing follows a final response"
        if response.status >= 200:
            self.finals[effect.key] += 1
        if effect.key == "invite-key" and response.status == 200 and not self.scene.state.late_offer:
            assert "trunk" in self.agreed, "the record stands before the answer"
        if self._strict and response.status == 200 and response.body and leg is LegName.TRUNK:
            assert b"a=crypto" in response.body

    def _asker(self, key: str) -> LegName:
        return self.scene.state.caller.name if key == "invite-key" else LegName(key.partition("-")[0])

    def _report(self, event: events.Event | None) -> None:
        """Whatever changed a leg: once its event is dealt with, the browser has been told, or is about to be."""
        state = self.scene.state
        if isinstance(event, events.ResponseIn | events.RequestFailed) and event.purpose is Purpose.UPDATE:
            if isinstance(event, events.RequestFailed) or event.response.status >= 200:
                self.updates.clear()
        browser = state.browser
        if browser is None or not (state.live and browser.confirmed and (browser.acked or not browser.is_caller)):
            return
        if not self.updates and not state.report_waits and browser.takes_update:
            assert self.told.startswith(f"grade={state.posture.current.name};worst={state.posture.worst.name};")

    def _liveness(self, event: events.Event | None) -> None:
        """What the peer says to the question decides: a call nobody knows is over, any other goes on."""
        if isinstance(event, events.RequestFailed) and event.purpose is Purpose.OPTIONS:
            self.questions.clear()
            assert self.finished or self.scene.emergency
        if isinstance(event, events.ResponseIn) and event.purpose is Purpose.OPTIONS and event.response.status >= 200:
            self.questions.clear()
            status = event.response.status
            assert self.finished or status not in (408, 481) or (status == 408 and self.scene.emergency)

    def _send(self, effect: fx.SendRequest) -> None:
        request = effect.request
        self._to(effect.leg, request)
        assert effect.ask not in self.open, "each request has a number of its own"
        self.open.add(effect.ask)
        if effect.purpose is Purpose.INVITE:
            self._rings(effect)
        if effect.purpose is Purpose.OPTIONS:
            assert effect.leg is LegName.TRUNK
            assert not self.finished
            assert not any(leg is effect.leg for leg, _ in self.reinvites), "no CSeq overtakes a change"
            self.questions.add(request.cseq.number)
            assert len(self.questions) == 1, "one question at a time"
        if effect.purpose is Purpose.UPDATE:
            assert effect.leg is LegName.BROWSER
            assert not request.body
            self.updates.add(request.cseq.number)
            assert len(self.updates) == 1, "one report at a time"
        if effect.purpose is Purpose.REINVITE:
            self.reinvites.add((effect.leg, request.cseq.number))
            assert len(self.reinvites) == 1, "one change at a time"
            assert not self.finished
        elif effect.purpose is Purpose.BYE:
            assert self.finished or effect.leg is not self.scene.state.caller.name
            if effect.leg is not self.scene.state.caller.name:
                self.byes[request.to.tag or ""] += 1
                assert self.byes[request.to.tag or ""] == 1, "one BYE for each dialog"

    def _rings(self, effect: fx.SendRequest) -> None:
        """Nobody is called when policy is known to refuse, nor again in the clear after SRTP was agreed to."""
        state = self.scene.state
        for leg in (state.browser, state.trunk):
            assert leg is None or judge(state.policy, leg.vector).allowed
        if self.srtp_agreed and effect.leg is LegName.TRUNK and not self.scene.emergency:
            assert b"a=crypto" in effect.request.body

    def late(self, tags: Sequence[str]) -> None:
        """After the end: whatever fork still answers is acknowledged, and hung up on once."""
        state = self.scene.state
        sent = [e for e in self.scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
        if not state.forks_until or state.callee is None:
            return
        forks = LateForks(state.callee, state.termination)
        for tag in (*tags, *tags):
            event = self.scene.answer_to(sent[-1], 200, tag=tag)
            assert isinstance(event, events.ResponseIn)
            ack, *rest = forks.answer(event.response)
            assert isinstance(ack, fx.SendAck)
            assert ack.request.to.tag == tag
            self.byes[tag] += len(rest)
            winner = state.callee.dialog.remote_tag if state.callee.dialog is not None else None
            assert self.byes[tag] <= 1
            assert self.byes[tag] == 1 or tag == winner, "an unwanted answer has its BYE"

    def _to(self, leg: LegName, message: Request | Response) -> None:
        """Nothing of one side shows on the other."""
        secrets = BROWSER_SECRETS if leg is LegName.TRUNK else TRUNK_SECRETS
        text = bytes(message) if isinstance(message, Request) else message.body
        for secret in secrets:
            assert secret not in text
        header = message.headers.get("Call-Security")
        if leg is LegName.TRUNK:
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
        if 200 <= response.status < 300 and event.purpose in (Purpose.INVITE, Purpose.REINVITE):
            assert [(a.cseq.number, a.to.tag) for a in acks] == [(number, response.to.tag)], "each 2xx is acknowledged"
        else:
            assert acks == []
        if 200 <= response.status < 300 and event.purpose is Purpose.INVITE:
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
        for leg in (self.scene.state.browser, self.scene.state.trunk):
            if leg is not None and (leg.is_agreed or self.scene.state.answered_at is not None):
                assert leg.name.value in self.judged, "every leg that was agreed, or answered, has a record"
