"""What an administrator sees and does of the capability pins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from gateway.audit import notices
from gateway.call.run.services import Services
from gateway.policy.pins import USER


class PinKeeper:
    """Shows pins, and clears one on record."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each peer that was ever seen to encrypt and is not forgotten."""
        pinning, now = self._services.sites.current.pinning, self._services.wall()
        pins = self._services.pins.under(pinning)
        for peer, seen in self._services.pins.rows():
            held = "off" if peer in pinning.off else "held" if pins.hold(peer, now) else "expired"
            yield {
                "peer": peer,
                "kind": "user" if peer.startswith(USER) else "trunk",
                "state": held,
                "seen": seen.isoformat(timespec="seconds"),
                "seen_ago": round(max(0.0, (now - seen).total_seconds()), 1),
                "until": (seen + timedelta(days=pinning.days)).isoformat(timespec="seconds"),
            }

    async def clear(self, peer: str) -> bool | None:
        """Let a peer off, after that is on record; None: it was not pinned, False: the file does not say so yet."""
        services = self._services
        if not services.pins.knows(peer):
            return None
        recorded = asyncio.Event()
        services.audit.write(notices.pins_cleared(peer), lambda _written: recorded.set())
        await recorded.wait()
        services.pins.clear(peer)
        return await services.pins.saved()
