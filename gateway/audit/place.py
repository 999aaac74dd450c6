"""Where the audit log is, and what happens while it cannot be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.retention import Retention
from gateway.audit.rotation import Rotation
from gateway.audit.sinks.plan import SinkPlan
from gateway.base.sizes import MEBIBYTE

__all__ = ["MEBIBYTE", "AuditPlace"]


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """The directory of the log and the memory before it."""

    directory: Path
    """Made when it is missing."""
    signing_key: Path | None = None
    """Where the key is that signs checkpoints; None: beside the log. Made when it is missing."""
    refuses_at_once: bool = False
    """New calls are refused as soon as the log cannot be written; otherwise once the memory is full."""
    buffer_octets: int = MEBIBYTE
    """How much is kept in memory while the log cannot be written."""
    rotation: Rotation = field(default_factory=Rotation)
    retention: Retention = field(default_factory=Retention)
    pseudonyms: bool = False
    """People stand in the log by pseudonyms."""
    sinks: tuple[SinkPlan, ...] = ()
    """Who else gets the records."""
