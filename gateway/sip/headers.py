"""Header fields as an ordered list of what was sent (RFC 3261 7.3), found under long and compact names alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, is_token, split_top_level

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""Compact forms of the IANA registry "SIP header fields"."""

SINGLE = frozenset(
    "call-id content-disposition content-length content-type cseq date event expires from identity-info max-forwards "
    "mime-version min-expires min-se organization priority rack refer-to referred-by replaces reply-to retry-after "
    "rseq server session-expires subject timestamp to user-agent".split(" ")
)
"""Header fields of which a message has at most one (RFC 3261 7.3.1, 25.1); of a second one the first counts."""

NEVER_TWICE = frozenset("call-id content-length cseq from rack refer-to replaces to".split(" "))
"""Of these a second one is refused: who speaks, of which call and dialog, and where the message ends rest on them.

Via and Contact may stand in several lines by right. Whatever else stands twice comes from a box on the way that wrote
its own beside the sender's (two Server, two User-Agent), and no reading of it changes what happens.
"""

NOT_LISTS = SINGLE | frozenset(("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"))
"""Header fields in which a comma does not separate values (RFC 3261 7.3.1)."""

MAX_LIST_VALUES = 128
"""Values one list header field may have over all its lines; RFC 4475 3.1.1.7 has 34."""


class _Field(NamedTuple):
    key: str
    name: str
    value: str


def canonical(name: str) -> str:
    """The lower-case long name under which a header field is found."""
    key = name.lower()
    return COMPACT.get(key, key)


def parse_list(values: Iterable[str]) -> list[str]:
    """The comma-separated values of several lines; one that is empty between others is refused."""
    found: list[str] = []
    for value in values:
        found += [part.strip(LWS) for part in split_top_level(value, ",")]
        if len(found) > MAX_LIST_VALUES:
            raise SipError("Too many values in a header", 513)
    if not all(found):
        raise SipError("Empty value in a header")
    return found


class Headers:
    """Ordered ``(name, value)`` pairs; names keep their spelling, values their bytes."""

    __slots__ = ("_fields",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [_checked(name, value) for name, value in items]

    @classmethod
    def received(cls, items: Iterable[tuple[str, str]]) -> Headers:
        """Headers read from a peer: their values were checked by the parser and may hold an escaped NUL."""
        headers = cls()
        headers._fields = [_Field(canonical(name), name, value) for name, value in items]
        return headers

    def get(self, name: str) -> str | None:
        """The value of the first header field of that name."""
        key = canonical(name)
        for field in self._fields:
            if field.key == key:
                return field.value
        return None

    def get_all(self, name: str) -> list[str]:
        """The values of all header fields of that name, one per line, in order."""
        key = canonical(name)
        return [field.value for field in self._fields if field.key == key]

    def values(self, name: str) -> list[str]:
        """Every value of a list header over all its lines; `SipError` for an empty one or a quote that stays open."""
        lines = [value for value in self.get_all(name) if value]
        return lines if canonical(name) in NOT_LISTS else parse_list(lines)

    def set(self, name: str, value: str) -> None:
        """Replace all header fields of that name by one, at the place of the first."""
        new = _checked(name, value)
        place = next((i for i, field in enumerate(self._fields) if field.key == new.key), len(self._fields))
        kept = [field for field in self._fields if field.key != new.key]
        self._fields = [*kept[:place], new, *kept[place:]]

    def add(self, name: str, value: str) -> None:
        """Append a header field."""
        self._fields.append(_checked(name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put a header field above all others, as a Via or Record-Route of our own."""
        self._fields.insert(0, _checked(name, value))

    def remove(self, name: str) -> None:
        """Drop all header fields of that name, if any."""
        key = canonical(name)
        self._fields = [field for field in self._fields if field.key != key]

    def copy_from(self, other: Headers, name: str) -> None:
        """Append all header fields of that name from another message, byte for byte."""
        key = canonical(name)
        self._fields += [field for field in other._fields if field.key == key]

    def append_to_value(self, name: str, text: str) -> None:
        """Lengthen the value of the first header field of that name, for example by a tag."""
        key = canonical(name)
        suffix = _checked(name, text).value
        for place, field in enumerate(self._fields):
            if field.key == key:
                self._fields[place] = field._replace(value=field.value + suffix)
                return

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers.received(self.items())

    def items(self) -> list[tuple[str, str]]:
        """Every header field in order."""
        return [(field.name, field.value) for field in self._fields]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.items() == other.items()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


def _checked(name: str, value: str) -> _Field:
    """What we write ourselves must not open a second header field or end the head (response splitting)."""
    if not is_token(name) or any(char in value for char in "\r\n\0"):
        raise SipError("Header value cannot be written", 500)
    return _Field(canonical(name), name, value)
