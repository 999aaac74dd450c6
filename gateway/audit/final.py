"""The builder of `call.final`: the one record that ends a call, whatever ended it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.audit.calls import of_call
from gateway.audit.clean import cleaned_text
from gateway.audit.facts import UNPROVED, CallInfo, CauseFacts, make, place
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture


def call_final(
    call: CallInfo,
    policy: EffectivePolicy,
    call_posture: CallPosture,
    termination: Termination,
    *,
    duration: float,
    sip_status: int = 0,
    codecs: Iterable[str] = (),
    counters: Mapping[str, Mapping[str, int]] | None = None,
    causes: Iterable[CauseFacts] = (),
    grade_refused: str = "",
    codec: str = "",
    trunk_rtp: HostPort | None = None,
    own_rtp: HostPort | None = None,
    seconds_per_grade: Mapping[str, float] | None = None,
    streams: Mapping[str, str] | None = None,
    quality: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, object]:
    """The one record that ends every call: its grades, why it ended and what was counted.

    A leg that never got keys was expected to be as good as it could; at the end that expectation proves nothing.

    Args:
        duration: seconds from answer to end; 0 when it was never answered.
        sip_status: the status the call ended with where it differs from the termination's own.
        causes: what the message that ended the call said of why (RFC 3326); the most telling is kept.
        grade_refused: of the leg that policy refused last, as it would have been.
        codec: the audio codec that was agreed on last.
        counters: what became of packets on each leg; what never happened is left out.
        trunk_rtp: where the trunk takes its media.
        own_rtp: where the trunk sends it to.
        seconds_per_grade: how long it had each grade since its answer.
        streams: what each leg's peer described last.
        quality: how each leg sounded; one on which nothing was heard is left out.
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
        "seconds_per_grade": dict(seconds_per_grade or {}),
        "legs": {label: _proved(call_posture, leg) for leg, label in call_posture.labels().items()},
        "codes": sorted(call_posture.codes_seen),
        "grade_refused": grade_refused or None,
        "codecs": list(codecs),
        "codec": codec or None,
        "streams": dict(streams or {}),
        "trunk_rtp": place(trunk_rtp),
        "own_rtp": place(own_rtp),
        "counters": {leg: dict(counted) for leg, counted in (counters or {}).items()},
        "quality": {leg: dict(facts) for leg, facts in (quality or {}).items()},
        "recorded": False,
    }
    return of_call("call.final", call, policy, fields)


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
    return make("call.final", fields)


def _cause(causes: Iterable[CauseFacts]) -> dict[str, object] | None:
    """That of the telephone network says more than that of SIP, which repeats a status."""
    found = sorted(causes, key=lambda cause: cause.protocol == "SIP")
    return {"protocol": found[0].protocol, "number": found[0].cause, "text": found[0].text} if found else None


def _proved(call_posture: CallPosture, leg: LegId) -> str:
    """A leg that never got keys has no grade to its name: what it would have been at best proves nothing."""
    vector = call_posture.vector(leg)
    return UNPROVED if vector is None or vector.keying is Keying.PENDING else vector.grade.name


def _claim(call_posture: CallPosture, found: Grade | None) -> str | None:
    """A grade as it may be stated at the end: with a leg that never got keys, none that depends on that leg."""
    pending = any(_proved(call_posture, leg) == UNPROVED for leg in call_posture.legs())
    return None if found is None or (pending and found >= Grade.HOP_BY_HOP) else found.name
