"""One side of a call: what is known of it beside its offers, and that it tells nobody its secrets."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.leg import MAX_FACING, KeyingError
from tests.call.test_negotiating import talking


def test_a_broken_keying_rule_says_its_codes_once_and_in_order() -> None:
    error = KeyingError([Code.KEY_REUSE, Code.KEY_MKI, Code.KEY_REUSE], Termination.ENCRYPTION_UNUSABLE)
    assert error.codes == tuple(sorted({Code.KEY_REUSE, Code.KEY_MKI}))
    with pytest.raises(KeyingError):
        raise error


def test_the_text_of_a_leg_shows_no_key() -> None:
    scene = talking()
    assert "inline:" not in repr(scene.trunk_leg)
    assert scene.browser_leg.ice.pwd not in repr(scene.browser_leg)


def test_a_leg_is_joined_with_so_many_others_and_no_more_from_either_side() -> None:
    first, others = talking().trunk_leg, [talking().trunk_leg for _ in range(MAX_FACING + 2)]
    for n, other in enumerate(others):
        first.face(other) if n % 2 else other.face(first)
    assert len(first.facing) == MAX_FACING
    assert [len(other.facing) for other in others] == [1] * MAX_FACING + [0, 0]
