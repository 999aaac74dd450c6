"""What operators are shown of the relay workers, and what becomes of one that is to make room. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DRAIN_SECONDS = 4 * 3600.0
"""How long the calls of a worker that is relieved may go on unless somebody says otherwise: longer than calls last."""
MAX_DRAIN_SECONDS = 7 * 86400.0
"""The most anybody may say: a worker that begins no calls is not kept for ever."""


class WorkerState(StrEnum):
    """What a worker is doing, in a word for operators."""

    RUNNING = "running"
    SILENT = "silent"
    """It owes an answer to a heartbeat."""
    DRAINING = "draining"
    """It begins no calls, and goes when those it has are over."""
    RESTARTING = "restarting"
    """It was lost, and the next one is not there yet."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What is shown of a worker."""

    port: int
    """Its browser port, by which log and commands call it."""
    pid: int
    state: WorkerState
    calls: int
    age: float
    """Seconds since it was started."""
    version: str
    """Of the program it runs, as it says itself: after an upgrade another one than the gateway's."""
    left: float | None = None
    """Seconds until a draining worker ends the calls it still has."""


class Relief(StrEnum):
    """What becomes of a worker that is to make room."""

    RELIEVED = "relieved"
    """A fresh one begins the calls from now on."""
    WAITS = "waits"
    """It goes on until the place of one that drains already is free."""
    VACATED = "vacated"
    """The others begin the calls until it is gone; then a fresh one has its place."""
