"""What a call's final record counted, whatever the leg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(final: Mapping[str, Any], name: str) -> int:
    """The sum over the legs of the call."""
    return sum(leg.get(name, 0) for leg in final["counters"].values())
