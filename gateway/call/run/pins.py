"""The capability pins of this gateway: in memory where calls look, in a file from which they survive it.

What is learned is written soon after, beside the event loop, and one write at a time: a new file is made whole, synced,
and put in the place of the old one, so that a kill at any moment leaves one of the two. While the disk fails the pins
hold all the same, and the write is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from gateway.call.run import pin_file
from gateway.call.run.pin_file import MAX_PINS
from gateway.policy.pins import USER, Pinning, Pins

log = logging.getLogger(__name__)

RENEWED = timedelta(hours=12)
"""A peer that is seen again is written again after so long: a pin lasts days, and a call is no reason to write."""
RETRY_SECONDS = 30.0
"""After a write that failed."""
STOP_SECONDS = 3.0
"""How long a stopping gateway waits for the last write."""


class PinStore:
    """Who has been seen to encrypt, and when the last time.

    Args:
        path: where that is kept; None: in memory only.
        write: puts a whole file there (`pin_file.write`).
    """

    def __init__(
        self, path: Path | None = None, write: Callable[[Path, Mapping[str, datetime]], None] = pin_file.write
    ) -> None:
        self.path, self._write_file = path, write
        self._seen: Mapping[str, datetime] = MappingProxyType({})
        self._written: Mapping[str, datetime] = self._seen
        self._is_full = False
        self._writing: asyncio.Task[None] | None = None
        self._saved = asyncio.Event()

    def open(self) -> None:
        """Read what earlier runs have learned.

        Raises:
            ConfigError: there is a file and it cannot be believed: what was known would silently be unknown.
        """
        if self.path is not None:
            self._seen = self._written = MappingProxyType(pin_file.read(self.path))

    def under(self, pinning: Pinning) -> Pins:
        """The pins as a call that begins now sees them."""
        return Pins(self._seen, pinning)

    def knows(self, peer: str) -> bool:
        """There is a pin of it, which may have expired."""
        return peer in self._seen

    def rows(self) -> Iterator[tuple[str, datetime]]:
        """Peers in order, and when each was seen."""
        return iter(sorted(self._seen.items()))

    def learn(self, peer: str, at: datetime) -> bool:
        """A peer has been seen to encrypt; False where that changes nothing, or there is no room."""
        last = self._seen.get(peer)
        if last is not None and at - last < RENEWED:
            return False
        if last is None and not self.is_news(peer):
            return False
        self._change({**self._seen, peer: at})
        return True

    def is_news(self, peer: str) -> bool:
        """Nothing is known of a peer, and there is room for it."""
        return peer not in self._seen and self._has_room(peer)

    def _has_room(self, peer: str) -> bool:
        """A user too many is not learned; none gives way, or a crowd could unpin somebody. A trunk always fits: there
        are as many as are configured."""
        if not peer.startswith(USER) or len(self._seen) < MAX_PINS // 2:
            return True
        if not self._is_full:
            self._is_full = True
            log.warning("pins state=full limit=%d: no more users are remembered; see sip-gateway pins", MAX_PINS // 2)
        return False

    def clear(self, peer: str) -> bool:
        """Let a peer off; False: it was not pinned."""
        if peer not in self._seen:
            return False
        self._change({name: at for name, at in self._seen.items() if name != peer})
        self._is_full = False
        return True

    def _change(self, seen: dict[str, datetime]) -> None:
        self._seen = MappingProxyType(seen)
        if self.path is not None and self._writing is None:
            self._saved.clear()
            self._writing = asyncio.get_running_loop().create_task(self._write(self.path))

    async def _write(self, path: Path) -> None:
        """Until the file says what is known."""
        try:
            while self._written is not self._seen:
                seen = self._seen
                try:
                    await asyncio.to_thread(self._write_file, path, seen)
                    self._written = seen
                except OSError as error:
                    log.error("pins cannot be written to %s: %s; they hold until a restart", path, error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._writing = None
            self._saved.set()

    async def saved(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait until the file says what is known; False: it does not."""
        if self._writing is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._saved.wait(), seconds)
        return self.path is None or self._written is self._seen

    async def stop(self) -> None:
        """Wait for the last write, but not for a disk that does not answer."""
        if not await self.saved() and self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
