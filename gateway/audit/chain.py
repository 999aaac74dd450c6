"""The chain of the log: no line can be changed, taken out, put in or moved without being found. PURE.

    hash = SHA-256(prev_hash + canonical JSON of the record without its `hash`)

`prev_hash` is the hash of the line before, of the first line of a log `GENESIS`; both are 64 hexadecimal digits and
hashed as such. The canonical form is how the log writes a line: printable ASCII, no blanks, the names of `HEAD` first
and in that order, then all others sorted (inside of other values too), last `prev_hash`. The line is that form with
`hash` behind it, so a line can be checked as it stands; who got the record another way makes the form with `canonical`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from gateway.audit.retention import REDUCED

HEAD = ("v", "seq", "ts", "mono_ns", "boot_id", "node", "type", "call_uid")
"""What a line begins with: enough to know what it is about when a reader cuts it short."""

GENESIS = "0" * 64
"""What the first line of a log names as the hash before it."""

SEAL_OCTETS = len(f',"prev_hash":"{GENESIS}","hash":"{GENESIS}"}}\n')
"""Octets that `sealed` adds to a draft."""

Record = Mapping[str, object]

_APART = frozenset({*HEAD, "prev_hash", "hash"})
_SEAL = re.compile(rb',"prev_hash":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n?\Z')
_HASH = re.compile(r"[0-9a-f]{64}")
_COMPACT = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
_SORTED = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)


class Fault(StrEnum):
    """What is wrong with a line."""

    UNREADABLE = "no record"
    """It is no JSON object, or repeats a name, so that two readers may read two things."""
    UNCHAINED = "no hash"
    """It has no chain, though lines before it have."""
    CHANGED = "changed"
    """Its content is not what was hashed."""
    UNLINKED = "not after the line before"
    """It names another line before it: one was taken out, put in or moved, or the line before was changed."""
    ORDER = "number not after the one before"
    """Its number, or its monotonic time within one boot, does not follow."""
    CLOCK = "clock set back"
    """It says it was written earlier than the line before."""


@dataclass(frozen=True, slots=True)
class Link:
    """What the next line must follow; as it is made, the beginning of a log."""

    seq: int = 0
    hash: str = GENESIS
    """`GENESIS` too where the line has no chain, as before version 2."""
    ts: str = ""
    boot_id: str = ""
    mono_ns: int = 0


@dataclass(frozen=True, slots=True)
class Examined:
    """One line, and what it is worth after the one before."""

    record: Record
    """Empty when the line is none."""
    link: Link
    """For the next line: of what this one says of itself, so that one bad line does not make all that follow bad."""
    faults: tuple[Fault, ...] = ()
    """Empty when the line is as it was written and where it was written."""
    gone: tuple[int, int] | None = None
    """Of a `log.reduced` line: the numbers it stands for. A `log.pruned` record must tell of them (`retention`)."""


def sealed(draft: bytes, prev_hash: str) -> tuple[bytes, str]:
    """A draft (a record in canonical form, without the closing brace) as the line after `prev_hash`, and its hash."""
    content = b'%b,"prev_hash":"%b"}' % (draft, prev_hash.encode("ascii"))
    found = hash_of(content, prev_hash)
    return b'%b,"hash":"%b"}\n' % (content[:-1], found.encode("ascii")), found


def hash_of(content: bytes, prev_hash: str) -> str:
    """The hash of a record whose canonical form is `content`."""
    return hashlib.sha256(prev_hash.encode("ascii") + content).hexdigest()


def canonical(record: Record) -> bytes:
    """The form of a record that is hashed; its own `hash` is left out, whatever order its names came in.

    Raises:
        ValueError: it holds a number no JSON has.
    """
    head = _COMPACT.encode({name: record[name] for name in HEAD if name in record})
    rest = _SORTED.encode({name: value for name, value in record.items() if name not in _APART})
    last = _COMPACT.encode({name: record[name] for name in ("prev_hash",) if name in record})
    return f"{{{','.join(text[1:-1] for text in (head, rest, last) if text != '{}')}}}".encode("ascii")


def hash_in(record: Record) -> str:
    """The hash a record has; `GENESIS` when it has none, as before version 2."""
    return _hash(record, "hash") or GENESIS


def examine(line: bytes, before: Link | None = None) -> Examined:
    """Check one line of the log against the line before it.

    Args:
        before: what the examination of that line gave; `Link()` at the beginning of a log; None when nothing is known
            of it, as of the oldest file that is left: then anything may be before.
    """
    record = _record(line)
    if record is None:
        return Examined({}, before or Link(), (Fault.UNREADABLE,))
    prev, found = _hash(record, "prev_hash"), _hash(record, "hash")
    seq, mono_ns = _number(record, "seq"), _number(record, "mono_ns")
    link = Link(seq, found or GENESIS, _text(record, "ts"), _text(record, "boot_id"), mono_ns)
    gone = (_number(record, "first_seq"), seq) if record.get("type") == REDUCED else None
    content = _content(line, prev, found, before) if gone is None else []
    return Examined(record, link, (*content, *_place(prev, link, before)), gone)


def _content(line: bytes, prev: str, found: str, before: Link | None) -> list[Fault]:
    """Whether the line is what was hashed when it was written."""
    if not (prev or found):
        return [Fault.UNCHAINED] if before is not None and before.hash != GENESIS else []
    seal = _SEAL.search(line)
    if seal is None or seal.groups() != (prev.encode("ascii"), found.encode("ascii")):
        return [Fault.CHANGED]
    end = seal.start() + len(',"prev_hash":""') + len(GENESIS)
    return [] if hash_of(line[:end] + b"}", prev) == found else [Fault.CHANGED]


def _place(prev: str, link: Link, before: Link | None) -> list[Fault]:
    """Whether the line stands where it was written."""
    if before is None:
        return []
    faults = [Fault.UNLINKED] if prev and prev != before.hash else []
    same_boot = bool(link.boot_id) and link.boot_id == before.boot_id
    if link.seq <= before.seq or (same_boot and link.mono_ns < before.mono_ns):
        faults.append(Fault.ORDER)
    if link.ts < before.ts:
        faults.append(Fault.CLOCK)
    return faults


def _record(line: bytes) -> Record | None:
    try:
        found = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, each of whose names occurs once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _hash(record: Record, name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) and _HASH.fullmatch(value) else ""


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _number(record: Record, name: str) -> int:
    value = record.get(name)
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    return cast(int, value) if valid else 0
