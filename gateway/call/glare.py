"""How long a change waits after glare, under the name the call knows it by; see `gateway.sdp.glare`."""

from __future__ import annotations

from gateway.sdp.glare import retry_after, wait_seconds

__all__ = ["retry_after", "wait_seconds"]
