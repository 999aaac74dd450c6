"""The audit log: one JSON line per record, whole or not at all, never a silent loss, never the event loop waiting.

    write() -> waiting (numbered, in order) -> Writer, a batch at a time -> `then` of each record, listeners

Who must not act before a record is written passes `then`: it is called with True when the operating system has taken
the line, with False when policy lets the action go on without (`audit.on_unavailable` decides about new calls).

While the file cannot be written (disk full, read-only, directory gone) or does not answer within `DEADLINE_SECONDS`,
records wait in memory up to a limit; then they are counted instead. When the file can be written again it is told how
much waited and how much was lost; what waited when the gateway ended is told of at its next start.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.audit import gaps
from gateway.audit.chain import SEAL_OCTETS, hash_in
from gateway.audit.crashed import call_crashed
from gateway.audit.file import AuditFile, Tail
from gateway.audit.gaps import Outage
from gateway.audit.ledger import Ledger
from gateway.audit.line import LineFormat
from gateway.audit.place import AuditPlace
from gateway.audit.recovery import History, read_back
from gateway.audit.sequence import FILE_NAME as SEQUENCE_NAME
from gateway.audit.sequence import Numbers, SequenceFile
from gateway.audit.writer import Batch, Outcome, ThreadWriter, Writer
from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError

FILE_NAME = "audit.jsonl"

DEADLINE_SECONDS = 2.0
"""How long a record may be waited for: longer than a busy disk hesitates, shorter than SIP repeats in earnest (T2)."""

MAX_BATCH = 256
"""Records handed to the writer at once, so that those who wait for the first do not wait for a whole backlog."""

NEW_CALL_SHARE = 0.75
"""Share of the buffer open to new calls; the rest is kept for the final records of calls already running."""

RETRY_NS = 1_000_000_000
"""While nothing is written, the file is tried at most this often."""

CLOSE_SECONDS = 1.0
"""How long closing waits for a disk that does not answer."""

NO_ANSWER = "the disk does not answer"
TOO_MANY = "more records than the disk takes"

Then = Callable[[bool], None]
"""Told once what became of a record: True written, False not (yet)."""

Listener = Callable[[Sequence[bytes]], None]
"""Gets lines that are in the file, in their order, as they stand there."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """A record that is not known to be in the file."""

    draft: bytes
    seq: int
    since_ns: int
    then: Then | None
    held: bool = False
    """It was not written when that was wanted: it waits for the end of an outage."""
    own: bool = False
    """It is about the log itself."""
    ends_outage: bool = False

    @property
    def octets(self) -> int:
        """Of the line it is to become."""
        return len(self.draft) + SEAL_OCTETS


class AuditLog:
    """Takes audit records; the only owner of the log file. Everything but its writer runs in one thread.

    Args:
        deliver: calls a function in the loop the log is used from, from any thread (`loop.call_soon_threadsafe`).
        form: makes lines; brings the wall clock.
        monotonic_ns: for deadlines and retries.
        writer: who writes instead of a thread.
    """

    def __init__(
        self,
        place: AuditPlace,
        counters: Counters,
        *,
        deliver: Callable[[Callable[[], None]], object],
        form: LineFormat | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        writer: Callable[[Ledger, SequenceFile], Writer] | None = None,
    ) -> None:
        self._place, self._counters = place, counters
        self._monotonic_ns = monotonic_ns
        self._form = form or LineFormat()
        self._file = AuditFile(place.directory / FILE_NAME)
        self._ledger = Ledger(self._file)
        self._sequence = SequenceFile(place.directory / SEQUENCE_NAME)
        make = writer or (lambda ledger, sequence: ThreadWriter(ledger, sequence, deliver))
        self._writer = make(self._ledger, self._sequence)
        self._limit = place.buffer_octets
        self._waiting: deque[_Waiting] = deque()
        self._octets = 0
        self._under_way = 0
        self._overdue = False
        self._outage: Outage | None = None
        self._seq = self._written = 0
        self._tried_ns = 0
        self._listeners: list[Listener] = []
        self.recovered = 0
        """Calls of earlier runs that got their final record when the log was opened."""

    # --- for those who write

    def write(self, record: Mapping[str, object], then: Then | None = None) -> None:
        """Append one record soon, after all that were given before. Returns at once.

        Args:
            then: told once what became of it, perhaps before this returns.
        """
        entry = self._entry(record, then)
        if not self._take(entry):
            self._lose(entry)
            _tell([(then, False)])
            return
        if self._overdue:
            _tell(self._hold([entry]))
        self._hand_over()

    def after_written(self, listener: Listener) -> None:
        """Have each line told of once it is in the file, in the loop of the log; to be called before `open`.

        A listener returns at once: it may put lines into a queue of its own. What it raises is logged and ends nothing.
        """
        self._listeners.append(listener)

    @property
    def accepting_calls(self) -> bool:
        """False when policy wants no new calls because the log cannot be written; emergency calls do not ask."""
        if self._would_accept():
            return True
        self.retry()
        return self._would_accept()

    @property
    def available(self) -> bool:
        """False from the first record that could not be written until the log was told that the outage is over."""
        return self._outage is None

    @property
    def records_lost(self) -> int:
        """How many records of this run will never be in the file."""
        return self._counters[Counter.AUDIT_DROPPED]

    # --- its life

    def open(self) -> None:
        """Make the directory, open the files, mend and read back; raises ConfigError when that is not possible now."""
        try:
            self._place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.open()
            numbers = self._sequence.open()
        except OSError as error:
            raise self._config_error(error.strerror or type(error).__name__, error.errno) from error
        self._resume(numbers)
        self._writer.start(self._done)

    def watch(self) -> None:
        """Stop waiting for a disk that does not answer, try one that failed; to be called several times a second."""
        head = self._waiting[0] if self._waiting else None
        if head is not None and self._under_way and self._age(head) >= DEADLINE_SECONDS:
            self._give_up_waiting()
        elif self._outage is not None:
            self.retry()

    def retry(self) -> None:
        """Try again to write what waits, at most once per `RETRY_NS`."""
        now = self._monotonic_ns()
        if now - self._tried_ns >= RETRY_NS:
            self._hand_over()

    def close(self) -> bool:
        """Give the files back; False when a disk that does not answer keeps them."""
        if self._waiting:
            span = f"{self._waiting[0].seq}..{self._seq}"
            _log.error("audit state=closed waiting=%d seq=%s", len(self._waiting), span)
        return self._writer.close(Numbers(self._written, self._seq), CLOSE_SECONDS)

    # --- the waiting line

    def _entry(self, record: Mapping[str, object], then: Then | None = None) -> _Waiting:
        self._seq += 1
        return _Waiting(self._form.draft(record, self._seq), self._seq, self._monotonic_ns(), then)

    def _take(self, entry: _Waiting) -> bool:
        """Let a line wait if there is room; after a loss only behind the line that tells of it."""
        if self._waiting and self._octets + entry.octets > self._limit:
            return False
        if self._outage is not None and self._outage.unreported:
            return False
        self._queue(entry)
        return True

    def _queue(self, entry: _Waiting) -> None:
        self._waiting.append(entry)
        self._octets += entry.octets

    def _hand_over(self) -> None:
        """Give the writer what waits, unless it is busy: then the rest goes together, next time."""
        if self._under_way or not (self._waiting or self._outage):
            return
        if not self._waiting:
            self._report()
        batch = [entry for entry, _ in zip(self._waiting, range(MAX_BATCH), strict=False)]
        self._under_way = len(batch)
        self._tried_ns = self._monotonic_ns()
        self._writer.submit(Batch(tuple(e.draft for e in batch), batch[0].seq, self._seq))

    def _done(self, outcome: Outcome) -> None:
        """A batch came back: move on, and tell those who wait."""
        self._under_way = 0
        self._announce(outcome.lines)
        told: list[tuple[Then | None, bool]] = []
        for _ in outcome.lines:
            told.append(self._wrote(self._waiting.popleft()))
        if outcome.error:
            self._fail(outcome.error)
            told += self._hold(self._waiting)
        else:
            self._overdue = False
            if self._outage is not None and not self._outage.reported:
                self._report()
        if outcome.tail is not None:
            self._absorb(outcome.tail)
        if not outcome.error:
            self._hand_over()
        _tell(told)

    def _wrote(self, entry: _Waiting) -> tuple[Then | None, bool]:
        self._octets -= entry.octets
        self._written = entry.seq
        if entry.ends_outage:
            self._end_outage()
        return (None if entry.held else entry.then), True

    def _announce(self, lines: Sequence[bytes]) -> None:
        for listener in self._listeners if lines else ():
            try:
                listener(lines)
            except Exception:  # noqa: BLE001 - a listener's defect must not keep anybody's record waiting
                _log.exception("audit listener failed")

    # --- outages

    def _would_accept(self) -> bool:
        if self._outage is None:
            return True
        if self._place.refuses_at_once or self._outage.lost:
            return False
        return self._octets < self._limit * NEW_CALL_SHARE

    def _age(self, entry: _Waiting) -> float:
        return (self._monotonic_ns() - entry.since_ns) / 1e9

    def _give_up_waiting(self) -> None:
        self._fail(NO_ANSWER)
        self._overdue = True
        told = self._hold(self._waiting)
        self._writer.keep(Numbers(self._written, self._seq))
        _tell(told)

    def _fail(self, reason: str) -> Outage:
        if self._outage is None:
            self._outage = Outage(self._monotonic_ns(), reason)
            _log.error("audit state=available->unavailable error=%s", reason)
        return self._outage

    def _hold(self, entries: deque[_Waiting] | list[_Waiting]) -> list[tuple[Then | None, bool]]:
        """These wait for the end of the outage; nobody waits for them any more."""
        told: list[tuple[Then | None, bool]] = []
        for entry in entries:
            if not entry.held:
                entry.held = True
                self._count_buffered(entry)
                told.append((entry.then, False))
        return told

    def _count_buffered(self, entry: _Waiting) -> None:
        if self._outage is not None and not entry.own:
            self._outage.buffered += 1
            self._counters.add(Counter.AUDIT_BUFFERED)

    def _lose(self, entry: _Waiting) -> None:
        """Count what does not fit, with its place in the sequence."""
        self._fail(TOO_MANY).lose(entry.seq)
        self._counters.add(Counter.AUDIT_DROPPED)

    def _report(self) -> None:
        """The file takes lines again: tell it what was lost, and that the outage is over."""
        outage = self._outage
        if outage is None:
            return
        if outage.unreported:
            self._queue_own(outage.dropped())
        self._queue_own(outage.recovered(self._monotonic_ns())).ends_outage = True
        outage.reported = True

    def _queue_own(self, record: Mapping[str, object]) -> _Waiting:
        entry = self._entry(record)
        entry.own = True
        self._queue(entry)
        return entry

    def _end_outage(self) -> None:
        outage = self._outage
        if outage is None:
            return
        if outage.unreported:  # more was lost since the line was made: it was not the last
            outage.reported = False
            return
        self._outage = None
        _log.warning("audit state=unavailable->available buffered=%d dropped=%d", outage.buffered, outage.lost)

    # --- what the file tells

    def _resume(self, numbers: Numbers) -> None:
        """Go on counting where the log ended, and put in order what the last run left behind."""
        tail = self._file.take_tail() or Tail()
        try:
            history = read_back(self._file.path)
        except OSError as error:
            raise self._config_error(error.strerror or type(error).__name__, error.errno) from error
        self._seq = self._written = _last_number(tail, history, numbers)
        self._ledger.resume(hash_in(history.last))
        records: list[dict[str, object]] = [gaps.torn_line(tail.torn)] if tail.torn else []
        if numbers.given > self._seq:
            records.append(gaps.lost_before(self._seq + 1, numbers.given))
            self._seq = numbers.given
        if not history.ended_well or history.open_calls:
            log_ended, calls = history.last.get("ts"), len(history.open_calls)
            records.append(gaps.crashed(log_ended, calls, complete=history.complete))
        ended = str(history.last.get("ts", ""))
        records += [call_crashed(call.start, call.legs, log_ended=ended) for call in history.open_calls]
        self.recovered = len(history.open_calls)
        self._write_now(records)

    def _write_now(self, records: list[dict[str, object]]) -> None:
        """Before the writer starts: in the file, or the gateway does not start."""
        drafts = [self._entry(record).draft for record in records]
        try:
            for first in range(0, len(drafts), MAX_BATCH):
                batch = drafts[first : first + MAX_BATCH]
                lines = self._ledger.append(batch)
                self._announce(lines)
                if len(lines) < len(batch):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._config_error(error.strerror or type(error).__name__) from error
        self._written = self._seq

    def _absorb(self, tail: Tail) -> None:
        """A file was opened on the way: its numbers are taken too, and what had to be cut off is recorded."""
        self._seq = max(self._seq, tail.last_seq)
        if tail.torn:
            self.write(gaps.torn_line(tail.torn))

    def _config_error(self, why: str, number: int | None = None) -> ConfigError:
        remedy = f"make {self._place.directory} writable for the gateway alone, with room on its disk"
        if number == errno.EBUSY:
            remedy = "a gateway runs already: stop it, or give each its own audit.directory"
        return ConfigError(f"the audit log cannot be written: {why}", key="audit.directory", remedy=remedy)


def _tell(told: list[tuple[Then | None, bool]]) -> None:
    for then, written in told:
        if then is not None:
            then(written)


def _last_number(tail: Tail, history: History, numbers: Numbers) -> int:
    """The number of the last record in the log; where the files are gone, the one kept beside them."""
    return max(tail.last_seq, history.last_seq) or numbers.written
