"""Which call a message belongs to: entries live as long as their call, and never longer."""

from __future__ import annotations

from typing import cast

from gateway.base.values import CALLER
from gateway.call.run.index import CallIndex
from gateway.call.run.runner import CallRunner
from gateway.sip.agent import Agent, Asker
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from tests.call.machine_scene import BROWSER_FLOW, request


class Runner:
    """Stands for a call; the index only compares them."""


def began(index: CallIndex) -> CallRunner:
    runner = cast(CallRunner, Runner())
    index.begin(runner)
    return runner


class Wire:
    """Gives each request the key that is its turn."""

    def __init__(self) -> None:
        self.keys = iter(("s1", "s2"))

    def send_request(self, request: Request, flow: Flow) -> str:
        return next(self.keys)


def made() -> CallIndex:
    return CallIndex(Agent(Wire(), lambda length: "x" * length))


def test_the_end_of_a_call_takes_its_entries_and_no_others() -> None:
    agent = Agent(Wire(), lambda length: "x" * length)
    index = CallIndex(agent)
    one, other = began(index), began(index)
    for runner in (one, other):
        index.sends(runner, agent.ask(request("INVITE"), BROWSER_FLOW, cast(Asker, None)), f"call-{runner is one}")
    index.receives(one, "r1", "call-a")
    index.tracks(one, ("call-a", "l", "r"), CALLER)
    index.receives(other, "r2", "call-b")
    index.drop(one)
    assert len(agent) == 1
    assert index.dialogs == {}
    assert list(index.received.values()) == [other]
    assert not index.is_living("call-a")
    assert index.is_living("call-b")


def test_after_its_ack_nothing_more_comes_for_a_request() -> None:
    index = made()
    runner = began(index)
    index.receives(runner, "r1")
    assert index.acknowledged("r1") is runner
    assert index.acknowledged("r1") is None


def test_a_call_that_is_dropped_twice_is_dropped() -> None:
    index = made()
    runner = began(index)
    index.drop(runner)
    index.drop(runner)
    assert index.runners == {}


def test_a_call_id_of_several_calls_lives_as_long_as_the_last_of_them() -> None:
    """A call that was challenged, the one with credentials, and the one a proxy brings to another browser."""
    index = made()
    first, second = began(index), began(index)
    for runner in (first, second):
        index.receives(runner, f"r{runner is first}", "call-a")
    assert set(index.of_call_id("call-a")) == {first, second}
    index.drop(second)
    assert index.of_call_id("call-a") == (first,)
    assert index.is_living("call-a")
    index.drop(first)
    assert index.of_call_id("call-a") == ()
    assert not index.is_living("call-a")


def test_a_call_is_found_by_its_connections_and_users_of_now_and_by_no_others() -> None:
    index = made()
    one, other = began(index), began(index)
    index.stands(one, {1, 2}, {"alice"})
    index.stands(other, {2}, {"alice", "bob"})
    assert (index.on(1), index.on(2), index.on(3)) == ((one,), (one, other), ())
    assert (index.of_user("Alice"), index.of_user("bob")) == ((one, other), (other,))
    index.stands(one, {3}, {"bob"})
    assert (index.on(1), index.on(2), index.on(3)) == ((), (other,), (one,))
    assert (index.of_user("alice"), index.of_user("bob")) == ((other,), (other, one))


def test_nobody_finds_a_call_that_is_forgotten_whatever_its_legs_do_then() -> None:
    index = made()
    runner = began(index)
    index.stands(runner, {1}, {"alice"})
    index.drop(runner)
    index.stands(runner, {1}, {"alice"})
    assert (index.on(1), index.of_user("alice")) == ((), ())
    assert (index._by_flow, index._by_user) == ({}, {})
