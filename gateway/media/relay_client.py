"""The relay as the control plane uses it: a pool of workers, and one `RelaySession` per call."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from gateway.base.counters import Counter, Counters
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import MediaError
from gateway.base.values import HostPort, Secret
from gateway.config.schema import Media
from gateway.media.relay_protocol import (
    CONSENT_SECONDS,
    QUARANTINE_SECONDS,
    WORKER,
    CloseSession,
    Command,
    CountersReport,
    Event,
    FailureReason,
    GetCounters,
    Leg,
    OpenSession,
    RelayEvent,
    SendDtls,
    SessionClosed,
    SessionCounters,
    SessionFailed,
    SessionOpened,
    SetDirection,
    SetKeys,
    SetPayloads,
    SetTrunk,
    WorkerConfig,
    WorkerLost,
    WorkerReady,
)
from gateway.media.relay_worker import RelayWorker

OPEN_SECONDS = 2.0
"""A call is refused rather than kept waiting for the relay."""
ANSWER_SECONDS = 2.0
"""Longest wait for counters and for the end of a session."""
FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
HEALTHY_SECONDS = 60.0
"""A worker that lived this long is restarted without back-off."""

Listener = Callable[[RelayEvent], None]

T = TypeVar("T")


class RelaySession:
    """One call in a relay worker. Made by `RelayPool.open` only; commands after the end are dropped."""

    def __init__(self, slot: _Slot, number: int, listener: Listener) -> None:
        self.id = number
        self.browser_candidates: tuple[HostPort, ...] = ()
        """Where the browser reaches us, advertised addresses first to last."""
        self.trunk_rtp = HostPort("", 0)
        self.trunk_rtcp = HostPort("", 0)
        self._slot, self._listener = slot, listener
        self._opened: asyncio.Future[SessionOpened] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reports: list[asyncio.Future[SessionCounters]] = []
        self._last = SessionCounters()
        self._closing = False

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

    def set_payloads(self, to_trunk: Mapping[int, int], to_browser: Mapping[int, int]) -> None:
        """Say which payload types are relayed, and as what (RFC 3264 5.1: each side chooses its own numbers)."""
        self._send(SetPayloads(self.id, dict(to_trunk), dict(to_browser)))

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
            _settle(self._opened, event)
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
            _settle(self._reports.pop(0), counters)

    def _end(self) -> None:
        """Nothing more will come for this session."""
        self._slot.sessions.pop(self.id, None)
        _settle(self._closed, None)
        for report in self._reports:
            if not report.done():
                report.set_exception(MediaError("the relay session has ended"))
        self._reports.clear()

    def _send(self, command: Command) -> None:
        if not self._closed.done():
            self._slot.send(command)


class _Slot:
    """One worker's place in the pool: keeps it running and gives its events to its sessions."""

    def __init__(self, config: WorkerConfig, counters: Counters, on_ready: Callable[[], None]) -> None:
        self.sessions: dict[int, RelaySession] = {}
        self._config, self._counters, self._on_ready = config, counters, on_ready
        self._totals: list[asyncio.Future[SessionCounters]] = []
        self.worker = RelayWorker(config, self._event)

    @property
    def ready(self) -> bool:
        return self.worker.alive

    def send(self, command: Command) -> None:
        self.worker.send(command)

    async def totals(self) -> SessionCounters:
        """What the worker counted outside of sessions."""
        report: asyncio.Future[SessionCounters] = asyncio.get_running_loop().create_future()
        self._totals.append(report)
        self.send(GetCounters(WORKER))
        async with asyncio.timeout(ANSWER_SECONDS):
            return await report

    async def keep_running(self) -> None:
        """Restart the worker whenever it is lost, with back-off; until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = FIRST_BACKOFF_SECONDS
        started = loop.time()
        while True:
            await self.worker.lost()
            self.abandon()
            if loop.time() - started > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)
            self._counters.add(Counter.WORKER_RESTARTED)
            started = loop.time()
            self.worker = RelayWorker(self._config, self._event)
            with contextlib.suppress(MediaError):
                await self.worker.start()
                self._on_ready()

    def abandon(self) -> None:
        """Tell every session that its worker is lost."""
        self._totals.clear()
        loop = asyncio.get_running_loop()
        for session in list(self.sessions.values()):
            # Each in its own turn: a listener that fails must not keep the others from hearing of it.
            loop.call_soon(session.deliver, WorkerLost(session.id))

    def _event(self, event: Event) -> None:
        if isinstance(event, WorkerReady):
            return
        session = self.sessions.get(event.session)
        if session is not None:
            session.deliver(event)
        elif isinstance(event, SessionOpened):
            # Nobody waits for it any more.
            self.send(CloseSession(event.session))
        elif isinstance(event, CountersReport) and event.session == WORKER and self._totals:
            _settle(self._totals.pop(0), event.counters)


class RelayPool:
    """The relay workers.

    Args:
        media: addresses, ports and number of workers.
        counters: where restarts are counted.
        consent_seconds: life of ICE consent (RFC 7675 5.1); shorter in tests.
        quarantine_seconds: rest of a closed trunk port; shorter in tests.
    """

    def __init__(
        self,
        media: Media,
        counters: Counters,
        *,
        consent_seconds: float = CONSENT_SECONDS,
        quarantine_seconds: float = QUARANTINE_SECONDS,
    ) -> None:
        self._media = media
        self._numbers = itertools.count(WORKER + 1)
        self._ready = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._slots = [
            _Slot(
                WorkerConfig(
                    control_fd=-1,
                    browser_bind=media.browser.bind,
                    browser_port=media.browser.ports.first + index,
                    trunk_first=first,
                    trunk_last=last,
                    consent_seconds=consent_seconds,
                    quarantine_seconds=quarantine_seconds,
                ),
                counters,
                self._ready.set,
            )
            for index, (first, last) in enumerate(slice_ports(media))
        ]

    @property
    def session_count(self) -> int:
        return sum(len(slot.sessions) for slot in self._slots)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers, for operators and tests."""
        return tuple(slot.worker.pid for slot in self._slots)

    async def start(self) -> None:
        """Start every worker; raises MediaError, with none left running, when one does not start."""
        started = await asyncio.gather(*(slot.worker.start() for slot in self._slots), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
        self._ready.set()
        self._keepers = [asyncio.create_task(slot.keep_running()) for slot in self._slots]

    async def stop(self) -> None:
        """End every worker; sessions that are still open are told that theirs is lost."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        for slot in self._slots:
            slot.abandon()
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots))

    async def open(
        self,
        *,
        ice_ufrag: str,
        ice_pwd: str,
        trunk_bind: str,
        trunk_advertise: str,
        listener: Listener,
    ) -> RelaySession:
        """Open a session in the least loaded worker; raises MediaError when none serves it within `OPEN_SECONDS`."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await self._open(ice_ufrag, Secret(ice_pwd), trunk_bind, trunk_advertise, listener)
        except TimeoutError as error:
            raise MediaError("no relay worker answered in time") from error

    async def worker_counters(self) -> list[SessionCounters]:
        """What each worker dropped that belonged to no session."""
        return [await slot.totals() for slot in self._slots if slot.ready]

    async def _open(
        self, ufrag: str, password: Secret[str], bind: str, advertise: str, listener: Listener
    ) -> RelaySession:
        while True:
            refusal, died = MediaError("no relay worker is running"), False
            for slot in await self._by_load():
                number = next(self._numbers)
                try:
                    return await self._open_in(slot, OpenSession(number, ufrag, password, bind), advertise, listener)
                except MediaError as error:
                    refusal, died = error, died or not slot.ready
            if not died:
                raise refusal

    async def _by_load(self) -> list[_Slot]:
        while not any(slot.ready for slot in self._slots):
            if not self._keepers:
                raise MediaError("the relay is not running")
            self._ready.clear()
            await self._ready.wait()
        return sorted((slot for slot in self._slots if slot.ready), key=lambda slot: len(slot.sessions))

    async def _open_in(self, slot: _Slot, command: OpenSession, advertise: str, listener: Listener) -> RelaySession:
        session = RelaySession(slot, command.session, listener)
        slot.sessions[session.id] = session
        slot.send(command)
        try:
            opened = await session.opened()
        except BaseException:
            slot.sessions.pop(session.id, None)
            slot.send(CloseSession(session.id))
            raise
        session.trunk_rtp = HostPort(advertise, opened.trunk_rtp_port)
        session.trunk_rtcp = HostPort(advertise, opened.trunk_rtcp_port)
        port = slot.worker.browser_port
        session.browser_candidates = tuple(HostPort(host, port) for host in self._media.browser.advertised)
        return session


def slice_ports(media: Media) -> list[tuple[int, int]]:
    """First and last trunk port of each worker: whole even/odd pairs, shared out evenly.

    Raises MediaError when there are fewer pairs than workers.
    """
    ports = media.trunk.ports
    first = ports.first + ports.first % 2
    pairs = (ports.last - first + 1) // 2
    if pairs < media.workers:
        raise MediaError("media.trunk.ports has fewer port pairs than media.workers")
    bounds = [first + 2 * (pairs * index // media.workers) for index in range(media.workers + 1)]
    return [(start, end - 1) for start, end in itertools.pairwise(bounds)]


def _settle(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _why(event: SessionFailed | WorkerLost) -> str:
    if isinstance(event, WorkerLost):
        return "the relay worker died"
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
