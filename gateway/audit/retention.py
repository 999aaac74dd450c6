"""How long records are kept, and how some of them go without the chain being broken. PURE.

Only whole files go, or their detail: then each run of records that went leaves one line (`log.reduced`) that has the
hashes at its two ends, so the records around it still hang together. Before that a `log.pruned` record in the log says
which numbers went, and what is left (`sha256` of its lines, `head` of the last one): the chain and its checkpoints
cover that record, and with it what was left of the old ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

REDUCED, PRUNED = "log.reduced", "log.pruned"

KEPT = ("call.final", "log.", "admin.", "policy.loaded")
"""Types that stay when the detail goes, or how they begin: the end of each call with its grades, and the log's own."""

Record = Mapping[str, object]

_TYPE = re.compile(rb'"type":"([a-z._]{1,64})"')
_NAMES = ("v", "seq", "ts", "mono_ns", "boot_id", "node")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records are kept, in days from the newest of their file."""

    detail_days: int = 90
    final_days: int = 400
    hold: bool = False
    """Legal hold: nothing goes."""


@dataclass(slots=True)
class _Run:
    """Records that go, one behind the other."""

    first: Record
    last: Record
    count: int = 1


def stays(line: bytes) -> bool:
    """Whether a line stays when the detail goes; what is no record of ours does, for nobody knows what it is."""
    found = _TYPE.search(line)
    return found is None or found[1].decode("ascii").startswith(KEPT)


def reduced(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file without its detail."""
    run: _Run | None = None
    for line in lines:
        record = None if stays(line) else _record(line)
        if record is None:
            yield from _mark(run)
            yield line
            run = None
        elif run is None:
            run = _Run(record, record)
        else:
            run.last, run.count = record, run.count + 1
    yield from _mark(run)


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _mark(run: _Run | None) -> Iterator[bytes]:
    """The line that stands for the records that went; of records from before the chain, none."""
    if run is None or "hash" not in run.last:
        return
    place = {name: run.last.get(name) for name in _NAMES}
    facts = {"type": REDUCED, "first_seq": run.first.get("seq"), "records": run.count}
    ends = {"prev_hash": run.first.get("prev_hash"), "hash": run.last.get("hash")}
    yield json.dumps(place | facts | ends, separators=(",", ":")).encode("ascii") + b"\n"


def pruned(*, file: str, first: Record, last: Record, kept: int, sha256: str) -> dict[str, object]:
    """The record that is written before records go.

    Args:
        first, last: of the records in the file.
        kept: lines that stay; none: the whole file goes.
        sha256: of the lines that stay (unpacked), "" when the file goes.
    """
    return {
        "type": PRUNED,
        "what": "detail" if sha256 else "all",
        "file": file,
        "first_seq": first.get("seq"),
        "last_seq": last.get("seq"),
        "head": last.get("hash"),
        "kept": kept,
        "sha256": sha256,
    }
