"""Guessing passwords gets slower and slower, and nobody else feels it."""

from __future__ import annotations

import pytest

from gateway.call import guesses
from gateway.call.guesses import (
    FORGET_SECONDS,
    NAME_AGAIN,
    NAME_AT_PLACE,
    NAME_FRESH,
    OWN_PLACE,
    PLACE,
    SITE,
    Guesses,
)

HERE, THERE = "192.0.2.1", "198.51.100.7"


def guess_for(seconds: float, kept: Guesses, host: str, user: str, start: float = 0.0) -> int:
    """How many guesses are looked at when one is made every 10 ms."""
    looked_at = 0
    for step in range(int(seconds * 100)):
        now = start + step / 100
        if kept.wait(host, user, now) <= 0:
            looked_at += 1
            kept.failed(host, user, now)
    return looked_at


def test_a_few_failures_cost_nothing_and_then_delays_double_up_to_a_cap() -> None:
    kept, now, delays = Guesses(), 0.0, []
    for _ in range(NAME_AT_PLACE.free + 9):
        now += kept.wait(HERE, "alice", now)
        kept.failed(HERE, "alice", now)
        delays.append(round(kept.wait(HERE, "alice", now), 6))
    assert delays == [0.0] * NAME_AT_PLACE.free + [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_source_gets_few_guesses_an_hour_at_one_name() -> None:
    assert guess_for(3600, Guesses(), HERE, "alice") < 80


def test_one_source_gets_few_guesses_an_hour_at_many_names() -> None:
    kept, looked_at = Guesses(), 0
    for step in range(36_000):
        now, user = step / 10, f"user{step}"
        if kept.wait(HERE, user, now) <= 0:
            looked_at += 1
            kept.failed(HERE, user, now)
    assert looked_at < 100


def test_rotating_addresses_within_a_64_is_one_source() -> None:
    kept, looked_at = Guesses(), 0
    for step in range(60_000):
        host, now = f"2001:db8:1:2:{step % 0xFFFF:x}::{step % 9999:x}", step / 100
        if kept.wait(host, "alice", now) <= 0:
            looked_at += 1
            kept.failed(host, "alice", now)
    assert looked_at < 30


def test_rotating_networks_within_a_48_is_one_site() -> None:
    kept, looked_at = Guesses(), 0
    for step in range(60_000):
        host, user, now = f"2001:db8:1:{step % 0xFFFF:x}::1", f"user{step}", step / 100
        if kept.wait(host, user, now) <= 0:
            looked_at += 1
            kept.failed(host, user, now)
    assert looked_at < SITE.free + 30


def test_guessing_one_name_from_everywhere_is_slow_too() -> None:
    kept, looked_at = Guesses(), 0
    for step in range(60_000):  # ten minutes, a new source each time
        host, now = f"10.{step >> 16}.{step >> 8 & 255}.{step & 255}", step / 100
        if kept.wait(host, "alice", now) <= 0:
            looked_at += 1
            kept.failed(host, "alice", now)
    assert looked_at <= NAME_FRESH.free + 600 / NAME_FRESH.cap + 5


def test_a_right_password_from_elsewhere_waits_seconds_whatever_was_guessed() -> None:
    kept = Guesses()
    guess_for(900, kept, HERE, "alice")
    for step in range(3000):
        kept.failed(f"10.0.{step >> 8}.{step & 255}", "alice", 900.0)
    assert kept.wait(THERE, "alice", 900.0) <= NAME_FRESH.cap
    assert kept.wait(THERE, "alice", 900.0 + NAME_FRESH.cap) == 0


def test_where_a_user_signed_in_before_guesses_from_elsewhere_delay_nothing() -> None:
    kept = Guesses()
    kept.proved(THERE, "alice")
    guess_for(300, kept, HERE, "alice")
    for step in range(3000):
        kept.failed(f"10.0.{step >> 8}.{step & 255}", "alice", 300.0)
    assert kept.wait(THERE, "alice", 300.0) == 0


def test_people_behind_one_nat_do_not_wait_for_a_neighbour_who_guesses_other_names() -> None:
    kept = Guesses()
    kept.proved(HERE, "alice")
    guess_for(300, kept, HERE, "bob")
    for number in range(200):
        kept.failed(HERE, f"user{number}", 300.0)
    assert kept.wait(HERE, "alice", 300.0) == 0
    assert kept.wait(HERE, "carol", 300.0) > 0  # who never signed in here waits with the neighbour, a minute at most
    assert kept.wait(HERE, "carol", 300.0) <= PLACE.cap


def test_who_guesses_at_the_place_of_its_user_is_slowed_all_the_same() -> None:
    kept = Guesses()
    kept.proved(HERE, "alice")
    assert guess_for(600, kept, HERE, "alice") < OWN_PLACE.free + 600 / OWN_PLACE.cap + 6


def test_guessing_again_from_places_that_failed_waits_longer_than_from_fresh_ones() -> None:
    kept = Guesses()
    places = [f"10.0.0.{n}" for n in range(60)]
    for place in places:
        kept.failed(place, "alice", 0.0)
    for place in places:
        kept.failed(place, "alice", 100.0)
    assert kept.wait(places[0], "alice", 100.0) == NAME_AGAIN.cap
    assert kept.wait(THERE, "alice", 100.0) <= NAME_FRESH.cap


def test_failures_are_forgotten_after_a_quiet_time() -> None:
    kept = Guesses()
    guess_for(60, kept, HERE, "alice")
    now = 60.0 + FORGET_SECONDS
    kept.failed(HERE, "alice", now)
    assert kept.wait(HERE, "alice", now) == 0


def test_a_name_that_no_user_has_is_delayed_like_one_that_has() -> None:
    """`Guesses` is never told who exists: this is what keeps it so."""
    one, other = Guesses(), Guesses()
    assert guess_for(120, one, HERE, "alice") == guess_for(120, other, HERE, "nobody")


@pytest.mark.parametrize("step", [1, 257])
def test_memory_is_bounded_and_the_longest_quiet_give_way(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(guesses, "MAX_KEPT", 100)
    monkeypatch.setattr(guesses, "MAX_PROVEN", 10)
    kept = Guesses()
    for number in range(0, 1000 * step, step):
        kept.failed(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", f"u{number}", float(number))
        kept.proved(f"10.0.0.{number % 200}", f"p{number}")
    assert len(kept) <= 100
    assert len(kept._proven) <= 10
