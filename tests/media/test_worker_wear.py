"""How much of their lifetime keys have used up: counted of what the leg counts, told in time and once."""

from __future__ import annotations

import pytest

from gateway.media.relay_commands import MAX_LIFETIME
from gateway.media.worker.counters import Tally
from gateway.media.worker.wear import MAX_RTCP, SOON, Use, Wear, Worn

LIFE = 1000
EARLY = int(LIFE * SOON)


def worn(lifetime: int = MAX_LIFETIME) -> tuple[Tally, Wear, Use, Use]:
    tally = Tally(rtp_rx=5000, rtp_tx=5000, rtcp_rx=50, rtcp_tx=50)
    wear, tx, rx = Wear(tally), Use(), Use()
    wear.install(tx, rx, lifetime)
    return tally, wear, tx, rx


def test_before_there_are_keys_nothing_is_told() -> None:
    assert Wear(Tally()).tick() is None


def test_what_went_before_does_not_count() -> None:
    _, wear, tx, rx = worn(LIFE)
    assert wear.tick() is None
    assert (tx.rtp, rx.rtp, tx.rtcp, rx.rtcp) == (0, 0, 0, 0)


def test_a_lifetime_is_told_of_before_it_ends_and_when_it_has_each_once() -> None:
    tally, wear, _, _ = worn(LIFE)
    tally.rtp_rx += EARLY - 1
    assert wear.tick() is None
    tally.rtp_rx += 1
    assert [wear.tick(), wear.tick()] == [Worn.SOON, None]
    tally.rtp_rx += LIFE - EARLY
    assert [wear.tick(), wear.tick()] == [Worn.SPENT, None]


def test_the_peers_word_is_about_its_own_key_alone() -> None:
    tally, wear, _, _ = worn(LIFE)
    tally.rtp_tx += 50 * LIFE
    assert wear.tick() is None


def test_reports_count_against_the_same_number() -> None:
    tally, wear, _, _ = worn(LIFE)
    tally.rtcp_rx += EARLY
    assert wear.tick() is Worn.SOON


@pytest.mark.parametrize(
    ("field", "limit"),
    [("rtp_rx", MAX_LIFETIME), ("rtp_tx", MAX_LIFETIME), ("rtcp_rx", MAX_RTCP), ("rtcp_tx", MAX_RTCP)],
)
def test_without_a_word_the_limits_are_those_of_srtp_in_both_directions(field: str, limit: int) -> None:
    tally, wear, _, _ = worn()
    setattr(tally, field, getattr(tally, field) + int(limit * SOON) - 1)
    assert wear.tick() is None
    setattr(tally, field, getattr(tally, field) + limit - int(limit * SOON) + 1)
    assert wear.tick() is Worn.SPENT


def test_a_new_key_begins_anew_and_the_old_one_goes_on_where_it_was() -> None:
    tally, wear, tx, rx = worn(LIFE)
    tally.rtp_rx += EARLY - 1
    wear.install(tx, Use(), LIFE)
    tally.rtp_rx += EARLY - 1
    assert wear.tick() is None
    wear.install(tx, rx, LIFE)
    tally.rtp_rx += 1
    assert wear.tick() is Worn.SOON


def test_a_key_keeps_the_shortest_life_it_was_promised() -> None:
    tally, wear, tx, rx = worn(LIFE)
    wear.install(tx, rx, MAX_LIFETIME)
    tally.rtp_rx += LIFE
    assert wear.tick() is Worn.SPENT
