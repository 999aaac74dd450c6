"""Who may call what: countries for all, then rules for some callers and some numbers. The first that applies decides.

Only calls that leave by a trunk are asked about; users of ours may always call each other. Emergency calls are never
asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.routing.e164 import Home
from gateway.routing.numbers import DIGITS
from gateway.routing.patterns import FEATURE, Pattern
from gateway.routing.trace import Note, Step, ignore


class NumberClass(StrEnum):
    """What every number is one of."""

    NATIONAL = "national"
    """With +, of our own country."""
    INTERNATIONAL = "international"
    """With +, of another one."""
    LOCAL = "local"
    """Digits without any prefix: extensions and short numbers."""
    FEATURES = "features"
    """With * or #."""
    NAMES = "names"
    """No number at all."""


COUNTRIES = "countries"
"""Name of the step that looks at the countries, in a trace."""


def class_of(number: str, home: Home) -> NumberClass:
    """The class of a normalised number."""
    if number.startswith("+"):
        return NumberClass.NATIONAL if home.is_national(number) else NumberClass.INTERNATIONAL
    if DIGITS.issuperset(number):
        return NumberClass.LOCAL
    features = DIGITS | FEATURE
    return NumberClass.FEATURES if features.issuperset(number) else NumberClass.NAMES


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """Some callers may, or may not, call some numbers."""

    id: str
    allow: bool
    classes: frozenset[NumberClass] = frozenset()
    patterns: tuple[Pattern, ...] = ()
    callers: frozenset[str] | None = None
    """Names of users, as they sign in; None: everybody."""
    named: str = ""
    """The numbers as they were written, for people."""

    def applies_to(self, user: str) -> bool:
        """Whether this user's calls are looked at."""
        return self.callers is None or user in self.callers

    def is_about(self, number: str, home: Home) -> bool:
        """Whether this number is one of those named."""
        return class_of(number, home) in self.classes or any(pattern.matches(number) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Permissions:
    """All of them. What no rule is about is allowed."""

    home: Home = field(default=Home())
    countries: tuple[str, ...] = ()
    """First digits of E.164 numbers that may be called, in general country codes; none: all of the world."""
    rules: tuple[PermissionRule, ...] = ()

    def allow(self, user: str, numbers: Iterable[str], note: Note = ignore) -> bool:
        """Whether a user may call: a number as it was dialled, and as what it would reach the trunk as."""
        return all(self._allows(user, number, note) for number in numbers)

    def _allows(self, user: str, number: str, note: Note) -> bool:
        if self.countries and number.startswith("+"):
            allowed = number[1:].startswith(self.countries)
            note(Step(COUNTRIES, COUNTRIES, ", ".join(self.countries), allowed, "" if allowed else "not on the list"))
            if not allowed:
                return False
        for rule in self.rules:
            why = self._objection(rule, user, number)
            note(Step("permission", rule.id, rule.named, not why, why, "" if why else _verdict(allow=rule.allow)))
            if not why:
                return rule.allow
        return True

    def _objection(self, rule: PermissionRule, user: str, number: str) -> str:
        if not rule.applies_to(user):
            return f"not for {user}" if user else "not for everybody"
        return "" if rule.is_about(number, self.home) else "not about this number"


def _verdict(*, allow: bool) -> str:
    return "allowed" if allow else "forbidden"
