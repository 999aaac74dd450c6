"""Looks at SIP messages as they come and go, and makes packets of them when the loop has time for that.

A message is noted at once, which costs next to nothing, and redacted in a turn of its own, one message a turn: so what
the gateway is there for goes first, and of a flood only what there is time for is exported. What that leaves out is
dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.audit.nameless import Called
from gateway.base.buckets import Bucket, Rate
from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.values import HostPort
from gateway.hep.collector import Collector
from gateway.hep.packet import Frame, Kind, Sender, encode, room
from gateway.hep.payload import sip_payload
from gateway.hep.reports import EndedWay, Report, payload, quality_report, rtcp_report
from gateway.sip.flow import Flow
from gateway.sip.message import Message, parse_message

MAX_NOTED = 500
"""Messages that wait for their turn, unredacted: a second of a busy gateway."""
REPORTS = Rate(per_second=500, burst=1000)
"""Reports on media that are exported: those of five hundred calls, some of which end; a flood of RTCP is no more."""
MAX_REMEMBERED = 8192
"""Call-IDs remembered as those of a call, so that what comes after its end is still known to be part of it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Noted:
    """A message as it came or went."""

    at: float
    flow: Flow
    message: Message | bytes
    """As octets, if it was sent."""
    is_sent: bool


class Capture:
    """A tap (`net.channel.Tap`) that exports what it is shown.

    Args:
        correlate: gives what all messages of the call that has this Call-ID on a leg have in common, "" without any.
        called: what somebody is called in a month (`People.called`); None: messages name people.
        withheld: takes keys out of a text that should have none, and tells.
        clock: seconds since 1970.
        soon: calls a function when what happens now is over (`loop.call_soon`).
    """

    def __init__(
        self,
        collector: Collector,
        counters: Counters,
        *,
        correlate: Callable[[str], str],
        called: Callable[[str, str], str] | None,
        withheld: Callable[[str], str],
        clock: Callable[[], float],
        soon: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collector, self._counters = collector, counters
        self._correlate, self._called, self._withheld = correlate, called, withheld
        self._clock, self._soon, self._monotonic = clock, soon, monotonic
        self._sender = Sender(collector.plan.capture_id, collector.plan.password)
        self._noted: deque[Noted] = deque()
        self._known: OrderedDict[str, str] = OrderedDict()
        self._is_broken = False
        self._reports = Bucket(REPORTS)
        self._idle = asyncio.Event()
        self._idle.set()

    def received(self, flow: Flow, message: Message, _now: float) -> None:
        """A message that could be read came in."""
        self._note(flow, message, is_sent=False)

    def sent(self, flow: Flow, data: bytes, _now: float) -> None:
        """Octets of a message leave, for the first time or once more."""
        self._note(flow, data, is_sent=True)

    def _note(self, flow: Flow, message: Message | bytes, *, is_sent: bool) -> None:
        if len(self._noted) >= MAX_NOTED or not self._collector.has_room:
            self._counters.add(Counter.HEP_DROPPED)
            return
        self._noted.append(Noted(self._clock(), flow, message, is_sent))
        if self._idle.is_set():
            self._idle.clear()
            self._soon(self._turn)

    async def flush(self) -> None:
        """Wait until every message that was noted had its turn."""
        await self._idle.wait()

    def _turn(self) -> None:
        """Export the message that has waited longest; a defect costs that message, and is told once."""
        noted = self._noted[0]
        try:
            self._collector.offer(self._packet(noted))
        except SipError:
            self._counters.add(Counter.HEP_DROPPED)
        except Exception:  # noqa: BLE001 - a defect of ours must not reach the loop again and again, nor end a call
            self._counters.add(Counter.HEP_DROPPED)
            if not self._is_broken:
                _log.exception("hep cannot export a message")
            self._is_broken = True
        self._noted.popleft()
        if self._noted:
            self._soon(self._turn)
        else:
            self._idle.set()

    def _packet(self, noted: Noted) -> bytes:
        """The packet of a message; `SipError` for one of ours that cannot be read again."""
        message, flow = noted.message, noted.flow
        if isinstance(message, bytes):
            message = parse_message(message, stream=False)
        ends = (flow.local, flow.remote) if noted.is_sent else (flow.remote, flow.local)
        correlation = self.correlation(message.call_id)
        frame = Frame(
            kind=Kind.SIP,
            at=noted.at,
            source=ends[0],
            destination=ends[1],
            transport=flow.transport,
            correlation=correlation,
        )
        text = sip_payload(message, room(frame, self._sender), self._names(noted.at))
        kept = self._withheld(text.decode("utf-8", "replace"))
        return encode(frame, kept.encode("utf-8", "replace"), self._sender)

    def rtcp(self, correlation: str, source: HostPort, destination: HostPort, compound: bytes) -> None:
        """Export what a compound packet reports; what reports nothing is nobody's news."""
        report = rtcp_report(compound)
        if report is not None and self._has_room():
            self._export(Kind.RTCP_JSON, report, correlation, source, destination)

    def ended(self, correlation: str, way: EndedWay) -> None:
        """Export what a direction of a leg was like."""
        if self._has_room():
            report = quality_report(way, correlation, self._clock())
            self._export(Kind.QUALITY_JSON, report, correlation, way.source, way.destination)

    def _has_room(self) -> bool:
        """Whether a report can be sent, which is counted if not."""
        if self._collector.has_room and self._reports.take(self._monotonic()):
            return True
        self._counters.add(Counter.HEP_DROPPED)
        return False

    def _export(self, kind: Kind, report: Report, correlation: str, source: HostPort, destination: HostPort) -> None:
        frame = Frame(kind=kind, at=self._clock(), source=source, destination=destination, correlation=correlation)
        self._collector.offer(encode(frame, payload(report), self._sender))

    def _names(self, at: float) -> Called | None:
        """What people are called at that time."""
        called = self._called
        if called is None:
            return None
        month = datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m")
        return lambda name: called(name, month)

    def correlation(self, call_id: str) -> str:
        """What belongs to the call of this Call-ID has in common; the Call-ID itself where that is no call's."""
        found = self._correlate(call_id) or self._known.get(call_id) or call_id
        if found != call_id:
            self._known[call_id] = found
            self._known.move_to_end(call_id)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return found
