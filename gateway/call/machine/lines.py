"""The lines a call writes to the gateway's own log: who calls whom over what, how well, and why it ended.

Three of every call, and one each time a leg of it turns bad, or is good again.

Parties are masked and cleaned as in the audit log, and are one word each, so that no name can look like another field.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.audit.clean import cleaned_text
from gateway.base.values import mask_number
from gateway.call.machine import security
from gateway.call.machine.effects import Finished
from gateway.call.machine.state import CallState


def started(call: CallState) -> str:
    """`call=c-9x2k7m3p out alice -> +493*****56 via pbx policy=strict`."""
    caller, called = (_shown(party) for party in security.parties(call))
    return (
        f"call={call.facts.id} {call.facts.way} {caller} -> {called} via {call.trunk_id} policy={call.policy.profile}"
    )


def answered(call: CallState) -> str:
    """The grade is what the call is, or will be at best while DTLS goes on."""
    return f"call={call.facts.id} state=answered grade={call.posture.current.name}"


def turned(call: CallState, record: Mapping[str, object]) -> str:
    """`call=c-9x2k7m3p leg=trunk quality=bad way=heard cause=loss mos=2.87`."""
    named = " ".join(f"{name}={record[name]}" for name in ("leg", "quality", "way", "cause", "mos") if record[name])
    return f"call={call.facts.id} {named}"


def ended(call: CallState, end: Finished, now: float) -> str:
    """The grade is the worst it had; of a call that was refused for its encryption, what it would have been."""
    seconds = now - call.answered_at if call.answered_at is not None else 0.0
    found = call.posture.worst if call.posture.legs() else call.refused
    grade = found.name if found is not None else "-"
    why = f"reason={end.termination.slug} status={end.status}"
    return f"call={call.facts.id} ended {why} seconds={seconds:.1f} grade={grade}"


def _shown(party: str) -> str:
    return "_".join(mask_number(cleaned_text(party)).split()) or "-"
