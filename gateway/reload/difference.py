"""What is different between two configurations, in the words of their files, and the hash that names one.

Secrets are compared and never shown. Values are shown where they are numbers or words of the configuration itself, or
stand in the tables of a running gateway anyway; of everything else it is told that it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path

from gateway.base.values import Secret
from gateway.config.load import LoadedConfig
from gateway.config.scalars import Model, Written, keys

ADDED, REMOVED, CHANGED, MOVED = "added", "removed", "changed", "in another order"
MAX_SHOWN = 60
"""Characters of a value that is shown; of a longer one it is told that it changed."""
USERS = "users."
"""Keys of the users file, each with the name of a person."""
BARE = ("config", "users")
"""Files whose keys stand for themselves; those of others begin with the name of the file."""
SHOWN = frozenset(
    """action address advertise bind certificate ca client_ca codecs contact countries country deny dialled dialplan
    dtmf emergency emergency_trunks expires floor key log_level match media_networks networks on_unavailable origins
    policy prefer profile require security servers sip strip suites target targets tls_min trunk trunks""".split()
)
"""Keys whose text is shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key that is different."""

    key: str
    """As messages about the configuration have it, for example `trunks.pbx.security`."""
    what: str = CHANGED
    was: str = ""
    now: str = ""
    """Both empty where they are not shown."""

    def __str__(self) -> str:
        return f"{self.key}: {self.was} -> {self.now}" if self.was or self.now else f"{self.key}: {self.what}"


def differences(before: LoadedConfig, after: LoadedConfig) -> tuple[Change, ...]:
    """Every key that is different, of all the files."""
    return tuple(
        change
        for (name, one), (_, other) in zip(_files(before), _files(after), strict=True)
        for change in _between("" if name in BARE else f"{name}.", one, other)
    )


def for_record(changes: Sequence[Change]) -> list[str]:
    """The same without the names of people: of the users it is told how many."""
    users = [change for change in changes if change.key.startswith(USERS)]
    told = [str(change) for change in changes if not change.key.startswith(USERS)]
    for what in (ADDED, REMOVED, CHANGED):
        names = {change.key.split(".")[1] for change in users if change.what == what}
        told += [f"users: {len(names)} {what}"] if names else []
    return told


def fingerprint(loaded: LoadedConfig) -> str:
    """The SHA-256 of a configuration without its secrets: from a hash over those a weak one could be guessed."""
    plain = {name: _plain(model) for name, model in _files(loaded)}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _files(loaded: LoadedConfig) -> list[tuple[str, Model]]:
    """The model of each file."""
    named = [(field.name, getattr(loaded, field.name)) for field in fields(loaded)]
    return [(name, model) for name, model in named if isinstance(model, Model)]


def _between(key: str, one: object, other: object) -> Iterator[Change]:
    """What is different below a key, which ends with a dot unless it is the whole one."""
    if one == other:
        return
    parts, others = _named(one), _named(other)
    if parts is not None and others is not None:
        yield from _of_named(key, parts, others)
    else:
        yield _leaf(key.removesuffix("."), one, other)


def _of_named(key: str, one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[Change]:
    for name in dict.fromkeys((*one, *other)):
        if name in one and name in other:
            yield from _between(f"{key}{name}.", one[name], other[name])
        else:
            yield Change(f"{key}{name}", ADDED if name in other else REMOVED)
    kept = [name for name in one if name in other]
    if kept != [name for name in other if name in one]:
        yield Change(key.removesuffix("."), MOVED)


def _named(value: object) -> Mapping[str, object] | None:
    """The parts of a value that have names: keys of a section, sections by name, rules by their id; else None."""
    if isinstance(value, Written) or value is None:
        return None
    if isinstance(value, Model):
        return {key: getattr(value, name) for key, name in _fields(value)}
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items()}
    if isinstance(value, tuple) and all(isinstance(getattr(part, "id", None), str) for part in value):
        return {part.id: part for part in value}
    return None


def _fields(model: Model) -> Iterator[tuple[str, str]]:
    """The keys of a model as they are written, each with its name in Python."""
    return zip(keys(type(model)), type(model).model_fields, strict=True)


def _leaf(key: str, one: object, other: object) -> Change:
    shown = _text(key, one), _text(key, other)
    if None in shown or any(len(text or "") > MAX_SHOWN for text in shown):
        return Change(key, ADDED if one is None else REMOVED if other is None else CHANGED)
    return Change(key, CHANGED, shown[0] or "", shown[1] or "")


def _text(key: str, value: object) -> str | None:
    """A value as it is shown; None: it is not."""
    may_be_read = key.rpartition(".")[2] in SHOWN and not key.startswith(USERS)
    if value is None:
        return "none" if may_be_read else None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, int | float):
        return f"{value:g}"
    return _words(value) if may_be_read else None


def _words(value: object) -> str | None:
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Written):
        return ":".join(str(_plain(getattr(value, name))) for _, name in _fields(value))
    if isinstance(value, tuple | frozenset | list):
        parts = [_words(part) for part in value]
        return None if None in parts else f"[{', '.join(part or '' for part in parts)}]"
    return None


def _plain(value: object) -> object:
    """As JSON has it, without secrets."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Written) and (words := _words(value)) is not None:
        return words
    if isinstance(value, Model):
        return {key: _plain(getattr(value, name)) for key, name in _fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(part) for part in value), key=str)
    if isinstance(value, Enum):
        return str(value.value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
