"""Reads the log back when the gateway starts: which calls have no end, and where the numbers stopped.

Calls live only as long as the process that took them. So whatever was begun before the last `admin.start` that followed
a reading like this one has its end in the log, and nothing older need be read: files are read from the newest to the
oldest until that line is found. Two passes over them: the first finds calls without an end, the second what is known
of their legs.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit import checkpoint, heartbeat
from gateway.audit.archive import DAMAGED, Record, parsed, rotated, sequence_number, size_of, whole_lines
from gateway.audit.file import TAIL_WINDOW
from gateway.audit.notices import ALL_ENDED, RECOVERED

MAX_OCTETS = 2 * 1024**3
"""Octets read back, gzip unpacked: some four million records. What began before them and has no end stays without."""

MAX_OPEN = 100_000
"""Calls without an end that are remembered: a hundred times what a gateway takes at once. More is no log of ours."""

MAX_LEG_RECORDS = 64
"""Leg records kept of one call; a call has a handful, one that is changed all the time has its newest."""

CHECKPOINT_ROOM = 16 * 1024**2
"""Octets of a file the last checkpoint is looked for in: ten times what a thousand records take."""

_OWN_PULSE = frozenset({checkpoint.TYPE, heartbeat.TYPE})
_IS_CHECKPOINT = f'"type":"{checkpoint.TYPE}"'.encode("ascii")
_HEAD = re.compile(
    rb'\{"v":\d+,"seq":(\d{1,18}),"ts":"[^"\\]*","mono_ns":\d+,"boot_id":"[^"\\]*","node":"[^"\\]*"'
    rb',"type":"([a-z._]+)"(?:,"call_uid":"([^"\\]{1,64})")?'
)
"""How every line of ours begins (`LineFormat`): what a first pass needs of most lines, without reading all of it."""


@dataclass(slots=True)
class OpenCall:
    """A call whose end is not in the log."""

    start: Record
    legs: list[Record] = field(default_factory=list)
    """Its leg records, oldest first."""


@dataclass(frozen=True, slots=True)
class History:
    """What the log tells of the time before this start."""

    open_calls: tuple[OpenCall, ...] = ()
    last: Record = field(default_factory=dict)
    """The newest readable record; empty when there is none."""
    ending: Record = field(default_factory=dict)
    """The newest that is more than a checkpoint or a heartbeat."""
    checkpoint: Record = field(default_factory=dict)
    """The newest checkpoint."""
    complete: bool = True
    """False when a limit ended the reading: older calls may have no end."""

    @property
    def last_seq(self) -> int:
        return sequence_number(self.last)

    @property
    def ended_well(self) -> bool:
        """The gateway stopped on purpose, or never ran."""
        return not self.ending or self.ending.get("type") == "admin.stop"


@dataclass(slots=True)
class _Scan:
    """The first pass over one file."""

    path: Path
    open: dict[str, bytes] = field(default_factory=dict)
    """The first line of each call that has no last one here."""
    ended: set[str] = field(default_factory=set)
    """Calls that end here and began in an older file."""
    first_seq: int = 0
    last_seq: int = 0
    found_start: bool = False
    """A start that had read back is here: nothing older matters."""
    whole: bool = True


def read_back(current: Path) -> History:
    """What the log and its rotated files tell; unreadable lines and rotated files are passed over.

    Raises:
        OSError: the log itself cannot be read.
    """
    older = rotated(current)
    last = _newest_record(current, older)
    ending = last if last.get("type") not in _OWN_PULSE else _newest_record(current, older, _OWN_PULSE)
    signed = _newest_checkpoint(current, older)
    if ending.get("type") == "admin.stop" and ending.get(ALL_ENDED) is True:
        return History(last=last, ending=ending, checkpoint=signed)
    scans, complete = _first_pass(current, older)
    calls = {uid: OpenCall(start) for uid, start in _open_calls(scans).items()}
    if calls:
        for scan in scans:
            _second_pass(scan.path, calls)
    return History(tuple(calls.values()), last, ending, signed, complete)


def _newest_record(current: Path, older: list[Path], apart: frozenset[str] = frozenset()) -> Record:
    """The last readable record of the newest file that has one; those of some types are passed over."""
    for path in (current, *older):
        found: Record = {}
        with suppress(*DAMAGED):
            for line in whole_lines(path, TAIL_WINDOW):
                record = parsed(line)
                found = record if record and record.get("type") not in apart else found
        if found:
            return found
    return {}


def _newest_checkpoint(current: Path, older: list[Path]) -> Record:
    """The last checkpoint, which is a thousand records back at most, unless somebody removed it."""
    for path in (current, *older):
        found = b""
        for room in (TAIL_WINDOW, CHECKPOINT_ROOM):
            with suppress(*DAMAGED):
                for line in whole_lines(path, room):
                    found = line if _IS_CHECKPOINT in line else found
            if found:
                return parsed(found)
    return {}


def _first_pass(current: Path, older: list[Path]) -> tuple[list[_Scan], bool]:
    """Scans of the files that matter, oldest first, and whether that was all there is."""
    room, scans = MAX_OCTETS, list[_Scan]()
    for path in (current, *older):
        scan, read = _scan(path, room, current=path is current)
        if scans and not _precedes(scan, scans[0]):
            continue  # a copy of what is read already, or no log
        room -= read
        scans.insert(0, scan)
        if scan.found_start:
            return scans, True
        if not scan.whole or room <= 0:
            return scans, False
    return scans, True


def _precedes(older: _Scan, newer: _Scan) -> bool:
    if not older.last_seq:
        return False
    return not newer.first_seq or older.last_seq < newer.first_seq


def _scan(path: Path, room: int, *, current: bool) -> tuple[_Scan, int]:
    """The first pass over one file, and how many octets it took."""
    scan, read = _Scan(path), 0
    try:
        scan.whole = size_of(path) <= room
        for line in whole_lines(path, room):
            read += len(line)
            _take(scan, line)
    except DAMAGED:
        if current:
            raise
        scan.whole = False
    scan.whole = scan.whole and len(scan.open) < MAX_OPEN
    return scan, read


def _take(scan: _Scan, line: bytes) -> None:
    seq, kind, uid = _head(line)
    if seq:
        scan.last_seq = seq
        scan.first_seq = scan.first_seq or seq
    if kind == "call.start" and uid and len(scan.open) < MAX_OPEN:
        scan.open[uid] = line
    elif kind == "call.final" and uid and scan.open.pop(uid, None) is None and len(scan.ended) < MAX_OPEN:
        scan.ended.add(uid)
    elif kind == "admin.start" and RECOVERED in parsed(line):
        scan.open.clear()
        scan.ended.clear()
        scan.found_start = True


def _head(line: bytes) -> tuple[int, str, str]:
    """Number, type and call of a line; a line that is none of ours, or was made so, is read as a whole."""
    found = _HEAD.match(line) if line.endswith(b"}\n") else None
    if found is not None:
        seq, kind, uid = found.groups()
        return int(seq), kind.decode("ascii"), (uid or b"").decode("ascii", errors="replace")
    record = parsed(line)
    kind, uid = record.get("type"), record.get("call_uid")
    return sequence_number(record), kind if isinstance(kind, str) else "", uid if isinstance(uid, str) else ""


def _open_calls(scans: list[_Scan]) -> dict[str, Record]:
    """The first records of the calls without an end; a line that is no record began no call."""
    calls: dict[str, bytes] = {}
    for scan in scans:
        for uid in scan.ended:
            calls.pop(uid, None)
        calls |= scan.open
    return {uid: record for uid, line in calls.items() if (record := parsed(line))}


def _second_pass(path: Path, calls: dict[str, OpenCall]) -> None:
    with suppress(*DAMAGED):
        for line in whole_lines(path, MAX_OCTETS):
            if b'"leg.' in line:
                _take_leg(calls, line)


def _take_leg(calls: dict[str, OpenCall], line: bytes) -> None:
    _, kind, uid = _head(line)
    call = calls.get(uid)
    if call is not None and kind.startswith("leg."):
        call.legs.append(parsed(line))
        del call.legs[:-MAX_LEG_RECORDS]
