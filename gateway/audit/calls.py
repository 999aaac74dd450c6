"""What every record of a call repeats: which call it is, who takes part, and the policy that holds for it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.audit.facts import CallInfo, make, party
from gateway.policy.model import EffectivePolicy


def of_call(
    kind: str, call: CallInfo, policy: EffectivePolicy | None, fields: Mapping[str, object]
) -> dict[str, object]:
    """A record of a call: what every one of them repeats, and these fields."""
    ids = {"browser": call.browser_call_id, "trunk": call.trunk_call_id}
    common = {
        "call_uid": call.call_uid,
        "sip_call_id": {**ids, "peer": call.peer_call_id} if call.peer_call_id else ids,
        "dir": call.direction,
        "trunk": call.trunk,
        "user": party(call.user),
        "from": party(call.caller),
        "to": party(call.called),
    }
    return make(kind, {**common, **(policy.as_dict() if policy is not None else {}), **fields})
