"""What is known of trunks: down after a question without an answer, up at the first word."""

from __future__ import annotations

import pytest

from gateway.trunks.health import FIRST_PAUSE, JITTER, LONGEST_PAUSE, TrunkHealth


def test_a_trunk_is_up_until_it_was_asked_in_vain_and_that_is_told_once() -> None:
    health = TrunkHealth()
    assert not health.is_down("pbx")
    assert health.silent("pbx", 10.0)
    assert not health.silent("pbx", 20.0)
    assert (health.is_down("pbx"), health.is_down("old"), health.down) == (True, False, 1)


def test_the_first_word_of_a_trunk_takes_it_up_and_is_told_once() -> None:
    health = TrunkHealth()
    health.silent("pbx", 10.0)
    assert health.heard("pbx", 11.0)
    assert not health.heard("pbx", 12.0)
    assert health.down == 0


def test_a_trunk_heard_while_it_was_asked_is_up() -> None:
    health = TrunkHealth()
    health.heard("pbx", 10.5)
    assert not health.silent("pbx", 10.0)
    assert not health.is_down("pbx")
    assert health.silent("pbx", 11.0)


@pytest.mark.parametrize("lot", [0.0, 0.5, 0.999])
def test_pauses_double_up_to_a_limit_and_differ_by_the_lot(lot: float) -> None:
    health = TrunkHealth()
    pauses = []
    for n in range(40):
        health.silent("pbx", float(n))
        pauses.append(health.pause("pbx", lot))
    factor = 1 - JITTER + 2 * JITTER * lot
    assert pauses[:3] == pytest.approx([FIRST_PAUSE * factor, 2 * FIRST_PAUSE * factor, 4 * FIRST_PAUSE * factor])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE * factor)
    health.heard("pbx", 99.0)
    health.silent("pbx", 100.0)
    assert health.pause("pbx", lot) == pytest.approx(FIRST_PAUSE * factor)
