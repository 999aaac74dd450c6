"""The names of the built-in security profiles; what each means is in `policy.model`."""

from __future__ import annotations

from enum import StrEnum


class Profile(StrEnum):
    """The built-in security profiles of a trunk (docs/policy.md)."""

    STRICT = "strict"
    PREFER = "prefer"
    OSRTP = "osrtp"
    LEGACY = "legacy"
