"""The decisions of a policy at each checkpoint of a call: what to offer, accept, retry, tolerate and refuse.

Everything here is a function of its arguments. Ties and unknowns fall to the stricter side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.policy.catalogue import ABSOLUTE, CAPS, NEVER_TOLERABLE, REFUSED_WHERE_REQUIRED, UNUSED, termination_of
from gateway.policy.model import EffectivePolicy, Fallback, OfferMode
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import allowed_suites, vector_shortfall

RETRY_STATUSES = frozenset({488, 415, 606})
"""Answers that may mean "no SRTP here"; 302 and 399 warnings prove nothing (RFC 3261 20.43)."""


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """What the offer to a trunk must look like."""

    proto: Proto
    """RTP/SAVP or RTP/AVP."""
    with_crypto: bool
    codes: frozenset[Code] = frozenset()
    """To be recorded before the offer is sent: media.savp_retry on a retry."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Policy says no before there is anything to grade."""

    code: Code
    termination: Termination
    also: frozenset[Code] = frozenset()
    """What else was wrong, for example why each key line of the offer is unusable."""

    @property
    def codes(self) -> tuple[Code, ...]:
        """All of it, in order."""
        return _ordered(frozenset({self.code}) | self.also)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy makes of an observed leg; the record is written before the action."""

    allowed: bool
    grade: Grade
    codes: tuple[Code, ...]
    kind: str
    """D1 shortfall, D2 regression, D3 bid-down, D4 claim mismatch; empty for a leg that is secured."""
    record: str
    """leg.secured, leg.downgraded (weaker and tolerated), leg.violation (refused), or leg.pending: allowed, but without
    keys yet, so there is nothing to prove."""
    termination: Termination | None


def plan_offer(policy: EffectivePolicy, signalling: Signalling) -> OfferPlan | Refusal:
    """The first offer to a trunk (checkpoint P1); keys never travel where the policy forbids it.

    A peer that is known to encrypt is not offered what it may answer in the clear (RFC 8643 1: OSRTP MUST NOT be used).
    """
    mode = policy.rules.offer
    exposed = _forbidden_exposure(policy, signalling)
    if exposed is not None:
        return Refusal(exposed, Termination.ENCRYPTION_IMPOSSIBLE)
    if mode is OfferMode.AVP and not _may_be_plain(policy):
        return Refusal(Code.MEDIA_PLAIN_RTP, Termination.ENCRYPTION_REQUIRED)
    if mode is not OfferMode.AVP and not allowed_suites(policy):
        return Refusal(Code.SUITE_UNKNOWN, Termination.SUITE_DENIED)
    secure = mode in (OfferMode.SAVP_ONLY, OfferMode.SAVP_FIRST) or policy.holds_to_keys
    secure = secure or denies(policy, Code.MEDIA_AVP_WITH_CRYPTO)
    return OfferPlan(Proto.SAVP if secure else Proto.AVP, with_crypto=mode is not OfferMode.AVP)


def offer_by_handshake(policy: EffectivePolicy) -> Refusal | None:
    """Why a leg that is keyed by DTLS cannot be: none of the suites of the policy is one that DTLS-SRTP knows."""
    if any(suite.dtls_name for suite in allowed_suites(policy)):
        return None
    return Refusal(Code.SUITE_UNKNOWN, Termination.SUITE_DENIED)


def plan_late_offer(policy: EffectivePolicy, signalling: Signalling) -> OfferPlan | Refusal:
    """Our offer to a trunk that sent none: it stands in a 200, so there is no second one (RFC 3261 13.3.1.4).

    Where plain media is accepted too, keys are offered in a form that a phone without SRTP can answer (RFC 8643).
    """
    plan = plan_offer(policy, signalling)
    if not isinstance(plan, OfferPlan) or policy.holds_to_keys or denies(policy, Code.MEDIA_AVP_WITH_CRYPTO):
        return plan
    if plan.proto is Proto.SAVP and _may_be_plain(policy):
        return replace(plan, proto=Proto.AVP)
    return plan


def plan_retry(policy: EffectivePolicy, status: int, offered: OfferPlan | None = None) -> OfferPlan | None:
    """The second offer after a refusal, or None; its code is recorded before the retry is sent.

    Args:
        offered: the plan that was refused; an offer that was plain already is not repeated.
    """
    if not _may_follow(policy) or status not in RETRY_STATUSES:
        return None
    if denies(policy, Code.MEDIA_SAVP_RETRY) or not _may_be_plain(policy):
        return None
    if offered is not None and offered.proto is not Proto.SAVP:
        return None
    return OfferPlan(Proto.AVP, with_crypto=False, codes=frozenset({Code.MEDIA_SAVP_RETRY}))


def _may_follow(policy: EffectivePolicy) -> bool:
    """A second offer is thought of: policy has one, or a pin took the place of the one offer that leaves a choice."""
    chosen = policy.rules.fallback is Fallback.ANSWER and policy.holds_to_keys
    return policy.rules.fallback is Fallback.RETRY or chosen


def plan_after_proof(policy: EffectivePolicy, retry: OfferPlan) -> OfferPlan | Refusal:
    """The retry when the peer is pinned, or has agreed to SRTP in this very call: whoever refuses it is bidding down.

    Nothing goes out in the clear then, emergency calls aside.
    """
    if policy.emergency:
        return replace(retry, codes=retry.codes | {Code.PIN_BID_DOWN})
    return Refusal(Code.PIN_BID_DOWN, Termination.ENCRYPTION_WITHDRAWN)


def accept_offer(
    policy: EffectivePolicy, signalling: Signalling, *, keyed: bool, has_crypto: bool, codes: Iterable[Code] = ()
) -> Refusal | None:
    """Whether a trunk's offer may be answered (checkpoint P0).

    Args:
        keyed: the m-line is RTP/SAVP(F) or another keyed transport.
        has_crypto: it has at least one usable `a=crypto`.
        codes: why lines of its keys cannot be used.
    """
    if policy.emergency:
        return None
    if not has_crypto:
        refusal = _accept_unkeyable(policy, keyed, frozenset(codes))
        return refusal or _accept_stripped(policy, frozenset(codes))
    exposed = _forbidden_exposure(policy, signalling)
    return Refusal(exposed, Termination.ENCRYPTION_REQUIRED) if exposed is not None else None


def denies(policy: EffectivePolicy, code: Code) -> bool:
    """Whether a code is a violation for this policy whatever the grade; nothing is for an emergency call."""
    rtcp = code is Code.SRTCP_ABSENT and policy.rules.srtcp_required
    return not policy.emergency and (rtcp or code in policy.rules.deny)


def judge(policy: EffectivePolicy, vector: SecurityVector) -> Verdict:
    """The verdict on a leg as observed (checkpoints P2, P3, P4)."""
    short = vector_shortfall(policy, vector)
    found, grade, counted = vector.codes | short, vector.grade, vector.weaknesses | short
    denied = any(denies(policy, code) for code in counted | (vector.noted - UNUSED))
    if denied or short or _refused(policy, counted, grade):
        kind = "D4" if counted & ABSOLUTE else _shortfall(counted)
        return Verdict(False, grade, _ordered(found), kind, "leg.violation", termination_of(counted))
    secured = grade >= Grade.HOP_BY_HOP
    record = "leg.secured" if secured else "leg.downgraded"
    if vector.keying is Keying.PENDING:
        record = "leg.pending"
    return Verdict(True, grade, _ordered(found), "" if secured else _shortfall(counted), record, None)


def judge_change(policy: EffectivePolicy, before: SecurityVector, after: SecurityVector) -> Verdict:
    """The verdict on a mid-call change (checkpoint P5): what the leg would become, against what it was.

    A refused change leaves the old session standing (RFC 3261 14.2).
    """
    if _crypto_removed(before, after):
        after = replace(after, extra_codes=after.extra_codes | {Code.MID_CRYPTO_REMOVED})
    verdict = judge(policy, after)
    if not _is_weaker(before, after):
        return verdict
    removed = Code.MID_CRYPTO_REMOVED in verdict.codes and not verdict.allowed
    termination = Termination.ENCRYPTION_REMOVED if removed else verdict.termination
    return replace(verdict, kind="D2", termination=termination)


def _may_be_plain(policy: EffectivePolicy) -> bool:
    """Whether a leg without keys may be anything but a violation."""
    return policy.rules.require <= Grade.CLEARTEXT and not denies(policy, Code.MEDIA_PLAIN_RTP)


def _forbidden_exposure(policy: EffectivePolicy, signalling: Signalling) -> Code | None:
    """The code under which SDES keys would be readable on this connection, where that is not allowed."""
    exposed = _sdes_exposure(signalling)
    if exposed is None or policy.emergency:
        return None
    too_weak = CAPS[exposed] < policy.rules.require
    return exposed if too_weak or policy.rules.sdes_needs_verified_tls or denies(policy, exposed) else None


def _sdes_exposure(signalling: Signalling) -> Code | None:
    """The code under which SDES keys on this connection would be readable, or None when they are safe."""
    probe = SecurityVector(leg=LegKind.TRUNK, signalling=signalling, keying=Keying.PENDING, proto=Proto.SAVP)
    for code in (Code.KEY_SDES_CLEARTEXT, Code.KEY_SDES_UNVERIFIED_TLS):
        if code in probe.codes:
            return code
    return None


def _accept_unkeyable(policy: EffectivePolicy, keyed: bool, problems: frozenset[Code]) -> Refusal | None:
    """An offer without a usable key: plain, or keyed in a way that cannot be answered (RFC 4568 5.1.2)."""
    if keyed and problems:
        return Refusal(min(problems), Termination.ENCRYPTION_UNUSABLE, problems)
    if keyed:
        return Refusal(Code.MEDIA_CRYPTO_IGNORED, Termination.ENCRYPTION_IGNORED)
    if not policy.rules.accepts_plain or not _may_be_plain(policy):
        return Refusal(Code.MEDIA_PLAIN_RTP, Termination.ENCRYPTION_REQUIRED, problems)
    return None


def _accept_stripped(policy: EffectivePolicy, problems: frozenset[Code]) -> Refusal | None:
    """An offer in the clear of a peer that is known to encrypt."""
    if not policy.holds_to_keys:
        return None
    return Refusal(Code.PIN_BID_DOWN, Termination.ENCRYPTION_WITHDRAWN, problems | {Code.MEDIA_PLAIN_RTP})


def _refused(policy: EffectivePolicy, found: frozenset[Code], grade: Grade) -> bool:
    if found & ABSOLUTE:
        return True
    if policy.emergency:
        return False
    demanded = policy.demands_protection and bool(found & REFUSED_WHERE_REQUIRED)
    demanded = demanded or (policy.holds_to_keys and Code.PIN_BID_DOWN in found)
    return demanded or bool(found & NEVER_TOLERABLE) or grade < policy.rules.require


def _crypto_removed(before: SecurityVector, after: SecurityVector) -> bool:
    return before.keying.keyed and after.keying is Keying.NONE


def _is_weaker(before: SecurityVector, after: SecurityVector) -> bool:
    """Compares vectors of one leg: the grade first, then key and tag length as far as both are known."""
    if before.grade != after.grade or Keying.PENDING in (before.keying, after.keying):
        return after.grade < before.grade
    return any(ours < theirs for ours, theirs in zip(after.strength, before.strength, strict=True))


def _shortfall(found: frozenset[Code]) -> str:
    """Below what policy wants, or below what the peer is known to be capable of."""
    return "D3" if Code.PIN_BID_DOWN in found else "D1"


def _ordered(found: frozenset[Code]) -> tuple[Code, ...]:
    return tuple(sorted(found))
