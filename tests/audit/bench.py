"""An audit log on a clock that stands still."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.audit.log import FILE_NAME, AuditLog
from gateway.base.counters import Counters
from gateway.config.schema import Audit

BUFFER_MB = 0.01
"""Ten kilobytes: some thirty short records."""


class Clock:
    """Wall and monotonic time that stand still until told."""

    def __init__(self) -> None:
        self.seconds = 0

    def wall(self) -> float:
        return 1_900_000_000.25 + self.seconds

    def monotonic_ns(self) -> int:
        return (1000 + self.seconds) * 1_000_000_000


class Bench:
    """An audit log with everything around it that a test looks at."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.clock, self.counters = Clock(), Counters()
        self.directory = directory
        config = Audit(directory=directory, **{"buffer_mb": BUFFER_MB, **settings})
        self.log = AuditLog(config, self.counters, clock=self.clock.wall, monotonic_ns=self.clock.monotonic_ns)

    @property
    def lines(self) -> list[bytes]:
        return (self.directory / FILE_NAME).read_bytes().splitlines(keepends=True)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def accepts(self) -> bool:
        """A call, so that a type checker does not take the second answer for the first."""
        return self.log.accepting_calls

    def types(self) -> list[str]:
        return [record["type"] for record in self.records]
