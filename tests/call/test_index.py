"""Which call a message belongs to: entries live as long as their call, and never longer."""

from __future__ import annotations

from typing import cast

from gateway.base.values import CALLER
from gateway.call.machine import effects as fx
from gateway.call.run.index import CallIndex
from gateway.call.run.runner import CallRunner
from tests.call.machine_scene import BROWSER_FLOW, request


class Runner:
    """Stands for a call; the index only compares them."""


def began(index: CallIndex) -> CallRunner:
    runner = cast(CallRunner, Runner())
    index.begin(runner)
    return runner


def sends(index: CallIndex, runner: CallRunner, key: str, purpose: fx.Purpose) -> None:
    index.sends(runner, key, fx.SendRequest(CALLER, request("INVITE"), BROWSER_FLOW, purpose, 1))


def test_the_end_of_a_call_takes_its_entries_and_no_others() -> None:
    index = CallIndex()
    one, other = began(index), began(index)
    sends(index, one, "s1", fx.Purpose.INVITE)
    index.receives(one, "r1", "call-a")
    index.tracks(one, ("call-a", "l", "r"), CALLER)
    index.receives(other, "r2", "call-b")
    index.drop(one)
    assert (index.sent, index.dialogs) == ({}, {})
    assert list(index.received.values()) == [other]
    assert not index.is_living("call-a")
    assert index.is_living("call-b")


def test_only_the_2xx_of_an_invite_may_come_again() -> None:
    index = CallIndex()
    runner = began(index)
    for key, purpose in (("invite", fx.Purpose.INVITE), ("bye", fx.Purpose.BYE), ("notify", fx.Purpose.NOTIFY)):
        sends(index, runner, key, purpose)
        index.answered(key, 180)
        assert key in index.sent
        index.answered(key, 200)
    assert set(index.sent) == {"invite"}
    index.answered("invite", 486)
    assert index.sent == {}


def test_after_its_ack_nothing_more_comes_for_a_request() -> None:
    index = CallIndex()
    runner = began(index)
    index.receives(runner, "r1")
    assert index.acknowledged("r1") is runner
    assert index.acknowledged("r1") is None


def test_a_call_that_is_dropped_twice_is_dropped() -> None:
    index = CallIndex()
    runner = began(index)
    index.drop(runner)
    index.drop(runner)
    assert index.runners == {}
