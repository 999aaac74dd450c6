"""YAML read as text: a tree of mappings, sequences and text scalars that remembers the line of every key.

Nothing is guessed: `no`, `0900`, `+4930123` and `12:30` stay what they are. Whatever YAML can do beyond a tree of
text is refused: tags, duplicate keys, merge keys, several documents, and aliases that grow (YAML 1.1, billion laughs).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.base.errors import ConfigError, ConfigErrors

MAX_FILE_BYTES = 1 << 20
"""A configuration file above 1 MB is a mistake or an attack."""

MAX_DEPTH = 24
"""The schema nests 6 deep; the limit only has to stop recursion."""

SEE = "see docs/configuration.md"
"""The remedy where the message says all there is to say."""

MAX_NODES = 100_000
"""Scalars and collections after aliases are expanded; a full users file of 1 MB has about 50,000."""

Location = tuple[str | int, ...]
"""Path to a value: keys of mappings and indexes of sequences."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value, as it is written."""

    text: str
    line: int
    size: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of values."""

    items: tuple[Node, ...]
    line: int
    size: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Values by key, with the line of each key."""

    entries: dict[str, Node]
    lines: dict[str, int]
    line: int
    size: int


Node = Scalar | Sequence | Mapping
Start = yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent
"""The events that begin a value."""


def dotted(location: Location) -> str:
    """The location as it is told to a person: `listen.sip[0]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def known_part(node: Node, location: Location) -> tuple[Location, int]:
    """The longest part of a location that stands in the file, and its line."""
    line = node.line
    for index, part in enumerate(location):
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
            line = node.lines[part]
            node = node.entries[part]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            line = node.line
        else:
            return location[:index], line
    return location, line


def lines(node: Node, location: Location = ()) -> Iterator[tuple[str, int]]:
    """Every key of a tree as it is told to a person, and its line."""
    inner: Iterable[tuple[str | int, Node, int]] = ()
    if isinstance(node, Mapping):
        inner = ((key, value, node.lines[key]) for key, value in node.entries.items())
    elif isinstance(node, Sequence):
        inner = ((index, item, item.line) for index, item in enumerate(node.items))
    for part, value, line in inner:
        yield dotted((*location, part)), line
        yield from lines(value, (*location, part))


def read_yaml(path: Path) -> Node:
    """The tree in a file. Raises ConfigError (ConfigErrors when there are several mistakes)."""
    return parse_yaml(_decode(_read(path), str(path)), str(path))


def parse_yaml(text: str, file: str) -> Node:
    """The tree in a text; `file` is named in errors. Raises ConfigError."""
    try:
        return _Builder(yaml.parse(text, Loader=yaml.BaseLoader), file).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"this is not YAML: {error.problem or error.context}",
            file=file,
            line=mark.line + 1 if mark else 0,
            remedy="look at indentation (spaces, no tabs), colons and quotes on this line and the one above",
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        remedy = "remove the control character; save the file as plain UTF-8 text"
        raise ConfigError("a character that YAML does not allow", file=file, line=line, remedy=remedy) from None


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise ConfigError(f"this is {what}", file=str(path), remedy="give the path of a YAML file")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError(f"the file cannot be read: {reason}", file=str(path), remedy=_remedy(error)) from None
    if len(data) > MAX_FILE_BYTES:
        remedy = "is it the right file? A configuration is a few kilobytes"
        raise ConfigError(f"the file is larger than {MAX_FILE_BYTES} bytes", file=str(path), remedy=remedy)
    return data


def _remedy(error: OSError) -> str:
    return "check owner and mode" if isinstance(error, PermissionError) else "check the path"


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("this is not UTF-8 text", file=file, line=line, remedy="save the file as UTF-8") from None


class _Builder:
    """Builds the tree from parser events; mistakes that leave a tree are collected, the others raise at once."""

    def __init__(self, events: Iterator[yaml.Event], file: str) -> None:
        self._events = events
        self._file = file
        self._anchors: dict[str, Node | None] = {}
        self._errors: list[ConfigError] = []

    def document(self) -> Node:
        """The one document of the stream (YAML 1.1, 9)."""
        next(self._events)
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise self._error("the file is empty", 0, (), "write the keys that docs/configuration.md names")
        root = self._node(next(self._events), ())
        next(self._events)
        end = next(self._events)
        if not isinstance(end, yaml.StreamEndEvent):
            raise self._error("a second document starts here", _line(end), (), "keep one document per file")
        if self._errors:
            raise self._errors[0] if len(self._errors) == 1 else ConfigErrors(self._errors)
        return root

    def _error(self, message: str, line: int, location: Location, remedy: str = SEE) -> ConfigError:
        return ConfigError(message, file=self._file, line=line, key=dotted(location), remedy=remedy)

    def _node(self, event: yaml.Event, location: Location) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, location)
        if not isinstance(event, Start):
            raise self._error("a value is expected here", _line(event), location)
        self._check_node(event, location)
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # still being built: an alias to it would contain itself
        node = self._build(event, location)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _check_node(self, event: Start, location: Location) -> None:
        if event.tag is not None:
            self._errors.append(self._error("tags (!) are not read", _line(event), location, "remove the tag"))
        if len(location) > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH}", _line(event), location[:3])

    def _build(self, event: Start, location: Location) -> Node:
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, location)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, location)
        if event.value == "" and event.style is None:
            self._errors.append(
                self._error("the key has no value", _line(event), location, 'give a value, "" for an empty text')
            )
        return Scalar(event.value, _line(event))

    def _alias(self, event: yaml.AliasEvent, location: Location) -> Node:
        name = str(event.anchor)
        node = self._anchors.get(name)
        if node is None:
            reason = "stands inside its own anchor" if name in self._anchors else "has no anchor before it"
            raise self._error(f"the alias *{name[:32]} {reason}", _line(event), location)
        return node

    def _grown(self, size: int, node: Node, line: int, location: Location) -> int:
        size += node.size
        if size > MAX_NODES:
            raise self._error(f"more than {MAX_NODES} values, aliases counted in full", line, location)
        return size

    def _sequence(self, start: yaml.SequenceStartEvent, location: Location) -> Sequence:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*location, len(items))
            items.append(self._node(event, here))
            size = self._grown(size, items[-1], _line(event), here)
        return Sequence(tuple(items), _line(start), size)

    def _mapping(self, start: yaml.MappingStartEvent, location: Location) -> Mapping:
        found = Mapping({}, {}, _line(start), 1)
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, location)
            here = (*location, key)
            node = self._node(next(self._events), here)
            size = self._grown(size, node, _line(event), here)
            self._enter(found, key, node, _line(event), here)
        return Mapping(found.entries, found.lines, found.line, size)

    def _enter(self, mapping: Mapping, key: str, node: Node, line: int, location: Location) -> None:
        if key in mapping.entries:
            first = mapping.lines[key]
            self._errors.append(
                self._error(f"duplicate key, first on line {first}", line, location, "keep one of the two")
            )
        elif key == "<<":
            self._errors.append(self._error("merge keys (<<) are not read", line, location, "write the keys out"))
        mapping.entries[key] = node
        mapping.lines[key] = line

    def _key(self, event: yaml.Event, location: Location) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise self._error("a key must be plain text", _line(event), location)
        return str(event.value)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 0
