"""What a policy lets be offered to a trunk and taken from its offers: which kinds of keys, and over which connection.

Everything here is a function of its arguments. There are two ways to key a trunk: SDES, whose key is as secret as the
signalling, and DTLS, whose fingerprint is as true as the signalling. A policy may name both; what an offer demands is
one of them, and the next one is tried when that is refused. Only an offer that demands nothing brings several.
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
from gateway.policy.catalogue import CAPS
from gateway.policy.evaluate import denies
from gateway.policy.model import ALL_WAYS, DEFAULT_WAYS, EffectivePolicy, Fallback, OfferMode
from gateway.policy.posture import STRONG_HASHES, SecurityVector
from gateway.policy.suites import allowed_suites

RETRY_STATUSES = frozenset({488, 415, 606})
"""Answers that may mean "no SRTP here"; 302 and 399 warnings prove nothing (RFC 3261 20.43)."""

_DEMANDS = {Keying.SDES: Proto.SAVP, Keying.DTLS: Proto.DTLS_SAVP}
"""The transport of an offer that demands keys of this kind (RFC 4568, RFC 5764 8)."""

_EXPOSURES = {
    Keying.SDES: (Code.KEY_SDES_CLEARTEXT, Code.KEY_SDES_UNVERIFIED_TLS),
    Keying.DTLS: (Code.KEY_DTLS_FP_UNAUTH,),
}
"""What the connection may make of a way to key a leg, worst first."""


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """What the offer to a trunk must look like."""

    proto: Proto
    """RTP/AVP, or the transport that demands keys; of DTLS each trunk has its own spelling."""
    ways: tuple[Keying, ...] = ()
    """The kinds of keys it brings, the preferred one first; one where keys are demanded."""
    codes: frozenset[Code] = frozenset()
    """To be recorded before the offer is sent: media.savp_retry on a retry."""

    @classmethod
    def demanding(cls, way: Keying) -> OfferPlan:
        """An offer of keys of this kind, or nothing."""
        return cls(_DEMANDS[way], (way,))

    @property
    def has_keys(self) -> bool:
        return bool(self.ways)


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
        return tuple(sorted(frozenset({self.code}) | self.also))


def offered_ways(policy: EffectivePolicy) -> tuple[Keying, ...]:
    """How keys are offered, in order of preference."""
    return policy.rules.ways or DEFAULT_WAYS


def taken_ways(policy: EffectivePolicy | None) -> tuple[Keying, ...]:
    """Which kinds of keys are taken from an offer, the preferred one first; None: all there are."""
    if policy is None:
        return ALL_WAYS
    return policy.rules.answers or tuple(dict.fromkeys((*offered_ways(policy), *ALL_WAYS)))


def allowed_hashes(policy: EffectivePolicy | None) -> frozenset[str]:
    """The hashes a certificate may be announced by; none where lists of them have nothing in common."""
    named = policy.rules.fingerprints if policy is not None else ()
    return STRONG_HASHES.intersection(named) if named else STRONG_HASHES


def plan_offer(policy: EffectivePolicy, signalling: Signalling) -> OfferPlan | Refusal:
    """The first offer to a trunk (checkpoint P1); keys never travel where the policy forbids it.

    A peer that is known to encrypt is not offered what it may answer in the clear (RFC 8643 1: OSRTP MUST NOT be used).
    """
    mode = policy.rules.offer
    if mode is OfferMode.AVP:
        plain_only = Refusal(Code.MEDIA_PLAIN_RTP, Termination.ENCRYPTION_REQUIRED)
        return OfferPlan(Proto.AVP) if _may_be_plain(policy) else plain_only
    usable = _usable_ways(policy, signalling)
    if isinstance(usable, Refusal):
        return usable
    secure = mode in (OfferMode.SAVP_ONLY, OfferMode.SAVP_FIRST) or policy.holds_to_keys
    if secure or denies(policy, Code.MEDIA_AVP_WITH_CRYPTO):
        return OfferPlan.demanding(usable[0])
    return OfferPlan(Proto.AVP, usable)


def plan_late_offer(policy: EffectivePolicy, signalling: Signalling) -> OfferPlan | Refusal:
    """Our offer to a trunk that sent none: it stands in a 200, so there is no second one (RFC 3261 13.3.1.4).

    Where plain media is accepted too, keys are offered in a form that a phone without SRTP can answer (RFC 8643).
    """
    plan = plan_offer(policy, signalling)
    if not isinstance(plan, OfferPlan) or policy.holds_to_keys or denies(policy, Code.MEDIA_AVP_WITH_CRYPTO):
        return plan
    usable = _usable_ways(policy, signalling)
    if plan.proto.keyed and _may_be_plain(policy) and not isinstance(usable, Refusal):
        return OfferPlan(Proto.AVP, usable)
    return plan


def plan_retry(
    policy: EffectivePolicy, signalling: Signalling, status: int, offered: OfferPlan | None = None
) -> OfferPlan | None:
    """The next offer after a refusal, or None: first other keys, then, where policy says so, none.

    The codes of a plan are recorded before it is sent.

    Args:
        offered: the plan that was refused, by default the last one with keys; one that was plain is not repeated.
    """
    if status not in RETRY_STATUSES or (offered is not None and not offered.proto.keyed):
        return None
    other = _next_way(policy, signalling, offered) if offered is not None else None
    if other is not None:
        return OfferPlan.demanding(other)
    if denies(policy, Code.MEDIA_SAVP_RETRY) or not _may_be_plain(policy) or not _may_follow(policy):
        return None
    return OfferPlan(Proto.AVP, codes=frozenset({Code.MEDIA_SAVP_RETRY}))


def _next_way(policy: EffectivePolicy, signalling: Signalling, offered: OfferPlan) -> Keying | None:
    """The kind of keys that is tried when the peer refused these."""
    ways = offered_ways(policy)
    tried = max((ways.index(way) for way in offered.ways if way in ways), default=len(ways))
    return next((way for way in ways[tried + 1 :] if _objection(policy, signalling, way) is None), None)


def _may_follow(policy: EffectivePolicy) -> bool:
    """A second offer is thought of: policy has one, or a pin took the place of the one offer that leaves a choice."""
    chosen = policy.rules.fallback is Fallback.ANSWER and policy.holds_to_keys
    return policy.rules.fallback is Fallback.RETRY or chosen


def plan_after_proof(policy: EffectivePolicy, retry: OfferPlan) -> OfferPlan | Refusal:
    """The retry when the peer is pinned, or has agreed to SRTP in this very call: whoever refuses it is bidding down.

    Nothing goes out in the clear then, emergency calls aside.
    """
    if retry.has_keys:
        return retry
    if policy.emergency:
        return replace(retry, codes=retry.codes | {Code.PIN_BID_DOWN})
    return Refusal(Code.PIN_BID_DOWN, Termination.ENCRYPTION_WITHDRAWN)


def offer_by_handshake(policy: EffectivePolicy) -> Refusal | None:
    """Why a leg that is keyed by DTLS cannot be: none of the suites of the policy is one that DTLS-SRTP knows."""
    if any(suite.dtls_name for suite in allowed_suites(policy)):
        return None
    return Refusal(Code.SUITE_UNKNOWN, Termination.SUITE_DENIED)


def accept_offer(
    policy: EffectivePolicy, signalling: Signalling, *, keyed: bool, by: Keying, codes: Iterable[Code] = ()
) -> Refusal | None:
    """Whether a trunk's offer may be answered (checkpoint P0).

    Args:
        keyed: the m-line demands keys: RTP/SAVP(F) or another such transport.
        by: which of its keys we would take; NONE: none is of use.
        codes: why lines of its keys cannot be used.
    """
    if policy.emergency:
        return None
    if not by.keyed:
        refusal = _accept_unkeyable(policy, keyed, frozenset(codes))
        return refusal or _accept_stripped(policy, frozenset(codes))
    exposed = _forbidden_exposure(policy, signalling, by)
    if exposed is not None:
        return Refusal(exposed, Termination.ENCRYPTION_REQUIRED)
    return offer_by_handshake(policy) if by is Keying.DTLS else None


def _usable_ways(policy: EffectivePolicy, signalling: Signalling) -> tuple[Keying, ...] | Refusal:
    """What may be offered over this connection, in order; else what speaks against the one that is preferred."""
    objections = {way: _objection(policy, signalling, way) for way in offered_ways(policy)}
    usable = tuple(way for way, objection in objections.items() if objection is None)
    return usable or next(objection for objection in objections.values() if objection is not None)


def _objection(policy: EffectivePolicy, signalling: Signalling, way: Keying) -> Refusal | None:
    """Why keys of this kind may not be offered over this connection."""
    exposed = _forbidden_exposure(policy, signalling, way)
    if exposed is not None:
        return Refusal(exposed, Termination.ENCRYPTION_IMPOSSIBLE)
    if way is Keying.DTLS:
        return offer_by_handshake(policy)
    return None if allowed_suites(policy) else Refusal(Code.SUITE_UNKNOWN, Termination.SUITE_DENIED)


def _may_be_plain(policy: EffectivePolicy) -> bool:
    """Whether a leg without keys may be anything but a violation."""
    return policy.rules.require <= Grade.CLEARTEXT and not denies(policy, Code.MEDIA_PLAIN_RTP)


def _forbidden_exposure(policy: EffectivePolicy, signalling: Signalling, way: Keying) -> Code | None:
    """The code under which keys of this kind would be read, or forged, on this connection, where policy forbids it."""
    exposed = _exposure(signalling, way)
    if exposed is None or policy.emergency:
        return None
    refused = way is Keying.SDES and policy.rules.sdes_needs_verified_tls
    return exposed if refused or CAPS[exposed] < policy.rules.require or denies(policy, exposed) else None


def _exposure(signalling: Signalling, way: Keying) -> Code | None:
    """The code under which keys of this kind are exposed on this connection, or None when they are safe."""
    probe = SecurityVector(
        leg=LegKind.TRUNK, signalling=signalling, keying=Keying.PENDING, proto=_DEMANDS[way], awaits=way
    )
    return next((code for code in _EXPOSURES[way] if code in probe.codes), None)


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
