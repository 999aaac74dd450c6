"""Which calls a rule, floor or exception is for, and whether one is for all the calls of another.

Every key that is written must fit; of the values of a key one is enough. `covers` and `apart` are sound and not
complete: they say yes only where it is so for every call there can be.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from gateway.policy.facts import Address, Direction, Facts
from gateway.policy.times import Window, together_hold

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Names = frozenset[str] | None
"""Any of these; None: whatever it is."""


class NumberPattern(Protocol):
    """A pattern of numbers; `routing.patterns.Pattern` has this shape."""

    @property
    def text(self) -> str: ...

    def matches(self, number: str, /) -> bool: ...

    def covers(self, other: Self, /) -> bool: ...


Numbers = tuple[NumberPattern, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a call must be; None stands for anything."""

    directions: frozenset[Direction] | None = None
    trunks: Names = None
    users: Names = None
    groups: Names = None
    """She is in one of these."""
    callers: Numbers = None
    dialled: Numbers = None
    networks: tuple[Network, ...] | None = None
    """Where the request came from on the wire."""
    transports: Names = None
    times: tuple[Window, ...] | None = None
    methods: Names = None
    without: Match | None = None
    """What it must not be."""

    def misses(self, facts: Facts) -> str:
        """The key by which a call does not fit; "" where it does."""
        return _misses_names(self, facts) or _misses_others(self, facts)

    def fits(self, facts: Facts) -> bool:
        """Whether a call is what it must be."""
        return not self.misses(facts)

    def covers(self, other: Match) -> bool:
        """True when every call that fits the other fits this one too; False also where nobody can tell."""
        names = all(_holds(wide, narrow) for wide, narrow in zip(_sets(self), _sets(other), strict=True))
        if not names or not _covers_numbers(self.callers, other.callers):
            return False
        others = _covers_numbers(self.dialled, other.dialled) and _covers_networks(self.networks, other.networks)
        if not others or not _covers_times(self.times, other.times):
            return False
        return self.without is None or _is_kept_out(self.without, other)

    def apart(self, other: Match) -> bool:
        """True when no call fits both; False also where nobody can tell."""
        parted = (one is not None and two is not None and not one & two for one, two in _exclusive(self, other))
        return any(parted) or _apart_networks(self.networks, other.networks)


def _misses_names(match: Match, facts: Facts) -> str:
    if match.trunks is not None and facts.trunk not in match.trunks:
        return "trunk"
    if match.directions is not None and facts.direction not in match.directions:
        return "direction"
    if match.users is not None and facts.user not in match.users:
        return "user"
    if match.groups is not None and match.groups.isdisjoint(facts.groups):
        return "user_group"
    if match.transports is not None and facts.transport not in match.transports:
        return "transport"
    return "method" if match.methods is not None and facts.method not in match.methods else ""


def _misses_others(match: Match, facts: Facts) -> str:
    if not _fits_number(match.dialled, facts.dialled):
        return "dialled"
    if not _fits_number(match.callers, facts.caller):
        return "caller"
    if match.networks is not None and not _is_within(facts.source, match.networks):
        return "source"
    if match.times is not None and not any(window.contains(facts.at) for window in match.times):
        return "time"
    return "not" if match.without is not None and match.without.fits(facts) else ""


def _fits_number(patterns: Numbers, number: str) -> bool:
    return patterns is None or (bool(number) and any(pattern.matches(number) for pattern in patterns))


def _is_within(source: Address | None, networks: tuple[Network, ...]) -> bool:
    return source is not None and any(source in network for network in networks)


def _sets(match: Match) -> Iterator[frozenset[str] | frozenset[Direction] | None]:
    yield from (match.directions, match.trunks, match.users, match.groups, match.transports, match.methods)


def _exclusive(one: Match, two: Match) -> Iterator[tuple[Names, Names]]:
    """Keys of which a call has one value only; a user may be in several groups."""
    if one.directions is not None and two.directions is not None:
        yield frozenset(map(str, one.directions)), frozenset(map(str, two.directions))
    yield from ((one.trunks, two.trunks), (one.users, two.users))
    yield from ((one.transports, two.transports), (one.methods, two.methods))


def _holds(
    wide: frozenset[str] | frozenset[Direction] | None, narrow: frozenset[str] | frozenset[Direction] | None
) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _covers_numbers(wide: Numbers, narrow: Numbers) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(any(pattern.covers(inner) for pattern in wide) for inner in narrow)


def _covers_networks(wide: tuple[Network, ...] | None, narrow: tuple[Network, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(any(_is_inside(inner, network) for network in wide) for inner in narrow)


def _is_inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _apart_networks(one: tuple[Network, ...] | None, two: tuple[Network, ...] | None) -> bool:
    if one is None or two is None:
        return False
    return not any(first.overlaps(second) for first in one for second in two)


def _covers_times(wide: tuple[Window, ...] | None, narrow: tuple[Window, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(together_hold(wide, window) for window in narrow)


def _is_kept_out(unwanted: Match, other: Match) -> bool:
    """Whether no call that fits the other one is what is not wanted."""
    return unwanted.apart(other) or (other.without is not None and other.without.covers(unwanted))
