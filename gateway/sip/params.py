"""Parameters of URIs and header fields (RFC 3261 7.3.1 and 19.1.1): ordered, case-insensitive, kept as sent."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, PARAM_VALUE_CHARS, VISIBLE, end_of_quoted, is_token, split_top_level

MAX_PARAMS = 64
NEVER_TWICE = frozenset(("branch", "tag"))
"""Parameters that identify a transaction or a dialog: a second one is refused even when it says the same."""
NEVER_TWO_VALUES = frozenset(("lr", "maddr", "method", "transport", "ttl", "user"))
"""Parameters that say where a request goes and what it is: two different values are refused (RFC 3261 19.1.1)."""
TEL_VALUE_CHARS = VISIBLE - frozenset('";<>\\')
"""RFC 3966 3, `paramchar`, and all of `uric`, which an `isub` may have."""
URI_PARAM_CHARS = VISIBLE - frozenset('",;<>@\\?=')

Param = tuple[str, str | None]


class Params:
    """An immutable list of ``name[=value]``; values keep their quotes and escapes, so that they can be echoed."""

    __slots__ = ("_items",)

    def __init__(self, items: tuple[Param, ...] = ()) -> None:
        self._items = items

    @classmethod
    def parse(cls, text: str) -> Params:
        """Read header parameters, the text behind the first ``;`` (RFC 3261 25.1, `generic-param`)."""
        return cls._checked([_header_param(part) for part in _pieces(split_top_level(text, ";"))])

    @classmethod
    def parse_uri(cls, text: str) -> Params:
        """Read URI parameters, the text behind the first ``;`` (RFC 3261 25.1, `uri-parameters`)."""
        return cls._checked([_uri_param(part) for part in _pieces(split_top_level(text, ";"))])

    @classmethod
    def parse_tel(cls, text: str) -> Params:
        """Read the parameters of a tel URI (RFC 3966 3, `par`)."""
        return cls._checked([_tel_param(part) for part in _pieces(text.split(";"))])

    @classmethod
    def _checked(cls, items: list[Param]) -> Params:
        """Of a repeated parameter the first counts, unless something hangs on which one is meant."""
        kept: dict[str, Param] = {}
        for name, value in items:
            key = name.lower()
            first = kept.setdefault(key, (name, value))[1]
            if key in NEVER_TWO_VALUES and (first or "").lower() != (value or "").lower():
                raise SipError("Repeated parameter")
        if len(kept) != len(items) and _repeats(items, NEVER_TWICE):
            raise SipError("Repeated parameter")
        return cls(tuple(kept.values()))

    def get(self, name: str) -> str | None:
        """The value as sent, "" for a parameter without one, None when it is absent."""
        key = name.lower()
        for known, value in self._items:
            if known.lower() == key:
                return value or ""
        return None

    def with_(self, name: str, value: str | None) -> Params:
        """A copy in which the parameter has this value, at its old place or else at the end."""
        if not is_token(name) or not (value is None or _is_header_value(value)):
            raise SipError("Bad parameter", 500)
        if name not in self:
            return Params((*self._items, (name, value)))
        key = name.lower()
        return Params(tuple((n, value) if n.lower() == key else (n, v) for n, v in self._items))

    def without(self, name: str) -> Params:
        """A copy that lacks the parameter."""
        key = name.lower()
        return Params(tuple(item for item in self._items if item[0].lower() != key))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[Param]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __str__(self) -> str:
        return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self._items)

    def __repr__(self) -> str:
        return f"Params({self._items!r})"


NO_PARAMS = Params()


def _pieces(parts: list[str]) -> list[str]:
    if len(parts) > MAX_PARAMS:
        raise SipError("Too many parameters", 513)
    return parts


def _repeats(items: list[Param], names: frozenset[str]) -> bool:
    """Whether one of these parameters stands twice."""
    found = [key for name, _ in items if (key := name.lower()) in names]
    return len(set(found)) != len(found)


def _is_header_value(value: str) -> bool:
    if value[:1] != '"':
        return PARAM_VALUE_CHARS.issuperset(value)
    # RFC 3261 lets a quoted string hold an escaped NUL; refused here, so that what was parsed can be written again.
    return not any(char in value for char in "\r\n\0") and end_of_quoted(value, 0) == len(value)


def _header_param(text: str) -> Param:
    name, equals, value = text.partition("=")
    name, value = name.strip(LWS), value.strip(LWS)
    if not is_token(name) or not _is_header_value(value):
        raise SipError("Bad parameter")
    return name, value if equals else None


def _uri_param(text: str) -> Param:
    name, equals, value = text.partition("=")
    if not name or not URI_PARAM_CHARS.issuperset(name) or not _is_uri_value(value):
        raise SipError("Bad URI parameter")
    return name, value if equals else None


def _is_uri_value(value: str) -> bool:
    """Some carriers quote URI parameters, which no grammar allows; one without blanks can be sent back as it came."""
    if value[:1] != '"':
        return PARAM_VALUE_CHARS.issuperset(value)
    return VISIBLE.issuperset(value) and end_of_quoted(value, 0) == len(value)


def _tel_param(text: str) -> Param:
    name, equals, value = text.partition("=")
    if not name or not URI_PARAM_CHARS.issuperset(name) or not TEL_VALUE_CHARS.issuperset(value):
        raise SipError("Bad telephone parameter")
    return name, value if equals else None
