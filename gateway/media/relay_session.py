"""One call in a relay worker, as the control plane handles it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import MediaError
from gateway.base.values import HostPort, Secret
from gateway.media.relay_protocol import (
    CloseSession,
    Command,
    CountersReport,
    Event,
    FailureReason,
    Format,
    GetCounters,
    Leg,
    RelayEvent,
    SendDtls,
    SessionClosed,
    SessionCounters,
    SessionFailed,
    SessionOpened,
    SetDirection,
    SetIce,
    SetKeys,
    SetPayloads,
    SetTrunk,
    WorkerLost,
)

ANSWER_SECONDS = 2.0
"""Longest wait for counters and for the end of a session."""

Listener = Callable[[RelayEvent], None]

T = TypeVar("T")


class Home(Protocol):
    """The place in the pool a session lives in."""

    sessions: dict[int, RelaySession]

    def send(self, command: Command) -> None:
        """Queue a command for the worker."""


class RelaySession:
    """One call in a relay worker. Made by `RelayPool.open` only; commands after the end are dropped."""

    def __init__(self, home: Home, number: int, listener: Listener) -> None:
        self.id = number
        self.browser_candidates: tuple[HostPort, ...] = ()
        """Where the browser reaches us, advertised addresses first to last."""
        self.trunk_rtp = HostPort("", 0)
        self.trunk_rtcp = HostPort("", 0)
        self._home, self._listener = home, listener
        self._opened: asyncio.Future[SessionOpened] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reports: list[asyncio.Future[SessionCounters]] = []
        self._last = SessionCounters()
        self._closing = False

    def set_ice(self, ufrag: str, pwd: Secret[str]) -> None:
        """Answer checks under another name too; the one before goes when the browser has chosen a path under it."""
        self._send(SetIce(self.id, ufrag, pwd))

    def set_keys(self, leg: Leg, suite: CryptoSuite, tx: Secret[bytes], rx: Secret[bytes]) -> None:
        """Install the SRTP keys of a leg; a direction with an unchanged key keeps its context (RFC 3711 3.2.1)."""
        self._send(SetKeys(self.id, leg, suite.name, tx, rx))

    def set_trunk(
        self,
        *,
        keyed: bool,
        rtp: HostPort,
        rtcp: HostPort | None = None,
        rtcp_mux: bool = False,
        sources: Sequence[str] = (),
    ) -> None:
        """Say where the trunk's media comes from and goes to; raises MediaError unless the hosts are IP addresses."""
        for address in (rtp, rtcp):
            _require_ip(address)
        self._send(SetTrunk(self.id, keyed, rtp, rtcp, rtcp_mux, tuple(sources)))

    def set_payloads(
        self, to_trunk: Mapping[int, int], to_browser: Mapping[int, int], formats: Sequence[Format] = ()
    ) -> None:
        """Say which payload types are relayed, and as what (RFC 3264 5.1: each side chooses its own numbers)."""
        self._send(SetPayloads(self.id, dict(to_trunk), dict(to_browser), tuple(formats)))

    def set_direction(self, *, to_trunk: bool, to_browser: bool) -> None:
        """Open or close RTP per direction (hold, RFC 3264 8.4); RTCP is not held."""
        self._send(SetDirection(self.id, to_trunk, to_browser))

    def send_dtls(self, data: bytes) -> None:
        """Send a DTLS datagram to the browser."""
        self._send(SendDtls(self.id, data))

    async def counters(self) -> SessionCounters:
        """The counters now; once it returns, every earlier command is in effect. Raises MediaError when lost."""
        if self._closing or self._closed.done():
            raise MediaError("the relay session has ended")
        report: asyncio.Future[SessionCounters] = asyncio.get_running_loop().create_future()
        self._reports.append(report)
        self._send(GetCounters(self.id))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await report
        except TimeoutError as error:
            raise MediaError("the relay worker does not answer") from error

    async def close(self) -> SessionCounters:
        """End the session and give its final counters: the last known ones when its worker is lost. Idempotent."""
        if not self._closing:
            self._closing = True
            self._send(CloseSession(self.id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(self._closed)
        self._end()
        return self._last

    async def opened(self) -> SessionOpened:
        """Wait for the worker's answer; raises MediaError with its reason."""
        return await self._opened

    def deliver(self, event: Event | WorkerLost) -> None:
        """Take one event of this session from the pool."""
        if isinstance(event, SessionOpened):
            settle(self._opened, event)
        elif isinstance(event, CountersReport):
            self._report(event.counters)
        elif isinstance(event, SessionClosed):
            self._last = event.counters
            self._end()
        elif isinstance(event, SessionFailed | WorkerLost) and not self._opened.done():
            self._opened.set_exception(MediaError(_why(event)))
            self._opened.exception()
            self._end()
        else:
            self._pass_on(event)

    def _pass_on(self, event: Event | WorkerLost) -> None:
        if isinstance(event, WorkerLost):
            self._end()
        if not self._closing and isinstance(event, RelayEvent):
            self._listener(event)

    def _report(self, counters: SessionCounters) -> None:
        self._last = counters
        if self._reports:
            # One report per request, in order; also when whoever asked no longer waits.
            settle(self._reports.pop(0), counters)

    def _end(self) -> None:
        """Nothing more will come for this session."""
        self._home.sessions.pop(self.id, None)
        settle(self._closed, None)
        for report in self._reports:
            if not report.done():
                report.set_exception(MediaError("the relay session has ended"))
        self._reports.clear()

    def _send(self, command: Command) -> None:
        if not self._closed.done():
            self._home.send(command)


def settle(future: asyncio.Future[T], value: T) -> None:
    """Give a future its result unless whoever waited has left."""
    if not future.done():
        future.set_result(value)


def _why(event: SessionFailed | WorkerLost) -> str:
    if isinstance(event, WorkerLost):
        return "the relay worker stopped answering" if event.hung else "the relay worker died"
    if event.reason == FailureReason.NO_PORT:
        return "no media port is free"
    return f"the relay refused the session: {event.reason}"


def _require_ip(address: HostPort | None) -> None:
    if address is None:
        return
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise MediaError("a media address must be an IP address") from None
