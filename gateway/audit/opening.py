"""The start of the log: where it goes on, and what the last run left behind that is put in order first."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.audit import gaps
from gateway.audit.chain import hash_in
from gateway.audit.checkpoint import Signer, State
from gateway.audit.crashed import call_crashed
from gateway.audit.file import Tail
from gateway.audit.ledger import Ledger
from gateway.audit.people import Tables
from gateway.audit.place import AuditPlace
from gateway.audit.recovery import History, read_back
from gateway.audit.sequence import Numbers
from gateway.audit.signing_key import FILE_NAME as KEY_NAME
from gateway.audit.signing_key import load_or_make
from gateway.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Opening:
    """Where the log goes on."""

    state: State
    """The end of what is there."""
    seq: int
    """The last number that was ever given; records go on behind it."""
    records: tuple[Mapping[str, object], ...]
    """What is to be written before anything else."""
    recovered: int
    """Calls that get their end so."""


def begin(place: AuditPlace, ledger: Ledger, numbers: Numbers) -> Opening:
    """Read the log back and let the chain go on where it ended, with its key; raises ConfigError."""
    tail = ledger.file.take_tail() or Tail()
    try:
        history = read_back(ledger.file.path)
    except OSError as error:
        raise cannot_write(place, error) from error
    found = opening(tail, history, numbers)
    signer = Signer(load_or_make(place.signing_key or place.directory / KEY_NAME))
    ledger.resume(found.state, signer, Tables(place.directory) if place.pseudonyms else None)
    return found


def cannot_write(place: AuditPlace, error: OSError) -> ConfigError:
    """Why there is no log, and what to do about it."""
    remedy = f"make {place.directory} writable for the gateway alone, with room on its disk"
    if error.errno == errno.EBUSY:
        remedy = "a gateway runs already: stop it, or give each its own audit.directory"
    why = error.strerror or type(error).__name__
    return ConfigError(f"the audit log cannot be written: {why}", key="audit.directory", remedy=remedy)


def opening(tail: Tail, history: History, numbers: Numbers) -> Opening:
    """Go on where the log ended, by its end, by what was read back, and by the numbers kept beside it."""
    size = max(tail.last_seq, history.last_seq) or numbers.written
    records: list[Mapping[str, object]] = [gaps.torn_line(tail.torn)] if tail.torn else []
    if numbers.given > size:
        records.append(gaps.lost_before(size + 1, numbers.given))
    if not history.ended_well or history.open_calls:
        log_ended, calls = history.last.get("ts"), len(history.open_calls)
        records.append(gaps.crashed(log_ended, calls, complete=history.complete))
    ended = str(history.last.get("ts", ""))
    records += [call_crashed(call.start, call.legs, log_ended=ended) for call in history.open_calls]
    state = State(size, hash_in(history.last), hash_in(history.checkpoint))
    return Opening(state, max(size, numbers.given), tuple(records), len(history.open_calls))
