"""Whether every call that began has its end, once, and nothing ended that had not begun. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.audit.facts import short_id
from gateway.audit.notices import ALL_ENDED
from gateway.audit.pick import Record, number, text

MAX_OPEN = 100_000
"""Calls without an end that are followed: a hundred times what a gateway takes at once."""

MAX_ENDED = 20_000
"""Calls whose end is remembered, the newest, to tell a second end from one without a beginning."""


class Pairing:
    """Follows the beginnings and ends of calls through a log."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self._open: dict[str, None] = {}
        self._ended: dict[str, None] = {}
        self._from_the_start = False
        """Since the log, or a run, began nothing was lost and nothing went: whatever ends has its beginning here."""
        self._first = True
        self._unknown = 0
        """Ends whose beginning may be in what is not here."""
        self._forgiven = False
        """Not all of the last run was read back, as the log says itself: some of its calls may be without an end."""
        self._overflowed = False

    @property
    def still_open(self) -> int:
        """Calls that go on, as far as the log tells."""
        return len(self._open)

    def take(self, record: Record) -> Iterator[str]:
        """The next record; what is wrong with it."""
        if self._first:
            self._first, self._from_the_start = False, number(record, "seq") == 1
        match text(record, "type"):
            case "call.start":
                yield from self._start(text(record, "call_uid"))
            case "call.final":
                yield from self._final(text(record, "call_uid"))
            case "admin.start":
                yield from self._run_over("the gateway started anew")
            case "admin.stop" if record.get(ALL_ENDED) is True:
                yield from self._run_over("the gateway stopped, all calls being ended")
            case "log.dropped" | "log.reduced":  # among what went may be the beginning of a call
                self._from_the_start = False
            case "log.recovered" if record.get("complete") is False:
                self._from_the_start, self._forgiven = False, True
            case _:
                pass

    def remarks(self) -> Iterator[str]:
        """What should be known, once all records were taken."""
        if self._unknown:
            yield f"{self._unknown} calls end here whose beginning is not here, or was lost as the log itself says"
        if self._overflowed:
            yield f"more than {MAX_OPEN} calls had no end: not all were followed"

    def _start(self, uid: str) -> Iterator[str]:
        self.begun += 1
        if uid in self._open or uid in self._ended:
            yield f"the call {short_id(uid)} begins a second time"
        elif len(self._open) < MAX_OPEN:
            self._open[uid] = None
        else:
            self._overflowed = True

    def _final(self, uid: str) -> Iterator[str]:
        self.ended += 1
        if uid in self._open:
            del self._open[uid]
            self._remember(uid)
        elif uid in self._ended:
            yield f"the call {short_id(uid)} ends a second time"
        elif self._from_the_start and not self._overflowed:
            yield f"the call {short_id(uid)} ends here and never began"
        else:
            self._unknown += 1
            self._remember(uid)

    def _remember(self, uid: str) -> None:
        if len(self._ended) >= MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[uid] = None

    def _run_over(self, why: str) -> Iterator[str]:
        """Here no call can be open: who had no end was given one before."""
        if self._open and not (self._overflowed or self._forgiven):
            named = ", ".join(map(short_id, list(self._open)[:5]))
            more = f" and {len(self._open) - 5} more" if len(self._open) > 5 else ""
            yield f"{why}, and these calls have no end: {named}{more}"
        self._open.clear()
        self._forgiven, self._from_the_start = False, True
