"""Two ends change one session at will over a wire that reorders and repeats: they always agree in the end."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.base.table import Unexpected
from gateway.sdp.exchange import Negotiation
from gateway.sdp.glare import BackOff
from gateway.sdp.offer_answer import State
from gateway.sdp.session import Description, Dropped, OurProposal, Session, Way, Write


def lots(length: int) -> str:
    return "7" * length


def writer(text: str) -> Write:
    """A description of this content: what we write differs from another one in the content and the version only."""
    return lambda version: f"o={version} {text}".encode()


class End:
    """One side of a dialog: what a user agent does with its negotiation, and the transactions below it."""

    def __init__(self, name: str, *, owner: bool) -> None:
        self.name = name
        self.talk: Negotiation[str, str] = Negotiation(owner)
        self.cseq = 0
        self.heard_cseq = 0
        self.replies: dict[str, Message] = {}
        """What each of the peer's requests got: a repeated one gets it again (RFC 3261 17.2)."""
        self.acks: dict[str, Message] = {}
        self.asking = ""
        """Our INVITE without an offer that is unanswered."""
        self.published: list[Description[str]] = []

    def next_key(self) -> str:
        self.cseq += 1
        return f"{self.name}-{self.cseq}"

    def note(self, made: Description[str]) -> None:
        self.published.append(made)


class Message:
    """A request, response or ACK on the wire; `status` 0 is a request, 1 an ACK."""

    def __init__(self, to: str, key: str, status: int, way: Way, body: Description[str] | None) -> None:
        self.to, self.key, self.status, self.way, self.body = to, key, status, way, body


class TwoEnds(RuleBasedStateMachine):
    """Two ends change one session at will over a wire that reorders and repeats. Messages are not lost for good."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {"a": End("a", owner=True), "b": End("b", owner=False)}
        self.wire: list[Message] = []
        self.accepted: list[tuple[bytes, bytes]] = []
        """Offer and answer of every exchange that was answered, in that order."""

    @initialize()
    def call(self) -> None:
        self.send_offer(self.ends["a"], Way.INVITE, "hello")
        self.drain()
        assert all(end.talk.session is not None for end in self.ends.values())

    def other(self, end: End) -> End:
        return self.ends["b" if end.name == "a" else "a"]

    def put(self, sender: End, key: str, status: int, way: Way, body: Description[str] | None = None) -> Message:
        message = Message(self.other(sender).name, key, status, way, body)
        self.wire.append(message)
        return message

    def send_offer(self, end: End, way: Way, text: str) -> None:
        if end.asking:
            end.talk.want()
            return
        could = end.talk.may_offer(way)
        outcome = end.talk.offer(way, text, writer(text))
        assert isinstance(outcome, OurProposal) == could
        if isinstance(outcome, OurProposal):
            key = end.next_key()
            end.talk.carry(key)
            end.note(outcome.offer)
            self.put(end, key, 0, way, outcome.offer)

    @rule(name=st.sampled_from("ab"), way=st.sampled_from([Way.REINVITE, Way.UPDATE]), text=st.sampled_from("xyz"))
    def change(self, name: str, way: Way, text: str) -> None:
        self.send_offer(self.ends[name], way, text)

    @rule(name=st.sampled_from("ab"))
    def ask(self, name: str) -> None:
        end = self.ends[name]
        if not end.asking and end.talk.may_offer(Way.REINVITE):
            end.asking = end.next_key()
            self.put(end, end.asking, 0, Way.IN_2XX)

    @rule(name=st.sampled_from("ab"), text=st.sampled_from("xyz"))
    def wait_is_over(self, name: str, text: str) -> None:
        end = self.ends[name]
        assert end.talk.wait_over() is None or end.talk.state is State.OFFERED_FIRST
        if end.talk.is_due():
            self.send_offer(end, Way.REINVITE, text)

    @precondition(lambda self: self.wire)
    @rule(where=st.integers(min_value=0), refuses=st.booleans(), text=st.sampled_from("xyz"))
    def deliver(self, where: int, refuses: bool, text: str) -> None:
        self.take(self.wire.pop(where % len(self.wire)), refuses, text)

    @precondition(lambda self: self.wire and len(self.wire) < 20)
    @rule(where=st.integers(min_value=0))
    def repeat(self, where: int) -> None:
        self.wire.append(self.wire[where % len(self.wire)])

    def take(self, message: Message, refuses: bool, text: str) -> None:
        end = self.ends[message.to]
        before = end.talk.session
        if message.status == 0:
            agreed = self.request(end, message, refuses, text)
        elif message.status == 1:
            agreed = self.ack(end, message)
        else:
            agreed = self.response(end, message, text)
        if not agreed:
            assert end.talk.session is before

    def request(self, end: End, message: Message, refuses: bool, text: str) -> bool:
        known = end.replies.get(message.key)
        if known is not None:
            self.wire.append(known)
            return False
        number = int(message.key.split("-")[1])
        status, body = (500, None) if number < end.heard_cseq else self.judged(end, message, refuses, text)
        end.heard_cseq = max(end.heard_cseq, number)
        end.replies[message.key] = self.put(end, message.key, status, message.way, body)
        return status == 200 and message.way is not Way.IN_2XX

    def judged(self, end: End, message: Message, refuses: bool, text: str) -> tuple[int, Description[str] | None]:
        if end.asking:
            return 491, None
        asks = message.way is Way.IN_2XX
        glare = end.talk.hear(message.way, lots, offers=not asks, carrier=message.key)
        assert not isinstance(glare, Unexpected)
        if glare is not None:
            return glare.status, None
        if message.body is not None:
            end.talk.consider(message.body)
        if refuses:
            assert isinstance(end.talk.refuse(), Dropped)
            return 488, None
        return 200, self.offer_asked_for(end, text) if asks else self.reply(end, message, text)

    def offer_asked_for(self, end: End, text: str) -> Description[str]:
        proposal = end.talk.offer(Way.IN_2XX, text, writer(text))
        assert isinstance(proposal, OurProposal)
        end.note(proposal.offer)
        return proposal.offer

    def reply(self, end: End, message: Message, text: str) -> Description[str]:
        session = end.talk.reply(text, writer(text))
        assert isinstance(session, Session)
        end.note(session.ours)
        self.accepted.append((session.theirs.body, session.ours.body))
        return session.ours

    def response(self, end: End, message: Message, text: str) -> bool:
        if message.way is Way.IN_2XX:
            return self.answer_to_ask(end, message, text)
        agreed = False
        if end.talk.is_carried_by(message.key) and end.talk.ours_is_open is not None:
            agreed = self.outcome(end, message)
        if message.status == 200 and message.way is not Way.UPDATE:
            self.put(end, message.key, 1, message.way)
        return agreed

    def outcome(self, end: End, message: Message) -> bool:
        proposal = end.talk.ours_is_open
        assert proposal is not None
        if message.status == 200:
            assert message.body is not None
            session = end.talk.agree(proposal.accept(message.body))
            assert isinstance(session, Session)
            assert (session.ours.body, session.theirs.body) in self.accepted
            return True
        outcome = end.talk.collided(lots) if message.status == 491 else end.talk.refused()
        assert isinstance(outcome, BackOff | Dropped)
        return False

    def answer_to_ask(self, end: End, message: Message, text: str) -> bool:
        """The 2xx to our INVITE without an offer brings one; we answer it in the ACK."""
        if message.key in end.acks:
            self.wire.append(end.acks[message.key])
        if end.asking != message.key:
            return False
        end.asking = ""
        if message.status != 200:
            return False
        assert message.body is not None
        assert end.talk.hear(Way.UPDATE, lots) is None
        end.talk.consider(message.body)
        end.acks[message.key] = self.put(end, message.key, 1, message.way, self.reply(end, message, text))
        return True

    def ack(self, end: End, message: Message) -> bool:
        if not end.talk.is_carried_by(message.key):
            return False
        proposal = end.talk.ours_is_open
        if message.body is None or proposal is None:
            assert end.talk.acknowledged() is None
            return False
        assert isinstance(end.talk.agree(proposal.accept(message.body)), Session)
        return True

    @rule()
    def drain(self) -> None:
        """All that is under way arrives: both ends have the last accepted session, and no exchange is left open."""
        while self.wire:
            self.take(self.wire.pop(0), False, "x")
        a, b = (end.talk.session for end in self.ends.values())
        assert a is not None
        assert b is not None
        assert (a.ours.body, a.theirs.body) == (b.theirs.body, b.ours.body)
        assert {self.accepted[-1], self.accepted[-1][::-1]} >= {(a.ours.body, a.theirs.body)}
        assert all(end.talk.state in (State.STABLE, State.BACKING_OFF) for end in self.ends.values())

    @invariant()
    def each_session_is_one_that_was_offered_and_answered(self) -> None:
        pairs = {pair for offer, answer in self.accepted for pair in ((offer, answer), (answer, offer))}
        sessions = [end.talk.session for end in self.ends.values()]
        assert all((found.ours.body, found.theirs.body) in pairs for found in sessions if found is not None)

    @invariant()
    def versions_count_up_by_one_exactly_when_the_rest_differs(self) -> None:
        for end in self.ends.values():
            for before, after in zip(end.published, end.published[1:], strict=False):
                assert after.version - before.version == (0 if after.content == before.content else 1)
                assert (after.body == before.body) == (after.content == before.content)

    def teardown(self) -> None:
        if self.accepted:
            self.drain()


TestTwoEnds = TwoEnds.TestCase
