"""Numbers as the world has them: what people dial at home becomes E.164 before any rule looks at it, and what a trunk
gets is written as that trunk wants it (E.164, RFC 3966 5.1.4).

A number of a country is dialled in three ways there: with `+`, with the prefix for foreign calls, with the prefix for
domestic ones. Rules that had to know all of them would sooner or later forget one, and that is how a premium number is
called past a rule that forbids it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.routing.numbers import DIGITS, MAX_INTERNATIONAL

LEAST_INTERNATIONAL = 8
"""Digits from which on a number without any prefix counts as an international one, of a trunk that writes them so:
extensions are shorter, telephone numbers with their country code are not."""
ZERO = "0"
"""Prefix of domestic numbers in most countries; no country code begins with it."""


class NumberFormat(StrEnum):
    """How a trunk writes telephone numbers."""

    E164 = "e164"
    """4930123456"""
    PLUS_E164 = "+e164"
    """+4930123456"""
    NATIONAL = "national"
    """As people dial: 030123456, 0033123456789."""


@dataclass(frozen=True, slots=True)
class Home:
    """How numbers are dialled where this gateway is; without a country they stay as they are."""

    country: str = ""
    """Its country code, digits only."""
    trunk_prefix: str = "0"
    """What is dialled before a domestic number."""
    international_prefix: str = "00"
    """What is dialled before a country code."""
    national_digits: int = 0
    """From how many digits on a number without prefix is a domestic one; 0: none is. With a `trunk_prefix` fewer
    digits behind it are no telephone number."""

    def international(self, number: str) -> str:
        """A normalised number as E.164 with `+`; an extension, a feature code, a name as it is.

        "" for what has a prefix of telephone numbers and is none, because it is too long or begins with 0: a trunk
        might still call somebody, and no rule could say whom.
        """
        if number.startswith("+"):
            return self._global(number[1:])
        if not self.country or not DIGITS.issuperset(number) or number == self.international_prefix:
            return number
        abroad, at_home = _behind(self.international_prefix, number), _behind(self.trunk_prefix, number)
        if abroad:
            return self._global(abroad)
        if at_home and len(at_home) >= self.national_digits:
            return self._global(self.country + at_home)
        if self.national_digits and len(number) >= self.national_digits:
            return self._global(self.country + number)
        return number

    def _global(self, digits: str) -> str:
        """These digits with a country code in front as a number; "" where they are none (E.164 6).

        The 0 of `+49 (0) 30 1234`, as it stands on business cards, is left out: behind +49 no number begins so.
        """
        doubled = f"{self.country}{ZERO}"
        if self.country and self.trunk_prefix == ZERO and digits.startswith(doubled):
            digits = self.country + digits[len(doubled) :] if digits != doubled else ""
        return f"+{digits}" if digits[:1] not in ("", ZERO) and len(digits) <= MAX_INTERNATIONAL else ""

    def written(self, number: str, form: NumberFormat | None) -> str:
        """A number as a trunk wants it; what is no E.164 number goes out as it is."""
        if form is None or form is NumberFormat.PLUS_E164 or not number.startswith("+"):
            return number
        if form is NumberFormat.E164 or not self.country:
            return number[1:]
        if self.is_national(number):
            return self.trunk_prefix + number[1 + len(self.country) :]
        return self.international_prefix + number[1:]

    def read(self, number: str, form: NumberFormat | None) -> str:
        """A number of a trunk that writes them so, in E.164 with `+` where it is one; else as it is."""
        if form is NumberFormat.E164 and DIGITS.issuperset(number) and number[0] != "0":
            return f"+{number}" if LEAST_INTERNATIONAL <= len(number) <= MAX_INTERNATIONAL else number
        return self.international(number) or number

    def is_national(self, number: str) -> bool:
        """Whether an E.164 number is one of this country."""
        return bool(self.country) and number.startswith(f"+{self.country}")


def _behind(prefix: str, number: str) -> str:
    return number[len(prefix) :] if prefix and number.startswith(prefix) else ""
