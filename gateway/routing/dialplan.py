"""The dialplan: which trunk a dialled number takes and which user an incoming call rings. First match wins.

Numbers come in normalised (`numbers.normalise`); a number no rule names is not called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gateway.routing.numbers import is_dialable

EMERGENCY_RULE = "emergency"
"""Rule id of an emergency call that goes to `emergency_trunks`."""

SAME_USER = "*"
"""As the user of an inbound rule: the user whose name is the dialled number."""


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """Dialled number -> trunk."""

    id: str
    dialled: str
    """The number, or what it begins with before a final `*` (see `matches`)."""
    trunk: str
    strip: int = 0
    """Characters taken from the front of the number before it is sent."""
    prefix: str = ""
    """Characters put in front of it after that."""
    emergency: bool = False


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
    number: str
    """What is sent to the trunk: the dialled number after `strip` and `prefix`."""
    emergency: bool
    alternatives: tuple[str, ...] = ()
    """Further trunks to try, in order; only emergency calls have them."""


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

    @cached_property
    def _outbound(self) -> tuple[OutboundRule, ...]:
        """An emergency rule must win over a broad rule that happens to stand above it."""
        return tuple(sorted(self.outbound, key=lambda rule: not rule.emergency))

    def is_emergency(self, number: str) -> bool:
        """True when calls to this number always connect."""
        return number in self.emergency or any(r.emergency and r.dialled == number for r in self._outbound)

    def route_outbound(self, number: str) -> OutboundRoute | None:
        """The trunk for a number dialled in a browser; None when no rule names it."""
        emergency = self.is_emergency(number)
        rule = next((r for r in self._outbound if matches(r.dialled, number)), None)
        trunks = self.emergency_trunks
        if emergency and trunks and not (rule and rule.emergency):
            return OutboundRoute(EMERGENCY_RULE, trunks[0], number, True, trunks[1:])
        sent = _rewritten(rule, number) if rule else ""
        if rule is None or not sent:
            return None
        others = tuple(t for t in trunks if t != rule.trunk) if emergency and sent == number else ()
        return OutboundRoute(rule.id, rule.trunk, sent, emergency, others)

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
        for rule in self._outbound:
            if matches(rule.dialled, number):
                yield f"rule {rule.id} ({rule.dialled}): matches"
                break
            yield f"rule {rule.id} ({rule.dialled}): no match"
        yield _where(route) if route else "no route: the call is refused with 404"

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
    return f"trunk {route.trunk} gets {route.number}" + "".join(f", then {t} is tried" for t in route.alternatives)


def _from_trunk(rule: InboundRule, trunk: str) -> bool:
    return rule.trunk is None or rule.trunk == trunk


def _rewritten(rule: OutboundRule, number: str) -> str:
    """The number as the trunk gets it; "" when `strip` and `prefix` leave nothing that can be dialled."""
    sent = rule.prefix + number[rule.strip :]
    return sent if is_dialable(sent) else ""
