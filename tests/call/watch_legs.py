"""What must be true of a call whose legs come and go, whatever happens to it: each leg is spoken of by its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.audit.facts import Checkpoint
from gateway.base.keying import Keying
from gateway.base.profiles import Profile
from gateway.base.values import CALLER, NO_LEG, LegId, LegKind
from gateway.call.legs.leg import Leg
from gateway.call.machine import effects as fx
from gateway.call.machine import events, report
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import CloseLeg, Command, OpenLeg, Route, SetKeys, SetPeer, Unroute
from gateway.media.relay_events import LegFailed, LegOpened
from gateway.policy.catalogue import CONTRADICTED
from gateway.policy.evaluate import judge
from gateway.policy.model import effective_policy
from gateway.sip.message import Request, Response
from tests.call import promise
from tests.call.machine_scene import MachineScene
from tests.call.watch import ACCEPTED, BROWSER_SECRETS, TRUNK_SECRETS

STRICT = effective_policy(Profile.STRICT, "pbx")
DialogName = tuple[LegId, str]
"""The leg, and the tag of its peer."""


class LegsWatcher:
    """Looks at the effects of each event and remembers what a later one must agree with."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene = scene
        self.finished = self.forgotten = 0
        self.asked: dict[int, fx.SendRequest] = {}
        """Every request of ours, by its number."""
        self.open: set[int] = set()
        """Those without a final response."""
        self.refused: set[int] = set()
        self.cancelled: set[int] = set()
        self.finals: Counter[str] = Counter()
        """Final responses of ours by request key."""
        self.places: set[LegId] = set()
        """Legs the relay was asked a place for, until it is closed."""
        self.opened: set[LegId] = set()
        """Those of them it has a place for."""
        self.known: set[LegId] = set()
        """All legs it ever had a place for: it may tell of them, if late."""
        self.used: set[LegId] = set()
        """All legs there ever was a place for."""
        self.clocks: dict[tuple[fx.Timer, LegId], float] = {}
        """The clocks that run, with when they run out."""
        self.agreed: dict[LegId, dict[str, object]] = {}
        """How each leg is protected, as its last accepting record says."""
        self.confirmed: set[DialogName] = set()
        self.byes: Counter[DialogName] = Counter()
        """Goodbyes of ours."""
        self.left: set[DialogName] = set()
        """Dialogs the peer has ended, or says it does not know."""
        self.told: dict[LegId, str] = {}
        """The last report that left on each leg."""
        self.audited: list[str] = []
        self.pracks: set[tuple[LegId, str, str]] = set()
        """Leg, tag and RAck of each PRACK of ours."""

    def see(self, event: events.Event | None, effects: Sequence[fx.Effect]) -> None:
        """Judge one step: the event, and what the machine wanted done."""
        self._hear(event)
        for effect in effects:
            self._one(effect)
        self._answers(event, effects)
        self._legs()
        self._posture()
        self._floor()
        promise.is_kept(self.scene.state)
        self._reports()

    def _hear(self, event: events.Event | None) -> None:
        match event:
            case LegOpened() if event.leg in self.places:
                self.opened.add(event.leg)
                self.known.add(event.leg)
            case events.ConnectionClosed():
                self._cut(event.leg)
            case events.AckMissing(transport=True):
                self._cut(_leg_of(event.key))
            case events.TakenOver():
                self._take_in(event.handed.leg)
            case LegFailed():
                self.places.discard(event.leg)
            case events.TimerFired():
                self.clocks.pop((event.name, event.leg), None)
            case events.RequestFailed():
                self.open.discard(event.ask)
            case events.ResponseIn() if event.response.status >= 200:
                self.open.discard(event.ask)
                self._final(self.asked[event.ask], event.response)
            case _:
                pass

    def _cut(self, leg: LegId) -> None:
        """A browser whose connection is gone cannot be told goodbye."""
        dialog = self.scene.state.legs[leg].dialog
        if dialog is not None and self.scene.kind(leg) is LegKind.BROWSER:
            self.left.add((leg, dialog.remote_tag))

    def _take_in(self, leg: Leg) -> None:
        """The relay has its place already, and its dialog is confirmed."""
        for legs in (self.places, self.opened, self.known, self.used):
            legs.add(leg.id)
        if leg.dialog is not None:
            self.confirmed.add((leg.id, leg.dialog.remote_tag))

    def _final(self, sent: fx.SendRequest, response: Response) -> None:
        ends_dialog = sent.purpose not in (Purpose.INVITE, Purpose.NOTIFY)  # of a NOTIFY only the subscription ends
        if response.status >= 300:
            self.refused.add(sent.ask)
        if response.status < 300 and sent.purpose is Purpose.INVITE:
            self.confirmed.add((sent.leg, response.to.tag or ""))
        if response.status == 481 and ends_dialog:
            self.left.add((sent.leg, sent.request.to.tag or ""))

    def _one(self, effect: fx.Effect) -> None:
        match effect:
            case fx.WriteAudit():
                self._record(effect.record)
            case fx.Relay():
                self._relay(effect.command)
            case fx.StartDtls() | fx.ReleaseDtlsKeys():
                assert not self.finished, "the media is closed"
                assert effect.leg in self.opened, "a handshake needs its place"
                if isinstance(effect, fx.ReleaseDtlsKeys):
                    assert self.agreed[effect.leg]["keying"] == "dtls", "the record stands before the keys"
            case fx.SendRequest():
                self._send(effect)
            case fx.SendAck():
                self._to(self.scene.kind(effect.leg), effect.request)
            case fx.Respond():
                self._respond(effect)
            case fx.CancelInvite():
                assert self.asked[effect.ask].purpose is Purpose.INVITE
                assert effect.ask not in self.refused, "what was refused cannot be cancelled"
                assert effect.ask not in self.cancelled, "one CANCEL for each INVITE"
                self.cancelled.add(effect.ask)
            case fx.SetTimer():
                self.clocks[effect.name, effect.leg] = self.scene.now + effect.seconds
            case fx.ClearTimer():
                self.clocks.pop((effect.name, effect.leg), None)
            case fx.Finished():
                self.finished += 1
            case fx.Forget():
                self.forgotten += 1
                assert not self.clocks, "no clock runs for a call that is forgotten"
            case _:
                pass
        assert self.finished <= 1
        assert self.forgotten <= self.finished

    def _record(self, record: dict[str, object]) -> None:
        kind, vector = str(record["type"]), record.get("vector_after")
        self.audited.append(kind)
        if kind.startswith("leg."):
            assert not self.finished, "nothing comes after the final record"
        contradicted = kind == "leg.violation" and record["checkpoint"] == Checkpoint.PACKETS
        if (kind in ACCEPTED or contradicted) and isinstance(vector, dict):
            self.agreed[LegId(int(str(record["leg_id"])))] = vector

    def _relay(self, command: Command) -> None:
        assert not self.finished, "the media is closed"
        match command:
            case OpenLeg():
                assert command.leg not in self.used, "a place is opened once"
                self.places.add(command.leg)
                self.used.add(command.leg)
            case CloseLeg():
                self.places.remove(command.leg)
                self.opened.discard(command.leg)
            case SetKeys():
                assert command.leg in self.opened
                assert self.agreed[command.leg]["keying"] == "sdes"
            case SetPeer():
                assert command.leg in self.opened
                assert self.agreed[command.leg]["keying"] == ("sdes" if command.keyed else "plain")
            case Route():
                assert {command.source, command.sink} <= self.opened, "media goes between open places only"
                assert {command.source, command.sink} == {leg.id for leg in self.scene.state.pair}
                assert all(leg in self.agreed for leg in (command.source, command.sink) if self._is_trunk(leg))
            case Unroute():
                assert command.sink in self.opened
            case _:
                pass

    def _is_trunk(self, leg: LegId) -> bool:
        return self.scene.kind(leg) is LegKind.TRUNK

    def _send(self, effect: fx.SendRequest) -> None:
        self._to(self.scene.kind(effect.leg), effect.request, effect.leg)
        assert effect.ask not in self.asked, "each request has a number of its own"
        self.asked[effect.ask] = effect
        self.open.add(effect.ask)
        if effect.purpose is Purpose.INVITE:
            assert effect.leg in self.opened, "nobody is called there is no place for"
            return
        dialog = (effect.leg, effect.request.to.tag or "")
        if effect.purpose is Purpose.PRACK:
            named = (*dialog, effect.request.headers.get("RAck") or "")
            assert named not in self.pracks, "each reliable 18x is acknowledged once"
            self.pracks.add(named)
            return
        assert dialog in self.confirmed, "nothing is asked in a dialog there is not"
        if effect.purpose is not Purpose.BYE:
            assert not self.finished
            assert not self.byes[dialog], "nothing is asked after the goodbye"
            assert dialog not in self.left or effect.purpose in (Purpose.UPDATE, Purpose.REINVITE, Purpose.NOTIFY)
            return
        self.byes[dialog] += 1
        assert self.byes[dialog] == 1, "one BYE for each dialog"

    def _respond(self, effect: fx.Respond) -> None:
        leg = _leg_of(effect.key)
        self._to(self.scene.kind(leg), effect.response, leg)
        assert self.finals[effect.key] == 0, "nothing follows a final response"
        if effect.response.status >= 200:
            self.finals[effect.key] += 1
            if effect.key == "invite-key" and effect.response.status < 300:
                held = self.scene.state.caller.provisionals.sent
                assert held is None or not held.response.body, "no 2xx before the PRACK of a description"
        if effect.key == "invite-key" and 200 <= effect.response.status < 300:
            self.confirmed.add((CALLER, "caller"))

    def _to(self, kind: LegKind, message: Request | Response, leg: LegId = NO_LEG) -> None:
        """Nothing of one side shows on the other."""
        text = bytes(message) if isinstance(message, Request) else message.body
        for secret in BROWSER_SECRETS if kind is LegKind.TRUNK else TRUNK_SECRETS:
            assert secret not in text
        header = message.headers.get("Call-Security")
        assert header is None or kind is LegKind.BROWSER
        if header:
            self.told[leg] = header

    def _answers(self, event: events.Event | None, effects: Sequence[fx.Effect]) -> None:
        """Each request is answered at once, each 2xx acknowledged each time it comes."""
        if isinstance(event, events.RequestIn):
            waits = self.scene.state.hunt.unanswered is event
            assert self.finals[event.key] == (0 if waits else 1), "each request is answered at once and once"
            answers = [e.response.status for e in effects if isinstance(e, fx.Respond) and e.key == event.key]
            if event.request.method == "BYE" and answers == [200]:
                self.left.add((event.leg, event.request.from_.tag or ""))
        if not isinstance(event, events.ResponseIn):
            return
        acks = [(e.request.cseq.number, e.request.to.tag) for e in effects if isinstance(e, fx.SendAck)]
        response, purpose = event.response, self.asked[event.ask].purpose
        wants = 200 <= response.status < 300 and purpose in (Purpose.INVITE, Purpose.REINVITE)
        assert acks == ([(response.cseq.number, response.to.tag)] if wants else []), "each 2xx is acknowledged"

    @property
    def _current(self) -> set[LegId]:
        """Legs that are part of the call, may become so, or are being let go."""
        state = self.scene.state
        going = {leg.id for leg in state.legs.values() if leg.gone and not leg.invitation.is_over}
        return {leg.id for leg in state.pair} | set(state.hunt.ringing) | going

    def _legs(self) -> None:
        state = self.scene.state
        assert (self.finished == 1) == (not state.live)
        if state.live:
            assert self.places <= self._current, "who is no part of the call has no place at the relay"
            assert {leg for _, leg in self.clocks if leg != NO_LEG} <= self._current, "nor a clock"
        else:
            assert set(self.clocks) <= {(fx.Timer.LINGER, NO_LEG)}, "a call that is over waits for one clock"
        for dialog in self.confirmed:
            leg = state.legs[dialog[0]]
            is_it = leg.dialog is not None and leg.dialog.remote_tag == dialog[1] and not leg.invitation.is_over
            assert is_it or leg.invitation.owes_bye or self.byes[dialog] or dialog in self.left, (
                "an answer is the call, or has its BYE"
            )

    def _posture(self) -> None:
        """The posture is that of the legs that hear each other, and says of each what its record says."""
        state = self.scene.state
        if not state.live:
            return
        assert set(state.posture.legs()) <= {leg.id for leg in state.pair}
        for leg in state.posture.legs():
            vector = state.posture.vector(leg)
            assert vector is not None
            assert vector == state.legs[leg].vector, "it is the latest"
            if vector.keying is not Keying.PENDING and state.legs[leg].is_agreed:
                assert vector.as_dict() == self.agreed[leg]

    def _floor(self) -> None:
        """Under strict, whoever hears each other is protected as strict wants it, whoever came or went."""
        state = self.scene.state
        if (
            self.scene.rules is not None
            or self.scene.profile is not Profile.STRICT
            or self.scene.emergency
            or state.policy.emergency
        ):
            return
        for leg in state.pair if state.live and state.answered_at is not None else ():
            vector = leg.vector
            assert judge(STRICT, vector).allowed or vector.extra_codes & CONTRADICTED

    def _reports(self) -> None:
        """Each browser of the pair has been told how the call is protected, or is about to be."""
        state = self.scene.state
        for leg in state.pair if state.live else ():
            told = leg.told
            if told is None or not leg.invitation.is_open or leg.dialog is None:
                continue
            waits = any(self.asked[n].leg == leg.id and self.asked[n].purpose is Purpose.UPDATE for n in self.open)
            if not waits and not told.waits and told.takes_update:
                grades = f"grade={state.posture.current.name};worst={state.posture.worst.name};"
                assert self.told[leg.id].startswith(grades)
                assert leg.is_away or report.is_told(state, leg, report.news(state, leg)), "who it speaks to, too"

    def ended(self) -> None:
        """The call was ended: whatever rang has its CANCEL."""
        for number in self.open:
            if self.asked[number].purpose is Purpose.INVITE:
                assert number in self.cancelled, "each INVITE is answered or cancelled"

    def over(self) -> None:
        """Everybody has answered."""
        assert (self.finished, self.forgotten) == (1, 1)
        assert self.finals["invite-key"] == 1, "the caller has its one final response"
        assert not self.open
        assert not self.scene.state.asks
        assert not self.clocks
        for dialog in self.confirmed:
            assert self.byes[dialog] or dialog in self.left, "each dialog is ended"
        assert self.audited.count("call.start") == 1


def _leg_of(key: str) -> LegId:
    """Whose request has this key."""
    return CALLER if key == "invite-key" else LegId(int(key.partition("-")[0]))
