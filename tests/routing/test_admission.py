"""Caps count what lives, each kind of call against a budget of its own."""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.routing.admission import (
    MAX_CALLS_PER_USER,
    MAX_EMERGENCY_PER_USER,
    MAX_INBOUND_PER_USER,
    MAX_RINGING_PER_USER,
    CallCaps,
    CallKind,
    Seat,
)

DIALLED, INBOUND, EMERGENCY = CallKind.DIALLED, CallKind.INBOUND, CallKind.EMERGENCY
CALLED, INTERNAL = CallKind.CALLED, CallKind.INTERNAL


def taken(caps: CallCaps, user: str, kind: CallKind = DIALLED, *, rings: bool = False) -> Seat:
    seat = caps.take(user, kind, lambda: rings)
    assert isinstance(seat, Seat), seat
    return seat


def test_calls_are_capped_in_total_and_per_user() -> None:
    caps = CallCaps(3, per_user=2)
    first, _ = taken(caps, "a"), taken(caps, "a")
    assert caps.take("a", DIALLED) is Termination.USER_LIMIT
    taken(caps, "b")
    assert caps.take("c", DIALLED) is Termination.OVERLOADED
    caps.release(first)
    taken(caps, "c")
    assert caps.live == 3


def test_emergency_calls_need_no_room_of_others() -> None:
    caps = CallCaps(1, per_user=1)
    taken(caps, "a")
    taken(caps, "a", EMERGENCY)
    assert caps.live == 2


def test_emergency_calls_take_no_room_of_others() -> None:
    caps = CallCaps(2, per_user=1)
    for user in ("a", "b", "c"):
        for _ in range(MAX_EMERGENCY_PER_USER):
            taken(caps, user, EMERGENCY)
    taken(caps, "a")
    taken(caps, "b")
    assert caps.take("c", DIALLED) is Termination.OVERLOADED


def test_one_user_has_a_few_emergency_calls_at_once_and_then_again() -> None:
    caps = CallCaps(100)
    seats = [taken(caps, "a", EMERGENCY) for _ in range(MAX_EMERGENCY_PER_USER)]
    for _ in range(30):
        assert caps.take("a", EMERGENCY) is Termination.EMERGENCY_LIMIT
    taken(caps, "b", EMERGENCY)
    caps.release(seats[0])
    taken(caps, "a", EMERGENCY)


def test_ringing_strangers_leave_a_user_all_her_own_calls() -> None:
    caps = CallCaps(100)
    for _ in range(MAX_RINGING_PER_USER):
        taken(caps, "a", CALLED, rings=True)
    assert caps.take("a", CALLED, lambda: True) is Termination.USER_BUSY
    for _ in range(MAX_CALLS_PER_USER):
        taken(caps, "a")
    taken(caps, "b", CALLED, rings=True)


def test_dialled_calls_leave_a_user_reachable() -> None:
    caps = CallCaps(100)
    for _ in range(MAX_CALLS_PER_USER):
        taken(caps, "a")
    taken(caps, "a", CALLED, rings=True)


def test_an_answered_call_rings_no_more() -> None:
    caps, answered = CallCaps(100), set[int]()

    def ring(number: int) -> Seat | Termination:
        return caps.take("a", CALLED, lambda: number not in answered)

    for number in range(MAX_RINGING_PER_USER):
        assert isinstance(ring(number), Seat)
    assert ring(99) is Termination.USER_BUSY
    for number in range(MAX_RINGING_PER_USER, MAX_INBOUND_PER_USER):
        answered.add(number - MAX_RINGING_PER_USER)
        assert isinstance(ring(number), Seat)
    answered.update(range(99))
    assert ring(99) is Termination.USER_BUSY  # eight calls to one person, answered or not


def test_calls_that_ring_everywhere_leave_half_of_the_room_for_dialling() -> None:
    caps = CallCaps(8)
    for number in range(4):
        taken(caps, f"user{number}", INBOUND, rings=True)
    assert caps.take("user9", INBOUND, lambda: True) is Termination.OVERLOADED
    for number in range(4):
        taken(caps, f"user{number}")
    assert caps.take("user9", DIALLED) is Termination.OVERLOADED


def test_a_call_is_released_once() -> None:
    caps = CallCaps(1)
    seat = taken(caps, "a")
    caps.release(seat)
    caps.release(seat)
    assert caps.live == 0
    again = taken(caps, "a")
    caps.release(seat)
    assert caps.live == 1
    caps.release(again)
    assert caps.live == 0


def test_ringing_strangers_keep_no_colleague_away_and_colleagues_no_stranger() -> None:
    caps = CallCaps(100)
    for kind in (CALLED, INTERNAL):
        for _ in range(MAX_RINGING_PER_USER):
            taken(caps, "a", kind, rings=True)
        assert caps.take("a", kind, lambda: True) is Termination.USER_BUSY


def test_the_callees_part_of_a_call_takes_no_room_of_its_own() -> None:
    caps = CallCaps(2)
    for user, called in (("a", INTERNAL), ("b", CALLED)):
        taken(caps, user)
        taken(caps, "c", called, rings=True)
    assert caps.live == 2
    assert caps.take("d", DIALLED) is Termination.OVERLOADED
