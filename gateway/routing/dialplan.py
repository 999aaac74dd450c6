"""The dialplan: where what is dialled leads to, and whom an incoming call rings. First match wins.

Numbers come in normalised (`numbers.normalise`) and are made E.164 (`e164.Home`) before a rule looks at them; a number
no rule names is not called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.groups import Group
from gateway.routing.numbers import is_dialable, is_number
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import Permissions
from gateway.routing.trace import Note, Step, ignore

EMERGENCY_RULE = "emergency"
"""Rule id of an emergency call that goes to `emergency_trunks`."""

BY_NAME = "by-name"
"""Rule id of a call to a user whose own name was dialled and no rule names."""

SAME_USER = "*"
"""As the user of a rule: the user whose name is what was dialled."""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """How a number is written on a rule's way to a trunk, after the trunk's own format."""

    strip: int = 0
    """Characters taken from the front of the number."""
    prefix: str = ""
    """Characters put in front of it after that."""

    def of(self, number: str) -> str:
        """The number as it is sent; "" when nothing is left that can be dialled."""
        sent = self.prefix + number[self.strip :]
        return sent if is_dialable(sent) else ""


class TrunkShare(NamedTuple):
    """One of several trunks of a rule."""

    trunk: str
    priority: int = 0
    """The lowest is tried first."""
    weight: int = 1
    """How often it is the first of its priority, in proportion to the others."""


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """Dialled number or name -> trunk, user or group."""

    id: str
    dialled: str
    """The pattern a number must fit (see `patterns.Pattern`)."""
    trunk: str | None = None
    """None: the call goes to `user` or `group`."""
    strip: int = 0
    """Characters taken from the front of the number before it is sent."""
    prefix: str = ""
    """Characters put in front of it after that."""
    emergency: bool = False
    user: str | None = None
    """Browser user who rings, in place of a trunk; such a rule changes no number and is never an emergency's."""
    group: str | None = None
    """Group of users that rings."""
    trunks: tuple[TrunkShare, ...] = ()
    """Several trunks, `trunk` the first of them; none: it is the only one."""
    pattern: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", Pattern.parse(self.dialled))

    @property
    def rewriting(self) -> Rewriting:
        return Rewriting(self.strip, self.prefix)


@dataclass(frozen=True, slots=True)
class InboundRule:
    """Number a trunk calls -> browser user, group, or a number behind another trunk."""

    id: str
    dialled: str
    user: str | None = None
    trunk: str | None = None
    """None: calls from any trunk."""
    group: str | None = None
    to_trunk: str | None = None
    """Trunk that gets the call: the PBX behind the carrier."""
    strip: int = 0
    prefix: str = ""
    pattern: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", Pattern.parse(self.dialled))

    @property
    def rewriting(self) -> Rewriting:
        return Rewriting(self.strip, self.prefix)


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """Where a call from a browser goes."""

    rule_id: str
    trunk: str
    """Empty when users of ours ring."""
    number: str
    """What the trunk gets: the number in its format, after `strip` and `prefix`; or the user or group that rings."""
    emergency: bool
    alternatives: tuple[str, ...] = ()
    """Further trunks to try, in order: those of the rule, and for an emergency call those of all."""
    shares: tuple[TrunkShare, ...] = ()
    """How the trunks of the rule share its calls, when there are several."""
    sent: tuple[tuple[str, str], ...] = ()
    """What each of these gets, where it is not `number`: trunks write numbers in formats of their own."""
    is_group: bool = False
    """`number` is a group's name."""
    asked: tuple[str, ...] = field(default=(), compare=False)
    """The numbers its caller needs permission for."""

    @property
    def user(self) -> str:
        """Who rings; empty when the call goes to a trunk or a group."""
        return "" if self.trunk or self.is_group else self.number

    @property
    def group(self) -> str:
        """Which group rings; empty when none does."""
        return self.number if self.is_group else ""

    def number_for(self, trunk: str) -> str:
        """The number as this trunk gets it."""
        return dict(self.sent).get(trunk, self.number)


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """Whom a call from a trunk rings: one of `user`, `group` and `trunk`."""

    rule_id: str
    user: str = ""
    group: str = ""
    trunk: str = ""
    number: str = ""
    """What is sent to that trunk."""


@dataclass(frozen=True)
class Dialplan:
    """The rules, in the order they were written, and what follows from them."""

    outbound: tuple[OutboundRule, ...] = ()
    inbound: tuple[InboundRule, ...] = ()
    emergency: tuple[str, ...] = ()
    """Numbers that always connect."""
    emergency_trunks: tuple[str, ...] = ()
    """Trunks tried for an emergency number, in order."""
    users: frozenset[str] | None = field(default=None, repr=False)
    """Names of the browser users, as they sign in: upper and lower case differ. None: the plan was read by itself."""
    others: bool = False
    """There may be users besides: issuers of tokens name them. So any name may be one; numbers still need a rule."""
    home: Home = field(default=Home())
    """How numbers are dialled here."""
    formats: Mapping[str, NumberFormat] = field(default_factory=lambda: MappingProxyType({}))
    """How each trunk writes numbers; one that is not here gets them as they are."""
    groups: Mapping[str, Group] = field(default_factory=lambda: MappingProxyType({}))
    permissions: Permissions = field(default=Permissions())

    @cached_property
    def _outbound(self) -> tuple[OutboundRule, ...]:
        """An emergency rule must win over a broad rule that happens to stand above it."""
        return tuple(sorted(self.outbound, key=lambda rule: not rule.emergency))

    @cached_property
    def _emergency(self) -> frozenset[str]:
        return frozenset(self.emergency) | {rule.dialled for rule in self.outbound if rule.emergency}

    @cached_property
    def _groups_of(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for name, group in self.groups.items():
            for member in group.members:
                found.setdefault(member, set()).add(name)
        return {member: frozenset(names) for member, names in found.items()}

    def groups_of(self, user: str) -> frozenset[str]:
        """The groups a user is in."""
        return self._groups_of.get(user, frozenset())

    def is_emergency(self, number: str) -> bool:
        """True when calls to this number always connect."""
        return number in self._emergency

    def read(self, number: str) -> str:
        """A number dialled in a browser as the rules see it; "" for what only begins like a telephone number."""
        return number if self.is_emergency(number) else self.home.international(number)

    def read_from(self, trunk: str, number: str) -> str:
        """A number as a trunk wrote it, as the rules see it."""
        return self.home.read(number, self.formats.get(trunk))

    def route_outbound(self, dialled: str, note: Note = ignore) -> OutboundRoute | None:
        """Where a number or name dialled in a browser leads; None when no rule names it and it is no user's name.

        Whether its caller may call it is asked afterwards (`permits`).
        """
        number = self.read(dialled)
        if not number:
            return None
        emergency = self.is_emergency(number)
        rule = self._rule_for(number, emergency, note)
        trunks = self.emergency_trunks
        if emergency and trunks and not (rule and rule.emergency):
            return OutboundRoute(EMERGENCY_RULE, trunks[0], number, True, trunks[1:])
        if rule is None:
            return None if emergency else self._to_user(BY_NAME, number)
        if rule.trunk is None:
            return self._within(rule, number)
        return self._over(rule, rule.trunk, number, emergency=emergency)

    def _rule_for(self, number: str, emergency: bool, note: Note) -> OutboundRule | None:
        for rule in self._outbound:
            why = _objection(rule, number, emergency)
            note(Step("rule", rule.id, rule.dialled, not why, why))
            if not why:
                return rule
        return None

    def _within(self, rule: OutboundRule, number: str) -> OutboundRoute | None:
        if rule.group is not None:
            return OutboundRoute(rule.id, "", rule.group, False, is_group=True)
        return self._to_user(rule.id, number if rule.user == SAME_USER else rule.user or "")

    def _over(self, rule: OutboundRule, trunk: str, number: str, *, emergency: bool) -> OutboundRoute | None:
        sent = self.sent_to(trunk, number, rule.rewriting)
        if not sent:
            return None
        written = {share.trunk: self.sent_to(share.trunk, number, rule.rewriting) for share in rule.trunks}
        shares = tuple(share for share in rule.trunks if written[share.trunk])
        own = tuple(share.trunk for share in shares)
        others = self.emergency_trunks if emergency and sent == number else ()
        asked = () if emergency else self._asked_of((trunk, *own), number, rule.rewriting)
        return OutboundRoute(
            rule.id,
            trunk,
            sent,
            emergency,
            tuple(dict.fromkeys(name for name in (*own, *others) if name != trunk)),
            shares=shares,
            sent=tuple((name, written[name]) for name in own if written[name] != sent),
            asked=asked,
        )

    def _asked_of(self, trunks: Sequence[str], number: str, rewriting: Rewriting) -> tuple[str, ...]:
        """The numbers it becomes on any of these trunks: whoever may not call one of them may not call."""
        found = (asked for trunk in trunks for asked in self._asked(trunk, number, rewriting))
        return tuple(dict.fromkeys(found))

    def sent_to(self, trunk: str, number: str, rewriting: Rewriting) -> str:
        """A number as this trunk gets it; "" when nothing is left that can be dialled."""
        return rewriting.of(self.home.written(number, self.formats.get(trunk)))

    def _asked(self, trunk: str, number: str, rewriting: Rewriting) -> tuple[str, ...]:
        """The number, and what else it becomes if `strip` and `prefix` make another telephone number of it.

        Else a rule that takes a 9 off the front would lead around every permission.
        """
        bare = self.home.written(number, self.formats.get(trunk))[rewriting.strip :]
        made = [self.home.international(bare)] if rewriting.strip else []
        if rewriting.prefix.startswith("+"):
            made.append(rewriting.prefix + bare)
        return tuple(dict.fromkeys((number, *(other for other in made if other.startswith("+")))))

    def permits(self, user: str, route: OutboundRoute, note: Note = ignore) -> bool:
        """Whether a user may make this call: always when it is an emergency, or to users of ours."""
        return self.permissions.allow(user, route.asked, note)

    def _to_user(self, rule_id: str, name: str) -> OutboundRoute | None:
        """The way to a user of ours; nobody else is looked for."""
        by_name = rule_id == BY_NAME
        known = name in self.users if self.users is not None else not by_name
        known = known or (self.others and not (by_name and is_number(name)))
        return OutboundRoute(rule_id, "", name, False) if known else None

    def route_inbound(self, trunk: str, dialled: str, note: Note = ignore) -> InboundRoute | None:
        """Whom a call from this trunk rings; None when no rule names the number."""
        number = self.read_from(trunk, dialled)
        for rule in self.inbound:
            only = f"only for trunk {rule.trunk}" if rule.trunk not in (None, trunk) else ""
            why = only or rule.pattern.objection(number)
            note(Step("rule", rule.id, rule.dialled, not why, why))
            if not why:
                return self._rings(rule, number, note)
        return None

    def _rings(self, rule: InboundRule, number: str, note: Note) -> InboundRoute | None:
        if rule.to_trunk is not None:
            sent = self.sent_to(rule.to_trunk, number, rule.rewriting)
            asked = self._asked(rule.to_trunk, number, rule.rewriting)
            allowed = bool(sent) and self.permissions.allow("", asked, note)
            return InboundRoute(rule.id, trunk=rule.to_trunk, number=sent) if allowed else None
        if rule.group is not None:
            return InboundRoute(rule.id, group=rule.group)
        return InboundRoute(rule.id, number if rule.user == SAME_USER else rule.user or "")


def _objection(rule: OutboundRule, number: str, emergency: bool) -> str:
    """Why a rule does not decide about this number: a call for help never ends at a user's browser."""
    why = rule.pattern.objection(number)
    return why or ("it leads to a user" if emergency and rule.trunk is None else "")
