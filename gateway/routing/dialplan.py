"""The dialplan: which trunk or user what is dialled leads to, and which user an incoming call rings. First match wins.

Numbers come in normalised (`numbers.normalise`); a number no rule names is not called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from gateway.routing.numbers import is_dialable

EMERGENCY_RULE = "emergency"
"""Rule id of an emergency call that goes to `emergency_trunks`."""

BY_NAME = "by-name"
"""Rule id of a call to a user whose own name was dialled and no rule names."""

SAME_USER = "*"
"""As the user of a rule: the user whose name is what was dialled."""


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """Dialled number or name -> trunk, or user."""

    id: str
    dialled: str
    """The number, or what it begins with before a final `*` (see `matches`)."""
    trunk: str | None = None
    """None: the call goes to `user`."""
    strip: int = 0
    """Characters taken from the front of the number before it is sent."""
    prefix: str = ""
    """Characters put in front of it after that."""
    emergency: bool = False
    user: str | None = None
    """Browser user who rings, in place of a trunk; such a rule changes no number and is never an emergency's."""


@dataclass(frozen=True, slots=True)
class InboundRule:
    """Number a trunk calls -> browser user."""

    id: str
    dialled: str
    user: str
    trunk: str | None = None
    """None: calls from any trunk."""


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """Where a call from a browser goes."""

    rule_id: str
    trunk: str
    """Empty when a user rings."""
    number: str
    """What is sent to the trunk: the dialled number after `strip` and `prefix`; or the user who rings."""
    emergency: bool
    alternatives: tuple[str, ...] = ()
    """Further trunks to try, in order; only emergency calls have them."""

    @property
    def user(self) -> str:
        """Who rings; empty when the call goes to a trunk."""
        return "" if self.trunk else self.number


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """Whom a call from a trunk rings."""

    rule_id: str
    user: str


FEATURE = frozenset("*#")
"""What turns digits into a command for a switch: behind a number it would be read as a feature code."""


def matches(pattern: str, number: str) -> bool:
    """True when the number is the pattern, or starts with it where a final `*` stands for any rest.

    The rest of a number holds no `*` or `#`: `030*` lets `030123` through and not `030123*99#`. A pattern that itself
    begins with `*` or `#` is written for feature codes, and a bare `*` for everything; there the rest is free.
    """
    if not pattern.endswith("*"):
        return pattern == number
    literal = pattern[:-1]
    if not number.startswith(literal):
        return False
    return _frees_rest(literal) or FEATURE.isdisjoint(number[len(literal) :])


def covers(pattern: str, other: str) -> bool:
    """True when every number that `other` matches is matched by `pattern` too."""
    if pattern == other:
        return True
    if not other.endswith("*"):
        return matches(pattern, other)
    wide, narrow = pattern[:-1], other[:-1]
    if not pattern.endswith("*") or not narrow.startswith(wide):
        return False
    return _frees_rest(wide) or (not _frees_rest(narrow) and FEATURE.isdisjoint(narrow[len(wide) :]))


def _frees_rest(literal: str) -> bool:
    return not literal or literal[0] in FEATURE


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

    @cached_property
    def _outbound(self) -> tuple[OutboundRule, ...]:
        """An emergency rule must win over a broad rule that happens to stand above it."""
        return tuple(sorted(self.outbound, key=lambda rule: not rule.emergency))

    def is_emergency(self, number: str) -> bool:
        """True when calls to this number always connect."""
        return number in self.emergency or any(r.emergency and r.dialled == number for r in self._outbound)

    def route_outbound(self, number: str) -> OutboundRoute | None:
        """Where a number or name dialled in a browser leads; None when no rule names it and it is no user's name."""
        emergency = self.is_emergency(number)
        rule = next((rule for rule in self._outbound if _may_take(rule, number, emergency)), None)
        trunks = self.emergency_trunks
        if emergency and trunks and not (rule and rule.emergency):
            return OutboundRoute(EMERGENCY_RULE, trunks[0], number, True, trunks[1:])
        if rule is None:
            return None if emergency else self._to_user(BY_NAME, number)
        if rule.trunk is None:
            return self._to_user(rule.id, number if rule.user == SAME_USER else rule.user or "")
        sent = _rewritten(rule, number)
        if not sent:
            return None
        others = tuple(t for t in trunks if t != rule.trunk) if emergency and sent == number else ()
        return OutboundRoute(rule.id, rule.trunk, sent, emergency, others)

    def _to_user(self, rule_id: str, name: str) -> OutboundRoute | None:
        """The way to a user of ours; nobody else is looked for."""
        known = name in self.users if self.users is not None else rule_id != BY_NAME
        return OutboundRoute(rule_id, "", name, False) if known else None

    def route_inbound(self, trunk: str, number: str) -> InboundRoute | None:
        """The user a call from this trunk rings; None when no rule names the number."""
        rule = next((r for r in self.inbound if _from_trunk(r, trunk) and matches(r.dialled, number)), None)
        if rule is None:
            return None
        return InboundRoute(rule.id, number if rule.user == SAME_USER else rule.user)

    def explain(self, number: str, *, trunk: str | None = None) -> tuple[str, ...]:
        """Line by line, why a call goes where it goes: one dialled in a browser, or one that comes from `trunk`."""
        return tuple(self._outbound_steps(number) if trunk is None else self._inbound_steps(trunk, number))

    def _outbound_steps(self, number: str) -> Iterator[str]:
        route = self.route_outbound(number)
        if self.is_emergency(number):
            yield f"{number} is an emergency number: the call always connects"
        if route is not None and route.rule_id == EMERGENCY_RULE:
            yield f"emergency_trunks: {_where(route)}"
            return
        emergency, rule = self.is_emergency(number), None
        for rule in self._outbound:
            if _may_take(rule, number, emergency):
                yield f"rule {rule.id} ({rule.dialled}): matches"
                break
            why = "leads to a user" if matches(rule.dialled, number) else "no match"
            yield f"rule {rule.id} ({rule.dialled}): {why}"
        else:
            rule = None
        yield _where(route) if route else self._nowhere(rule, emergency=emergency)

    def _nowhere(self, rule: OutboundRule | None, *, emergency: bool) -> str:
        words = "no route: the call is refused with 404"
        if rule is not None and rule.user is not None:
            return f"{words}, for there is no such user"
        unknown = rule is None and self.users is None and not emergency
        return f"{words}, unless it is the name of a user" if unknown else words

    def _inbound_steps(self, trunk: str, number: str) -> Iterator[str]:
        for rule in self.inbound:
            if not _from_trunk(rule, trunk):
                yield f"rule {rule.id} ({rule.dialled}): only for trunk {rule.trunk}"
            elif matches(rule.dialled, number):
                yield f"rule {rule.id} ({rule.dialled}): matches"
                break
            else:
                yield f"rule {rule.id} ({rule.dialled}): no match"
        route = self.route_inbound(trunk, number)
        yield f"user {route.user} rings" if route else "no route: the call is refused with 404"


def _where(route: OutboundRoute) -> str:
    if route.user:
        return f"user {route.user} rings" + (", whose name it is" if route.rule_id == BY_NAME else "")
    return f"trunk {route.trunk} gets {route.number}" + "".join(f", then {t} is tried" for t in route.alternatives)


def _may_take(rule: OutboundRule, number: str, emergency: bool) -> bool:
    """Whether a rule decides about this number: a call for help never ends at a user's browser."""
    return matches(rule.dialled, number) and not (emergency and rule.trunk is None)


def _from_trunk(rule: InboundRule, trunk: str) -> bool:
    return rule.trunk is None or rule.trunk == trunk


def _rewritten(rule: OutboundRule, number: str) -> str:
    """The number as the trunk gets it; "" when `strip` and `prefix` leave nothing that can be dialled."""
    sent = rule.prefix + number[rule.strip :]
    return sent if is_dialable(sent) else ""
