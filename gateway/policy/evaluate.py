"""The verdict of a policy on a leg as it was observed: what to tolerate, and what to refuse.

Everything here is a function of its arguments. Ties and unknowns fall to the stricter side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.termination import Termination
from gateway.policy.catalogue import ABSOLUTE, NEVER_TOLERABLE, REFUSED_WHERE_REQUIRED, UNUSED, termination_of
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import vector_shortfall


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
