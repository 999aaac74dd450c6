"""The policy book: what binds the calls of each trunk, decided and hashed once, when the configuration is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from gateway.base.profiles import Profile
from gateway.policy.model import EffectivePolicy, effective_policy

UNROUTED = "-"
"""Trunk name in the records of a call that never had one."""


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """The effective policy of every trunk, for ordinary and for emergency calls."""

    ordinary: Mapping[str, EffectivePolicy]
    emergency: Mapping[str, EffectivePolicy]

    @classmethod
    def of(cls, profiles: Mapping[str, Profile]) -> Self:
        """The book of these trunks, by name."""
        known = {UNROUTED: Profile.STRICT, **profiles}
        return cls(
            MappingProxyType({name: effective_policy(profile, name) for name, profile in known.items()}),
            MappingProxyType({name: effective_policy(p, name, emergency=True) for name, p in known.items()}),
        )

    def decide(self, trunk: str, *, emergency: bool = False) -> EffectivePolicy:
        """The policy of a call over this trunk; a name that stands for none falls to the strictest."""
        policies = self.emergency if emergency else self.ordinary
        return policies.get(trunk, policies[UNROUTED])
