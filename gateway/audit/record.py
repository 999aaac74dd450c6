"""Builders of audit records: the facts of a call as plain dictionaries, ready to be one JSON line each.

No builder has a parameter through which a key, password or message body could pass: they take grades, vectors,
verdicts, addresses and short names.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.audit.calls import of_call
from gateway.audit.facts import CallInfo, Checkpoint, FlowFacts, party, place, tls_facts
from gateway.base.codes import Code, known_codes
from gateway.base.grades import Grade
from gateway.base.signalling import TlsInfo
from gateway.base.termination import Termination
from gateway.base.values import HostPort
from gateway.policy.catalogue import Alert, alert_of
from gateway.policy.evaluate import Verdict
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import OfferPlan, Refusal
from gateway.policy.posture import SecurityVector
from gateway.quality.told import BAD, GOOD, score_facts
from gateway.quality.watch import Turn
from gateway.sdp.summary import Described


def call_start(
    call: CallInfo,
    policy: EffectivePolicy,
    *,
    source: HostPort | None = None,
    transport: str = "",
    user_agent: str = "",
    dialled: str = "",
) -> dict[str, object]:
    """A call came in; which policy holds for it is settled (checkpoint P0).

    Args:
        dialled: what the caller wrote, before the dialplan made a number of it.
    """
    fields: dict[str, object] = {
        "source": place(source),
        "transport": transport,
        "user_agent": user_agent,
        "dialled": party(dialled),
        "require": policy.rules.require.name,
        "prefer": policy.rules.prefer.name,
    }
    return of_call("call.start", call, policy, fields)


def leg_record(
    call: CallInfo,
    policy: EffectivePolicy,
    verdict: Verdict,
    vector: SecurityVector,
    *,
    leg_id: int,
    checkpoint: str,
    before: SecurityVector | None = None,
    source: HostPort | None = None,
    identity: TlsInfo | None = None,
    sip_status: int = 0,
    described_before: Described | None = None,
    described: Described | None = None,
) -> dict[str, object]:
    """The record the verdict asks for: leg.secured, leg.downgraded, leg.violation or leg.pending.

    Its type comes from the verdict, so no caller can record a weak leg as secured.

    Args:
        vector: the leg as it is now, or as a refused change would have made it.
        leg_id: its number within the call; 1 is the caller's.
        before: the leg before a mid-call change.
        source: the peer whose description was judged.
        identity: what TLS told about that peer.
        sip_status: what is about to be answered, 0 when nothing is.
        described_before: what the peer's description said when the leg was recorded last, if it said otherwise.
        described: what it says of protection now.
    """
    fields: dict[str, object] = {
        "leg": vector.leg.value,
        "leg_id": leg_id,
        "checkpoint": str(checkpoint),
        "decision": "allowed" if verdict.allowed else "refused",
        "kind": verdict.kind,
        "codes": [str(code) for code in verdict.codes],
        "alert": _alert(policy, verdict.codes, verdict.record),
        "rec": False,
        "grade_before": before.grade.name if before is not None else None,
        "grade_after": verdict.grade.name,
        "vector_before": _vector(before),
        "vector_after": _vector(vector),
        "sdp_before": described_before.as_dict() if described_before is not None else None,
        "sdp_after": described.as_dict() if described is not None else None,
        "source": place(source),
        "tls": tls_facts(identity) if identity is not None else None,
        "sip_sent": _sip_sent(verdict.termination, sip_status),
    }
    return of_call(verdict.record, call, policy, fields)


def offer_refused(
    call: CallInfo,
    policy: EffectivePolicy,
    refusal: Refusal,
    *,
    leg: str,
    leg_id: int,
    checkpoint: str,
    source: HostPort | None = None,
    kind: str = "D1",
) -> dict[str, object]:
    """A call was refused, or ended, for what no vector shows (leg.violation without one)."""
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "checkpoint": str(checkpoint),
        "decision": "refused",
        "kind": "D3" if Code.PIN_BID_DOWN in refusal.codes else kind,
        "codes": [str(code) for code in refusal.codes],
        "alert": _alert(policy, refusal.codes),
        "source": place(source),
        "sip_sent": _sip_sent(refusal.termination, 0),
    }
    return of_call("leg.violation", call, policy, fields)


def offer_retry(
    call: CallInfo, policy: EffectivePolicy, plan: OfferPlan, *, leg_id: int, refused_status: int
) -> dict[str, object]:
    """The secure offer was refused and a weaker one is about to be sent (leg.downgraded, written before the retry)."""
    fields: dict[str, object] = {
        "leg": "trunk",
        "leg_id": leg_id,
        "checkpoint": str(Checkpoint.BEFORE_OFFER),
        "decision": "allowed",
        "kind": "D3" if Code.PIN_BID_DOWN in plan.codes else "D1",
        "codes": sorted(plan.codes),
        "alert": _alert(policy, plan.codes, "leg.downgraded"),
        "grade_after": (Grade.KEY_EXPOSED if plan.has_keys else Grade.CLEARTEXT).name,
        "refused_status": refused_status,
        "proto": plan.proto.value,
    }
    return of_call("leg.downgraded", call, policy, fields)


def call_transfer(
    call: CallInfo,
    policy: EffectivePolicy,
    *,
    leg: str,
    leg_id: int,
    target: str,
    claimed: str,
    sip_status: int,
) -> dict[str, object]:
    """A peer asked that the other side be joined with somebody else (RFC 3515); the answer follows this record.

    Args:
        leg: who asked, by kind; `leg_id` by number.
        target: whom it is to be joined with, as it was named.
        claimed: who the request says it is from (Referred-By); nobody vouches for it.
        sip_status: what is answered: 202, or why not.
    """
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "target": party(target),
        "claimed": party(claimed),
        "decision": "allowed" if sip_status < 300 else "refused",
        "sip_sent": {"code": sip_status},
    }
    return of_call("call.transfer", call, policy, fields)


def leg_moved(
    call: CallInfo, *, leg: str, leg_id: int, before: FlowFacts, now: FlowFacts, was_lost: bool
) -> dict[str, object]:
    """A browser goes on with its call over another connection of the same device (RFC 5626).

    Args:
        was_lost: the connection before was known to be gone; else it may only seem to be there.
    """
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "source": place(now.remote),
        "flow": _flow(now),
        "before": place(before.remote),
        "was_lost": was_lost,
    }
    return of_call("leg.moved", call, None, fields)


def flow_judged(
    call: CallInfo,
    policy: EffectivePolicy,
    *,
    leg: str,
    leg_id: int,
    checkpoint: str,
    what: str,
    why: str,
    came: FlowFacts,
    founding: FlowFacts,
    allowed: bool = False,
    sip_status: int = 0,
) -> dict[str, object]:
    """A message of a call came over a flow that proves less than the one that set the leg up (leg.violation).

    Args:
        what: the method of the message, or the status of a response.
        why: what the flow does not prove, or where a target would have moved the leg.
        came: the flow it came over.
        founding: the flow that set the leg up.
        allowed: it was acted on all the same, as the end of a call is: ending never weakens.
        sip_status: what is answered, 0 when nothing is.
    """
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "checkpoint": str(checkpoint),
        "decision": "allowed" if allowed else "refused",
        "kind": "D2",
        "codes": [str(Code.SIG_SIPS_NOT_HONOURED)],
        "alert": _alert(policy, [Code.SIG_SIPS_NOT_HONOURED]),
        "message": what,
        "why": why,
        "source": place(came.remote),
        "flow": _flow(came),
        "founding_flow": _flow(founding),
        "sip_sent": {"code": sip_status} if sip_status else None,
    }
    return of_call("leg.violation", call, policy, fields)


def leg_verified(
    call: CallInfo, policy: EffectivePolicy, vector: SecurityVector, *, leg_id: int, confirmed: bool
) -> dict[str, object]:
    """Packets of a keyed leg really authenticated (checkpoint P6); once for its keys.

    Args:
        confirmed: the peer reported by RTCP, authenticated too, that it receives what we send.
    """
    fields: dict[str, object] = {
        "leg": vector.leg.value,
        "leg_id": leg_id,
        "checkpoint": str(Checkpoint.PACKETS),
        "grade_after": vector.grade.name,
        "vector_after": _vector(vector),
        "received": "authenticated",
        "sent": "confirmed" if confirmed else "unconfirmed",
    }
    return of_call("leg.verified", call, policy, fields)


def leg_quality(call: CallInfo, turn: Turn, *, leg: str, leg_id: int) -> dict[str, object]:
    """A leg has turned bad, or is good again: how it sounded, and what weighs most of what is wrong.

    Args:
        leg: whose it is, by kind; `leg_id` by number.
    """
    way = turn.score.worse
    found = turn.score.way(way) if way is not None else None
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "quality": BAD if turn.is_bad else GOOD,
        "way": way.value if way is not None else None,
        "cause": found.cause.value if found is not None and turn.is_bad else None,
        "lasted": round(turn.lasted, 1),
        **score_facts(turn.score),
    }
    return of_call("leg.quality", call, None, fields)


def media_latch(
    call: CallInfo,
    *,
    leg: str,
    leg_id: int,
    address: HostPort | str,
    expected: bool,
    accepted: bool = True,
    code: str = "",
    required: bool = False,
    flood: bool = False,
) -> dict[str, object]:
    """A media source was learned from packets, or refused (RFC 7362).

    Args:
        expected: the source is the one the signalling named.
        code: why it was refused, for example media.latch_mismatch.
        required: the policy of the leg requires protection.
        flood: there were more of them in a second than accidents explain.
    """
    fields: dict[str, object] = {
        "leg": leg,
        "leg_id": leg_id,
        "address": str(address),
        "expected": expected,
        "decision": "allowed" if accepted else "refused",
        "codes": [code] if code else [],
        "alert": str(Alert.HIGH if flood else alert_of(known_codes([code]), required=required)),
        "flood": flood,
    }
    return of_call("media.latch", call, None, fields)


def _alert(policy: EffectivePolicy, codes: Iterable[Code], kind: str = "") -> str:
    """How loud a record is: as the catalogue has it, and of a downgrade as loud as its policy wants it at least."""
    least = Alert(policy.rules.alert) if kind == "leg.downgraded" and policy.rules.alert else Alert.NONE
    return str(alert_of(codes, required=policy.demands_protection, least=least))


def _flow(flow: FlowFacts) -> dict[str, object]:
    return {
        "transport": flow.transport,
        "remote": str(flow.remote),
        "initiated": flow.initiated,
        "tls": tls_facts(flow.tls) if flow.tls is not None else None,
    }


def _vector(vector: SecurityVector | None) -> object:
    return vector.as_dict() if vector is not None else None


def _sip_sent(termination: Termination | None, sip_status: int) -> dict[str, object] | None:
    if termination is None:
        return {"code": sip_status} if sip_status else None
    return {
        "code": sip_status or termination.status,
        "warning": termination.warning or None,
        "reason": termination.slug,
    }
