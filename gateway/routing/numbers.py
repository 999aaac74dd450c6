"""Dialled numbers and names: one spelling for each before any rule looks at them (RFC 3261 19.1.6, RFC 3966 5.1.1).

Toll fraud lives in spelling differences: what is not plainly a number or a name is refused, never repaired.
"""

from __future__ import annotations

from gateway.base.errors import SipError

MAX_LENGTH = 64
"""E.164 has 15 digits; names and feature codes need some room, a longer user part is an attack."""

DIGITS = frozenset("0123456789")
"""ASCII only: `str.isdigit` would take digits of every script, which a trunk may read as ASCII."""

SEPARATORS = frozenset("-.() ")
"""RFC 3966 visual-separator, and the space people type."""

NUMBER_CHARACTERS = DIGITS | frozenset("*#")
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") | DIGITS


def normalise(user_part: str) -> str:
    """The number without visual separators, or the name as it is.

    Args:
        user_part: user part of a SIP or tel URI with escapes already decoded.

    Raises SipError(404) for anything else: parameters (`;phone-context`), pauses, digits of other scripts.
    """
    if not 0 < len(user_part) <= MAX_LENGTH:
        raise SipError("the dialled number is empty or too long", 404)
    number = _number(user_part)
    if number:
        return number
    if NAME_CHARACTERS.issuperset(user_part) and not SEPARATORS.issuperset(user_part):
        return user_part
    raise SipError("this cannot be dialled", 404)


def is_number(text: str) -> bool:
    """True for a normalised number: digits, * and #, perhaps with a + in front."""
    digits = text.removeprefix("+")
    return bool(digits) and NUMBER_CHARACTERS.issuperset(digits)


def _number(user_part: str) -> str:
    bare = "".join(c for c in user_part if c not in SEPARATORS)
    return bare if is_number(bare) else ""
