"""Makes values harmless before they are written or shown: the one place that knows what peers can put into text.

PURE, and idempotent: cleaning twice changes nothing, so builders, log and display may each clean what they handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import cast

MAX_TEXT = 256
"""Characters kept of one string: enough for a distinguished name, too few to fill a disk."""

MAX_ITEMS = 64
"""Entries kept of one list or mapping; no builder comes near."""

MAX_DEPTH = 4
"""Nesting kept; builders use two levels."""

MAX_KNOWN = 1024
"""Names remembered as harmless: builders give some two hundred, peers none."""

_KNOWN: set[object] = set()
_KEY_MARK = b"inline:"
"""Whatever follows it in a text may be an SDES key that a peer put in the wrong place (RFC 4568 6.1)."""


class Cleaned(dict[str, object]):
    """A record that `cleaned_record` made harmless. Nothing is put into it afterwards, so nobody cleans it again."""

    __slots__ = ()


def cleaned_record(value: Mapping[str, object]) -> Cleaned:
    """A whole record made harmless, once and for all."""
    return Cleaned(cleaned_mapping(value))


def cleaned(value: object, depth: int = MAX_DEPTH) -> object:
    """A JSON-safe, bounded copy: text made harmless, unknown objects reduced to the name of their type."""
    kind = type(value)
    if kind is str or isinstance(value, str):
        return cleaned_text(value)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return value
    if isinstance(value, Enum):
        return cleaned_text(value.name)
    if isinstance(value, int | float):
        return _number(value)
    return _container(value, depth)


def cleaned_text(text: str) -> str:
    """Text in which every unprintable character (controls, line separators, bidi marks, lone surrogates) is escaped."""
    if len(text) <= MAX_TEXT and text.isprintable() and (":" not in text or "inline:" not in text.lower()):
        return str(text)  # nearly every text; str() because an enumeration member is to become plain text
    kept = "".join(c if c.isprintable() else _escaped(c) for c in text[: MAX_TEXT + 1])
    mark = kept.encode("ascii", errors="replace").lower().find(_KEY_MARK)
    if mark >= 0:
        kept = kept[: mark + len(_KEY_MARK)] + "***"
    return kept if len(kept) <= MAX_TEXT else kept[: MAX_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def cleaned_mapping(value: Mapping[str, object], depth: int = MAX_DEPTH) -> dict[str, object]:
    """A whole record or a part of one, made harmless with its names."""
    pairs = value.items() if len(value) <= MAX_ITEMS else list(value.items())[:MAX_ITEMS]
    return {
        key if key in _KNOWN else _key(key): item if _is_harmless(item) else cleaned(item, depth - 1)
        for key, item in pairs
    }


def _is_harmless(value: object) -> bool:
    """Nearly every value of a record, told without a copy: no text a peer could have made, no large number."""
    kind = type(value)
    if kind is str:
        text = cast(str, value)
        return len(text) <= MAX_TEXT and ":" not in text and text.isprintable()
    return value is None or kind is bool or (kind is int and -(2**31) < cast(int, value) < 2**31)


def _escaped(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def _number(value: int | float) -> object:
    """Numbers every JSON reader takes: no NaN, no infinity, nothing beyond 64 bits."""
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else "<int>"
    return value if value == value and abs(value) != float("inf") else None


def _container(value: object, depth: int) -> object:
    if depth <= 0:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return cleaned_mapping(value, depth)
    if isinstance(value, list | tuple):
        return [cleaned(item, depth - 1) for item in value[:MAX_ITEMS]]
    if isinstance(value, set | frozenset):
        return [cleaned(item, depth - 1) for item in sorted(value, key=str)[:MAX_ITEMS]]
    return f"<{type(value).__name__}>"


def _key(key: object) -> str:
    if type(key) is str and len(key) <= MAX_TEXT and key.isascii() and key.isidentifier():
        if len(_KNOWN) < MAX_KNOWN:
            _KNOWN.add(key)
        return key  # every name a builder gives
    return cleaned_text(key) if isinstance(key, str) else f"<{type(key).__name__}>"
