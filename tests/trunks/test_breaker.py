"""The circuit breaker of each place of a trunk; time and lots are numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import HostPort
from gateway.trunks.breaker import FIRST_PAUSE, LONGEST_PAUSE, MAX_PLACES, MAX_RETRY_AFTER, Breaker, Key
from gateway.trunks.health import JITTER
from gateway.trunks.target import Spot
from tests.effort import examples

A, B, C = (Key("pbx", Spot("udp", HostPort(f"192.0.2.{n}", 5060))) for n in (1, 2, 3))
LOT = 0.5


def order(breaker: Breaker, now: float, *, urgent: bool = False) -> str:
    return "".join(breaker.order([(A, "a"), (B, "b"), (C, "c")], now, urgent=urgent))


def test_a_place_that_failed_is_tried_last_and_never_given_up() -> None:
    breaker = Breaker()
    assert order(breaker, 0.0) == "abc"
    assert breaker.failed(A, 0.0, 1.0, LOT)
    assert order(breaker, 1.0) == "bca"
    breaker.failed(B, 0.0, 2.0, LOT)
    breaker.failed(C, 0.0, 3.0, LOT)
    assert order(breaker, 3.0) == "abc"  # the one that has rested longest first


def test_after_its_pause_one_call_tries_it_and_the_others_only_when_that_went_well() -> None:
    breaker = Breaker()
    breaker.failed(A, 0.0, 0.0, LOT)
    assert order(breaker, FIRST_PAUSE) == "abc"
    breaker.trying(A, FIRST_PAUSE, LOT)
    assert order(breaker, FIRST_PAUSE) == "bca"
    assert breaker.heard(A, FIRST_PAUSE + 1)
    assert order(breaker, FIRST_PAUSE + 1) == "abc"
    assert not breaker.is_doubtful(A)


def test_pauses_double_and_have_an_end_and_are_spread_by_lot() -> None:
    breaker, now = Breaker(), 0.0
    for expected in (5, 10, 20, 40, 80, LONGEST_PAUSE, LONGEST_PAUSE):
        breaker.failed(A, now, now, LOT)
        assert order(breaker, now + expected - 0.1) == "bca"
        now += expected
        assert order(breaker, now) == "abc"
    breaker.failed(A, now, now, 0.0)
    assert order(breaker, now + LONGEST_PAUSE * (1 - JITTER)) == "abc"


def test_one_that_was_heard_meanwhile_answers_whatever_it_thinks_of_a_question() -> None:
    breaker = Breaker()
    breaker.heard(A, 10.0)
    assert not breaker.failed(A, 9.0, 41.0, LOT)
    assert order(breaker, 41.0) == "abc"
    assert breaker.failed(A, 11.0, 43.0, LOT)
    assert not breaker.failed(A, 11.0, 44.0, LOT)  # it was down already


def test_a_place_that_asks_to_be_left_alone_is_left_alone_for_so_long_and_no_longer_than_a_minute() -> None:
    breaker = Breaker()
    breaker.shut(A, 30, 0.0)
    breaker.shut(B, 86_400, 0.0)
    assert order(breaker, 29.0) == "c"
    assert order(breaker, 31.0) == "ac"
    assert order(breaker, MAX_RETRY_AFTER) == "abc"
    assert order(breaker, 0.0, urgent=True) == "cab"  # a call for help is sent there too, last


def test_two_trunks_at_one_address_fare_each_for_itself() -> None:
    breaker, other = Breaker(), Key("carrier", A.spot)
    breaker.failed(A, 0.0, 0.0, LOT)
    assert not breaker.is_doubtful(other)


STEPS = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["heard", "failed", "shut", "trying"]), st.floats(0, 200)),
    max_size=30,
)


@settings(max_examples=examples(300), deadline=None)
@given(steps=STEPS, urgent=st.booleans())
def test_whatever_happens_each_place_is_tried_at_most_once_and_one_that_answers_before_one_that_does_not(
    steps: list[tuple[Key, str, float]], urgent: bool
) -> None:
    breaker, now = Breaker(), 0.0
    for key, what, pause in steps:
        now += pause
        match what:
            case "heard":
                breaker.heard(key, now)
            case "failed":
                breaker.failed(key, now, now, LOT)
            case "trying":
                breaker.trying(key, now, LOT)
            case _:
                breaker.shut(key, pause, now)
    names = dict(zip("abc", (A, B, C), strict=True))
    found = order(breaker, now, urgent=urgent)
    assert len(set(found)) == len(found)
    missing = set("abc") - set(found)
    assert all(breaker.is_shut(names[name], now) for name in missing)
    assert not (urgent and missing)
    sound = [name for name in found if not breaker.is_doubtful(names[name]) and not breaker.is_shut(names[name], now)]
    assert order(breaker, now + LONGEST_PAUSE * (1 + JITTER) + MAX_RETRY_AFTER) == "abc"
    if sound:
        assert not breaker._rests(names[found[0]], now)


def test_places_without_end_push_out_the_oldest() -> None:
    breaker = Breaker()
    for number in range(MAX_PLACES + 10):
        breaker.failed(Key("pbx", Spot("udp", HostPort("192.0.2.1", number))), 0.0, 0.0, LOT)
    assert len(breaker._known) == MAX_PLACES
