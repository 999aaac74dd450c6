"""One stack under test: what it was given, what it sent and what it reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from gateway.base.counters import Counter, Counters
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, Response, create_response
from gateway.sip.stack import RequestReceived, SipStack, StackEvent
from tests.sip.fake_wire import counting_tokens, read, udp

E = TypeVar("E", bound=StackEvent)


@dataclass
class StackBench:
    """A stack with a clock the test moves."""

    flow: Flow = field(default_factory=udp)
    now: float = 100.0
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.stack = SipStack(counting_tokens("t"), self.counters)

    def receive(self, message: Message, flow: Flow | None = None) -> None:
        self.stack.receive(flow or self.flow, message, self.now)

    def sent(self) -> list[Message]:
        return [read(data) for _, data in self.stack.take_transmissions()]

    def statuses(self) -> list[int]:
        return [message.status for message in self.sent() if isinstance(message, Response)]

    def requests(self) -> list[Request]:
        return [message for message in self.sent() if isinstance(message, Request)]

    def events(self) -> list[StackEvent]:
        return self.stack.take_events()

    def event(self, kind: type[E]) -> E:
        """The one event there is."""
        events = self.events()
        assert len(events) == 1, events
        assert isinstance(events[0], kind)
        return events[0]

    def take_request(self, message: Request, flow: Flow | None = None) -> str:
        """Receive a new request; returns its key, what was sent is taken away."""
        self.receive(message, flow)
        self.stack.take_transmissions()
        return self.event(RequestReceived).key

    def respond(self, key: str, message: Request, status: int, to_tag: str = "bob") -> None:
        self.stack.respond(key, create_response(message, status, to_tag=to_tag), self.now)

    def run(self, seconds: float) -> list[tuple[float, Message]]:
        """Let time pass; gives what was sent with the seconds since the start."""
        start, end = self.now, self.now + seconds
        sent: list[tuple[float, Message]] = []
        while (deadline := self.stack.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.stack.handle_timers(self.now)
            sent += [(round(self.now - start, 3), message) for message in self.sent()]
        self.now = end
        return sent

    def times(self, seconds: float) -> list[float]:
        """When something was sent."""
        return [moment for moment, _ in self.run(seconds)]

    def idle(self) -> bool:
        """Whether nothing at all is left in the stack."""
        return self.stack.is_idle

    def count(self, counter: Counter) -> int:
        return self.counters[counter]
