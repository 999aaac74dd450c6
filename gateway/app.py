"""The composition root: builds every object once, starts them bottom up and stops them top down."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from aiohttp import web

from gateway import __version__
from gateway.admin.desk import Desk
from gateway.admin.place import own_socket
from gateway.admin.server import AdminServer
from gateway.audit import notices
from gateway.audit.line import LineFormat
from gateway.audit.log import AuditLog
from gateway.audit.people import People
from gateway.audit.pruning import Pruner
from gateway.audit.sinks.export import Export
from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError, GatewayError, MediaError
from gateway.base.values import HostPort, Secret
from gateway.base.withholding import KeyGuard
from gateway.call.admission import is_emergency_call
from gateway.call.machine.measuring import bad_legs
from gateway.call.manager import CallManager
from gateway.call.run.pins import PinStore
from gateway.call.run.services import Services
from gateway.config.load import LoadedConfig
from gateway.hep.export import HepExport
from gateway.media.relay_client import RelayPool
from gateway.media.relay_facts import WorkerState
from gateway.media.relay_protocol import CONSENT_SECONDS, SILENCE_SECONDS
from gateway.net.endpoint import SipEndpoint
from gateway.net.events import EventSockets
from gateway.net.handshake import token_of
from gateway.net.websocket import SipWebSocket
from gateway.randomness import random_token
from gateway.reload.asking import reload_rows
from gateway.reload.parts import Parts, Places, page_info, stream_limits
from gateway.reload.reloader import Read, Reloader, loaded_record, read_again
from gateway.renewal.watch import CertificateWatch
from gateway.renewal.watched import watched
from gateway.sip.agent import Agent
from gateway.sip.auth import DigestServer
from gateway.sip.events import StackEvent
from gateway.sip.flow import Flow
from gateway.sip.stack import SipStack
from gateway.site import Sites
from gateway.tokens.door import TokenDoor
from gateway.tokens.rings import KeyRings
from gateway.trunks.registering import Registrations
from gateway.web.server import WebServer
from gateway.webrtc.dtls import DtlsIdentity

log = logging.getLogger(__name__)

AUDIT_WATCH_SECONDS = 0.1
"""How often it is looked whether the disk under the audit log answers: the deadline of a record is kept to that."""
AUDIT_STOP_SECONDS = 3.0
"""How long a stopping gateway waits for its last records: the deadline of a record, and a little."""
RELAY_COUNTERS_SECONDS = 5.0
"""How old the workers' own counters may be at `/metrics`."""
UNASSIGNED_COUNTERS = (
    "stun_rejected",
    "dtls_rejected",
    "unvalidated_dropped",
    "unknown_dropped",
    "oversize_dropped",
    "empty_dropped",
    "control_rejected",
)
"""What can come to a browser port without belonging to any call."""


class Gateway:
    """One gateway process. `start` either brings everything up or leaves nothing behind.

    Args:
        loaded: what the configuration files say.
        consent_seconds: life of a browser's consent to media (RFC 7675 5.1); shorter in tests.
        silence_seconds: after that a trunk is silent and its call is looked after; shorter in tests.
        read: reads the same files once more, with all that is to be checked here; by default no more than they are.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        consent_seconds: float = CONSENT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        read: Read | None = None,
    ) -> None:
        site = loaded.site
        self.sites, self.places = Sites(site), Places(site)
        self.counters = Counters()
        self.guarding = KeyGuard()
        """Looks through the log of the process, if it has been made to."""
        self.pins = PinStore(site.pin_file)
        self._loop: asyncio.AbstractEventLoop | None = None
        people = People(site.audit.directory)
        form = LineFormat(people=people if site.audit.pseudonyms else None)
        self.audit = AuditLog(site.audit, self.counters, deliver=self._deliver, soon=self._soon, form=form)
        self.export = Export(self.audit, site.audit.directory, site.audit.sinks, self.counters)
        self.pool = RelayPool(
            site.media, self.counters, consent_seconds=consent_seconds, silence_seconds=silence_seconds
        )
        is_emergency = partial(is_emergency_call, sites=self.sites)
        self.stack = SipStack(random_token, self.counters, is_emergency)
        self.endpoint = SipEndpoint(
            self.stack,
            self.counters,
            site.trunks,
            self._on_event,
            limits=stream_limits(site.shares),
            nameservers=site.nameservers,
        )
        self.endpoint.on_flow_closed = self._flow_closed
        self.endpoint.on_peer = self._peer_shown
        self.agent = Agent(self.endpoint, random_token)
        self.key_rings = KeyRings(site.tokens, self.counters, time.monotonic)
        self._token_door = TokenDoor(site.tokens, self.key_rings, wall_clock)
        self.hep = HepExport(
            site.hep,
            self.counters,
            show=self.endpoint.taps.show,
            correlate=lambda call_id: self.manager.index.caller_of(call_id),
            called=people.called,
            withheld=partial(self.guarding.look, "hep"),
            clock=wall_clock,
        )
        self.manager = CallManager(self._services(), self._digest(), self._token_door)
        self.registrations = Registrations(
            site.trunks,
            self.manager.probes.connect,
            self.agent,
            is_open=self.endpoint.is_open,
            advertised=site.media.trunk.advertised,
            tokens=random_token,
            clock=time.monotonic,
            counters=self.counters,
        )
        self.endpoint.is_living = self.manager.index.is_living
        web = site.listeners.web
        self.events = EventSockets(
            self.manager.listening,
            lambda: self.sites.current.listeners.web,
            self.counters,
            time.monotonic,
            connections=site.shares,
        )
        self.websocket = SipWebSocket(self.endpoint, web, self.counters, connections=site.shares)
        turned_away = self.manager.sign_in.turned_away
        self.events.on_turned_away = self.websocket.on_turned_away = self.endpoint.on_turned_away = turned_away
        self.websocket.welcome = self._welcome
        self.web = WebServer(
            web,
            self.websocket.handle,
            page_info(site),
            self.counters,
            event_handler=self.events.handle,
            gauges=self._gauges,
            expiries=self._expiries,
            limits=site.shares,
            tally=self.audit.tally,
            on_turned_away=self.manager.sign_in.turned_away,
        )
        self.certificates = CertificateWatch(
            list(watched(site, self.web.use, self.endpoint.changes.use_context)), self.counters, now=wall_clock
        )
        self.reloader = Reloader(loaded, read or partial(read_again, loaded), self._parts(), self.audit, self.counters)
        self.desk = Desk(
            self.manager,
            self.endpoint,
            self.sites,
            time.monotonic,
            tapped=self.endpoint.taps.show,
            registered=self.registrations.shown,
            reload=partial(reload_rows, self.reloader),
            relay=self.pool,
        )
        named = loaded.gateway.path if loaded.gateway is not None else Path(site.realm)
        self.admin = AdminServer(site.admin_socket or own_socket(named), self.desk.rows)
        self._audit_timer: asyncio.TimerHandle | None = None
        self._pruning: asyncio.Task[None] | None = None
        self._relay_watch: asyncio.Task[None] | None = None
        self._relay_totals: dict[str, float] = {}

    def _deliver(self, told: Callable[[], None]) -> None:
        """Call something in the gateway's loop, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(told)

    def _soon(self, then: Callable[[], None]) -> None:
        """Call something in the gateway's loop when what happens now is over."""
        asyncio.get_running_loop().call_soon(then)

    def _services(self) -> Services:
        return Services(
            sites=self.sites,
            sip=self.endpoint,
            agent=self.agent,
            pool=self.pool,
            identity=DtlsIdentity.generate(datetime.datetime.now(datetime.UTC)),
            audit=self.audit,
            counters=self.counters,
            tokens=random_token,
            new_key=secrets.token_bytes,
            clock=time.monotonic,
            own=lambda: self.places.own,
            pins=self.pins,
            witness=self.hep,
        )

    def _parts(self) -> Parts:
        return Parts(
            self.sites,
            self.places,
            self.audit,
            self.export,
            self.hep,
            self.endpoint,
            self.websocket,
            self.events,
            self.web,
            self.key_rings,
            self._token_door,
            self.manager,
            self.registrations,
            self.certificates,
        )

    def _digest(self) -> DigestServer:
        return DigestServer(self.sites.current.realm, Secret(secrets.token_bytes(32)), random_token)

    def _gauges(self) -> dict[str, float]:
        return {
            "calls_live": self.manager.live_calls,
            "websockets_signed_in": self.websocket.shares.signed_in,
            "event_sockets": len(self.events),
            "websockets_strangers": self.websocket.shares.strangers,
            "users_registered": self.manager.location.users,
            "trunks_down": self.manager.probes.down,
            "registrations_unbound": self.registrations.unbound,
            "relay_sessions": self.pool.call_count,
            "workers_draining": sum(worker.state is WorkerState.DRAINING for worker in self.pool.workers),
            "legs_bad": sum(bad_legs(runner.state) for runner in self.manager.index.runners),
            "certificates_outdated": self.certificates.refused,
            "audit_accepting_calls": float(self.audit.accepting_calls),
            "audit_lag_seconds": self.audit.lag_seconds,
            "audit_sinks_down": self.export.down,
            "audit_sinks_waiting": self.export.waiting,
            "hep_down": float(self.hep.is_down),
            "hep_waiting": self.hep.waiting,
            **self._relay_totals,
        }

    @property
    def web_address(self) -> HostPort:
        """Where the page is served."""
        return self.web.address

    async def _welcome(self, flow: Flow, request: web.Request) -> None:
        """The handshake of a WebSocket may bring a token, in its own header or in a cookie."""
        if not self._token_door.is_open:
            return
        cookies = [issuer.cookie for issuer in self.sites.current.tokens if issuer.cookie]
        token = token_of(request, cookies)
        if token is not None:
            await self.manager.sign_in.welcome(flow, token)

    def _on_event(self, event: StackEvent) -> None:
        self.manager.on_event(event)

    def _expiries(self) -> Iterator[tuple[str, bool, float]]:
        return ((owner.name, owner.is_peer, expires) for owner, expires in self.certificates.book.rows())

    def _peer_shown(self, flow: Flow) -> None:
        if flow.trunk is not None and flow.tls is not None:
            self.certificates.peer_shown(flow.trunk, flow.tls.certificate_sha256, flow.tls.expires)

    def _flow_closed(self, flow: Flow) -> None:
        self.manager.flow_closed(flow)
        self.registrations.flow_closed(flow)

    async def start(self) -> None:
        """Bring everything up.

        Raises:
            GatewayError: something the administrator can mend; nothing is left running.
        """
        site = self.sites.current
        self._loop = asyncio.get_running_loop()
        self.pins.open()
        self.audit.open()
        self._watch_audit()
        try:
            self.audit.write(notices.gateway_started(__version__, recovered=self.audit.recovered))
            self.audit.write(loaded_record(self.reloader.loaded))
            await self.export.start()
            self.hep.start()
            self.key_rings.start()
            await self.pool.start()
            await self.endpoint.start(site.listeners)
            await self.web.start()
            self.certificates.start()
            await self._start_admin()
            self.registrations.start()
            self.manager.probes.start()
        except (GatewayError, OSError):
            await self.stop("start failed")
            raise
        self._relay_watch = asyncio.get_running_loop().create_task(self._watch_relay())
        self._pruning = asyncio.get_running_loop().create_task(
            Pruner(lambda: self.sites.current.audit, self.audit).run()
        )

    async def _start_admin(self) -> None:
        """Open the admin socket; without one that was asked for there is no start, without the usual one there is."""
        try:
            await self.admin.start()
        except ConfigError as error:
            if self.sites.current.admin_socket is not None:
                raise
            log.warning("admin state=off reason=%s; `sip-gateway calls` and the like cannot ask", error.message)

    async def _watch_relay(self) -> None:
        """Keep at hand for `/metrics` what the workers dropped outside of calls; a scrape never waits for them."""
        while True:
            with contextlib.suppress(MediaError, TimeoutError):
                workers = await self.pool.worker_counters()
                self._relay_totals = {
                    f"relay_{name}": float(sum(getattr(worker, name) for worker in workers))
                    for name in UNASSIGNED_COUNTERS
                }
            await asyncio.sleep(RELAY_COUNTERS_SECONDS)

    async def stop(self, reason: str = "stopped") -> None:
        """End every call with its record, then every socket, worker and file."""
        if self._relay_watch is not None:
            self._relay_watch.cancel()
            await asyncio.gather(self._relay_watch, return_exceptions=True)
            self._relay_watch = None
        await self.reloader.stop()
        await self.certificates.stop()
        await self.admin.stop()
        await self.manager.stop()
        await self.registrations.stop()
        self.manager.sign_in.report(stopping=True)
        await self.endpoint.stop()  # before the web server, which would wait for its WebSockets
        await self.hep.stop()
        self.events.stop()
        await self.web.stop()
        await self.key_rings.stop()
        await self.manager.location.stop()  # after the last connection, whose bindings go with it
        await self.pool.stop()
        await self.pins.stop()
        await self._close_audit(reason)

    async def _close_audit(self, reason: str) -> None:
        """Wait for the last record, and with it for all before it, but not for a disk that does not answer."""
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)
            self._pruning = None
        last = asyncio.Event()
        ended = self.counters[Counter.CALLS_STARTED] == self.counters[Counter.CALLS_ENDED]
        self.export.tell_dropped()
        stopped = notices.gateway_stopped(reason, all_ended=ended and not self.audit.records_lost)
        self.audit.write(stopped)
        self.audit.checkpoint(lambda _written: last.set())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(last.wait(), AUDIT_STOP_SECONDS)
        if self._audit_timer is not None:
            self._audit_timer.cancel()
            self._audit_timer = None
        if not self.audit.close():
            log.error("audit state=closed: the disk does not answer")
        await self.export.stop()

    def _watch_audit(self) -> None:
        """Armed again first: the deadline of a record must outlive a defect in what is done here."""
        self._audit_timer = asyncio.get_running_loop().call_later(AUDIT_WATCH_SECONDS, self._watch_audit)
        self.audit.watch()
        self.manager.sign_in.report()
        for where, count in self.guarding.take(time.monotonic()):
            self.audit.write(notices.key_withheld(where=where, count=count))


def wall_clock() -> float:
    """Seconds since 1970."""
    return datetime.datetime.now(datetime.UTC).timestamp()
