"""When the log says that it is there, and when it has what it says signed. PURE.

A log that is silent may be one of a quiet night or one whose lines were taken away: a heartbeat a minute tells the two
apart. What was written is covered by a checkpoint soon, on busy days sooner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEARTBEAT_SECONDS = 60
"""Between two heartbeats: two hundred thousand octets a day."""

CHECKPOINT_SECONDS = 60
"""Between two checkpoints, if anything was written: no more than this can be rewritten unnoticed by who keeps them."""

CHECKPOINT_RECORDS = 1000
"""Records after which there is a checkpoint, however short the time."""

TYPE = "log.heartbeat"


@dataclass(slots=True)
class Pulse:
    """Counts records and time since the last heartbeat and the last checkpoint.

    Args:
        now_ns: monotonic time of the start; the first checkpoint is due with the first record.
    """

    now_ns: int
    _beat_ns: int = 0
    _signed_ns: int = 0
    _records: int = 0
    _unsigned: int = 0

    def __post_init__(self) -> None:
        self._beat_ns = self.now_ns
        self._signed_ns = self.now_ns - CHECKPOINT_SECONDS * 1_000_000_000

    def count(self, records: int) -> None:
        """So many records more are in the file."""
        self._records += records
        self._unsigned += records

    @property
    def is_full(self) -> bool:
        """A checkpoint is due because of what was written."""
        return self._unsigned >= CHECKPOINT_RECORDS

    def wants_heartbeat(self, now_ns: int) -> bool:
        """It is time for a heartbeat."""
        return now_ns - self._beat_ns >= HEARTBEAT_SECONDS * 1_000_000_000

    def wants_checkpoint(self, now_ns: int) -> bool:
        """It is time for a checkpoint, and there is something to be covered."""
        return self.is_full or (self._unsigned > 0 and now_ns - self._signed_ns >= CHECKPOINT_SECONDS * 1_000_000_000)

    def heartbeat(self, now_ns: int, state: Mapping[str, int]) -> dict[str, object]:
        """The record of a heartbeat; the next is due a while after it."""
        self._beat_ns = now_ns
        records, self._records = self._records, 0
        return {"type": TYPE, "records": records, **state}

    def signed(self, now_ns: int) -> None:
        """A checkpoint is made now: it covers what was written before it."""
        self._signed_ns, self._unsigned = now_ns, 0
