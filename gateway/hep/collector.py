"""What waits for a collector, and the task that sends it: bounded, in order, and nobody ever waits for either."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable

from gateway.audit.sinks.kept import FIRST_BACK_OFF_SECONDS, back_off
from gateway.base.counters import Counter, Counters
from gateway.hep.link import HepLink, link_to
from gateway.hep.plan import HepPlan

QUEUE_PACKETS = 10_000
"""Packets that wait at most: those of some seven hundred calls that begin and end."""
QUEUE_OCTETS = 16 << 20
"""Octets that wait at most."""

_log = logging.getLogger(__name__)


class Collector:
    """One collector as the gateway sees it: takes packets at once, sends them when it can.

    Args:
        back_off_seconds: the first pause after a failure; shorter in tests.
    """

    def __init__(
        self,
        plan: HepPlan,
        counters: Counters,
        *,
        link: Callable[[HepPlan], HepLink] = link_to,
        back_off_seconds: float = FIRST_BACK_OFF_SECONDS,
    ) -> None:
        self.plan, self._counters = plan, counters
        self._link, self._first_back_off = link(plan), back_off_seconds
        self._waiting: deque[bytes] = deque()
        self._octets = self._failures = 0
        self._filled, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """Packets that wait."""
        return len(self._waiting)

    @property
    def is_down(self) -> bool:
        """The collector did not take what was sent last."""
        return self._failures > 0

    @property
    def has_room(self) -> bool:
        """Whether one more packet can wait: if none can, nobody need make one."""
        return len(self._waiting) < QUEUE_PACKETS and self._octets < QUEUE_OCTETS

    def offer(self, packet: bytes) -> None:
        """Send this soon. Returns at once; what does not fit is dropped and counted."""
        if not self.has_room:
            self._counters.add(Counter.HEP_DROPPED)
            return
        self._waiting.append(packet)
        self._octets += len(packet)
        self._empty.clear()
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                await self._filled.wait()
                await self._send()
        finally:
            await self._link.close()

    async def flush(self) -> None:
        """Wait until nothing waits any more."""
        await self._empty.wait()

    async def _send(self) -> None:
        packets = list(itertools.islice(self._waiting, self._link.most))
        try:
            await self._link.send(packets)
        except OSError as error:
            await self._fail(error.strerror or str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001 - a defect of ours costs this collector time, and nobody else anything
            _log.exception("hep failed")
            await self._fail("defect")
        else:
            self._succeed(len(packets))

    async def _fail(self, reason: str) -> None:
        """Tell of the first failure, and wait."""
        if not self._failures:
            _log.error("hep collector=%s:%d state=up->down error=%s", self.plan.host, self.plan.port, reason)
        self._counters.add(Counter.HEP_FAILED)
        self._failures += 1
        await asyncio.sleep(back_off(self._first_back_off, self._failures - 1))

    def _succeed(self, number: int) -> None:
        if self._failures:
            _log.warning("hep collector=%s:%d state=down->up", self.plan.host, self.plan.port)
        self._failures = 0
        self._counters.add(Counter.HEP_SENT, number)
        for _ in range(number):
            self._octets -= len(self._waiting.popleft())
        if not self._waiting:
            self._filled.clear()
            self._empty.set()
