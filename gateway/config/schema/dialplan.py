"""The dialplan file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gateway.config.scalars import (
    CountryCode,
    Dialled,
    DialPrefix,
    EmergencyNumber,
    Model,
    Name,
    Prefix,
    Written,
    emergency_number,
)
from gateway.routing.groups import MAX_MEMBERS, TURN_SECONDS, Ring

MAX_RULES = 2000
"""Rules of one direction: they are walked for every call, and compared with each other once."""

MAX_TRUNKS = 16
"""Trunks of one rule."""
MAX_NAMED = 200
"""Patterns of one class, and numbers of one permission: a list longer than this is a price list, not a rule."""


class TrunkShare(Written):
    """One of several trunks of a rule, written as its name alone or with priority and weight."""

    trunk: Name
    """Name of the trunk."""
    priority: int = Field(default=0, ge=0, le=65535)
    """The lowest is tried first."""
    weight: int = Field(default=1, ge=0, le=65535)
    """How often it is the first of its priority, in proportion to the others."""

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        return {"trunk": text}


class OutboundRule(Model):
    """Dialled number or name -> trunk, user or group."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or name, or a pattern. A final `*` stands for any rest, for example +49*; it holds no `*` and no
    `#` (feature codes) unless the pattern begins with one of them. `X` is any digit, `Z` 1 to 9, `N` 2 to 9, `[1-57]` a
    set of digits, a final `.` one digit or more, for example +49[2-9]X."""
    trunk: Name | None = None
    """Trunk that gets the call; a rule has this, `trunks`, `user` or `group`."""
    trunks: tuple[TrunkShare, ...] = Field(default=(), max_length=MAX_TRUNKS)
    """Several trunks in place of one, by `priority` and `weight`: the next is tried when one cannot be reached, is
    full, does not answer or refuses for itself."""
    user: str | None = None
    """Browser user who rings, on all browsers, in place of a trunk. `*`: the user whose name is what was dialled."""
    group: Name | None = None
    """Group of users that rings, in place of a trunk."""
    strip: int = Field(default=0, ge=0, le=32)
    """Characters taken from the front of the number, in the trunk's `number_format`, before the trunk gets it."""
    prefix: Prefix = ""
    """Characters put in front of the number after `strip`."""
    emergency: bool = False
    """Calls by this rule are emergency calls: they always connect. Only for one exact number, and a trunk."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> OutboundRule:
        if [self.trunk, self.trunks or None, self.user, self.group].count(None) != 3:
            raise ValueError("a rule has one of `trunk`, `trunks`, `user` and `group`: where a call goes it matches")
        if not self.named_trunks and (self.strip or self.prefix or self.emergency):
            raise ValueError("`strip`, `prefix` and `emergency` are for rules with a `trunk`")
        return self

    @model_validator(mode="after")
    def _each_trunk_once(self) -> OutboundRule:
        if len(set(self.named_trunks)) != len(self.named_trunks):
            raise ValueError("a trunk stands here twice")
        return self

    @property
    def named_trunks(self) -> tuple[str, ...]:
        """Every trunk the rule may lead to, however it was written."""
        return (self.trunk,) if self.trunk is not None else tuple(share.trunk for share in self.trunks)

    @model_validator(mode="after")
    def _emergency_is_exact(self) -> OutboundRule:
        if self.emergency:
            emergency_number(self.dialled)
        return self


class InboundRule(Model):
    """Number a trunk calls -> browser user, group, or another trunk."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or name, or a pattern as in outbound rules."""
    user: str | None = None
    """Browser user that rings. `*`: the user whose name is the dialled number itself."""
    group: Name | None = None
    """Group of users that rings."""
    to_trunk: Name | None = None
    """Trunk that gets the call, for an extension of the PBX behind the carrier; with `trunk`, and perhaps `strip` and
    `prefix`. `countries` and the permissions for everybody hold for it too."""
    strip: int = Field(default=0, ge=0, le=32)
    """As in outbound rules, for `to_trunk`."""
    prefix: Prefix = ""
    """As in outbound rules, for `to_trunk`."""
    trunk: Name | None = None
    """Only calls from this trunk; default: from any."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> InboundRule:
        if [self.user, self.group, self.to_trunk].count(None) != 2:
            raise ValueError("a rule has one of `user`, `group` and `to_trunk`: whom a call rings that it matches")
        if self.to_trunk is None and (self.strip or self.prefix):
            raise ValueError("`strip` and `prefix` are for rules with `to_trunk`")
        if self.to_trunk is not None and self.trunk is None:
            raise ValueError("a rule with `to_trunk` names the `trunk` whose calls it takes: both ends of the way")
        if self.to_trunk is not None and self.to_trunk == self.trunk:
            raise ValueError("a call would go back to the trunk it comes from")
        return self


class Group(Model):
    """Some users under one name."""

    members: tuple[str, ...] = Field(min_length=1, max_length=MAX_MEMBERS)
    """Names of the users, in the order they ring."""
    ring: Ring = Ring.PARALLEL
    """parallel: all at once; in_turn: one after the other."""
    seconds: int = Field(default=int(TURN_SECONDS), ge=1, le=180)
    """For how long each of them rings, in turn."""


class Permission(Model):
    """Who may, or may not, call which numbers over a trunk."""

    id: Name
    """Name of the permission in explanations; unique in the file."""
    users: tuple[str, ...] = ()
    """For these users; without `users` and `groups` for everybody."""
    groups: tuple[Name, ...] = ()
    """For the members of these groups."""
    allow: tuple[Dialled, ...] = Field(default=(), max_length=MAX_NAMED)
    """Numbers that may be called: patterns, classes, or one of national, international, local, features, names."""
    deny: tuple[Dialled, ...] = Field(default=(), max_length=MAX_NAMED)
    """Numbers that may not; a permission has `allow` or `deny`."""

    @model_validator(mode="after")
    def _decides(self) -> Permission:
        if bool(self.allow) == bool(self.deny):
            raise ValueError("a permission has either `allow` or `deny`, and names numbers")
        return self


class DialplanFile(Model):
    """The dialplan: which trunk a dialled number takes, whom an incoming call rings, who may call what."""

    country: CountryCode | None = None
    """Country code where people dial, for example 49. With it every number is made +E.164 before any rule looks at
    it: 0301234, 0049301234 and +49301234 are one number, and rules name it by +."""
    trunk_prefix: DialPrefix = "0"
    """What is dialled before a domestic number; "" where nothing is."""
    international_prefix: DialPrefix = "00"
    """What is dialled before a country code, for example 00 or 011."""
    national_digits: int = Field(default=0, ge=0, le=14)
    """A number of so many digits or more without any prefix is a domestic one (US 10, Spain 9), and fewer digits
    behind `trunk_prefix` are none. 0: extensions and short numbers alone have no prefix."""
    countries: tuple[CountryCode, ...] = ()
    """Countries that may be called at all, by country code, or by longer beginnings of E.164 numbers. Default: all."""
    classes: dict[str, Annotated[tuple[Dialled, ...], Field(max_length=MAX_NAMED)]] = Field(default_factory=dict)
    """Names for sets of patterns, to use in permissions, for example premium: ["+49900*"]."""
    permissions: tuple[Permission, ...] = Field(default=(), max_length=MAX_RULES)
    """Who may call what. The first that is for the caller and names the number decides; none: the call is allowed.
    Calls to users of ours and emergency calls are not asked about."""
    groups: dict[Name, Group] = Field(default_factory=dict)
    """Users who ring together, or who have permissions together, by the name of their group."""
    emergency: tuple[EmergencyNumber, ...] = ("112", "110", "911", "999")
    """Numbers that always connect, whatever policy or the audit log say."""
    emergency_trunks: tuple[Name, ...] = ()
    """Trunks tried for an emergency number, in order; default: the first outbound rule that matches."""
    outbound: tuple[OutboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from browsers. The first that matches decides; none: the call is refused."""
    inbound: tuple[InboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from trunks. The first that matches decides; none: the call is refused."""
