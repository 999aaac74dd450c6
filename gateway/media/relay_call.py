"""One call in a relay worker, as the control plane handles it: legs that are opened, told things, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId
from gateway.media.relay_commands import Adopt, CloseCall, CloseLeg, Command, GetCounters, LegCommand, OpenLeg, SetPeer
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import (
    CallClosed,
    CommandRefused,
    CountersReport,
    Event,
    FailureReason,
    LegClosed,
    LegEvent,
    LegFailed,
    LegOpened,
    RelayEvent,
    WorkerLost,
)
from gateway.media.relay_protocol import MAX_LEGS
from gateway.media.relay_quality import LegQuality

ANSWER_SECONDS = 2.0
"""Longest wait for a further leg, for counters and for the end of a call."""
MAX_LEGS_EVER = 256
"""Legs a call may open in its life: far more than forks and transfers come to, and their final numbers are kept."""

Listener = Callable[[RelayEvent], None]
LegCounters = Mapping[LegId, PacketCounters]

T = TypeVar("T")


class Home(Protocol):
    """The place in the pool a call lives in."""

    def send(self, call: int, command: Command) -> None:
        """Queue a command for the worker."""

    def overdue(self, call: int) -> None:
        """The worker owes an answer of this call."""

    def ended(self, call: int) -> None:
        """The call is over."""


class RelayCall:
    """One call in a relay worker. Made by `RelayPool.open` only; commands after the end are dropped."""

    def __init__(
        self, home: Home, number: int, listener: Listener, affinity: frozenset[Hashable] = frozenset()
    ) -> None:
        self.id = number
        self.affinity = affinity
        """Who takes part: calls that may have to be joined share something of this."""
        self.legs: dict[LegId, LegOpened] = {}
        """Where the peer of each open leg reaches us."""
        self.quality: dict[LegId, LegQuality] = {}
        """Of each leg it had, as of the last answer that told counters; of one that told none, nothing."""
        self._home, self._listener = home, listener
        self._opening: dict[LegId, asyncio.Future[LegOpened]] = {}
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reports: list[asyncio.Future[LegCounters]] = []
        self._last: dict[LegId, PacketCounters] = {}
        self._closing = False

    async def open(self, command: OpenLeg) -> LegOpened:
        """Open one more leg, in the worker of the others; raises MediaError when it is refused or not opened in time.

        A leg that was not opened in time, or that nobody waits for any more, is closed again.
        """
        opening = self.begin(command)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await opening
        except TimeoutError as error:
            self._home.overdue(self.id)
            raise MediaError("the relay worker does not answer") from error
        finally:
            if command.leg not in self.legs:
                self.send(CloseLeg(command.leg))

    def begin(self, command: OpenLeg) -> asyncio.Future[LegOpened]:
        """Ask for a leg; the answer is a MediaError with the reason when it cannot be had."""
        if self._is_over:
            raise MediaError("the call has no relay any more")
        self._check_number(command.leg)
        opening: asyncio.Future[LegOpened] = asyncio.get_running_loop().create_future()
        self._opening[command.leg] = opening
        self._last[command.leg] = PacketCounters()
        self._send(command)
        return opening

    def adopt(self, leg: LegId, other: RelayCall, from_leg: LegId) -> None:
        """Take a leg over from another call in the same worker, as it is; from now on it is a leg of this one.

        Should the worker refuse it after all, that is told as `CommandRefused`.

        Raises:
            MediaError: it cannot be had, and nothing has changed; the call is in another worker, for one.
        """
        opened = other.legs.get(from_leg)
        if self._is_over or other._is_over or other._home is not self._home or other is self or opened is None:
            raise MediaError(_why(FailureReason.NO_LEG))
        self._check_number(leg)
        if len(self.legs) >= MAX_LEGS:
            raise MediaError(_why(FailureReason.TOO_MANY_LEGS))
        del other.legs[from_leg]
        self.legs[leg], self._last[leg] = replace(opened, leg=leg), PacketCounters()
        self._send(Adopt(leg, other.id, from_leg))

    def send(self, command: LegCommand | CloseLeg) -> None:
        """Have a command carried out; raises MediaError for a peer whose address is none.

        Refused ones come back as `CommandRefused`; what is about a leg that is not there is ignored. Of a leg that is
        closed nothing more is told.
        """
        if isinstance(command, SetPeer):
            _require_ip(command.rtp)
            _require_ip(command.rtcp)
        if isinstance(command, CloseLeg):
            self.legs.pop(command.leg, None)
        self._send(command)

    async def counters(self) -> LegCounters:
        """The counters of the open legs now; once it returns, every earlier command is in effect.

        Raises MediaError when the worker is lost or does not answer.
        """
        if self._is_over:
            raise MediaError("the call has no relay any more")
        report: asyncio.Future[LegCounters] = asyncio.get_running_loop().create_future()
        self._reports.append(report)
        self._send(GetCounters())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await report
        except TimeoutError as error:
            raise MediaError("the relay worker does not answer") from error

    async def close(self) -> LegCounters:
        """End the call and give the final counters of every leg it had: the last known ones when its worker is lost.

        Idempotent.
        """
        if not self._closing:
            self._closing = True
            self._send(CloseCall())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(self._closed)
        self._end("the call has ended")
        return dict(self._last)

    @property
    def _is_over(self) -> bool:
        return self._closing or self._closed.done()

    def _check_number(self, leg: LegId) -> None:
        if leg in self._opening or leg in self._last:
            raise MediaError(_why(FailureReason.DUPLICATE))
        if len(self._last) >= MAX_LEGS_EVER:
            raise MediaError(_why(FailureReason.TOO_MANY_LEGS))

    def deliver(self, event: Event | WorkerLost) -> None:
        """Take one event of this call from the pool."""
        match event:
            case LegOpened():
                self._opened(event)
            case LegFailed() if event.leg in self.legs:
                self._pass_on(CommandRefused(event.leg, event.reason))
            case LegFailed():
                self._failed(event.leg, _why(event.reason))
            case LegClosed():
                self._know({event.leg: event.counters}, {event.leg: event.quality})
            case CountersReport():
                self._report(event)
            case CallClosed():
                self._know(event.legs, event.quality)
                self._end("the call has ended")
            case _:
                self._pass_on(event)

    def _opened(self, event: LegOpened) -> None:
        opening = self._opening.pop(event.leg, None)
        if opening is not None and not opening.done():
            self.legs[event.leg] = event
            opening.set_result(event)

    def _failed(self, leg: LegId, why: str) -> None:
        opening = self._opening.pop(leg, None)
        self._last.pop(leg, None)
        if opening is not None and not opening.done():
            opening.set_exception(MediaError(why))
            opening.exception()  # not news when nobody waits any more

    def _pass_on(self, event: Event | WorkerLost) -> None:
        if isinstance(event, WorkerLost):
            if not event.drained:
                self._end("the relay worker stopped answering" if event.hung else "the relay worker died")
            if not self._closing:
                self._listener(event)
        elif not self._closing and isinstance(event, LegEvent) and event.leg in self.legs:
            self._listener(event)

    def _report(self, event: CountersReport) -> None:
        self._know(event.legs, event.quality)
        if self._reports:
            # One report per request, in order; also when whoever asked no longer waits.
            settle(self._reports.pop(0), event.legs)

    def _know(self, legs: LegCounters, quality: Mapping[LegId, LegQuality]) -> None:
        """Keep the latest numbers of legs that were opened."""
        self._last.update({leg: numbers for leg, numbers in legs.items() if leg in self._last})
        self.quality.update({leg: found for leg, found in quality.items() if leg in self._last})

    def _end(self, why: str) -> None:
        """Nothing more will come for this call."""
        self._home.ended(self.id)
        settle(self._closed, None)
        for leg in list(self._opening):
            self._failed(leg, why)
        for report in self._reports:
            if not report.done():
                report.set_exception(MediaError(why))
        self._reports.clear()

    def _send(self, command: Command) -> None:
        if not self._closed.done():
            self._home.send(self.id, command)


def settle(future: asyncio.Future[T], value: T) -> None:
    """Give a future its result unless whoever waited has left."""
    if not future.done():
        future.set_result(value)


def _why(reason: str) -> str:
    if reason == FailureReason.NO_PORT:
        return "no media port is free"
    return f"the relay refused the leg: {reason}"


def _require_ip(address: HostPort | None) -> None:
    if address is None:
        return
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise MediaError("a media address must be an IP address") from None
