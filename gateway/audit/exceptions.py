"""The record that names whoever answers for a call that a floor would have refused."""

from __future__ import annotations

from gateway.audit.calls import of_call
from gateway.audit.facts import CallInfo
from gateway.policy.model import EffectivePolicy
from gateway.policy.rules import Exemption


def exception_used(call: CallInfo, policy: EffectivePolicy, exemption: Exemption | None) -> dict[str, object]:
    """An exception lowers a floor for this call: on whose word, and until when."""
    fields: dict[str, object] = {
        "require": policy.rules.require.name,
        "prefer": policy.rules.prefer.name,
        "owner": exemption.owner if exemption is not None else "",
        "reason": exemption.reason if exemption is not None else "",
        "expires": exemption.expires.isoformat() if exemption is not None else "",
    }
    return of_call("policy.exception_used", call, policy, fields)
