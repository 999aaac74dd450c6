"""Dialled numbers and names: one spelling for each before any rule looks at them (RFC 3261 19.1.6, RFC 3966 5.1.1).

Toll fraud lives in spelling differences: what is not plainly a number or a name is refused, never repaired.
"""

from __future__ import annotations

from gateway.base.errors import SipError

MAX_LENGTH = 64
"""Characters of a user part before its separators are gone, and of a name; a longer one is an attack."""

MAX_INTERNATIONAL = 15
"""Digits after a + (E.164 6.2.1): no telephone number of the world is longer."""

MAX_LOCAL = 24
"""Digits, * and # of a number without +: E.164 and what is dialled around it (`0`, `011`, `#31#`, `*21*` and `#`)."""

DIGITS = frozenset("0123456789")
"""ASCII only: `str.isdigit` would take digits of every script, which a trunk may read as ASCII."""

SEPARATORS = frozenset("-.() ")
"""RFC 3966 visual-separator, and the space people type."""

NUMBER_CHARACTERS = DIGITS | frozenset("*#")
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") | DIGITS


def normalise(user_part: str) -> str:
    """The number without visual separators, or the name as it is.

    Args:
        user_part: user part of a SIP or tel URI up to its first ``;``, with escapes already decoded.

    Raises SipError(404) for anything else: escaped parameters, pauses, digits of other scripts,
    * and # in a number that begins with +, more digits than a number has.
    """
    if not 0 < len(user_part) <= MAX_LENGTH:
        raise SipError("the dialled number is empty or too long", 404)
    number = _number(user_part)
    if number:
        return number
    if _is_name(user_part):
        return user_part
    raise SipError("this cannot be dialled", 404)


def in_context(number: str, context: str | None, own_domain: str) -> str:
    """A normalised number as it counts here (RFC 3966 5.1.5): `context` is its `phone-context`, None without one.

    A global number needs no context, and a local one of our own domain is ours. A local number with a global context
    is that number behind it.

    Raises SipError(404) for a number of somebody else's domain, and for what a context makes no number of.
    """
    if context is None or number.startswith("+") or context.lower() == own_domain.lower():
        return number
    whole = _number(context) + number
    if not whole.startswith("+") or not is_number(whole):
        raise SipError("number of another context", 404)
    return whole


def is_number(text: str) -> bool:
    """True for a normalised number: a global one is a + and digits, a local one may hold * and # too (RFC 3966 3)."""
    digits = text.removeprefix("+")
    if digits != text:
        return 0 < len(digits) <= MAX_INTERNATIONAL and DIGITS.issuperset(digits)
    return 0 < len(text) <= MAX_LOCAL and NUMBER_CHARACTERS.issuperset(text)


def is_normal(text: str) -> bool:
    """True for what `normalise` may return."""
    return is_number(text) or (0 < len(text) <= MAX_LENGTH and _is_name(text))


def is_dialable(text: str) -> bool:
    """True for what a rule made of a number by `strip` and `prefix`: its prefix may be longer than people dial."""
    return is_normal(text) or (0 < len(text) <= MAX_LENGTH and NUMBER_CHARACTERS.issuperset(text))


def _number(user_part: str) -> str:
    bare = "".join(c for c in user_part if c not in SEPARATORS)
    return bare if is_number(bare) else ""


def _is_name(text: str) -> bool:
    """A name has a letter or `_`: what is digits alone is a number, and one too long for a number is nothing."""
    return NAME_CHARACTERS.issuperset(text) and not (DIGITS | SEPARATORS).issuperset(text)
