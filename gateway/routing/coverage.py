"""Whether some patterns together mean every number that another one means: then a rule behind theirs is never reached.

Each place is cut into the characters that the same patterns take there, and the walk goes on with those patterns alone.
What was walked once is not walked again, and a plan that would take too long is called reachable: a warning that is
missing costs less than a start that never ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.patterns import Pattern

MAX_STEPS = 2000
"""Places looked at for one rule: dialplans of people need a few dozen."""

Alive = frozenset[int]


def together_cover(patterns: Sequence[Pattern], narrow: Pattern) -> bool:
    """True when every number that `narrow` means is meant by at least one of the others."""
    return _Walk(patterns, narrow).is_covered()


class _Walk:
    """One comparison; holds what has been looked at."""

    def __init__(self, patterns: Sequence[Pattern], narrow: Pattern) -> None:
        self._patterns, self._narrow = patterns, narrow
        self._longest = max((len(p.places) + p.least for p in (*patterns, narrow)), default=0)
        self._seen: set[tuple[int, Alive]] = set()

    def is_covered(self) -> bool:
        waiting: list[tuple[int, Alive]] = [(0, frozenset(range(len(self._patterns))))]
        while waiting:
            state = waiting.pop()
            if state in self._seen:
                continue
            self._seen.add(state)
            following = self._after(*state)
            if following is None or len(self._seen) > MAX_STEPS:
                return False
            waiting += following
        return True

    def _after(self, place: int, alive: Alive) -> list[tuple[int, Alive]] | None:
        """What remains to be looked at behind a place; None: here is a number that none of the others means."""
        if _may_end(self._narrow, place) and not any(_may_end(self._patterns[p], place) for p in alive):
            return None
        found: set[Alive] = set()
        for char in self._narrow.at(place):
            found.add(frozenset(p for p in alive if char in self._patterns[p].at(place)))
        following = min(place, self._longest) + 1  # behind the longest pattern every place is like the next one
        return None if frozenset() in found else [(following, taking) for taking in found]


def _may_end(pattern: Pattern, length: int) -> bool:
    """Whether the pattern means numbers of this length."""
    fixed = len(pattern.places)
    return length == fixed if not pattern.rest else length >= fixed + pattern.least


class Earlier:
    """Patterns in their order, found again by what a later one may have in common with them.

    Two patterns share a number only if what both begin with, character by character, is the same as far as it goes.
    """

    def __init__(self) -> None:
        self._patterns: list[Pattern] = []
        self._by_beginning: dict[str, list[int]] = {}
        """Those that begin with this text and go on."""
        self._by_whole: dict[str, list[int]] = {}
        """Those whose fixed beginning is this text."""

    def add(self, pattern: Pattern) -> None:
        """One more, behind all others."""
        number, fixed = len(self._patterns), _fixed(pattern)
        self._patterns.append(pattern)
        self._by_whole.setdefault(fixed, []).append(number)
        for length in range(len(fixed)):
            self._by_beginning.setdefault(fixed[:length], []).append(number)

    def near(self, pattern: Pattern) -> list[int]:
        """Numbers of those that may share something with it, in their order."""
        fixed = _fixed(pattern)
        found = set(self._by_beginning.get(fixed, ()))
        for length in range(len(fixed) + 1):
            found.update(self._by_whole.get(fixed[:length], ()))
        return sorted(found)

    def __getitem__(self, number: int) -> Pattern:
        return self._patterns[number]


def _fixed(pattern: Pattern) -> str:
    """What all numbers of a pattern begin with."""
    found = ""
    for place in pattern.places:
        if len(place) != 1:
            break
        found += next(iter(place))
    return found
