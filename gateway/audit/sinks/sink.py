"""One sink: a bounded queue, and a task that empties it as fast as the receiver takes it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

from gateway.audit.sinks.item import DROPPED, Item
from gateway.audit.sinks.kept import FIRST_BACK_OFF_SECONDS, back_off
from gateway.audit.sinks.link import Link, RefusedError, SendError
from gateway.audit.sinks.plan import SinkPlan
from gateway.audit.sinks.queue import QUEUE_OCTETS, SinkQueue
from gateway.base.counters import Counter, Counters

TELL_SECONDS = 10.0
"""A sink that loses records all the time is told of in the log at most this often."""
REFUSALS = 3
"""A receiver that refuses one record so many times does without it: all that comes after waits behind it."""
MAX_REFUSED = 16
"""Records in a row that a receiver does without. One that refuses more takes nothing at all: that is no record's fault,
and they wait until somebody has seen to it."""

NO_ROOM = "no room in its queue"
NOT_AT_HAND = "not at hand when the gateway started"
REFUSED = "refused by the receiver"

_log = logging.getLogger(__name__)


class Sink:
    """Takes lines at once, sends them when it can.

    Args:
        tell: writes a record into the log.
        clock: monotonic seconds.
        back_off_seconds: the first pause after a failure; shorter in tests.
    """

    def __init__(
        self,
        plan: SinkPlan,
        link: Link,
        counters: Counters,
        tell: Callable[[Mapping[str, object]], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        back_off_seconds: float = FIRST_BACK_OFF_SECONDS,
    ) -> None:
        self.plan = plan
        self._link, self._counters, self._tell, self._clock = link, counters, tell, clock
        self._first_back_off = back_off_seconds
        self._queue = SinkQueue(plan.queue_records)
        self._filled, self._hurried, self._empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._failures = self._refusals = self._refused_in_a_row = 0
        self._most = link.most
        """Records that go together now: fewer while it is looked for the one that the receiver refuses."""
        self._dropped, self._first_dropped, self._last_dropped, self._reason = 0, 0, 0, NO_ROOM
        self._told_at = -math.inf
        self._newest = 0
        self.delivered = -1
        """Number of the last record the receiver has taken; negative before there was any for it."""

    @property
    def waiting(self) -> int:
        """Records that wait for the receiver."""
        return len(self._queue)

    @property
    def is_down(self) -> bool:
        """The receiver did not take what was sent last."""
        return self._failures > 0

    # --- what comes in

    def offer(self, item: Item) -> None:
        """A line that is in the file. Returns at once."""
        if item.seq <= self._newest or not item.is_for(self.plan.records):
            return
        self._newest = item.seq
        if self.delivered < 0:  # from its first record on nothing is forgotten
            self.delivered = item.seq - 1
        if not self._queue.put(item):
            self._drop(item.seq, item.seq, 1, NO_ROOM)
            return
        self._wake(item.is_checkpoint)

    def catch_up(self, items: Sequence[Item], oldest: int) -> None:
        """Lines of earlier runs that the receiver has not taken, before what waits already.

        Args:
            oldest: number of the oldest line that was read back.
        """
        before = self._queue.first(1, 0)
        limit = before[0].seq if before else math.inf
        wanted = [item for item in items if self.delivered < item.seq < limit and item.is_for(self.plan.records)]
        if oldest > self.delivered + 1:
            self._drop(self.delivered + 1, oldest - 1, oldest - 1 - self.delivered, NOT_AT_HAND)
        for item in self._queue.put_first(wanted):
            self._drop(item.seq, item.seq, 1, NO_ROOM)
        if wanted:
            self._newest = max(self._newest, wanted[-1].seq)
            self._wake(now=True)

    def follow(self, former: Sink) -> None:
        """Take over what waits for a sink that was configured otherwise."""
        self.delivered, self._newest = former.delivered, former._newest
        self.catch_up(former._queue.first(former.waiting, QUEUE_OCTETS * 2), self.delivered + 1)

    def _wake(self, now: bool) -> None:
        self._empty.clear()
        self._filled.set()
        if now or len(self._queue) >= self._link.most:
            self._hurried.set()

    def _drop(self, first: int, last: int, number: int, reason: str) -> None:
        if not self._dropped:
            self._first_dropped, self._reason = first, reason
            _log.error("audit sink=%s state=dropping reason=%s", self.plan.name, reason)
        self._dropped += number
        self._last_dropped = last
        self._counters.add(Counter.AUDIT_SINK_DROPPED, number)

    def tell_dropped(self) -> None:
        """Write into the log what the receiver did not get, once."""
        if not self._dropped:
            return
        span = {"first_seq": self._first_dropped, "last_seq": self._last_dropped}
        facts = {"sink": self.plan.name, "dropped": self._dropped, "reason": self._reason}
        self._dropped, self._told_at = 0, self._clock()
        self._tell({"type": DROPPED, **facts, **span})

    # --- what goes out

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                await self._filled.wait()
                await self._linger()
                await self._send(self._queue.first(self._most, self._link.octets))
        finally:
            await self._link.close()

    async def flush(self) -> None:
        """Wait until nothing waits any more, and let nothing wait for company."""
        self._hurried.set()
        await self._empty.wait()

    async def _linger(self) -> None:
        """Wait a moment for more, unless what is there must not wait."""
        if self._link.linger_seconds and not self._hurried.is_set():
            try:
                async with asyncio.timeout(self._link.linger_seconds):
                    await self._hurried.wait()
            except TimeoutError:
                return

    async def _send(self, items: Sequence[Item]) -> None:
        try:
            await self._link.send(items)
        except RefusedError as error:
            await self._refused(items, str(error))
        except (SendError, OSError) as error:
            await self._fail(str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001 - a defect of ours costs the receiver time, and never all that comes after
            _log.exception("audit sink=%s failed", self.plan.name)
            await self._fail("defect")
        else:
            self._succeed(items)

    async def _refused(self, items: Sequence[Item], reason: str) -> None:
        """Ask with half as many at once until it is known which record it is; do without that one after a few tries."""
        if len(items) > 1:
            self._most = len(items) // 2
            return
        self._refusals += 1
        if self._refusals < REFUSALS or self._refused_in_a_row == MAX_REFUSED:
            await self._fail(reason, self._refusals - 1)
            return
        self._refusals = 0
        self._refused_in_a_row += 1
        self._drop(items[0].seq, items[0].seq, 1, REFUSED)
        self._go_on_after(items)

    async def _fail(self, reason: str, tries: int | None = None) -> None:
        """Wait longer each time, and not all sinks of all gateways at once.

        Args:
            tries: that have failed before; all since something was taken, where it is not said.
        """
        before = self._failures if tries is None else tries
        if not self._failures:
            _log.error("audit sink=%s state=up->down waiting=%d error=%s", self.plan.name, self.waiting, reason)
        self._counters.add(Counter.AUDIT_SINK_FAILED)
        self._failures += 1
        await asyncio.sleep(back_off(self._first_back_off, before))

    def _succeed(self, items: Sequence[Item]) -> None:
        if self._failures:
            _log.warning("audit sink=%s state=down->up waiting=%d", self.plan.name, self.waiting)
        self._failures = self._refusals = self._refused_in_a_row = 0
        self._most = min(self._link.most, 2 * self._most)
        self._go_on_after(items)
        if self._dropped and self._clock() - self._told_at >= TELL_SECONDS:
            self.tell_dropped()

    def _go_on_after(self, items: Sequence[Item]) -> None:
        self._queue.take(len(items))
        self.delivered = items[-1].seq
        if not len(self._queue):
            self._filled.clear()
            self._hurried.clear()
            self._empty.set()
