"""Whether a pattern is written as people dial, where numbers are compared as the world has them."""

from __future__ import annotations

from gateway.routing.e164 import Home
from gateway.routing.patterns import Pattern


def dialled_prefix(text: str, home: Home) -> str:
    """The prefix for domestic or foreign calls that all numbers of a pattern begin with; "" for none."""
    pattern = Pattern.parse(text)
    for prefix in (home.international_prefix, home.trunk_prefix):
        begins = prefix and all(pattern.at(place) == {digit} for place, digit in enumerate(prefix))
        behind = len(pattern.places) - len(prefix)
        if begins and (pattern.rest or behind >= max(1, home.national_digits)):
            return prefix
    return ""
