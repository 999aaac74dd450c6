"""Admission: buckets refill with time, tables stay bounded, caps count what lives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.admission import CallCaps, Rate, RateLimiter


def test_a_source_may_burst_and_then_go_at_the_steady_rate() -> None:
    limiter = RateLimiter(Rate(per_second=2, burst=3))
    assert [limiter.allow("a", 10.0) for _ in range(4)] == [True, True, True, False]
    assert limiter.allow("a", 10.5)
    assert not limiter.allow("a", 10.5)


def test_sources_do_not_share_a_bucket() -> None:
    limiter = RateLimiter(Rate(1, 1))
    assert limiter.allow("a", 0.0)
    assert limiter.allow("b", 0.0)
    assert not limiter.allow("a", 0.0)


def test_a_clock_that_steps_back_neither_fills_nor_drains_a_bucket() -> None:
    limiter = RateLimiter(Rate(1, 2))
    assert limiter.allow("a", 100.0)
    assert limiter.allow("a", 50.0)
    assert not limiter.allow("a", 50.0)


def test_new_sources_share_one_bucket_when_the_table_is_full() -> None:
    limiter = RateLimiter(Rate(1, 2), max_keys=2)
    for key in ("a", "a", "b", "b"):
        assert limiter.allow(key, 0.0)
    assert [limiter.allow(f"flood-{i}", 0.0) for i in range(4)] == [True, True, False, False]
    assert len(limiter) == 2
    assert not limiter.allow("a", 0.0)


def test_a_refilled_bucket_makes_room_for_a_new_source() -> None:
    limiter = RateLimiter(Rate(1, 2), max_keys=1)
    assert limiter.allow("a", 0.0)
    assert limiter.allow("b", 1.5)
    assert limiter.allow("b", 1.5)
    assert len(limiter) == 1


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 2)), max_size=200))
def test_nobody_ever_gets_more_than_burst_plus_rate(steps: list[tuple[str, float]]) -> None:
    rate = Rate(per_second=3, burst=5)
    limiter = RateLimiter(rate, max_keys=3)
    now, allowed = 0.0, dict.fromkeys("abcdef", 0)
    for key, wait in steps:
        now += wait
        allowed[key] += limiter.allow(key, now)
        assert len(limiter) <= 3
    # A key may have had a bucket of its own and a share of the common one.
    assert all(count <= 2 * (rate.burst + rate.per_second * now) + 1 for count in allowed.values())


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
