"""What DNS said, for as long as it holds; and what it said last, for when it says nothing (RFC 2308, RFC 8767).

No clock and no sockets: times are passed in, in monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

MIN_TTL = 1.0
"""Seconds an answer holds at least: with TTL 0 a hundred calls a second would ask a hundred times."""
MAX_TTL = 3600.0
"""Seconds an answer holds at most: a carrier that moves is found within the hour, whatever TTL it forgot."""
MAX_NEGATIVE_TTL = 60.0
"""The same for "there is none": a record that was just made shall be seen soon."""
FAILURE_SECONDS = 15.0
"""How long DNS is not asked again after it failed, so that calls do not wait for the same failure one by one."""
KEPT_SECONDS = 3 * 86_400.0
"""How long an answer is kept after its time for when DNS fails: a long weekend (RFC 8767 5)."""
MAX_ENTRIES = 1024
"""Questions remembered; the one that was asked longest ago gives way. They come from the configuration and from what
its domains name, so there are few."""

Records = tuple[Any, ...]
"""What a question was answered with: addresses, `Srv` or `Naptr`."""


class Question(NamedTuple):
    """A name, and the kind of record."""

    name: str
    kind: str


@dataclass(slots=True)
class _Entry:
    records: Records | None = None
    """What was said last; None: nothing yet."""
    until: float = float("-inf")
    """For how long it holds."""
    kept_until: float = float("-inf")
    failed_at: float | None = None
    """DNS failed last, and when; None: it did not."""


class DnsCache:
    """Answers by question."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()

    def holding(self, question: Question, now: float) -> Records | None:
        """What was said and still holds; empty: there is no such record. None: DNS must be asked."""
        entry = self._of(question)
        return entry.records if now < entry.until else None

    def kept(self, question: Question, now: float) -> Records | None:
        """What was said last, and may serve when DNS fails."""
        entry = self._of(question)
        return entry.records if now < entry.kept_until else None

    def is_failing(self, question: Question, now: float) -> bool:
        """Whether DNS failed just now, so that it is not asked again yet."""
        failed = self._of(question).failed_at
        return failed is not None and now < failed + FAILURE_SECONDS

    def answered(self, question: Question, records: Records, ttl: float, now: float) -> bool:
        """DNS said this, be it that there is nothing; True when it had failed before."""
        entry = self._of(question)
        longest = MAX_TTL if records else MAX_NEGATIVE_TTL
        entry.records, entry.until = records, now + min(max(ttl, MIN_TTL), longest)
        entry.kept_until = entry.until + KEPT_SECONDS
        had_failed, entry.failed_at = entry.failed_at is not None, None
        return had_failed

    def failed(self, question: Question, now: float) -> bool:
        """DNS said nothing; True when it did before."""
        entry = self._of(question)
        is_new, entry.failed_at = entry.failed_at is None, now
        return is_new

    def _of(self, question: Question) -> _Entry:
        entry = self._entries.get(question)
        if entry is None:
            entry = self._entries[question] = _Entry()
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(question)
        return entry
