"""Whether the log is as it was written, told to people and to other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.text import Text

from gateway.audit.archive import parsed
from gateway.audit.checkpoint import TYPE, is_genuine
from gateway.audit.log import FILE_NAME
from gateway.audit.pick import Record, number, text
from gateway.audit.reading import log_files, read_lines
from gateway.audit.sequence import FILE_NAME as SEQUENCE_NAME
from gateway.audit.sequence import numbers_in
from gateway.audit.signing_key import FILE_NAME as KEY_NAME
from gateway.audit.signing_key import load_public
from gateway.audit.verify import Verified, Verifier
from gateway.base.errors import ConfigError

MAX_OUTSIDE = 200_000
"""Checkpoints kept elsewhere that are compared, the newest: those of four months and a half."""

SHOWN = 20
"""Findings and remarks shown; `--json` has all that are kept."""


def find_keys(log: Path, named: Sequence[Path]) -> tuple[list[Ed25519PublicKey], list[str]]:
    """The public keys that are given, or that of the key beside the log, and words on what that proves.

    Raises:
        ConfigError: one that is named is no such key.
    """
    keys = [load_public(path) for path in named]
    if keys:
        return keys, []
    beside = (log if log.is_dir() else log.parent) / KEY_NAME
    try:
        found = load_public(beside)
    except ConfigError:
        return [], []
    words = f"signatures were checked with {beside.name} beside the log: one kept elsewhere (--key) proves more"
    return [found], [words]


def read_outside(path: Path, keys: Iterable[Ed25519PublicKey]) -> tuple[dict[int, str], list[str]]:
    """Checkpoints that were kept elsewhere, one JSON record in a line, whatever a syslog server put before it.

    Raises:
        ConfigError: the file cannot be read, or has no checkpoint of this log.
    """
    known, found, others = list(keys), dict[int, str](), 0
    for line in read_lines([path]):
        record = parsed(line.octets[max(line.octets.find(b"{"), 0) :])
        if record.get("type") != TYPE:
            continue
        if known and not any(is_genuine(record, key) for key in known):
            others += 1
            continue
        if len(found) >= MAX_OUTSIDE:
            del found[next(iter(found))]
        found[number(record, "size")] = text(record, "head")
    found.pop(0, None)
    if not found:
        raise ConfigError("it has no checkpoint of this log", file=str(path), remedy="see docs/operations.md")
    return found, [f"{others} checkpoints in {path.name} are not signed with that key"] if others else []


def verifier(log: Path, keys: Sequence[Path], outside: Path | None) -> tuple[Verifier, list[str]]:
    """What checks this log, and what should be known of how. To be made before its lines are read: it may grow.

    Raises:
        ConfigError: a key or the checkpoints cannot be used.
    """
    known, notes = find_keys(log, keys)
    kept, more = read_outside(outside, known) if outside is not None else ({}, [])
    directory = log if log.is_dir() else log.parent
    whole = log.is_dir() or log.name == FILE_NAME
    written = numbers_in(directory / SEQUENCE_NAME).written if whole else 0
    return Verifier(known, kept, written, whole=log.is_dir()), [*notes, *more]


def verify_log(log: Path, made: Verifier) -> Verified:
    """Check every line."""
    try:
        for line in read_lines(log_files(log)):
            made.take(line.octets, line.place)
    except ConfigError as error:
        made.damaged(str(error))
    return made.end()


def told(found: Verified, made: Verifier) -> Iterator[Text]:
    """What was found, for people: the first bad record first."""
    for finding in found.findings[:SHOWN]:
        yield Text(finding.line, style="bold red" if finding is found.findings[0] else "red")
    more = len(found.findings) + found.more_findings - SHOWN
    if more > 0:
        yield Text(f"and {more} more", style="red")
    if found.findings:
        first = found.findings[0]
        words = f"NOT INTACT: the first bad record is {first.seq or 'without a number'}, at {first.place}"
        yield Text(words, style="bold red")
    elif not found.records:
        yield Text("EMPTY: there is no record", style="yellow")
    elif not found.intact:
        yield Text("NOT PROVED: no record has a chain", style="bold red")
    else:
        yield Text(f"INTACT: {found.records} records, {found.first_seq} to {found.last_seq}", style="bold green")
    yield from _facts(found, made)
    for remark in found.remarks[:SHOWN]:
        yield Text(f"  note         {remark}")
    if len(found.remarks) > SHOWN:
        yield Text(f"  note         and {len(found.remarks) - SHOWN} more")


def as_json(found: Verified, made: Verifier) -> Iterator[str]:
    """One line for each finding, then one for the whole."""
    for finding in found.findings:
        yield json.dumps(
            {"place": finding.place, "seq": finding.seq, "ts": finding.ts, "what": finding.what, "words": finding.words}
        )
    signed, calls = made.signatures, made.pairing
    whole: Record = {
        "intact": found.intact,
        "records": found.records,
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "findings": len(found.findings) + found.more_findings,
        "checkpoints": signed.checked,
        "checkpoints_outside": signed.matched,
        "covered": signed.covered,
        "calls_begun": calls.begun,
        "calls_ended": calls.ended,
        "calls_open": calls.still_open,
        "remarks": found.remarks,
    }
    yield json.dumps(whole)


def _facts(found: Verified, made: Verifier) -> Iterator[Text]:
    signed, calls = made.signatures, made.pairing
    if not found.records:
        return
    yield Text(f"  written      {_day(found.first_ts)} to {_day(found.last_ts)} UTC")
    outside = f", {signed.matched} kept elsewhere agree" if signed.matched else ""
    covers = f"; the last covers record {signed.covered}" if signed.checked else ""
    yield Text(f"  checkpoints  {signed.checked}{covers}{outside}")
    yield Text(f"  calls        {calls.begun} begun, {calls.ended} ended, {calls.still_open} without an end yet")


def _day(ts: str) -> str:
    return ts[:19].replace("T", " ") or "?"
