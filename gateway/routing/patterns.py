"""Patterns of numbers: which numbers a rule means, and whether one pattern means all that another does.

A pattern is a place for each character, and perhaps a rest behind them. It is read once, when the configuration is
loaded, and compared from left to right without ever going back: the time is that of reading the number.

    +4930123   this number or name
    0900*      what begins so: any rest, none too, but no * and no # (see `Pattern.parse`)
    +49[2-9]X. a set of digits; X any digit, Z 1 to 9, N 2 to 9; a final . for one digit or more
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.routing.numbers import DIGITS, NAME_CHARACTERS, NUMBER_CHARACTERS

MAX_PATTERN = 128
"""Characters of a pattern: more than the longest number with a set in each place needs."""

FEATURE = frozenset("*#")
"""What turns digits into a command for a switch: behind a number it would be read as a feature code."""

CLASSES = {"X": DIGITS, "Z": DIGITS - {"0"}, "N": DIGITS - {"0", "1"}}
"""Letters that stand for a digit, as administrators of PBXs know them."""

EVERYTHING = NUMBER_CHARACTERS | NAME_CHARACTERS | {"+"}
"""All that a normalised number or name is made of."""

SIGNS = NUMBER_CHARACTERS | CLASSES.keys() | {"+"}
"""What patterns of digits are written in, sets and the tail aside."""

NOTHING: frozenset[str] = frozenset()

Place = frozenset[str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a number must be, character by character."""

    text: str
    """As it was written."""
    places: tuple[Place, ...]
    """What may stand in each place; none is empty."""
    rest: Place = NOTHING
    """What may stand behind them; nothing may where it is empty."""
    least: int = 0
    """How many characters of the rest there must be."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern.

        A number or name is itself. A final `*` stands for any rest, also none: it holds no `*` and no `#`, so `030*`
        lets `030123` through and not `030123*99#`, unless the pattern itself begins with one of them and so is written
        for feature codes. `X`, `Z`, `N`, sets such as `[1-57]` and a final `.` make a pattern of digits of it: what
        has small letters is a name, in which they stand for themselves.

        Raises:
            ValueError: it is none; the words say why.
        """
        if not 0 < len(text) <= MAX_PATTERN:
            raise ValueError(f"a pattern has 1 to {MAX_PATTERN} characters")
        body, rest, least = _tail(text)
        places = _places(body) if _is_of_digits(text) else tuple(frozenset((char,)) for char in body)
        if not all(EVERYTHING.issuperset(place) for place in places):
            raise ValueError("expected a number, a name or a pattern such as +49* or 0[1-9]X., without separators")
        if any("+" in place for place in places[1:]):
            raise ValueError("+ stands at the start only")
        return cls(text, places, rest, least)

    def matches(self, number: str) -> bool:
        """True for a normalised number or name that this pattern means."""
        fixed = len(self.places)
        if len(number) < fixed + self.least or (len(number) > fixed and not self.rest):
            return False
        return all(map(_stands, number, self.places)) and self.rest.issuperset(number[fixed:])

    def covers(self, other: Pattern) -> bool:
        """True when every number that `other` means is meant by this one too."""
        if len(other.places) + other.least < len(self.places) + self.least:
            return False
        seen = max(len(self.places), len(other.places)) + 1
        return all(other.at(place) <= self.at(place) for place in range(seen))

    def at(self, place: int) -> Place:
        """What may stand there."""
        return self.places[place] if place < len(self.places) else self.rest

    def objection(self, number: str) -> str:
        """Why it does not mean a number, in a few words; "" where it does."""
        if self.matches(number):
            return ""
        for index, char in enumerate(number):
            if char not in self.at(index):
                what = "nothing" if not self.at(index) else _written(self.at(index))
                return f"{what} may stand in place {index + 1}, not {char}"
        return "the number is too short"

    @property
    def is_exact(self) -> bool:
        """Whether it means one number or name only."""
        return not self.rest and all(len(place) == 1 for place in self.places)


def _stands(char: str, place: Place) -> bool:
    return char in place


def _tail(text: str) -> tuple[str, Place, int]:
    """The pattern without its final sign, and what that stands for."""
    if text.endswith("*"):
        body = text[:-1]
        return body, EVERYTHING if body[:1] in FEATURE else EVERYTHING - FEATURE, 0
    if text.endswith(".") and _is_of_digits(text):
        return text[:-1], DIGITS, 1
    return text, NOTHING, 0


def _is_of_digits(text: str) -> bool:
    """Whether letters and signs stand for digits here: with nothing beside them that only a name has."""
    if "[" in text or "]" in text:
        return True
    body = text.removesuffix(".")
    signs = not CLASSES.keys().isdisjoint(body) or body != text
    return signs and SIGNS.issuperset(body)


def _places(body: str) -> tuple[Place, ...]:
    found: list[Place] = []
    at = 0
    while at < len(body):
        if body[at] != "[":
            if body[at] not in SIGNS:
                raise ValueError("a pattern with sets is one of digits: 0-9 * # X Z N, and + at the start")
            found.append(CLASSES.get(body[at], frozenset((body[at],))))
            at += 1
            continue
        end = body.find("]", at)
        found.append(_set(body[at + 1 : end] if end > 0 else ""))
        at = end + 1
    return tuple(found)


def _set(text: str) -> Place:
    """The digits of `1-57`: single ones and ranges.

    Raises:
        ValueError: it has something else, or a range that runs backwards.
    """
    found: set[str] = set()
    at = 0
    while at < len(text):
        last = at + 2 if text[at + 1 : at + 2] == "-" else at
        first, final = text[at], text[last : last + 1]
        if first not in DIGITS or final not in DIGITS or not first <= final:
            found.clear()
            break
        found.update(str(digit) for digit in range(int(first), int(final) + 1))
        at = last + 1
    if not found:
        raise ValueError("a set has digits and ranges of digits, for example [1-9] or [0245]")
    return frozenset(found)


def _written(place: Place) -> str:
    """A place as a person reads it."""
    if place >= DIGITS:
        return "a digit" if place == DIGITS else "anything but * and #" if place.isdisjoint(FEATURE) else "anything"
    return "".join(sorted(place)) if len(place) == 1 else f"one of {''.join(sorted(place))}"
