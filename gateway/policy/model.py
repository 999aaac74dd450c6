"""Security profiles and the policy that binds one call: chosen once, frozen, hashed.

Rules, floors, exceptions and pins come to stand in front of `effective_policy`; what they leave is still one
`ProfileRules` per call.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from gateway.base.grades import Grade
from gateway.base.profiles import Profile

LABEL_DIGITS = 4
"""Digits of the hash shown beside the profile name: enough to see that two calls ran under different policies."""


class OfferMode(StrEnum):
    """What the gateway offers a trunk."""

    SAVP_ONLY = "savp"
    """RTP/SAVP with keys, or nothing."""
    SAVP_FIRST = "savp_first"
    """RTP/SAVP with keys; what comes after a refusal is the fallback's business."""
    AVP_WITH_CRYPTO = "avp_crypto"
    """RTP/AVP with keys the peer may ignore (RFC 8643)."""
    AVP = "avp"
    """RTP/AVP without keys."""


class Fallback(StrEnum):
    """How a call may become weaker than its first offer."""

    NEVER = "never"
    RETRY = "retry"
    """A second INVITE with RTP/AVP after 488, 415 or 606."""
    ANSWER = "answer"
    """The answer decides (RFC 8643)."""
    NONE_NEEDED = "none"


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """One row of the profile table in docs/policy.md."""

    name: Profile
    offer: OfferMode
    accepts_plain: bool
    """Inbound offers without keys are accepted."""
    fallback: Fallback
    require: Grade
    """Below this a leg is refused."""
    prefer: Grade
    """Below this a leg is a tolerated downgrade."""
    sdes_needs_verified_tls: bool
    """SDES keys are neither sent nor accepted where others can read them."""


BUILT_IN: dict[Profile, ProfileRules] = {
    rules.name: rules
    for rules in (
        ProfileRules(
            Profile.STRICT, OfferMode.SAVP_ONLY, False, Fallback.NEVER, Grade.HOP_BY_HOP, Grade.HOP_BY_HOP, True
        ),
        ProfileRules(
            Profile.PREFER, OfferMode.SAVP_FIRST, True, Fallback.RETRY, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
        ProfileRules(
            Profile.OSRTP, OfferMode.AVP_WITH_CRYPTO, True, Fallback.ANSWER, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
        ProfileRules(
            Profile.LEGACY, OfferMode.AVP, True, Fallback.NONE_NEEDED, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
    )
}


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The policy of one call, frozen for its whole life."""

    profile: Profile
    rules: ProfileRules
    """The rules as applied: those of the profile, loosened when the call is an emergency."""
    emergency: bool
    trunk: str
    sha256: str

    @property
    def label(self) -> str:
        """Profile and the start of the hash, for example `strict/9f3c`."""
        return f"{self.profile}/{self.sha256[:LABEL_DIGITS]}"

    @property
    def demands_protection(self) -> bool:
        """True when some legs would be refused for being weak."""
        return self.rules.require > Grade.CLEARTEXT


def effective_policy(profile: Profile, trunk: str, *, emergency: bool = False) -> EffectivePolicy:
    """The policy of a call over this trunk; an emergency call gets the same offers but is never blocked."""
    rules = BUILT_IN[profile]
    if emergency:
        rules = _never_blocking(rules)
    return EffectivePolicy(profile, rules, emergency, trunk, _digest(rules, trunk, emergency))


def at_least(policy: EffectivePolicy, floor: EffectivePolicy) -> EffectivePolicy:
    """The policy, or where it requires less than the floor, the rules of the floor for the same trunk."""
    if policy.rules.require >= floor.rules.require:
        return policy
    digest = _digest(floor.rules, policy.trunk, policy.emergency)
    return EffectivePolicy(floor.profile, floor.rules, policy.emergency, policy.trunk, digest)


def _never_blocking(rules: ProfileRules) -> ProfileRules:
    """Secure is still tried first; whatever comes of it is accepted."""
    strict = rules.offer is OfferMode.SAVP_ONLY
    return replace(
        rules,
        offer=OfferMode.SAVP_FIRST if strict else rules.offer,
        fallback=Fallback.RETRY if strict else rules.fallback,
        accepts_plain=True,
        require=Grade.CLEARTEXT,
        sdes_needs_verified_tls=False,
    )


def _digest(rules: ProfileRules, trunk: str, emergency: bool) -> str:
    document = {"emergency": emergency, "rules": asdict(rules), "trunk": trunk}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
