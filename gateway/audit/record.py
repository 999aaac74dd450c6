"""Builders of audit records: the facts of a call as plain dictionaries, ready to be one JSON line each.

No builder has a parameter through which a key, password or message body could pass: they take grades, vectors,
verdicts, addresses and short names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.audit.clean import MAX_ITEMS, cleaned_mapping, cleaned_text
from gateway.base.termination import Termination
from gateway.base.values import HostPort, mask_number
from gateway.policy import posture
from gateway.policy.codes import Code
from gateway.policy.evaluate import OfferPlan, Refusal, Verdict
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture, Grade, SecurityVector

RECOVERED = "recovered"
"""Field of `admin.start`: calls of earlier runs that got their end before it. With it, nothing older is open."""
ALL_ENDED = "all_ended"
"""Field of `admin.stop`: every call of the run has its final record in the log."""

SHORT_ID = 8
"""Characters of `call_uid` that tell the calls of one log apart; a search for them finds all of it."""


class Checkpoint(StrEnum):
    """Where in a call a leg was judged (docs/policy.md)."""

    OFFER_RECEIVED = "P0"
    BEFORE_OFFER = "P1"
    PROVISIONAL = "P2"
    ANSWER = "P3"
    KEYED = "P4"
    CHANGE = "P5"
    PACKETS = "P6"
    END = "P7"


def short_id(call_uid: str) -> str:
    """What log, header, page and `audit show` call a call by, so that one leads to the other."""
    return f"c-{call_uid[:SHORT_ID]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """What every record of one call repeats."""

    call_uid: str
    """Random id of the call, the same in every record, header and log line."""
    direction: str
    """out: browser to trunk; in: trunk to browser."""
    trunk: str = ""
    user: str = ""
    """The signed-in browser user, from its authenticated flow."""
    caller: str = ""
    """User part of the caller's address; numbers are masked in the record."""
    called: str = ""
    browser_call_id: str = ""
    """SIP Call-ID of the browser leg."""
    trunk_call_id: str = ""
    """SIP Call-ID of the trunk leg."""


class PeerIdentity(Protocol):
    """What TLS told about a peer; the SIP layer's TlsInfo has this shape."""

    @property
    def version(self) -> str: ...
    @property
    def cipher(self) -> str: ...
    @property
    def peer_subject(self) -> str: ...
    @property
    def spki_sha256(self) -> str: ...
    @property
    def verified(self) -> bool: ...
    @property
    def verified_name(self) -> str: ...
    @property
    def reason(self) -> str: ...


class CauseFacts(Protocol):
    """A reason a peer gave; the SIP layer's Reason has this shape."""

    @property
    def protocol(self) -> str: ...
    @property
    def cause(self) -> int: ...
    @property
    def text(self) -> str: ...


class FlowFacts(Protocol):
    """What is known of the connection a message came over; the SIP layer's Flow has this shape."""

    @property
    def transport(self) -> str: ...
    @property
    def remote(self) -> HostPort: ...
    @property
    def initiated(self) -> bool: ...
    @property
    def tls(self) -> PeerIdentity | None: ...


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
        "source": _address(source),
        "transport": transport,
        "user_agent": user_agent,
        "dialled": _party(dialled),
        "require": policy.rules.require.name,
        "prefer": policy.rules.prefer.name,
    }
    return _call("call.start", call, policy, fields)


def leg_record(
    call: CallInfo,
    policy: EffectivePolicy,
    verdict: Verdict,
    vector: SecurityVector,
    *,
    checkpoint: str,
    before: SecurityVector | None = None,
    source: HostPort | None = None,
    identity: PeerIdentity | None = None,
    sip_status: int = 0,
) -> dict[str, object]:
    """The record the verdict asks for: leg.secured, leg.downgraded, leg.violation or leg.pending.

    Its type comes from the verdict, so no caller can record a weak leg as secured.

    Args:
        vector: the leg as it is now, or as a refused change would have made it.
        before: the leg before a mid-call change.
        source: the peer whose description was judged.
        identity: what TLS told about that peer.
        sip_status: what is about to be answered, 0 when nothing is.
    """
    fields: dict[str, object] = {
        "leg": vector.leg,
        "checkpoint": str(checkpoint),
        "decision": "allowed" if verdict.allowed else "refused",
        "kind": verdict.kind,
        "codes": [str(code) for code in verdict.codes],
        "grade_before": posture.grade(before).name if before is not None else None,
        "grade_after": verdict.grade.name,
        "vector_before": _vector(before),
        "vector_after": _vector(vector),
        "source": _address(source),
        "tls": _tls(identity) if identity is not None else None,
        "sip_sent": _sip_sent(verdict.termination, sip_status),
    }
    return _call(verdict.record, call, policy, fields)


def offer_refused(
    call: CallInfo,
    policy: EffectivePolicy,
    refusal: Refusal,
    *,
    leg: str,
    checkpoint: str,
    source: HostPort | None = None,
) -> dict[str, object]:
    """A call was refused before there was anything to grade (leg.violation without a vector)."""
    fields: dict[str, object] = {
        "leg": leg,
        "checkpoint": str(checkpoint),
        "decision": "refused",
        "kind": "D1",
        "codes": [str(code) for code in refusal.codes],
        "source": _address(source),
        "sip_sent": _sip_sent(refusal.termination, 0),
    }
    return _call("leg.violation", call, policy, fields)


def offer_retry(call: CallInfo, policy: EffectivePolicy, plan: OfferPlan, *, refused_status: int) -> dict[str, object]:
    """The secure offer was refused and a weaker one is about to be sent (leg.downgraded, written before the retry)."""
    fields: dict[str, object] = {
        "leg": "trunk",
        "checkpoint": str(Checkpoint.BEFORE_OFFER),
        "decision": "allowed",
        "kind": "D1",
        "codes": sorted(plan.codes),
        "grade_after": (Grade.KEY_EXPOSED if plan.with_crypto else Grade.CLEARTEXT).name,
        "refused_status": refused_status,
        "proto": plan.proto,
    }
    return _call("leg.downgraded", call, policy, fields)


def flow_judged(
    call: CallInfo,
    policy: EffectivePolicy,
    *,
    leg: str,
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
        "checkpoint": str(checkpoint),
        "decision": "allowed" if allowed else "refused",
        "kind": "D2",
        "codes": [str(Code.SIG_SIPS_NOT_HONOURED)],
        "message": what,
        "why": why,
        "source": _address(came.remote),
        "flow": _flow(came),
        "founding_flow": _flow(founding),
        "sip_sent": {"code": sip_status} if sip_status else None,
    }
    return _call("leg.violation", call, policy, fields)


def leg_verified(
    call: CallInfo, policy: EffectivePolicy, vector: SecurityVector, *, confirmed: bool
) -> dict[str, object]:
    """Packets of a keyed leg really authenticated (checkpoint P6); once for its keys.

    Args:
        confirmed: the peer reported by RTCP, authenticated too, that it receives what we send.
    """
    fields: dict[str, object] = {
        "leg": vector.leg,
        "checkpoint": str(Checkpoint.PACKETS),
        "grade_after": posture.grade(vector).name,
        "vector_after": _vector(vector),
        "received": "authenticated",
        "sent": "confirmed" if confirmed else "unconfirmed",
    }
    return _call("leg.verified", call, policy, fields)


def media_latch(
    call: CallInfo,
    *,
    leg: str,
    address: HostPort | str,
    expected: bool,
    accepted: bool = True,
    code: str = "",
) -> dict[str, object]:
    """A media source was learned from packets, or refused (RFC 7362).

    Args:
        expected: the source is the one the signalling named.
        code: why it was refused, for example media.latch_mismatch.
    """
    fields: dict[str, object] = {
        "leg": leg,
        "address": str(address),
        "expected": expected,
        "decision": "allowed" if accepted else "refused",
        "codes": [code] if code else [],
    }
    return _call("media.latch", call, None, fields)


def call_final(
    call: CallInfo,
    policy: EffectivePolicy,
    call_posture: CallPosture,
    termination: Termination,
    *,
    duration: float,
    sip_status: int = 0,
    codecs: Iterable[str] = (),
    counters: Mapping[str, int] | None = None,
    causes: Iterable[CauseFacts] = (),
    grade_refused: str = "",
    codec: str = "",
    trunk_rtp: HostPort | None = None,
    own_rtp: HostPort | None = None,
) -> dict[str, object]:
    """The one record that ends every call: its grades, why it ended and what was counted.

    A leg that never got keys was expected to be as good as it could; at the end that expectation proves nothing.

    Args:
        duration: seconds from answer to end; 0 when it was never answered.
        sip_status: the status the call ended with where it differs from the termination's own.
        causes: what the message that ended the call said of why (RFC 3326); the most telling is kept.
        grade_refused: of the leg that policy refused last, as it would have been.
        codec: the audio codec that was agreed on last.
        trunk_rtp: where the trunk takes its media.
        own_rtp: where the trunk sends it to.
    """
    at_answer = call_posture.at_answer
    graded = bool(call_posture.legs())
    fields: dict[str, object] = {
        "answered": at_answer is not None,
        "duration": round(max(duration, 0.0), 3),
        "termination": termination.slug,
        "party": str(termination.party),
        "sip_status": sip_status or termination.status,
        "cause": _cause(causes),
        "grade_at_answer": _claim(call_posture, at_answer),
        "grade_current": _claim(call_posture, call_posture.current if graded else None),
        "grade_worst": _claim(call_posture, call_posture.worst if graded else None),
        "legs": {leg: _proved(call_posture, leg) for leg in call_posture.legs()},
        "codes": sorted(call_posture.codes_seen),
        "grade_refused": grade_refused or None,
        "codecs": list(codecs),
        "codec": codec or None,
        "trunk_rtp": _address(trunk_rtp),
        "own_rtp": _address(own_rtp),
        "counters": dict(counters or {}),
        "recorded": False,
    }
    return _call("call.final", call, policy, fields)


def call_broken(call_uid: str) -> dict[str, object]:
    """The final record of a call that cannot be described any more: a defect of ours, and still one end."""
    broken = Termination.INTERNAL_ERROR
    fields: dict[str, object] = {
        "call_uid": cleaned_text(call_uid),
        "answered": None,
        "duration": None,
        "termination": broken.slug,
        "party": str(broken.party),
        "sip_status": broken.status,
        "grade_worst": None,
    }
    return _record("call.final", fields)


def auth_ok(*, user: str, source: HostPort, transport: str, method: str, unrecorded: int = 0) -> dict[str, object]:
    """A connection has proved who its user is; everything else that comes over it is that user's.

    Args:
        unrecorded: sign-ins of this user since the last such record that were too many for a record each.
    """
    fields: dict[str, object] = {
        "user": _party(user),
        "source": _address(source),
        "transport": transport,
        "method": method,
        "unrecorded": unrecorded,
    }
    return _record("auth.ok", fields)


def auth_fail(*, user: str, source: HostPort, transport: str, reason: str, method: str = "") -> dict[str, object]:
    """Somebody could not prove who they are; neither password, nonce nor digest is kept."""
    fields: dict[str, object] = {
        "user": _party(user),
        "source": _address(source),
        "transport": transport,
        "method": method,
        "reason": reason,
    }
    return _record("auth.fail", fields)


def auth_fail_summary(
    *,
    source: str,
    transport: str,
    count: int,
    seconds: float,
    users: Iterable[str],
    more_users: int,
    reasons: Mapping[str, int],
) -> dict[str, object]:
    """How often one source could not prove who it is, since its last `auth.fail`.

    Args:
        source: an IPv4 address, an IPv6 /64, or words for the sources that are not counted apart.
        users: the first few names claimed.
        more_users: failures with further names.
    """
    fields: dict[str, object] = {
        "source": source,
        "transport": transport,
        "count": count,
        "seconds": round(seconds, 1),
        "users": [_party(user) for user in users],
        "more_users": more_users,
        "reasons": dict(reasons),
    }
    return _record("auth.fail", fields)


def tls_peer(
    *, trunk: str, address: HostPort | str, identity: PeerIdentity, outgoing: bool = True
) -> dict[str, object]:
    """What a TLS peer proved about itself (RFC 5922); one record per connection."""
    fields: dict[str, object] = {
        "trunk": trunk,
        "address": str(address),
        "outgoing": outgoing,
        **_tls(identity),
        "codes": [] if identity.verified else [str(Code.TLS_UNVERIFIED)],
    }
    return _record("tls.peer", fields)


def policy_loaded(policies: Iterable[EffectivePolicy]) -> dict[str, object]:
    """Which policy each trunk's calls run under from now on."""
    listed = [{"trunk": p.trunk, "profile": str(p.profile), "sha256": p.sha256} for p in policies]
    return _record("policy.loaded", {"trunks": len(listed), "policies": listed[:MAX_ITEMS]})


def gateway_started(version: str, *, recovered: int = 0) -> dict[str, object]:
    """The gateway begins to take calls; `recovered` calls of earlier runs got their final record before."""
    return _record("admin.start", {"version": version, RECOVERED: recovered})


def gateway_stopped(reason: str, *, all_ended: bool = False) -> dict[str, object]:
    """The gateway ends on purpose; a log that ends without this ended otherwise."""
    return _record("admin.stop", {"reason": reason, ALL_ENDED: all_ended})


def _record(kind: str, fields: Mapping[str, object]) -> dict[str, object]:
    """Every builder ends here: whatever a peer put into a name is harmless from now on."""
    return cleaned_mapping({"type": kind, **fields})


def _call(kind: str, call: CallInfo, policy: EffectivePolicy | None, fields: Mapping[str, object]) -> dict[str, object]:
    common = {
        "call_uid": call.call_uid,
        "sip_call_id": {"browser": call.browser_call_id, "trunk": call.trunk_call_id},
        "dir": call.direction,
        "trunk": call.trunk,
        "user": _party(call.user),
        "from": _party(call.caller),
        "to": _party(call.called),
    }
    return _record(kind, {**common, **(_policy(policy) if policy is not None else {}), **fields})


def _policy(policy: EffectivePolicy) -> dict[str, object]:
    return {"profile": str(policy.profile), "policy_sha256": policy.sha256, "emergency": policy.emergency}


def _party(text: str) -> str:
    return mask_number(cleaned_text(text))


def _address(address: HostPort | None) -> str | None:
    return str(address) if address is not None else None


def _flow(flow: FlowFacts) -> dict[str, object]:
    return {
        "transport": flow.transport,
        "remote": str(flow.remote),
        "initiated": flow.initiated,
        "tls": _tls(flow.tls) if flow.tls is not None else None,
    }


def _vector(vector: SecurityVector | None) -> object:
    return vector.as_dict() if vector is not None else None


def _cause(causes: Iterable[CauseFacts]) -> dict[str, object] | None:
    """That of the telephone network says more than that of SIP, which repeats a status."""
    found = sorted(causes, key=lambda cause: cause.protocol == "SIP")
    return {"protocol": found[0].protocol, "number": found[0].cause, "text": found[0].text} if found else None


def _proved(call_posture: CallPosture, leg: str) -> str:
    """A leg that never got keys has no grade to its name: what it would have been at best proves nothing."""
    vector = call_posture.vector(leg)
    return "pending" if vector is None or vector.keying == "pending" else posture.grade(vector).name


def _claim(call_posture: CallPosture, found: Grade | None) -> str | None:
    """A grade as it may be stated at the end: with a leg that never got keys, none that depends on that leg."""
    pending = any(_proved(call_posture, leg) == "pending" for leg in call_posture.legs())
    return None if found is None or (pending and found >= Grade.HOP_BY_HOP) else found.name


def _tls(identity: PeerIdentity) -> dict[str, object]:
    return {
        "version": identity.version,
        "cipher": identity.cipher,
        "peer_subject": identity.peer_subject,
        "spki_sha256": identity.spki_sha256,
        "verified": identity.verified,
        "verified_name": identity.verified_name,
        "reason": identity.reason,
    }


def _sip_sent(termination: Termination | None, sip_status: int) -> dict[str, object] | None:
    if termination is None:
        return {"code": sip_status} if sip_status else None
    return {
        "code": sip_status or termination.status,
        "warning": termination.warning or None,
        "reason": termination.slug,
    }
