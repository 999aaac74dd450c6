"""Token buckets: the burst at once, the rate in the long run, and no more memory than given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.base.buckets import Bucket, Buckets, Rate


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = Bucket(Rate(10, 3))
    assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert not bucket.take(0.05)
    assert bucket.take(0.11)
    assert not bucket.take(0.11)
    assert [bucket.take(9.0) for _ in range(4)] == [True, True, True, False]


def test_a_refused_token_costs_nothing() -> None:
    bucket = Bucket(Rate(1, 1))
    assert bucket.take(0.0)
    assert not any(bucket.take(0.5) for _ in range(100))
    assert bucket.take(1.01)


def test_who_reserves_waits_his_turn() -> None:
    bucket = Bucket(Rate(10, 2))
    waits = [round(bucket.reserve(0.0), 6) for _ in range(5)]
    assert waits == [0.0, 0.0, 0.1, 0.2, 0.3]
    assert bucket.reserve(5.0) == 0.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_no_pattern_of_asking_gets_more_than_burst_and_rate(moments: list[float]) -> None:
    bucket, rate = Bucket(Rate(2, 5)), Rate(2, 5)
    given_ = sum(bucket.take(now) for now in sorted(moments))
    assert given_ <= rate.burst + rate.per_second * (max(moments) - min(moments)) + 1


def test_each_key_has_its_own_bucket() -> None:
    buckets = Buckets(Rate(1, 1), room=10)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)


def test_a_flood_of_keys_shares_one_bucket_and_forgets_nobody() -> None:
    buckets = Buckets(Rate(1, 1), room=3)
    assert all(buckets.take(key, 0.0) for key in "abc")
    assert [buckets.take(f"new-{n}", 0.0) for n in range(5)] == [True, False, False, False, False]
    assert not buckets.take("a", 0.0)
    assert len(buckets) == 3


def test_a_key_whose_bucket_is_full_again_makes_room() -> None:
    buckets = Buckets(Rate(1, 1), room=2)
    buckets.take("a", 0.0)
    buckets.take("b", 0.0)
    assert buckets.take("c", 5.0)
    assert buckets.take("d", 5.0)
    assert len(buckets) == 2
