"""The wire form of the relay protocol: JSON header, octet strings behind it (see `relay_protocol`)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_args, get_type_hints

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, Secret
from gateway.media import relay_protocol as protocol
from gateway.media.relay_protocol import MAX_MESSAGE, Command, Event, Format, Leg, SessionCounters, WorkerConfig

_LENGTH = struct.Struct("!I")
_TYPE = "type"
_LEGS: tuple[Leg, ...] = get_args(Leg)

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


def encode(message: Command | Event) -> bytes:
    """One message as one packet."""
    octets: list[bytes] = []
    header: dict[str, object] = {_TYPE: type(message).__name__}
    for field in fields(message):
        header[field.name] = _plain(getattr(message, field.name), octets)
    text = json.dumps(header, separators=(",", ":")).encode()
    packet = b"".join((_LENGTH.pack(len(text)), text, *octets))
    if len(packet) > MAX_MESSAGE:
        raise MediaError(f"control message {type(message).__name__} is too long")
    return packet


def decode_command(packet: bytes) -> Command:
    """The command in a packet; raises MediaError for anything else."""
    return _decode(packet, _COMMANDS)


def decode_event(packet: bytes) -> Event:
    """The event in a packet; raises MediaError for anything else."""
    return _decode(packet, _EVENTS)


def encode_config(config: WorkerConfig) -> str:
    """The start configuration as the worker's command-line argument."""
    return json.dumps(asdict(config), separators=(",", ":"))


def decode_config(text: str) -> WorkerConfig:
    """The start configuration; raises MediaError when it cannot be read."""
    try:
        return _build(WorkerConfig, json.loads(text), _Octets(b""))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MediaError("malformed worker configuration") from error


def _decode(packet: bytes, types: Mapping[str, type[M]]) -> M:
    try:
        (length,) = _LENGTH.unpack_from(packet)
        end = _LENGTH.size + length
        header = json.loads(packet[_LENGTH.size : end])
        octets = _Octets(packet[end:])
        message = _build(types[header.pop(_TYPE)], header, octets)
        if not octets.exhausted:
            raise ValueError("octets left over")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error):
        # Without the cause: its text may quote the packet, and the packet may hold a key.
        raise MediaError("malformed control message") from None
    return message


def _build(kind: type[M], header: object, octets: _Octets) -> M:
    readers = _FIELDS[kind]
    if not isinstance(header, dict) or header.keys() != readers.keys():
        raise ValueError("fields do not match")
    return kind(**{name: read(header[name], octets) for name, read in readers.items()})


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
    if isinstance(value, tuple) and value and isinstance(value[0], Format):
        return [[entry.leg, entry.payload_type, entry.clock_rate, entry.is_event] for entry in value]
    if isinstance(value, Mapping):
        return [[key, entry] for key, entry in value.items()]
    if isinstance(value, SessionCounters):
        return asdict(value)
    return value


def _integer(value: object, _: _Octets) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _number(value: object, _: _Octets) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _text(value: object, _: _Octets) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _flag(value: object, _: _Octets) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a truth value")
    return value


def _leg(value: object, _: _Octets) -> Leg:
    for leg in _LEGS:
        if value == leg:
            return leg
    raise ValueError("not a leg")


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _address(value: object, octets: _Octets) -> HostPort:
    host, port = _items(value)
    return HostPort(_text(host, octets), _integer(port, octets))


def _address_or_none(value: object, octets: _Octets) -> HostPort | None:
    return None if value is None else _address(value, octets)


def _texts(value: object, octets: _Octets) -> tuple[str, ...]:
    return tuple(_text(item, octets) for item in _items(value))


def _numbers(value: object, octets: _Octets) -> dict[int, int]:
    return {_integer(key, octets): _integer(entry, octets) for key, entry in map(_items, _items(value))}


def _formats(value: object, octets: _Octets) -> tuple[Format, ...]:
    return tuple(_format(*_items(item), octets=octets) for item in _items(value))


def _format(leg: object, number: object, rate: object, is_event: object, *, octets: _Octets) -> Format:
    if _integer(rate, octets) <= 0:
        raise ValueError("not a clock rate")
    return Format(_leg(leg, octets), _integer(number, octets), _integer(rate, octets), _flag(is_event, octets))


def _bytes(value: object, octets: _Octets) -> bytes:
    return octets.take(value)


def _secret_bytes(value: object, octets: _Octets) -> Secret[bytes]:
    return Secret(octets.take(value))


def _secret_text(value: object, octets: _Octets) -> Secret[str]:
    return Secret(octets.take(value).decode())


def _counters(value: object, octets: _Octets) -> SessionCounters:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return SessionCounters(**{str(name): _integer(amount, octets) for name, amount in value.items()})


_Reader = Callable[[object, _Octets], object]

_READERS: dict[object, _Reader] = {
    int: _integer,
    float: _number,
    str: _text,
    bool: _flag,
    Leg: _leg,
    HostPort: _address,
    HostPort | None: _address_or_none,
    tuple[str, ...]: _texts,
    Mapping[int, int]: _numbers,
    tuple[Format, ...]: _formats,
    bytes: _bytes,
    Secret[bytes]: _secret_bytes,
    Secret[str]: _secret_text,
    SessionCounters: _counters,
}

_COMMANDS: dict[str, type[Command]] = {kind.__name__: kind for kind in get_args(Command)}
_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_FIELDS: dict[object, dict[str, _Reader]] = {
    kind: {name: _READERS[hint] for name, hint in get_type_hints(kind, vars(protocol)).items()}
    for kind in (*_COMMANDS.values(), *_EVENTS.values(), WorkerConfig)
}
