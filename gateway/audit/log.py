"""The audit log: one JSON line per record, appended by one write() each, never a half line, never a silent loss.

While the file cannot be written (disk full, read-only, directory gone) lines wait in memory up to a limit; then they
are counted instead. When the file can be written again it is told how much waited and how much was lost.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.audit.clean import cleaned_mapping
from gateway.audit.file import AuditFile, Tail
from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError
from gateway.config.schema import Audit

VERSION = 1
"""Version of the record format, the field `v`."""

FILE_NAME = "audit.jsonl"

MAX_LINE = 65536
"""Octets of one line; a longer record is replaced by its identifying fields."""

NEW_CALL_SHARE = 0.75
"""Share of the buffer open to new calls; the rest is kept for the final records of calls already running."""

RETRY_NS = 1_000_000_000
"""While new calls are refused, asking whether they are accepted tries the file at most this often."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outage:
    """One stretch of time in which the file could not be written."""

    since_ns: int
    reason: str
    buffered: int = 0
    lost: int = 0
    """Records dropped since the outage began."""
    unreported: int = 0
    """Those of them no log.dropped line tells of yet."""
    first_seq: int = 0
    last_seq: int = 0


class AuditLog:
    """Writes audit records; the only owner of the log file.

    Args:
        clock: wall clock, for timestamps only.
        monotonic_ns: for the order of records and for retries.
    """

    def __init__(
        self,
        config: Audit,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._config, self._counters = config, counters
        self._clock, self._monotonic_ns = clock, monotonic_ns
        self._file = AuditFile(config.directory / FILE_NAME)
        self._envelope = {"boot_id": _boot_id(), "node": os.uname().nodename}
        self._limit = int(config.buffer_mb * 1024 * 1024)
        self._buffer: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._outage: _Outage | None = None
        self._seq = 0
        self._retried_ns = 0

    def open(self) -> None:
        """Make the directory, open the file, mend its tail; raises ConfigError when that is not possible now."""
        try:
            self._config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.open()
        except OSError as error:
            raise self._config_error(error.strerror or type(error).__name__, error.errno) from error
        self._absorb_tail()
        if self._outage is not None:
            raise self._config_error(self._outage.reason)

    def write(self, record: Mapping[str, object]) -> bool:
        """Append one record; True when the operating system has taken it, False when it waits in memory or is lost."""
        ready = self.retry()
        line = self._line(record)
        if ready and self._append(line):
            self._absorb_tail()
            return True
        self._keep(line)
        return False

    def retry(self) -> bool:
        """Write what waits in memory; True when nothing waits any more."""
        while self._buffer:
            if not self._append(self._buffer[0]):
                return False
            self._buffered_bytes -= len(self._buffer.popleft())
        return self._outage is None or self._end_outage(self._outage)

    @property
    def accepting_calls(self) -> bool:
        """False when policy wants no new calls because the log cannot be written; emergency calls do not ask."""
        if self._would_accept():
            return True
        now = self._monotonic_ns()
        if now - self._retried_ns >= RETRY_NS:
            self._retried_ns = now
            self.retry()
        return self._would_accept()

    def close(self) -> None:
        """Write what waits, if possible, and give the file back."""
        if not self.retry():
            _log.error("audit state=closed lost=%d", len(self._buffer))
        self._file.close()

    def _would_accept(self) -> bool:
        if self._outage is None:
            return True
        if self._config.on_unavailable == "refuse_new" or self._outage.lost:
            return False
        return self._buffered_bytes < self._limit * NEW_CALL_SHARE

    def _append(self, line: bytes) -> bool:
        try:
            self._file.append(line)
        except OSError as error:
            self._note_failure(error)
            return False
        return True

    def _note_failure(self, error: OSError) -> None:
        if self._outage is None:
            self._outage = _Outage(self._monotonic_ns(), error.strerror or type(error).__name__)
            _log.error("audit state=available->unavailable error=%s", self._outage.reason)

    def _keep(self, line: bytes) -> None:
        """Hold a line back, oldest first; what does not fit is counted with its place in the sequence."""
        outage = self._outage
        if outage is None:
            return
        if self._buffered_bytes + len(line) <= self._limit:
            self._buffer.append(line)
            self._buffered_bytes += len(line)
            outage.buffered += 1
            self._counters.add(Counter.AUDIT_BUFFERED)
            return
        if not outage.unreported:
            outage.first_seq = self._seq
        outage.last_seq = self._seq
        outage.unreported += 1
        outage.lost += 1
        self._counters.add(Counter.AUDIT_DROPPED)

    def _end_outage(self, outage: _Outage) -> bool:
        """Tell the file what happened; as long as that fails the outage goes on."""
        if outage.unreported:
            span = {"first_seq": outage.first_seq, "last_seq": outage.last_seq}
            dropped = {"type": "log.dropped", "reason": outage.reason, "dropped": outage.unreported}
            if not self._append_own(dropped | span):
                return False
            outage.unreported = 0
        seconds = round((self._monotonic_ns() - outage.since_ns) / 1e9, 3)
        facts = {"buffered": outage.buffered, "dropped": outage.lost, "seconds": seconds}
        if not self._append_own({"type": "log.recovered", "cause": "unavailable", "reason": outage.reason, **facts}):
            return False
        self._outage = None
        _log.warning("audit state=unavailable->available buffered=%d dropped=%d", outage.buffered, outage.lost)
        return True

    def _append_own(self, record: Mapping[str, object]) -> bool:
        """Append a line about the log itself; one that fails gives its number back, it is made anew next time."""
        if self._append(self._line(record)):
            return True
        self._seq -= 1
        return False

    def _absorb_tail(self) -> None:
        """After the file was opened: go on counting where it ended and record what had to be cut off."""
        tail = self._file.take_tail()
        if tail is None:
            return
        self._seq = max(self._seq, tail.last_seq)
        if tail.torn:
            self.write(_torn_record(tail))

    def _line(self, record: Mapping[str, object]) -> bytes:
        self._seq += 1
        line = self._encode(record, self._seq)
        if len(line) <= MAX_LINE:
            return line
        kept = {key: record[key] for key in ("type", "call_uid", "leg") if key in record}
        return self._encode(kept | {"oversize": len(line)}, self._seq)

    def _encode(self, record: Mapping[str, object], seq: int) -> bytes:
        now = datetime.fromtimestamp(self._clock(), tz=UTC).isoformat(timespec="microseconds")
        envelope = {"v": VERSION, "seq": seq, "ts": now.removesuffix("+00:00") + "Z", "mono_ns": self._monotonic_ns()}
        envelope |= self._envelope
        fields = envelope | cleaned_mapping(record) | envelope
        return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"

    def _config_error(self, why: str, number: int | None = None) -> ConfigError:
        remedy = f"make {self._config.directory} writable for the gateway alone, with room on its disk"
        if number == errno.EBUSY:
            remedy = "a gateway runs already: stop it, or give each its own audit.directory"
        return ConfigError(f"the audit log cannot be written: {why}", key="audit.directory", remedy=remedy)


def _boot_id() -> str:
    """The kernel's id of this boot, so that mono_ns values are only compared within one; empty where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _torn_record(tail: Tail) -> dict[str, object]:
    fragment = tail.torn.decode("utf-8", errors="replace")
    return {"type": "log.recovered", "cause": "torn_line", "octets": len(tail.torn), "fragment": fragment}
