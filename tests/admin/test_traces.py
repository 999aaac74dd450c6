"""Traces: nothing is looked at while nobody asks, and of one call everything from then on, without its secrets."""

from __future__ import annotations

from dataclasses import replace

from gateway.admin.traces import MAX_KEPT, MAX_TRACES, MAX_WAITING, Recorder, Trace, Wish
from gateway.call.machine.state import CallState
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response, parse_message
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, trunk_flow

KEY = "CANARYkey"
BODY = f"v=0\r\nm=audio 4 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\na=ice-pwd:{KEY}\r\n".encode()


def request(call_id: str, method: str = "INVITE", *, to_tag: str = "", body: bytes = BODY) -> Request:
    lines = messages.fields(
        method,
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bK1",
        from_="<sip:alice@example.test>;tag=a",
        to="<sip:600@example.test>" + (f";tag={to_tag}" if to_tag else ""),
        call_id=call_id,
        extra=["Content-Type: application/sdp", f"Authorization: Digest response={KEY}"],
    )
    found = parse_message(messages.octets(method, "sip:600@example.test", lines, body), stream=False)
    assert isinstance(found, Request)
    return found


class Calls:
    """Calls a recorder may find, and whether it is switched on."""

    def __init__(self, **states: CallState) -> None:
        self.states = states
        self.hidden: set[str] = set()
        """Call-IDs that are in no index yet."""
        self.on = False
        self.looked = 0
        self.recorder = Recorder(self.find, self.switch)

    def switch(self, on: bool) -> None:
        self.on = on

    def find(self, call_id: str, deep: bool) -> CallState | None:
        self.looked += 1
        if call_id in self.hidden and not deep:
            return None
        return next((s for s in self.states.values() if any(leg.call_id == call_id for leg in s.legs.values())), None)

    def trace(self, **wish: str) -> Trace:
        made = Trace(Wish(**wish), lambda: None)
        made.call = made.wish.call
        self.recorder.begin(made)
        return made


def call(id: str = "c-1", user: str = "alice") -> MachineScene:
    scene = MachineScene().calling()
    scene.state.facts = replace(scene.state.facts, id=id, user=user)
    return scene


def words(trace: Trace) -> list[tuple[object, object, object]]:
    return [(row["leg"], row["direction"], row["summary"]) for row in trace.take()]


def test_messages_are_wanted_only_while_there_is_a_trace() -> None:
    calls = Calls()
    trace = calls.trace()
    assert calls.on
    other = calls.trace()
    calls.recorder.end(trace)
    assert calls.on
    calls.recorder.end(other)
    assert not calls.on


def test_a_trace_has_the_messages_of_all_legs_of_its_call_and_of_no_other() -> None:
    one, other = call(), call("c-2")
    other.state.caller.call_id, other.state.legs[list(other.state.legs)[1]].call_id = "x", "y"
    calls = Calls(one=one.state, other=other.state)
    trace = calls.trace(call="c-1")
    calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), 1.0)
    calls.recorder.received(BROWSER_FLOW, request("x"), 1.0)
    calls.recorder.sent(trunk_flow(), bytes(request(one.callee_call_id)), 1.5)
    calls.recorder.received(trunk_flow(), create_response(request(one.callee_call_id), 180), 2.0)
    rows = trace.take()
    assert [(r["leg"], r["direction"], r["summary"], r["at"]) for r in rows] == [
        (1, "received", "INVITE", 0.0),
        (2, "sent", "INVITE", 0.5),
        (2, "received", "180 Ringing", 1.0),
    ]
    assert [(r["kind"], r["name"], r["description"]) for r in rows[:2]] == [
        ("browser", "alice", True),
        ("trunk", "pbx", True),
    ]


def test_no_secret_reaches_the_ring() -> None:
    one = call()
    calls = Calls(one=one.state)
    trace = calls.trace(call="c-1")
    calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), 1.0)
    calls.recorder.sent(BROWSER_FLOW, bytes(request("caller-call-id", "INFO", to_tag="x", body=BODY)), 1.0)
    assert KEY not in repr(vars(trace))
    assert len(trace.take()) == 2


def test_the_next_call_of_a_user_is_traced_from_its_invite_on() -> None:
    one = call(user="bob")
    calls = Calls()
    trace = calls.trace(user="bob")
    calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), 1.0)
    calls.recorder.sent(BROWSER_FLOW, bytes(create_response(request("caller-call-id"), 100)), 1.1)
    assert trace.take() == []
    calls.states["one"] = one.state
    calls.recorder.received(trunk_flow(), create_response(request(one.callee_call_id), 100), 2.0)
    assert words(trace) == [(1, "received", "INVITE"), (1, "sent", "100 Trying"), (2, "received", "100 Trying")]
    assert trace.call == "c-1"


def test_a_request_that_leaves_just_now_is_in_the_trace_though_no_index_has_it() -> None:
    one = call()
    calls = Calls(one=one.state)
    calls.hidden.add(one.callee_call_id)
    trace = calls.trace(trunk="pbx")
    calls.recorder.sent(trunk_flow(), bytes(request(one.callee_call_id)), 1.0)
    assert words(trace) == [(2, "sent", "INVITE")]


def test_the_next_call_is_the_first_that_fits_and_no_further_one() -> None:
    one, other = call(), call("c-2", "bob")
    other.state.caller.call_id = "x"
    calls = Calls(one=one.state, other=other.state)
    trace = calls.trace(user="bob")
    calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), 1.0)
    assert trace.take() == []
    calls.recorder.received(BROWSER_FLOW, request("x"), 1.0)
    calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), 1.0)
    assert (len(trace.take()), trace.call) == (1, "c-2")


def test_a_reader_that_is_slow_loses_the_oldest_and_is_told_how_many() -> None:
    one = call()
    calls = Calls(one=one.state)
    trace = calls.trace(call="c-1")
    for number in range(MAX_KEPT + 5):
        calls.recorder.received(BROWSER_FLOW, request("caller-call-id"), float(number))
    rows = trace.take()
    assert (len(rows), trace.dropped, rows[0]["at"]) == (MAX_KEPT, 5, 5.0)


def test_what_waits_for_its_call_is_bounded_and_is_nothing_but_beginnings() -> None:
    calls = Calls()
    calls.trace()
    for number in range(3 * MAX_WAITING):
        calls.recorder.received(BROWSER_FLOW, request(f"id-{number}"), 1.0)
        calls.recorder.received(BROWSER_FLOW, request(f"id-{number}", "REGISTER"), 1.0)
    waiting = list(vars(calls.recorder)["_waiting"])
    assert len(waiting) == MAX_WAITING
    assert {made.method for made in waiting} == {"INVITE"}
    assert KEY not in repr(waiting)


def test_octets_that_are_no_message_are_passed_over() -> None:
    calls = Calls()
    trace = calls.trace()
    calls.recorder.sent(BROWSER_FLOW, b"\r\n\r\n", 1.0)
    calls.recorder.sent(BROWSER_FLOW, b"\xff\xfe junk", 1.0)
    assert trace.take() == []


def test_there_are_so_many_traces_at_a_time() -> None:
    calls = Calls()
    made = [calls.trace() for _ in range(MAX_TRACES)]
    assert calls.recorder.is_full
    calls.recorder.end(made[0])
    assert not calls.recorder.is_full


def test_a_retransmission_is_a_message_too() -> None:
    one = call()
    calls = Calls(one=one.state)
    trace = calls.trace(call="c-1")
    flow: Flow = trunk_flow("udp")
    for at in (1.0, 1.5, 2.5):
        calls.recorder.sent(flow, bytes(request(one.callee_call_id)), at)
    assert [row["at"] for row in trace.take()] == [0.0, 0.5, 1.5]
