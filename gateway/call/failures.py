"""Failed sign-ins as the audit log tells them: the first of a source at once, then one count a minute.

A stranger decides how often he fails, so he must not decide how much is written. Whatever he does, this writes at most
`2 * MAX_SOURCES + 1` records a minute (docs/operations.md has the octets).
"""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, field

from gateway.audit import notices
from gateway.base.sources import source_of
from gateway.base.values import HostPort

WINDOW_SECONDS = 60.0
"""Seconds that one summary counts."""
MAX_SOURCES = 32
"""Sources counted apart; all further ones are counted together."""
MAX_USERS = 5
"""User names told in a summary, as first claimed; how many more there were is a number."""
OTHERS = "other sources"


@dataclass(frozen=True, slots=True)
class Failure:
    """One refused sign-in."""

    source: HostPort
    transport: str
    user: str
    """As claimed, shortened and printable."""
    reason: str
    method: str


@dataclass(slots=True)
class _Window:
    """What one source did since `began`, without what was told at once."""

    began: float
    transport: str
    count: int = 0
    users: dict[str, None] = field(default_factory=dict)
    more_users: int = 0
    reasons: Tally[str] = field(default_factory=Tally)

    def add(self, failure: Failure) -> None:
        self.count += 1
        self.reasons[failure.reason] += 1
        if failure.user in self.users:
            return
        if len(self.users) < MAX_USERS:
            self.users[failure.user] = None
        else:
            self.more_users += 1


class FailureReport:
    """Turns failures into records, on passed-in time."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def note(self, failure: Failure, now: float) -> dict[str, object] | None:
        """Count a failure; the record of the first one of a source, None for those that are only counted."""
        source = source_of(failure.source.host)
        window = self._windows.get(source)
        if window is None and len(self._windows) < MAX_SOURCES:
            self._windows[source] = _Window(now, failure.transport)
            return notices.auth_fail(
                user=failure.user,
                source=failure.source,
                transport=failure.transport,
                reason=failure.reason,
                method=failure.method,
            )
        if window is None:
            window = self._windows.setdefault(OTHERS, _Window(now, failure.transport))
        window.add(failure)
        return None

    def due(self, now: float) -> list[dict[str, object]]:
        """The summaries of windows that are over; a source that went on is counted on, a quiet one forgotten."""
        return self._close([source for source, w in self._windows.items() if now - w.began >= WINDOW_SECONDS], now)

    def rest(self, now: float) -> list[dict[str, object]]:
        """The summaries of all windows, when the gateway stops."""
        return self._close(list(self._windows), now)

    def _close(self, sources: list[str], now: float) -> list[dict[str, object]]:
        summaries = []
        for source in sources:
            window = self._windows.pop(source)
            if not window.count:
                continue
            summaries.append(_summary(source, window, now))
            self._windows[source] = _Window(now, window.transport)
        return summaries


def _summary(source: str, window: _Window, now: float) -> dict[str, object]:
    return notices.auth_fail_summary(
        source=source,
        transport=window.transport,
        count=window.count,
        seconds=now - window.began,
        users=tuple(window.users),
        more_users=window.more_users,
        reasons=window.reasons,
    )
