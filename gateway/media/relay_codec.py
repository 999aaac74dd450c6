"""The wire form of the relay protocol: JSON header, octet strings behind it (see `relay_protocol`)."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import Command
from gateway.media.relay_events import Event
from gateway.media.relay_protocol import MAX_MESSAGE, WorkerConfig

_LENGTH = struct.Struct("!I")
_FRAMING = "of several"
"""How messages travel, which no type of theirs tells."""
_TYPE = "type"
_CALL = "call"

MAX_NUMBER = (1 << 63) - 1
"""Largest whole number of a message, either way: no counter gets there, and with larger ones arithmetic can fail."""

M = TypeVar("M")


class _Octets:
    """The octet strings of one message, taken in order."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: object) -> bytes:
        size = _integer(length, self)
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise ValueError("octet string out of bounds")
        start, self._at = self._at, end
        return self._data[start:end]

    @property
    def exhausted(self) -> bool:
        return self._at == len(self._data)


def encode(call: int, message: Command | Event) -> bytes:
    """One message about a call, as `relay_packet` puts it into a packet."""
    octets: list[bytes] = []
    header: dict[str, object] = {_TYPE: type(message).__name__, _CALL: call, **_members(message, octets)}
    text = json.dumps(header, separators=(",", ":")).encode()
    packet = b"".join((_LENGTH.pack(len(text)), text, *octets))
    if len(packet) > MAX_MESSAGE:
        raise MediaError(f"control message {type(message).__name__} is too long")
    return packet


def decode_command(packet: bytes) -> tuple[int, Command]:
    """The command in a packet and the call it is about; raises MediaError for anything else."""
    return _decode(packet, _COMMANDS)


def decode_event(packet: bytes) -> tuple[int, Event]:
    """The event in a packet and the call it is about; raises MediaError for anything else."""
    return _decode(packet, _EVENTS)


@cache
def dialect() -> str:
    """What this program takes for the protocol: a hash over the names and types in every message and structure.

    Two programs with the same one understand each other; it changes by itself with whatever is changed in a message.
    """
    kinds = sorted((kind for kind in _FIELDS if isinstance(kind, type)), key=lambda kind: kind.__name__)
    told = [f"packets {_FRAMING}"]
    told += [f"{kind.__name__} {name} {hint}" for kind in kinds for name, hint in get_type_hints(kind).items()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def encode_config(config: WorkerConfig) -> str:
    """The start configuration as the worker's command-line argument."""
    return json.dumps(asdict(config), separators=(",", ":"))


def decode_config(text: str) -> WorkerConfig:
    """The start configuration; raises MediaError when it cannot be read."""
    try:
        return _build(WorkerConfig, json.loads(text), _Octets(b""))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MediaError("malformed worker configuration") from error


def _decode(packet: bytes, types: Mapping[str, type[M]]) -> tuple[int, M]:
    try:
        (length,) = _LENGTH.unpack_from(packet)
        end = _LENGTH.size + length
        header = json.loads(packet[_LENGTH.size : end])
        octets = _Octets(packet[end:])
        call = _integer(header.pop(_CALL), octets)
        message = _build(types[header.pop(_TYPE)], header, octets)
        if not octets.exhausted:
            raise ValueError("octets left over")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error):
        # Without the cause: its text may quote the packet, and the packet may hold a key.
        raise MediaError("malformed control message") from None
    return call, message


def _build(kind: type[M], header: object, octets: _Octets) -> M:
    readers = _FIELDS[kind]
    if not isinstance(header, dict) or header.keys() != readers.keys():
        raise ValueError("fields do not match")
    return kind(**{name: read(header[name], octets) for name, read in readers.items()})


def _members(message: object, octets: list[bytes]) -> dict[str, object]:
    return {field.name: _plain(getattr(message, field.name), octets) for field in fields(message)}  # type: ignore[arg-type]


def _plain(value: object, octets: list[bytes]) -> object:
    """A field as JSON can hold it; octet strings move to `octets`."""
    if isinstance(value, Secret):
        value = value.reveal()
        value = value.encode() if isinstance(value, str) else value
    if isinstance(value, bytes):
        octets.append(value)
        return len(value)
    if isinstance(value, HostPort):
        return [value.host, value.port]
    if isinstance(value, tuple):
        return [_plain(entry, octets) for entry in value]
    if isinstance(value, Mapping):
        return [[key, _plain(entry, octets)] for key, entry in value.items()]
    if is_dataclass(value):
        return {_TYPE: type(value).__name__, **_members(value, octets)}
    return value


_Reader = Callable[[object, _Octets], Any]


def _integer(value: object, _: _Octets) -> int:
    if type(value) is not int or abs(value) > MAX_NUMBER:
        raise TypeError("not a whole number")
    return value


def _number(value: object, octets: _Octets) -> float:
    return value if isinstance(value, float) else float(_integer(value, octets))


def _text(value: object, _: _Octets) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _flag(value: object, _: _Octets) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a truth value")
    return value


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _address(value: object, octets: _Octets) -> HostPort:
    host, port = _items(value)
    return HostPort(_text(host, octets), _integer(port, octets))


def _bytes(value: object, octets: _Octets) -> bytes:
    return octets.take(value)


def _secret_bytes(value: object, octets: _Octets) -> Secret[bytes]:
    return Secret(octets.take(value))


def _secret_text(value: object, octets: _Octets) -> Secret[str]:
    return Secret(octets.take(value).decode())


_READERS: dict[object, _Reader] = {
    int: _integer,
    LegId: _integer,
    float: _number,
    str: _text,
    bool: _flag,
    HostPort: _address,
    bytes: _bytes,
    Secret[bytes]: _secret_bytes,
    Secret[str]: _secret_text,
}


def _reader(hint: Any) -> _Reader:
    """How a field of this type is read."""
    if hint in _READERS:
        return _READERS[hint]
    inner = get_args(hint)
    if isinstance(hint, UnionType) and type(None) in inner:
        return _optional(_reader(next(kind for kind in inner if kind is not type(None))))
    if get_origin(hint) is tuple:
        return _several(_reader(inner[0]))
    if get_origin(hint) is Mapping:
        return _pairs(_reader(inner[0]), _reader(inner[1]))
    return _one_of({kind.__name__: kind for kind in (inner or (hint,))})


def _optional(read: _Reader) -> _Reader:
    return lambda value, octets: None if value is None else read(value, octets)


def _several(read: _Reader) -> _Reader:
    return lambda value, octets: tuple(read(item, octets) for item in _items(value))


def _pairs(key: _Reader, entry: _Reader) -> _Reader:
    def read(value: object, octets: _Octets) -> dict[Any, Any]:
        return {key(k, octets): entry(v, octets) for k, v in map(_items, _items(value))}

    return read


def _one_of(kinds: Mapping[str, type[Any]]) -> _Reader:
    """An object that names its type."""
    for kind in kinds.values():
        _FIELDS[kind] = _fields_of(kind)

    def read(value: object, octets: _Octets) -> Any:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return _build(kinds[value.pop(_TYPE)], value, octets)

    return read


def _fields_of(kind: type[Any]) -> dict[str, _Reader]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


_COMMANDS: dict[str, type[Command]] = {kind.__name__: kind for kind in get_args(Command)}
_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_FIELDS: dict[object, dict[str, _Reader]] = {}
for _kind in (*_COMMANDS.values(), *_EVENTS.values(), WorkerConfig):
    _FIELDS[_kind] = _fields_of(_kind)
