"""Which SRTP suites a policy lets a leg use, in order of preference: what is offered, accepted and told to DTLS.

Deny fails closed: a policy that leaves nothing over has no suites, and then there are no keys. It never means "whatever
was offered".
"""

from __future__ import annotations

from functools import lru_cache

from gateway.base.codes import Code
from gateway.base.crypto_suite import BY_NAME, EVERY_SUITE, SUITES, CryptoSuite
from gateway.policy.catalogue import CAPS
from gateway.policy.model import EffectivePolicy, ProfileRules
from gateway.policy.posture import MIN_KEY_BITS, MIN_TAG_BITS, SecurityVector

MAX_LISTS = 256
"""Lists that are remembered: a policy book has a handful, and each is made of few numbers."""


def allowed_suites(policy: EffectivePolicy | None) -> tuple[CryptoSuite, ...]:
    """What may be used under a policy, the preferred one first; None: the built-in set."""
    if policy is None:
        return SUITES
    return _allowed(policy.rules.suites, *_least(policy.rules), policy.emergency)


def offered_suites(policy: EffectivePolicy | None) -> tuple[CryptoSuite, ...]:
    """What is offered: an emergency call takes more than it asks for."""
    return SUITES if policy is not None and policy.emergency else allowed_suites(policy)


def suite_shortfall(policy: EffectivePolicy | None, suite: CryptoSuite) -> Code | None:
    """Why a suite may not be used under a policy; None: it may."""
    if suite in allowed_suites(policy):
        return None
    key_bits, tag_bits = _least(policy.rules) if policy is not None else (0, 0)
    if suite.tag_bits < max(tag_bits, MIN_TAG_BITS):
        return Code.SUITE_WEAK_TAG
    return Code.SUITE_SMALL_KEY if suite.key_bits < key_bits else Code.SUITE_UNKNOWN


def vector_shortfall(policy: EffectivePolicy, vector: SecurityVector) -> frozenset[Code]:
    """What is wrong with the suite of a keyed leg under a policy that is stricter than the one it was agreed under."""
    if vector.suite is None or policy.emergency:
        return frozenset()
    code = suite_shortfall(policy, vector.suite)
    return frozenset() if code is None else frozenset({code})


def _least(rules: ProfileRules) -> tuple[int, int]:
    """Bits of key and tag a suite must have: as said, and as what is denied and required come to."""
    short_tag = Code.SUITE_WEAK_TAG in rules.deny or CAPS[Code.SUITE_WEAK_TAG] < rules.require
    short_key = Code.SUITE_SMALL_KEY in rules.deny or CAPS[Code.SUITE_SMALL_KEY] < rules.require
    return (
        max(rules.min_key_bits, MIN_KEY_BITS if short_key else 0),
        max(rules.min_tag_bits, MIN_TAG_BITS if short_tag else 0),
    )


@lru_cache(maxsize=MAX_LISTS)
def _allowed(names: tuple[str, ...], key_bits: int, tag_bits: int, emergency: bool) -> tuple[CryptoSuite, ...]:
    """The listed ones; none listed: the built-in set, and after it, for an emergency, whatever is better than nothing.

    A name that is no suite of the table counts for nothing.
    """
    unlisted = tuple(dict.fromkeys((*SUITES, *EVERY_SUITE))) if emergency else SUITES
    listed = tuple(dict.fromkeys(BY_NAME[name] for name in names if name in BY_NAME)) if names else unlisted
    return tuple(suite for suite in listed if suite.key_bits >= key_bits and suite.tag_bits >= tag_bits)
