"""What DNS said, and for how long it holds; time is a number."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.trunks.dns_cache import (
    FAILURE_SECONDS,
    KEPT_SECONDS,
    MAX_ENTRIES,
    MAX_NEGATIVE_TTL,
    MAX_TTL,
    MIN_TTL,
    DnsCache,
    Question,
    Records,
)
from tests.effort import examples

NAME = Question("pbx.example", "A")
FOUND = ("192.0.2.1",)


def test_an_answer_holds_for_its_time() -> None:
    cache = DnsCache()
    assert cache.holding(NAME, 0.0) is None
    cache.answered(NAME, FOUND, 300, 0.0)
    assert cache.holding(NAME, 299.9) == FOUND
    assert cache.holding(NAME, 300.0) is None
    assert cache.holding(Question("pbx.example", "AAAA"), 0.0) is None


def test_ttl_zero_holds_for_a_second_and_a_week_for_an_hour() -> None:
    cache = DnsCache()
    cache.answered(NAME, FOUND, 0, 10.0)
    assert cache.holding(NAME, 10.0 + MIN_TTL / 2) == FOUND
    assert cache.holding(NAME, 10.0 + MIN_TTL) is None
    cache.answered(NAME, FOUND, 604_800, 20.0)
    assert cache.holding(NAME, 20.0 + MAX_TTL) is None


def test_that_there_is_nothing_is_remembered_too_but_not_for_long() -> None:
    cache = DnsCache()
    cache.answered(NAME, (), 86_400, 0.0)
    assert cache.holding(NAME, MAX_NEGATIVE_TTL - 1) == ()
    assert cache.holding(NAME, MAX_NEGATIVE_TTL) is None


def test_the_last_answer_is_kept_for_when_dns_fails() -> None:
    cache = DnsCache()
    cache.answered(NAME, FOUND, 60, 0.0)
    assert cache.failed(NAME, 61.0)
    assert not cache.failed(NAME, 90.0)
    assert cache.kept(NAME, 90.0) == FOUND
    assert cache.kept(NAME, 60.0 + KEPT_SECONDS) is None
    assert cache.answered(NAME, FOUND, 60, 100.0)
    assert not cache.answered(NAME, FOUND, 60, 200.0)


def test_that_the_name_is_gone_is_an_answer_and_takes_the_place_of_the_last_one() -> None:
    cache = DnsCache()
    cache.answered(NAME, FOUND, 60, 0.0)
    cache.answered(NAME, (), 60, 100.0)
    cache.failed(NAME, 200.0)
    assert cache.kept(NAME, 200.0) == ()


def test_after_a_failure_dns_is_left_alone_for_a_while() -> None:
    cache = DnsCache()
    cache.failed(NAME, 0.0)
    assert cache.is_failing(NAME, FAILURE_SECONDS - 1)
    assert not cache.is_failing(NAME, FAILURE_SECONDS)


STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "none", "fails"]), st.floats(0, 10_000), st.floats(0, 100_000)), max_size=20
)


@settings(max_examples=examples(200), deadline=None)
@given(steps=STEPS)
def test_an_answer_never_holds_longer_than_it_may_and_the_last_one_is_what_is_kept(
    steps: list[tuple[str, float, float]],
) -> None:
    cache, now = DnsCache(), 0.0
    last: Records | None = None
    said_at = 0.0
    for what, pause, ttl in steps:
        now += pause
        if what == "fails":
            cache.failed(NAME, now)
        else:
            last, said_at = (FOUND if what == "good" else ()), now
            cache.answered(NAME, last, ttl, now)
        held = cache.holding(NAME, now)
        assert held in (None, last)
        if held is not None:
            assert now - said_at <= max(MIN_TTL, min(ttl, MAX_TTL) if what != "fails" else MAX_TTL)
        assert cache.kept(NAME, now) == last


def test_names_without_end_push_out_the_oldest() -> None:
    cache = DnsCache()
    cache.answered(NAME, FOUND, 60, 0.0)
    for number in range(MAX_ENTRIES + 5):
        cache.answered(Question(f"{number}.example", "A"), FOUND, 60, 0.0)
    assert cache.holding(NAME, 0.0) is None
    assert len(cache._entries) == MAX_ENTRIES
