"""A fake wire between SIP stacks: virtual time, loss, duplication and reordering, all seeded."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.base.counters import Counters
from gateway.base.signalling import TlsInfo, TransportName
from gateway.base.values import HostPort, TokenSource
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, Response, parse_message
from gateway.sip.stack import SipStack, StackEvent
from tests import messages

ALICE = HostPort("192.0.2.1", 5060)
BOB = HostPort("192.0.2.2", 5060)


def counting_tokens(prefix: str) -> TokenSource:
    """Tokens that are unique and readable."""
    count = 0

    def token(length: int) -> str:
        nonlocal count
        count += 1
        return f"{prefix}{count:0{max(1, length - len(prefix))}}"

    return token


def udp(local: HostPort = BOB, remote: HostPort = ALICE, *, number: int = 1, trunk: str | None = None) -> Flow:
    return Flow(number, "udp", local, remote, trunk)


def stream(transport: TransportName = "tcp", *, number: int = 1, remote: HostPort = ALICE) -> Flow:
    return Flow(number, transport, BOB, remote)


def tls_flow(number: int, name: str, *, version: str = "TLSv1.3", trunk: str = "pbx", initiated: bool = False) -> Flow:
    """A TLS connection of a trunk whose certificate is for `name`; "" when it showed none."""
    info = TlsInfo(version, "", f"CN={name}", "", bool(name), name, "" if name else "the peer sent no certificate")
    return Flow(number, "tls", BOB, HostPort(ALICE.host, 40000 + number), trunk, info, initiated)


def request(
    method: str = "OPTIONS",
    *,
    branch: str = "z9hG4bKa1",
    call_id: str = "call-1",
    cseq: int = 1,
    to_tag: str = "",
    from_tag: str = "alice",
    via: str = "",
    extra: Sequence[str] = ("Max-Forwards: 70", "Contact: <sip:alice@192.0.2.1:5060>"),
    uri: str = "sip:bob@192.0.2.2",
) -> Request:
    """A request of a peer, through the parser."""
    lines = messages.fields(
        method,
        via=via or f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport",
        from_=f"<sip:alice@example.org>;tag={from_tag}",
        to=f"<sip:bob@example.org>{f';tag={to_tag}' if to_tag else ''}",
        call_id=call_id,
        cseq=cseq,
        max_forwards=None,
        extra=extra,
    )
    message = parse_message(messages.octets(method, uri, lines), stream=True)
    assert isinstance(message, Request)
    return message


def read(data: bytes) -> Message:
    return parse_message(data, stream=True)


def read_request(data: bytes) -> Request:
    message = read(data)
    assert isinstance(message, Request)
    return message


def read_response(data: bytes) -> Response:
    message = read(data)
    assert isinstance(message, Response)
    return message


Handler = Callable[["Node", StackEvent], None]


@dataclass(eq=False)
class Node:
    """One stack with its transaction user."""

    name: str
    flow: Flow
    handler: Handler
    stack: SipStack
    counters: Counters
    wire: FakeWire
    events: list[StackEvent] = field(default_factory=list)
    flows: dict[HostPort, Flow] = field(default_factory=dict)
    """What it hears others on, by their address; of those that are not here `flow`."""

    @property
    def now(self) -> float:
        return self.wire.now

    def kinds(self) -> list[str]:
        """Names of what happened, in order."""
        return [type(event).__name__ for event in self.events]


class FakeWire:
    """Carries datagrams (or stream messages) between two nodes, or more whose addresses differ."""

    def __init__(self, *, seed: int = 0, loss: float = 0, copies: float = 0, jitter: float = 0) -> None:
        self.now = 1000.0
        self.loss, self.copies, self.jitter = loss, copies, jitter
        self.drop: Callable[[int, Message], bool] = lambda number, message: False
        self.cut: set[HostPort] = set()
        """Addresses nothing comes from, nor goes to."""
        self.sent: list[tuple[str, Message]] = []
        self.nodes: list[Node] = []
        self._random = random.Random(seed)
        self._count = 0
        self._queue: list[tuple[float, int, Node, Flow, bytes]] = []

    def add(self, name: str, flow: Flow, handler: Handler) -> Node:
        counters = Counters()
        node = Node(name, flow, handler, SipStack(counting_tokens(name), counters), counters, self)
        self.nodes.append(node)
        return node

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        self._pump()
        while (moment := self._next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            self._deliver()
            for node in self.nodes:
                node.stack.handle_timers(self.now)
            self._pump()
        self.now = end

    @property
    def is_idle(self) -> bool:
        return not self._queue and all(node.stack.is_idle for node in self.nodes)

    def _next(self) -> float | None:
        moments = [deadline for node in self.nodes if (deadline := node.stack.next_deadline()) is not None]
        if self._queue:
            moments.append(self._queue[0][0])
        return min(moments, default=None)

    def _deliver(self) -> None:
        while self._queue and self._queue[0][0] <= self.now:
            _, _, node, flow, data = heapq.heappop(self._queue)
            node.stack.receive(flow, parse_message(data, stream=flow.is_reliable), self.now)

    def _pump(self) -> None:
        busy = True
        while busy:
            busy = False
            for node in self.nodes:
                for event in node.stack.take_events():
                    busy = True
                    node.events.append(event)
                    node.handler(node, event)
                for flow, data in node.stack.take_transmissions():
                    busy = True
                    self._carry(node, flow, data)

    def _carry(self, sender: Node, over: Flow, data: bytes) -> None:
        message = read(data)
        number = len(self.sent)
        self.sent.append((sender.name, message))
        is_cut = not self.cut.isdisjoint((sender.flow.local, over.remote))
        if is_cut or self.drop(number, message) or self._random.random() < self.loss:
            return
        others = [node for node in self.nodes if node is not sender]
        receiver = next((node for node in others if node.flow.local == over.remote), others[0])
        flow = receiver.flows.get(sender.flow.local, receiver.flow)
        for _ in range(2 if self._random.random() < self.copies else 1):
            delay = 0.01 + self._random.random() * self.jitter
            self._count += 1
            heapq.heappush(self._queue, (self.now + delay, self._count, receiver, flow, data))
