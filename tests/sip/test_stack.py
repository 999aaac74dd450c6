"""Two stacks against each other over a wire that loses, doubles and reorders; and one stack against anything at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import perf_counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.values import HostPort
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog, InviteDialogs
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, Response, create_response, parse_message
from gateway.sip.stack import (
    AckReceived,
    AckTimeout,
    CancelReceived,
    RequestReceived,
    RequestTimeout,
    ResponseReceived,
    SipStack,
    StackEvent,
    TransportFailed,
)
from tests.effort import examples
from tests.sip.fake_wire import ALICE, BOB, FakeWire, Node, counting_tokens, request, udp
from tests.sip.stack_bench import StackBench

OURS = NameAddr.parse("<sip:alice@192.0.2.1>")
LONGEST = 700.0
"""Seconds after which every timer has run out."""


class Caller:
    """Calls, acknowledges every 2xx, hangs up `talk` seconds of retransmission time later; may cancel."""

    def __init__(self, wire: FakeWire, flow: Flow) -> None:
        self.node = wire.add("alice", flow, self.handle)
        self.dialogs: dict[str, Dialog] = {}
        self.statuses: list[tuple[str, int]] = []
        self.ended: list[StackEvent] = []
        self.hang_up = True
        self.invite = request("INVITE", extra=["Contact: <sip:alice@192.0.2.1>"]).without_header("Via")
        self._forks = InviteDialogs(self.invite)

    def call(self) -> str:
        return self.node.stack.send_request(self.invite, self.node.flow, self.node.now)

    def handle(self, node: Node, event: StackEvent) -> None:
        if isinstance(event, ResponseReceived):
            self._response(event.response)
        else:
            self.ended.append(event)

    def _response(self, response: Response) -> None:
        self.statuses.append((response.cseq.method, response.status))
        dialog = self._forks.take(response) if response.cseq.method == "INVITE" else None
        if dialog is None or response.status < 200:
            return
        ack = dialog.ack(response.cseq.number, OURS)
        self.node.stack.send_ack(ack, self.node.flow, self.node.now)
        if dialog.remote_tag not in self.dialogs:
            self.dialogs[dialog.remote_tag] = dialog
            if self.hang_up:
                self.bye(dialog)

    def bye(self, dialog: Dialog) -> None:
        self.node.stack.send_request(dialog.new_request("BYE", None), self.node.flow, self.node.now)


class Callee:
    """Rings, and answers as told."""

    def __init__(self, wire: FakeWire, flow: Flow, *, final: int = 200) -> None:
        self.node = wire.add("bob", flow, self.handle)
        self.final = final
        self.invites: dict[str, Request] = {}
        self.acked: list[str] = []
        self.byes = 0
        self.cancelled: list[str] = []
        self.ended: list[StackEvent] = []

    def handle(self, node: Node, event: StackEvent) -> None:
        if isinstance(event, RequestReceived):
            self._request(event)
        elif isinstance(event, AckReceived):
            self.acked.append(event.key)
        elif isinstance(event, CancelReceived):
            self.cancelled.append(event.key)
            self.respond(event.key, 487)
        else:
            self.ended.append(event)

    def _request(self, event: RequestReceived) -> None:
        if event.request.method == "BYE":
            self.byes += 1
            self.node.stack.respond(event.key, create_response(event.request, 200), self.node.now)
            return
        self.invites[event.key] = event.request
        self.respond(event.key, 180)
        if self.final:
            self.respond(event.key, self.final)

    def respond(self, key: str, status: int) -> None:
        contact = [("Contact", "<sip:bob@192.0.2.2>")]
        response = create_response(self.invites[key], status, to_tag="bob", headers=contact)
        self.node.stack.respond(key, response, self.node.now)


def _pair(wire: FakeWire, *, transport: str = "udp", final: int = 200) -> tuple[Caller, Callee]:
    if transport == "udp":
        return Caller(wire, udp(ALICE, BOB)), Callee(wire, udp(BOB, ALICE), final=final)
    return Caller(wire, Flow(1, "tcp", ALICE, BOB)), Callee(wire, Flow(1, "tcp", BOB, ALICE), final=final)


def _names(wire: FakeWire) -> list[str]:
    return [str(m.cseq) if isinstance(m, Request) else f"{m.status} {m.cseq.method}" for _, m in wire.sent]


def _assert_call_completed(wire: FakeWire, caller: Caller, callee: Callee) -> None:
    assert len(callee.invites) == len(callee.acked) == 1
    assert ("INVITE", 200) in caller.statuses
    assert caller.statuses.count(("BYE", 200)) == 1
    assert callee.byes == 1
    assert caller.ended == callee.ended == []
    assert wire.is_idle


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_on_a_good_wire_each_message_goes_once(transport: str) -> None:
    wire = FakeWire()
    caller, callee = _pair(wire, transport=transport)
    caller.call()
    wire.run(LONGEST)
    assert _names(wire) == [
        "1 INVITE",
        "100 INVITE",
        "180 INVITE",
        "200 INVITE",
        "1 ACK",
        "2 BYE",
        "200 BYE",
    ]
    _assert_call_completed(wire, caller, callee)


@pytest.mark.parametrize("position", range(7))
def test_a_call_survives_the_loss_of_any_one_message(position: int) -> None:
    wire = FakeWire()
    caller, callee = _pair(wire)
    wire.drop = lambda number, message: number == position
    caller.call()
    wire.run(LONGEST)
    _assert_call_completed(wire, caller, callee)


@pytest.mark.parametrize("kind", ["1 INVITE", "200 INVITE", "1 ACK", "2 BYE", "200 BYE"])
def test_a_call_survives_the_loss_of_the_first_five_of_any_kind(kind: str) -> None:
    wire = FakeWire()
    caller, callee = _pair(wire)
    wire.drop = lambda number, message: _names(wire)[number] == kind and _names(wire).count(kind) <= 5
    caller.call()
    wire.run(LONGEST)
    assert _names(wire).count(kind) == 6
    _assert_call_completed(wire, caller, callee)


@pytest.mark.parametrize("kind", ["486 INVITE", "1 ACK"])
def test_a_refusal_survives_loss_and_is_told_once(kind: str) -> None:
    wire = FakeWire()
    caller, callee = _pair(wire, final=486)
    wire.drop = lambda number, message: _names(wire)[number] == kind and _names(wire).count(kind) <= 3
    caller.call()
    wire.run(LONGEST)
    assert caller.statuses.count(("INVITE", 486)) == 1
    assert callee.acked == []
    assert wire.is_idle


@pytest.mark.parametrize("seed", range(40))
def test_a_call_survives_a_bad_wire(seed: int) -> None:
    wire = FakeWire(seed=seed, loss=0.25, copies=0.25, jitter=0.8)
    caller, callee = _pair(wire)
    caller.call()
    wire.run(LONGEST)
    _assert_call_completed(wire, caller, callee)


@pytest.mark.parametrize("seed", range(20))
def test_a_refused_call_is_refused_once_on_a_bad_wire(seed: int) -> None:
    wire = FakeWire(seed=seed, loss=0.25, copies=0.25, jitter=0.8)
    caller, callee = _pair(wire, final=603)
    caller.call()
    wire.run(LONGEST)
    assert len(callee.invites) == 1
    assert caller.statuses.count(("INVITE", 603)) == 1
    assert caller.ended == callee.ended == []
    assert wire.is_idle


def test_when_no_ack_ever_arrives_the_callee_is_told_and_the_caller_acknowledged_each_2xx() -> None:
    wire = FakeWire()
    caller, callee = _pair(wire)
    caller.hang_up = False
    wire.drop = lambda number, message: isinstance(message, Request) and message.method == "ACK"
    key = caller.call()
    wire.run(LONGEST)
    assert callee.ended == [AckTimeout(next(iter(callee.invites)))]
    assert _names(wire).count("200 INVITE") == _names(wire).count("1 ACK") == 11
    assert key.startswith("client INVITE")
    assert wire.is_idle


def test_when_nothing_arrives_the_caller_times_out() -> None:
    wire = FakeWire(loss=1)
    caller, callee = _pair(wire)
    key = caller.call()
    wire.run(LONGEST)
    assert caller.ended == [RequestTimeout(key)]
    assert not callee.invites
    assert wire.is_idle


# --- CANCEL against 200


@pytest.mark.parametrize("seed", range(30))
def test_a_cancelled_call_ends_on_a_bad_wire(seed: int) -> None:
    wire = FakeWire(seed=seed, loss=0.2, copies=0.2, jitter=0.5)
    caller, callee = _pair(wire, final=0)
    key = caller.call()
    wire.run(seed % 4)
    caller.node.stack.cancel(key, wire.now)
    wire.run(LONGEST)
    finals = [status for method, status in caller.statuses if status >= 200]
    assert finals == [487]
    assert len(callee.cancelled) == 1
    assert wire.is_idle


@pytest.mark.parametrize("seed", range(30))
def test_when_cancel_and_200_cross_both_sides_agree_on_the_outcome(seed: int) -> None:
    wire = FakeWire(seed=seed, loss=0.2, copies=0.2, jitter=0.5)
    caller, callee = _pair(wire, final=0)
    key = caller.call()
    while not callee.invites:
        wire.run(0.5)
    wire.run(1)
    caller.node.stack.cancel(key, wire.now)
    wire.run(seed * 0.02)
    callee.respond(next(iter(callee.invites)), 200)
    wire.run(LONGEST)
    finals = {status for method, status in caller.statuses if method == "INVITE" and status >= 200}
    assert finals == ({487} if callee.cancelled else {200})
    assert bool(caller.dialogs) == (not callee.cancelled) == bool(callee.acked)
    assert callee.byes == len(caller.dialogs)
    assert wire.is_idle


def test_the_200_wins_when_it_left_before_the_cancel_came() -> None:
    wire = FakeWire()
    caller, callee = _pair(wire, final=0)
    key = caller.call()
    wire.run(1)
    callee.respond(next(iter(callee.invites)), 200)
    caller.node.stack.cancel(key, wire.now)
    wire.run(LONGEST)
    assert callee.cancelled == []
    assert ("INVITE", 200) in caller.statuses
    assert callee.byes == 1
    assert wire.is_idle


# --- forks


def test_two_forks_that_answer_are_two_dialogs_each_acknowledged() -> None:
    bench = StackBench()
    ours = request("INVITE")
    ours = ours.without_header("Via")
    bench.stack.send_request(ours, bench.flow, bench.now)
    (sent,) = bench.requests()
    dialogs = InviteDialogs(ours)
    acks = []
    for tag in ("one", "two", "one"):
        contact = [("Contact", f"<sip:{tag}@192.0.2.9>")]
        bench.receive(create_response(sent, 200, to_tag=tag, headers=contact))
        dialog = dialogs.take(bench.event(ResponseReceived).response)
        assert dialog is not None
        bench.stack.send_ack(dialog.ack(1, OURS), bench.flow, bench.now)
        acks += [(ack.uri, ack.to.tag) for ack in bench.requests()]
    assert acks == [("sip:one@192.0.2.9", "one"), ("sip:two@192.0.2.9", "two"), ("sip:one@192.0.2.9", "one")]
    second = dialogs.take(create_response(sent, 200, to_tag="two"))
    assert second is not None
    bench.stack.send_request(second.new_request("BYE", None), bench.flow, bench.now)
    assert [(bye.uri, str(bye.cseq)) for bye in bench.requests()] == [("sip:two@192.0.2.9", "2 BYE")]


# --- size and speed


def test_two_thousand_transactions_are_cheap_and_leave_nothing_behind() -> None:
    bench = StackBench(udp(trunk="pbx"))
    started = perf_counter()
    for i in range(1000):
        bench.receive(request("INVITE", branch=f"z9hG4bK{i}", call_id=f"c{i}"))
    for i in range(1000):
        bench.stack.send_request(request("OPTIONS", call_id=f"o{i}"), bench.flow, bench.now)
    assert bench.stack.transaction_count == 2000
    bench.stack.take_events()
    moment = perf_counter()
    for _ in range(10_000):
        bench.stack.next_deadline()
    assert perf_counter() - moment < 0.5
    sent = 0
    while (deadline := bench.stack.next_deadline()) is not None:
        bench.stack.handle_timers(deadline)
        sent += len(bench.stack.take_transmissions())
    assert sent >= 1000 * 10
    assert bench.idle()
    assert perf_counter() - started < 10


# --- anything at all

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "NEW")
FLOWS = (
    udp(),
    udp(remote=HostPort("192.0.2.3", 5060), trunk="pbx"),
    Flow(2, "wss", BOB, HostPort("192.0.2.4", 40000)),
    Flow(3, "tls", BOB, HostPort("192.0.2.5", 40000), "pbx"),
)
SMALL = st.integers(0, 3)
STATUS = st.sampled_from([100, 180, 183, 199, 200, 202, 302, 401, 408, 486, 487, 503, 603])
TAGS = st.sampled_from(["", "bob", "eve"])


class AnyStack(RuleBasedStateMachine):
    """Whatever peers, users and clocks do, only `SipError` leaves the stack, and it empties itself."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.stack = SipStack(counting_tokens("t"), self.counters)
        self.now = 0.0
        self.requests: dict[str, Request] = {}
        self.ours: list[str] = []
        self.ended: set[str] = set()
        self.sent: list[tuple[Flow, Message]] = []

    @rule(
        flow=st.sampled_from(FLOWS),
        method=st.sampled_from(METHODS),
        branch=st.sampled_from(["z9hG4bK1", "z9hG4bK2", "z9hG4bK3", "1", "z9hG4bK"]),
        call=SMALL,
        cseq=SMALL,
        tag=TAGS,
        hops=st.sampled_from(["0", "1", "70"]),
    )
    def receive_request(self, flow: Flow, method: str, branch: str, call: int, cseq: int, tag: str, hops: str) -> None:
        message = request(
            method, branch=branch, call_id=f"c{call}", cseq=cseq, to_tag=tag, extra=[f"Max-Forwards: {hops}"]
        )
        self.stack.receive(flow, message, self.now)
        self._drain()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), status=STATUS, tag=TAGS, flow=st.sampled_from((None, *FLOWS)))
    def receive_response(self, data: st.DataObject, status: int, tag: str, flow: Flow | None) -> None:
        sent_on, sent = data.draw(st.sampled_from(self.sent))
        if isinstance(sent, Request):
            self.stack.receive(flow or sent_on, create_response(sent, status, to_tag=tag), self.now)
            self._drain()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), flow=st.sampled_from(FLOWS))
    def receive_our_own_message(self, data: st.DataObject, flow: Flow) -> None:
        _, sent = data.draw(st.sampled_from(self.sent))
        self.stack.receive(flow, sent, self.now)
        self._drain()

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), status=STATUS, tag=TAGS)
    def respond(self, data: st.DataObject, status: int, tag: str) -> None:
        key = data.draw(st.sampled_from(list(self.requests)))
        self.stack.respond(key, create_response(self.requests[key], status, to_tag=tag), self.now)
        self._drain()

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), missing=st.sampled_from(["Via", "To", "CSeq", "From"]))
    def respond_with_nonsense(self, data: st.DataObject, missing: str) -> None:
        key = data.draw(st.sampled_from(list(self.requests)))
        response = create_response(self.requests[key], 200)
        response = response.without_header(missing)
        with contextlib.suppress(SipError):
            self.stack.respond(key, response, self.now)
        self._drain()

    @precondition(lambda self: len(self.ours) < 20)
    @rule(flow=st.sampled_from(FLOWS), method=st.sampled_from(["INVITE", "OPTIONS", "BYE"]))
    def send_request(self, flow: Flow, method: str) -> None:
        self.ours.append(self.stack.send_request(request(method), flow, self.now))
        self._drain()

    @precondition(lambda self: self.ours)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.stack.cancel(data.draw(st.sampled_from([*self.ours, *self.requests, "unknown"])), self.now)
        self._drain()

    @rule(flow=st.sampled_from(FLOWS))
    def close_flow(self, flow: Flow) -> None:
        self.stack.flow_closed(flow, self.now)
        self._drain()

    @rule(seconds=st.sampled_from([0, 0.1, 0.5, 4, 33, 601]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.stack.handle_timers(self.now)
        self._drain()

    @invariant()
    def nothing_is_overdue(self) -> None:
        deadline = self.stack.next_deadline()
        assert deadline is None or deadline > self.now or self._run_due()
        assert (self.stack.transaction_count > 0) == (not self.stack.is_idle)

    def _run_due(self) -> bool:
        self.stack.handle_timers(self.now)
        deadline = self.stack.next_deadline()
        return deadline is None or deadline > self.now

    def _drain(self) -> None:
        for event in self.stack.take_events():
            if isinstance(event, RequestReceived):
                # The key of a request that is over may come back, but never while it is under way.
                self.requests[event.key] = event.request
                self.ended.discard(event.key)
            elif isinstance(event, RequestTimeout | TransportFailed | AckTimeout):
                assert event.key not in self.ended
                self.ended.add(event.key)
            else:
                assert event.key not in self.ended, event
        for flow, data in self.stack.take_transmissions():
            self.sent.append((flow, parse_message(data, stream=True)))
        del self.sent[:-40]

    def teardown(self) -> None:
        self.now += 100_000
        while self.stack.next_deadline() is not None:
            self.stack.handle_timers(self.now)
            self._drain()
            self.now += 1000
        assert self.stack.is_idle
        assert all(value >= 0 for value in self.counters.snapshot().values())


AnyStack.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
TestAnyStack = AnyStack.TestCase


@pytest.mark.parametrize(
    "make",
    [
        lambda: request("INVITE"),
        lambda: request("ACK"),
        lambda: request("CANCEL"),
        lambda: create_response(request("INVITE"), 200),
        lambda: create_response(request("BYE"), 481),
    ],
)
def test_a_stray_message_leaves_no_trace_but_a_counter(make: Callable[[], Message]) -> None:
    bench = StackBench(Flow(9, "wss", BOB, ALICE))
    bench.receive(make())
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.idle()
    if not isinstance(make(), Request):
        assert bench.count(Counter.SIP_UNMATCHED_RESPONSE) == 1
