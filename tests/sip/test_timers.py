"""The timer table of RFC 3261 (table 4) and the queue of running timers."""

from __future__ import annotations

import random

import pytest

from gateway.sip.timers import COMPACTION_SLACK, T1, T2, T4, TIMERS, Timer, TimerQueue


@pytest.mark.parametrize(
    ("timer", "unreliable", "reliable"),
    [
        (Timer.A, T1, None),
        (Timer.B, 64 * T1, 64 * T1),
        (Timer.D, 32, 0),
        (Timer.E, T1, None),
        (Timer.F, 64 * T1, 64 * T1),
        (Timer.G, T1, None),
        (Timer.H, 64 * T1, 64 * T1),
        (Timer.I, T4, 0),
        (Timer.J, 64 * T1, 0),
        (Timer.K, T4, 0),
        (Timer.L, 64 * T1, 64 * T1),
        (Timer.M, 64 * T1, 64 * T1),
        (Timer.ANSWER, T1, T1),
    ],
)
def test_each_timer_has_the_length_of_the_rfc(timer: Timer, unreliable: float, reliable: float | None) -> None:
    assert TIMERS[timer].delay(reliable=False) == unreliable
    assert TIMERS[timer].delay(reliable=True) == reliable


def test_timer_c_is_longer_than_three_minutes() -> None:
    assert TIMERS[Timer.C].unreliable > 180


def test_every_timer_is_in_the_table() -> None:
    assert set(TIMERS) == set(Timer)


def _intervals(timer: Timer, count: int) -> list[float]:
    found = [TIMERS[timer].unreliable]
    while len(found) < count:
        interval = TIMERS[timer].next_interval(found[-1])
        assert interval is not None
        found.append(interval)
    return found


def test_timer_a_doubles_without_end_and_timer_e_up_to_t2() -> None:
    assert _intervals(Timer.A, 6) == [0.5, 1, 2, 4, 8, 16]
    assert _intervals(Timer.E, 6) == [0.5, 1, 2, T2, T2, T2]
    assert TIMERS[Timer.B].next_interval(32) is None


def test_timers_come_due_in_order_and_stopped_ones_never() -> None:
    queue = TimerQueue()
    tickets = {name: queue.start(name, Timer.F, deadline) for name, deadline in (("b", 2), ("a", 1), ("c", 3))}
    queue.stop(tickets["a"])
    queue.stop(tickets["a"])
    assert queue.next_deadline() == 2
    assert list(queue.due(2.5)) == [("b", Timer.F)]
    assert list(queue.due(9)) == [("c", Timer.F)]
    assert queue.next_deadline() is None
    assert len(queue) == 0


def test_a_timer_started_while_others_fire_is_due_too() -> None:
    queue = TimerQueue()
    queue.start("a", Timer.A, 1)
    fired = []
    for key, _ in queue.due(5):
        fired.append(key)
        if len(fired) < 3:
            queue.start(f"{key}+", Timer.A, 1 + len(fired))
    assert fired == ["a", "a+", "a++"]


def test_stopped_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    for i in range(10_000):
        queue.stop(queue.start("x", Timer.B, i))
    assert len(queue._heap) <= COMPACTION_SLACK


def test_the_queue_agrees_with_a_sorted_list_whatever_is_started_and_stopped() -> None:
    rng = random.Random(7)
    queue, model = TimerQueue(), dict[int, tuple[float, str]]()
    for step in range(3000):
        if model and rng.random() < 0.4:
            ticket = rng.choice(list(model))
            queue.stop(ticket)
            del model[ticket]
        else:
            deadline = rng.random() * 100
            model[queue.start(str(step), Timer.A, deadline)] = (deadline, str(step))
        assert queue.next_deadline() == min((deadline for deadline, _ in model.values()), default=None)
    assert [key for key, _ in queue.due(100)] == [key for _, key in sorted(model.values())]
