"""What is missing in the log, and the records by which it tells so itself. PURE.

Lines are missing after a stretch of time in which the file could not be written, and after a run that nobody ended.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Outage:
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
    reported: bool = False
    """Its log.recovered line waits to be written."""

    def lose(self, seq: int) -> None:
        """Count a record that is dropped, with its place in the sequence."""
        if not self.unreported:
            self.first_seq = seq
        self.last_seq = seq
        self.unreported += 1
        self.lost += 1

    def dropped(self) -> dict[str, object]:
        """The record of what was lost and not told of; then it is told of."""
        record = _dropped(self.first_seq, self.last_seq, self.unreported, self.reason)
        self.unreported = 0
        return record

    def recovered(self, now_ns: int) -> dict[str, object]:
        """The record of its end."""
        seconds = round((now_ns - self.since_ns) / 1e9, 3)
        facts = {"buffered": self.buffered, "dropped": self.lost, "seconds": seconds}
        return {"type": "log.recovered", "cause": "unavailable", "reason": self.reason, **facts}


def lost_before(first: int, last: int) -> dict[str, object]:
    """Numbers that an earlier run gave to records which are not in the file."""
    return _dropped(first, last, last - first + 1, "not in the log when the gateway started")


def crashed(log_ended: object, open_calls: int, *, complete: bool) -> dict[str, object]:
    """A run whose end nobody wrote.

    Args:
        log_ended: time of its last record.
        complete: all of that run was read back.
    """
    facts = {"open_calls": open_calls, "complete": complete}
    return {"type": "log.recovered", "cause": "crash", "log_ended": log_ended, **facts}


def torn_line(torn: bytes) -> dict[str, object]:
    """An unfinished last line that was cut off."""
    fragment = torn.decode("utf-8", errors="replace")
    return {"type": "log.recovered", "cause": "torn_line", "octets": len(torn), "fragment": fragment}


def _dropped(first: int, last: int, count: int, reason: str) -> dict[str, object]:
    span = {"first_seq": first, "last_seq": last}
    return {"type": "log.dropped", "reason": reason, "dropped": count, **span}
