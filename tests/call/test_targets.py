"""Whom a call is for, as a plan nobody can change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from gateway.base.profiles import Profile
from gateway.call.legs.targets import TrunkTarget, UserTarget
from gateway.policy.model import effective_policy
from tests.sites import made_trunk


def test_a_plan_is_frozen_and_equal_to_the_same_plan() -> None:
    trunk, policy = made_trunk("sip:pbx.example"), effective_policy(Profile.STRICT, "pbx")
    target = TrunkTarget(trunk, policy, "600")
    assert target == TrunkTarget(trunk, policy, "600")
    assert UserTarget("alice") != UserTarget("bob")
    with pytest.raises(FrozenInstanceError):
        target.number = "601"  # type: ignore[misc]
