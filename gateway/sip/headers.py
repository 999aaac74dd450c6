"""Header fields as an ordered list of what was sent (RFC 3261 7.3), found under long and compact names alike.

Headers never change. Whoever builds a message collects pairs in a list; whoever alters one makes new headers of the
old. Fields that are passed on are the same objects, and a field remembers what its value says once it has been read:
so a value is parsed once, however many messages carry it and however many look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self, TypeVar

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
MAX_NAMES_KEPT = 256
"""Names whose canonical form is remembered: all that are in use. A peer that invents more pays with its own time,
and takes no room: each pushes another out."""


V = TypeVar("V")
Reader = Callable[[str], V]
"""Makes a value of its text, or raises `SipError`."""


class Value(Protocol):
    """A header value that knows its text and can be read from it: `NameAddr`, `Via`, `CSeq`."""

    @classmethod
    def parse(cls, text: str, /) -> Self: ...


Item = tuple[str, str | Value]
"""A header field to write: its name, and its value as text or as what `parse` would make of it."""


class _Field(NamedTuple):
    key: str
    name: str
    value: str
    readings: dict[object, Any]
    """What the value says, by its reader; whoever shares the field shares them."""

    def read(self, reader: Reader[V]) -> V:
        found: V | None = self.readings.get(reader)
        if found is None:
            found = self.readings[reader] = reader(self.value)
        return found

    def read_list(self, reader: Reader[V]) -> tuple[V, ...]:
        found: tuple[V, ...] | None = self.readings.get((reader,))
        if found is None:
            known: V | None = self.readings.get(reader)
            found = (known,) if known is not None else tuple(map(reader, parse_list((self.value,))))
            self.readings[reader,] = found
        return found


@lru_cache(MAX_NAMES_KEPT)
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
    """Ordered ``(name, value)`` pairs that never change; names keep their spelling, values their bytes.

    Args:
        items: of a value that is given typed, nothing need be read any more.
    """

    __slots__ = ("_fields", "_index")

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._fields: tuple[_Field, ...] = tuple([_checked(name, value) for name, value in items])
        self._index: dict[str, list[_Field]] | None = None

    @classmethod
    def received(cls, items: Iterable[tuple[str, str]]) -> Headers:
        """Headers read from a peer: their values were checked by the parser and may hold an escaped NUL."""
        return cls._of([_Field(canonical(name), name, value, {}) for name, value in items])

    @classmethod
    def _of(cls, fields: Iterable[_Field]) -> Headers:
        headers = cls.__new__(cls)
        headers._fields, headers._index = tuple(fields), None
        return headers

    def _named(self, name: str) -> Sequence[_Field]:
        """All fields of that name, from an index made at the first question."""
        index = self._index
        if index is None:
            index = self._index = {}
            for field in self._fields:
                index.setdefault(field.key, []).append(field)
        return index.get(canonical(name), ())

    def get(self, name: str) -> str | None:
        """The value of the first header field of that name."""
        for field in self._named(name):
            return field.value
        return None

    def get_all(self, name: str) -> list[str]:
        """The values of all header fields of that name, one per line, in order."""
        return [field.value for field in self._named(name)]

    def values(self, name: str) -> list[str]:
        """Every value of a list header over all its lines; `SipError` for an empty one or a quote that stays open."""
        lines = [value for value in self.get_all(name) if value]
        return lines if canonical(name) in NOT_LISTS else parse_list(lines)

    def read(self, name: str, reader: Reader[V]) -> V | None:
        """What the first header field of that name says; None without one. It is read once and kept."""
        for field in self._named(name):
            return field.read(reader)
        return None

    def read_list(self, name: str, reader: Reader[V]) -> tuple[V, ...]:
        """What every value of a list header says, over all its lines; each is read once and kept."""
        found: tuple[V, ...] = ()
        for field in self._named(name):
            found += field.read_list(reader)
            if len(found) > MAX_LIST_VALUES:
                raise SipError("Too many values in a header", 513)
        return found

    def repeats(self, keys: Collection[str]) -> bool:
        """Whether a header field of one of these canonical names stands twice."""
        found = [field.key for field in self._fields if field.key in keys]
        return len(set(found)) != len(found)

    def with_(self, name: str, value: str | Value) -> Headers:
        """Headers in which one field stands for all of that name, at the place of the first or else at the end."""
        new = _checked(name, value)
        places = [place for place, field in enumerate(self._fields) if field.key == new.key]
        kept = [field for field in self._fields if field.key != new.key]
        kept.insert(places[0] if places else len(kept), new)
        return Headers._of(kept)

    def without(self, *names: str) -> Headers:
        """Headers that lack all fields of these names."""
        keys = frozenset(map(canonical, names))
        return Headers._of([field for field in self._fields if field.key not in keys])

    def only(self, *names: str) -> Headers:
        """Just the fields of these names, name after name, each as it stands here byte for byte."""
        return Headers._of([field for name in names for field in self._named(name)])

    def lengthened(self, name: str, text: str, value: Value) -> Headers:
        """Headers in which the first field of that name goes on with `text`, such as a tag, and now says `value`."""
        key, suffix = canonical(name), _checked(name, text).value
        fields = list(self._fields)
        for place, field in enumerate(fields):
            if field.key == key:
                fields[place] = field._replace(value=field.value + suffix, readings={type(value).parse: value})
                break
        return Headers._of(fields)

    def plus(self, items: Iterable[Item]) -> Headers:
        """These fields, and new ones behind them."""
        return self + Headers(items)

    def __add__(self, other: Headers) -> Headers:
        """These fields, and behind them the others."""
        return Headers._of((*self._fields, *other._fields))

    def items(self) -> list[tuple[str, str]]:
        """Every header field in order."""
        return [(field.name, field.value) for field in self._fields]

    def lines(self, length: int) -> list[str]:
        """What goes on the wire, with one true Content-Length, at its old place or at the end (RFC 3261 20.14)."""
        found: list[str] = []
        written = False
        for key, name, value, _ in self._fields:
            if key != "content-length":
                found.append(f"{name}: {value}")
            elif not written:
                found.append(f"{name}: {length}")
                written = True
        return found if written else [*found, f"Content-Length: {length}"]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._named(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.items() == other.items()

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


def _checked(name: str, value: str | Value) -> _Field:
    """What we write ourselves must not open a second header field or end the head (response splitting)."""
    text = value if isinstance(value, str) else str(value)
    readings: dict[object, Any] = {} if isinstance(value, str) else {type(value).parse: value}
    if not is_token(name) or "\r" in text or "\n" in text or "\0" in text:
        raise SipError("Header value cannot be written", 500)
    return _Field(canonical(name), name, text, readings)
