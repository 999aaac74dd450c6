"""One vector, one verdict: made where a description is judged, and carried from there to record, relay and header."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.call.legs.agreed import AgreedMedia
from gateway.call.legs.leg import Leg
from gateway.call.machine.state import CallState, Phase
from gateway.policy.catalogue import CONTRADICTED
from gateway.policy.evaluate import Verdict, denies, judge, judge_change
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import SecurityVector


@dataclass(frozen=True, slots=True)
class Judged:
    """What a leg would be, or is, and what policy says of it."""

    vector: SecurityVector
    verdict: Verdict
    before: SecurityVector | None = None
    """What it was, where that counts: a change must not weaken it."""

    def holds(self, vector: SecurityVector, before: SecurityVector | None) -> bool:
        """Whether this is the verdict on just that step."""
        return (self.vector, self.before) == (vector, before)


def policy_of(call: CallState, leg: Leg) -> EffectivePolicy:
    """What a leg must meet: what was planned for it, else what the call must."""
    return leg.policy or call.policy


def judged(call: CallState, leg: Leg, vector: SecurityVector, before: SecurityVector | None = None) -> Judged:
    """What policy says of a leg that is, or would be, so."""
    policy = policy_of(call, leg)
    verdict = judge(policy, vector) if before is None else judge_change(policy, before, vector)
    return Judged(vector, verdict, before)


def answer_of(call: CallState, leg: Leg, agreed: AgreedMedia) -> Judged:
    """The verdict on an answer to our offer: what packets said under the keys before does not count.

    In mid-call it is one on a change: who answers our offer without the encryption there was has removed it.
    """
    before = leg.recorded if call.phase is Phase.ESTABLISHED else None
    return judged(call, leg, leg.vector_of(agreed), before)


def removed(verdict: Verdict) -> frozenset[Code]:
    """That a change removed the encryption, where it did: no description shows it afterwards."""
    return frozenset({Code.MID_CRYPTO_REMOVED}) & frozenset(verdict.codes)


def change_of(call: CallState, leg: Leg, agreed: AgreedMedia) -> Judged:
    """The verdict on a change the peer asks for, against what the log last said of the leg."""
    before = leg.recorded or leg.vector
    return judged(call, leg, leg.vector_of(agreed), before)


def weakens(call: CallState, vector: SecurityVector) -> bool:
    """Whether the call would be protected less than now with a leg like this in it (POLICY A2 mid.transfer_weaker)."""
    return bool(call.posture.legs()) and vector.grade < call.posture.current


def may_join(call: CallState, leg: Leg, vector: SecurityVector) -> bool:
    """Whether somebody may join a call that would be weaker for it: unless that itself is denied, the grade decides."""
    return not (denies(policy_of(call, leg), Code.MID_TRANSFER_WEAKER) and weakens(call, vector))


def contradicted(vector: SecurityVector) -> bool:
    """Whether it is the packets that speak against the leg, and no description."""
    return bool(vector.extra_codes & CONTRADICTED)
