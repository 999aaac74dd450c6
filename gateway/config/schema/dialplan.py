"""The dialplan file."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config.scalars import Dialled, EmergencyNumber, Model, Name, Prefix, emergency_number

MAX_RULES = 2000
"""Rules of one direction: they are walked for every call, and compared with each other once."""


class OutboundRule(Model):
    """Dialled number or name -> trunk, or user."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or a pattern where a final `*` stands for any rest, for example +49*. The rest holds no `*` and
    no `#` (feature codes) unless the pattern begins with one of them or is `*` alone."""
    trunk: Name | None = None
    """Trunk that gets the call; a rule has this or `user`."""
    user: str | None = None
    """Browser user who rings, on all browsers, in place of a trunk. `*`: the user whose name is what was dialled."""
    strip: int = Field(default=0, ge=0, le=32)
    """Characters taken from the front of the number before the trunk gets it."""
    prefix: Prefix = ""
    """Characters put in front of the number after `strip`."""
    emergency: bool = False
    """Calls by this rule are emergency calls: they always connect. Only for one exact number, and a trunk."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> OutboundRule:
        if (self.trunk is None) == (self.user is None):
            raise ValueError("a rule has either `trunk` or `user`: where a call goes that it matches")
        if self.user is not None and (self.strip or self.prefix or self.emergency):
            raise ValueError("`strip`, `prefix` and `emergency` are for rules with a `trunk`")
        return self

    @model_validator(mode="after")
    def _emergency_is_exact(self) -> OutboundRule:
        if self.emergency:
            emergency_number(self.dialled)
        return self


class InboundRule(Model):
    """Number a trunk calls -> browser user."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or name, or a pattern where a final `*` stands for any rest."""
    user: str
    """Browser user that rings. `*`: the user whose name is the dialled number itself."""
    trunk: Name | None = None
    """Only calls from this trunk; default: from any."""


class DialplanFile(Model):
    """The dialplan: which trunk a dialled number takes, which user an incoming call rings."""

    emergency: tuple[EmergencyNumber, ...] = ("112", "110", "911", "999")
    """Numbers that always connect, whatever policy or the audit log say."""
    emergency_trunks: tuple[Name, ...] = ()
    """Trunks tried for an emergency number, in order; default: the first outbound rule that matches."""
    outbound: tuple[OutboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from browsers. The first that matches decides; none: the call is refused."""
    inbound: tuple[InboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from trunks. The first that matches decides; none: the call is refused."""
