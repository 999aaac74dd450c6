"""Caps count what lives."""

from __future__ import annotations

from gateway.routing.admission import CallCaps


def test_calls_are_capped_in_total_and_per_user() -> None:
    caps = CallCaps(3, per_user=2)
    assert [caps.take("a"), caps.take("a"), caps.take("a")] == [True, True, False]
    assert caps.take("b")
    assert not caps.take("c")
    caps.release("a")
    assert caps.take("c")
    assert caps.live == 3


def test_an_emergency_call_is_never_refused_by_a_cap() -> None:
    caps = CallCaps(1, per_user=1)
    assert caps.take("a")
    assert caps.take("a", emergency=True)
    assert caps.live == 2


def test_a_release_without_a_call_changes_nothing() -> None:
    caps = CallCaps(1)
    caps.release("a")
    assert caps.live == 0
    assert caps.take("a")
    caps.release("a")
    caps.release("a")
    assert caps.live == 0
