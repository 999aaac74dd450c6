"""What a trunk is told of who calls, and what of its own words about callers is passed on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CallerFrom(StrEnum):
    """Who stands in From of our INVITEs."""

    USER = "user"
    """The user's name, as she signs in."""
    NUMBER = "number"
    """Her telephone number, else the trunk's `number`."""
    FIXED = "fixed"
    """The trunk's `number`, whoever calls."""


class Asserts(StrEnum):
    """How a trunk is told who calls besides From."""

    NONE = "none"
    ASSERTED = "asserted"
    """P-Asserted-Identity: it believes us (RFC 3325 9.1)."""
    PREFERRED = "preferred"
    """P-Preferred-Identity: it decides (RFC 3325 9.2)."""


class PrivacyMode(StrEnum):
    """What becomes of a caller's wish for privacy."""

    ACT = "act"
    """We fulfil it: the trunk is not told who calls."""
    ON = "pass"
    """The trunk is told both, and fulfils it: it is trusted with the identity (RFC 3325 9.3)."""


class Passing(StrEnum):
    """Whether what was said of earlier callees is passed on."""

    STRIP = "strip"
    ON = "pass"


@dataclass(frozen=True, slots=True)
class TrunkIdentity:
    """How a trunk is told who calls."""

    from_: CallerFrom = CallerFrom.USER
    number: str = ""
    """As it stands in From: the account's main number, or its name at the carrier."""
    domain: str = ""
    """Domain of the addresses it is given; empty: our own."""
    names: bool = False
    """It is told people's names."""
    user_phone: bool = False
    """Telephone numbers are marked `user=phone`."""
    asserts: Asserts = Asserts.NONE
    privacy: PrivacyMode = PrivacyMode.ACT
    diversion: Passing = Passing.STRIP
    """Diversion (RFC 5806), from it and to it."""
    history: Passing = Passing.STRIP
    """History-Info (RFC 7044), from it and to it."""
