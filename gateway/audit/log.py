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
from dataclasses import replace

from gateway.audit import gaps
from gateway.audit.file import AuditFile, Tail
from gateway.audit.gaps import Outage
from gateway.audit.heartbeat import Pulse
from gateway.audit.ledger import Ledger
from gateway.audit.line import LineFormat
from gateway.audit.opening import begin, cannot_write
from gateway.audit.people import People
from gateway.audit.place import AuditPlace
from gateway.audit.sequence import FILE_NAME as SEQUENCE_NAME
from gateway.audit.sequence import Numbers, SequenceFile
from gateway.audit.tally import RecordTally, countable
from gateway.audit.waiting import Then, Waiting, tell
from gateway.audit.writer import Batch, Outcome, ThreadWriter, Writer
from gateway.base.counters import Counter, Counters

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

Listener = Callable[[Sequence[bytes]], None]
"""Gets lines that are in the file, in their order, as they stand there."""

_log = logging.getLogger(__name__)


class AuditLog:
    """Takes audit records; the only owner of the log file. Everything but its writer runs in one thread.

    Args:
        deliver: calls a function in the loop the log is used from, from any thread (`loop.call_soon_threadsafe`).
        soon: calls a function when what happens now is over (`loop.call_soon`); without it nothing is collected.
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
        soon: Callable[[Callable[[], None]], object] | None = None,
        form: LineFormat | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        writer: Callable[[Ledger, SequenceFile], Writer] | None = None,
    ) -> None:
        self._place, self._counters = place, counters
        self._monotonic_ns, self._soon = monotonic_ns, soon
        self._asked = False
        self._form = form or LineFormat(people=People(place.directory) if place.pseudonyms else None)
        self._file = AuditFile(place.directory / FILE_NAME)
        self._ledger = Ledger(self._file, place.rotation)
        self._sequence = SequenceFile(place.directory / SEQUENCE_NAME)
        make = writer or (lambda ledger, sequence: ThreadWriter(ledger, sequence, deliver))
        self._writer = make(self._ledger, self._sequence)
        self._limit = place.buffer_octets
        self._waiting: deque[Waiting] = deque()
        self._octets = 0
        self._under_way = 0
        self._overdue = False
        self._outage: Outage | None = None
        self._seq = self._written = 0
        self._tried_ns = 0
        self._pulse = Pulse(self._monotonic_ns())
        self._listeners: list[Listener] = []
        self.tally = RecordTally(counters)
        self.recovered = 0
        """Calls of earlier runs that got their final record when the log was opened."""

    # --- for those who write

    def write(self, record: Mapping[str, object], then: Then | None = None) -> None:
        """Append one record soon, after all that were given before. Returns at once.

        Args:
            then: told once what became of it, perhaps before this returns.
        """
        self._submit(self._entry(record, then))

    def _submit(self, entry: Waiting) -> None:
        if not self._take(entry):
            self._lose(entry)
            tell([(entry.then, False)])
            return
        if self._overdue:
            tell(self._hold([entry]))
        if self._soon is None:
            self._hand_over()
        elif not (self._asked or self._under_way):
            self._asked = True
            self._soon(self._collected)

    def _collected(self) -> None:
        """What one step of the loop wrote goes to the writer together: waking a thread costs more than a line."""
        self._asked = False
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
    def records_written(self) -> int:
        """How many records of this run are in the file, the log's own included."""
        return self.tally.records.total()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest record that is not known to be in the file has waited; 0 when none waits."""
        return self._age(self._waiting[0]) if self._waiting else 0.0

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
            if self._form.people is not None:
                self._form.people.open()
            numbers = self._sequence.open()
        except OSError as error:
            raise cannot_write(self._place, error) from error
        begun = begin(self._place, self._ledger, numbers)
        self._seq, self.recovered = begun.seq, begun.recovered
        self._write_now(begun.records)
        self._writer.start(self._done)

    def use(self, place: AuditPlace) -> None:
        """Buffer so much, and refuse calls so soon, from now on; where the log is, and who signs it, stays."""
        self._place = replace(self._place, refuses_at_once=place.refuses_at_once, buffer_octets=place.buffer_octets)
        self._limit = place.buffer_octets

    def watch(self) -> None:
        """Stop waiting for a disk that does not answer, try one that failed; to be called several times a second."""
        head = self._waiting[0] if self._waiting else None
        if head is not None and self._under_way and self._age(head) >= DEADLINE_SECONDS:
            self._give_up_waiting()
        elif self._outage is not None:
            self.retry()
        else:
            self._beat(self._monotonic_ns())

    def checkpoint(self, then: Then | None = None) -> None:
        """Have all that was written until now signed; `then` as in `write`."""
        self._pulse.signed(self._monotonic_ns())
        self._seq += 1
        self._submit(Waiting(self._form.checkpoint(self._seq), self._monotonic_ns(), then, own=True))

    def _beat(self, now_ns: int) -> None:
        """Say once a while that the log is there, and have what it says signed."""
        if self._pulse.wants_heartbeat(now_ns):
            state = {"calls": self._calls(), "waiting": len(self._waiting), "dropped": self.records_lost}
            self.write(self._pulse.heartbeat(now_ns, state))
        if self._pulse.wants_checkpoint(now_ns):
            self.checkpoint()

    def _calls(self) -> int:
        return self._counters[Counter.CALLS_STARTED] - self._counters[Counter.CALLS_ENDED]

    def retry(self) -> None:
        """Try again to write what waits, at most once per `RETRY_NS`."""
        now = self._monotonic_ns()
        if now - self._tried_ns >= RETRY_NS:
            self._hand_over()

    def close(self) -> bool:
        """Give the files back; False when a disk that does not answer keeps them."""
        if self._asked:
            self._collected()
        if self._waiting:
            span = f"{self._waiting[0].seq}..{self._seq}"
            _log.error("audit state=closed waiting=%d seq=%s", len(self._waiting), span)
        return self._writer.close(Numbers(self._written, self._seq), CLOSE_SECONDS)

    # --- the waiting line

    def _entry(self, record: Mapping[str, object], then: Then | None = None) -> Waiting:
        self._seq += 1
        return Waiting(self._form.draft(record, self._seq), self._monotonic_ns(), then, countable=countable(record))

    def _take(self, entry: Waiting) -> bool:
        """Let a line wait if there is room; after a loss only behind the line that tells of it."""
        if self._waiting and self._octets + entry.octets > self._limit:
            return False
        if self._outage is not None and self._outage.unreported:
            return False
        self._queue(entry)
        return True

    def _queue(self, entry: Waiting) -> None:
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
        self._pulse.count(len(outcome.lines))
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
        if outcome.forgot and self._form.people is not None:
            self._form.people.forget()
            self.write({"type": "admin.erase"})
        if not outcome.error:
            self._hand_over()
        tell(told)
        if self._pulse.is_full and self._outage is None:
            self.checkpoint()

    def _wrote(self, entry: Waiting) -> tuple[Then | None, bool]:
        self._octets -= entry.octets
        self._written = entry.seq
        self.tally.count(entry.countable)
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

    def _age(self, entry: Waiting) -> float:
        return (self._monotonic_ns() - entry.since_ns) / 1e9

    def _give_up_waiting(self) -> None:
        self._fail(NO_ANSWER)
        self._overdue = True
        told = self._hold(self._waiting)
        self._writer.keep(Numbers(self._written, self._seq))
        tell(told)

    def _fail(self, reason: str) -> Outage:
        if self._outage is None:
            self._outage = Outage(self._monotonic_ns(), reason)
            _log.error("audit state=available->unavailable error=%s", reason)
        return self._outage

    def _hold(self, entries: deque[Waiting] | list[Waiting]) -> list[tuple[Then | None, bool]]:
        """These wait for the end of the outage; nobody waits for them any more."""
        told: list[tuple[Then | None, bool]] = []
        for entry in entries:
            if not entry.held:
                entry.held = True
                self._count_buffered(entry)
                told.append((entry.then, False))
        return told

    def _count_buffered(self, entry: Waiting) -> None:
        if self._outage is not None and not entry.own:
            self._outage.buffered += 1
            self._counters.add(Counter.AUDIT_BUFFERED)

    def _lose(self, entry: Waiting) -> None:
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

    def _queue_own(self, record: Mapping[str, object]) -> Waiting:
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

    def _write_now(self, records: Sequence[Mapping[str, object]]) -> None:
        """Before the writer starts: in the file, or the gateway does not start."""
        entries = [self._entry(record) for record in records]
        try:
            for first in range(0, len(entries), MAX_BATCH):
                batch = entries[first : first + MAX_BATCH]
                lines = self._ledger.append([entry.draft for entry in batch])
                self._announce(lines)
                self.tally.count(*(entry.countable for entry in batch[: len(lines)]))
                if len(lines) < len(batch):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise cannot_write(self._place, error) from error
        self._written = self._seq

    def _absorb(self, tail: Tail) -> None:
        """A file was opened on the way: its numbers are taken too, and what had to be cut off is recorded."""
        self._seq = max(self._seq, tail.last_seq)
        if tail.torn:
            self.write(gaps.torn_line(tail.torn))
