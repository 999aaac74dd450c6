"""A call manager with everything below it replaced: SIP that only remembers, a relay of no process."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

from gateway.audit.log import AuditLog
from gateway.base.counters import Counters
from gateway.base.errors import GatewayError, MediaError, TransportError
from gateway.base.values import HostPort, LegId
from gateway.call.legs.places import NO_PLACES
from gateway.call.manager import CallManager
from gateway.call.run.runner import CallRunner
from gateway.call.run.services import Services
from gateway.location.binding import Binding
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import IcePort, OpenLeg
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import LegOpened
from gateway.media.relay_quality import LegQuality
from gateway.sip.address import NameAddr
from gateway.sip.agent import Agent
from gateway.sip.auth import DigestServer
from gateway.sip.events import RequestReceived, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.site import Site, Sites
from gateway.trunks.target import Reached, Spot
from gateway.webrtc.dtls import DtlsIdentity
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, trunk_flow, vector
from tests.sites import made_site

IDENTITY = DtlsIdentity.generate(datetime.datetime.now(datetime.UTC))


PLAN = {
    "emergency_trunks": ["pbx"],
    "outbound": [
        {"id": "old", "dialled": "7*", "trunk": "old"},
        {"id": "all", "dialled": "6*", "trunk": "pbx"},
        {"id": "soft", "dialled": "8*", "trunk": "soft"},
        {"id": "desk", "dialled": "201", "user": "bob"},
        {"id": "names", "dialled": "c*", "user": "*"},
    ],
    "inbound": [{"id": "alice", "dialled": "100", "user": "alice"}],
}


PEOPLE = ("alice", "bob", "carol", "998", "999")


def site(directory: Path, calls: int = 2, **settings: object) -> Site:
    """A gateway with one strict trunk on TLS, one legacy trunk on UDP, and room for two calls or more."""
    trunks = {
        "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
        "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
        "soft": {"target": "sip:soft.example;transport=tls", "security": "prefer"},
    }
    own = {"audit": {"directory": str(directory)}, "limits": {"calls": calls}, "trunks": trunks}
    return made_site(PLAN, people=PEOPLE, **{**own, **settings})


class Sip:
    """What `SipEndpoint` is to calls. `broken` makes the named method raise."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[Request, Flow]] = {}
        self.acks: list[Request] = []
        self.answers: list[tuple[str, Response]] = []
        self.cancelled: list[str] = []
        self.broken: dict[str, GatewayError] = {}
        self.flows: dict[str, Flow] = {}
        self.has_more = False
        """Trunks have other places."""
        self.silent_at: list[Flow] = []
        self.streams: dict[int, Flow] = {}
        """Flows that are too small for requests, by id, and what there is in their place."""
        self.may_connect = asyncio.Event()
        self.full = False
        self.kept: list[int] = []
        """Ids of flows whose peer was said to have proved who it is."""
        self.gone: set[int] = set()
        """Ids of flows whose connection has closed."""
        self.again: dict[str, Flow] = {}
        """What a new connection to a trunk would be."""
        self.places: list[HostPort | None] = []
        self._keys = itertools.count(1)

    def _check(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def send_request(self, request: Request, flow: Flow) -> str:
        self._check("send_request")
        self._check(request.method)
        key = f"sent-{next(self._keys)}"
        self.sent[key] = (request, flow)
        return key

    def send_ack(self, request: Request, flow: Flow) -> None:
        self._check("send_ack")
        self.acks.append(request)

    def respond(self, key: str, response: Response) -> None:
        self._check(f"respond {response.status}")
        self.answers.append((key, response))

    def cancel(self, key: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.cancelled.append(key)

    def signed_in(self, flow: Flow, user: str) -> bool:
        self.kept.append(flow.id)
        return not self.full

    def reached(self, flow: Flow, tried: Collection[Spot]) -> Reached:
        return Reached(more=self.has_more)

    def unheard(self, flow: Flow) -> None:
        self.silent_at.append(flow)

    def wants_stream(self, request: Request, flow: Flow) -> bool:
        return flow.id in self.streams

    async def over_stream(self, flow: Flow) -> Flow:
        await self.may_connect.wait()
        return self.streams[flow.id]

    def is_open(self, flow: Flow) -> bool:
        return flow.id not in self.gone

    def close(self, flow: Flow) -> None:
        self.gone.add(flow.id)

    async def reconnect(self, trunk_name: str, lost: Flow, place: HostPort | None) -> Flow:
        self.places.append(place)
        await asyncio.sleep(0)
        if trunk_name not in self.again:
            raise TransportError("refused")
        return self.again[trunk_name]

    async def connect(self, trunk_name: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> Flow:
        if trunk_name not in self.flows:
            raise TransportError("refused")
        return self.flows[trunk_name]


class Relay:
    """A call of the relay without a worker; remembers the names of its commands."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.legs: dict[LegId, LegOpened] = {}
        self.quality: dict[LegId, LegQuality] = {}
        self.close_fails: Exception | None = None
        self.silent = False
        """Its worker answers nothing."""
        self.elsewhere = False
        """It is in another worker than all others."""

    def opened(self, command: OpenLeg) -> LegOpened:
        if isinstance(command.place, IcePort):
            found = LegOpened(command.leg, (HostPort("192.0.2.1", 10000),), None)
        else:
            found = LegOpened(command.leg, (HostPort("127.0.0.1", 20000),), HostPort("127.0.0.1", 20001))
        self.legs[command.leg] = found
        return found

    def adopt(self, leg: LegId, other: Relay, from_leg: LegId) -> None:
        if other is self or self.elsewhere or from_leg not in other.legs:
            raise MediaError("no such leg here")
        self.legs[leg] = other.legs.pop(from_leg)
        self.commands.append("Adopt")

    async def open(self, command: OpenLeg) -> LegOpened:
        return self.opened(command)

    def send(self, command: object) -> None:
        self.commands.append(type(command).__name__)

    async def counters(self) -> dict[LegId, PacketCounters]:
        if self.silent:
            raise MediaError("the relay worker does not answer")
        return {leg: PacketCounters(rtp_rx=500, rtp_tx=498) for leg in self.legs}

    async def close(self) -> dict[LegId, PacketCounters]:
        self.commands.append("close")
        if self.close_fails is not None:
            raise self.close_fails
        return {leg: PacketCounters() for leg in self.legs}


class Pool:
    """Gives the call it was made with, or none."""

    def __init__(self) -> None:
        self.call = Relay()
        self.calls: list[Relay] | None = None
        """A list: each call has one of its own, and they are kept here."""
        self.full = False
        self.opened = 0

    async def open(self, *legs: OpenLeg, listener: object, affinity: object = ()) -> Relay:
        if self.full:
            raise MediaError("no port")
        self.opened += 1
        if self.calls is not None:
            self.call = Relay()
            self.calls.append(self.call)
        for leg in legs:
            self.call.opened(leg)
        return self.call


class Audit:
    """A log that keeps its records in memory."""

    def __init__(self) -> None:
        self.accepting_calls = True
        self.records: list[Mapping[str, object]] = []

    def write(self, record: Mapping[str, object], then: Callable[[bool], None] | None = None) -> None:
        self.records.append(record)
        if then is not None:
            then(True)

    def types(self) -> list[object]:
        return [record["type"] for record in self.records]


class Office:
    """A manager on its own: say what SIP brings, look at what it answers."""

    def __init__(self, directory: Path, audit: Audit | None = None, *, calls: int = 2, sip: Sip | None = None) -> None:
        self.sip, self.pool, self.audit = sip or Sip(), Pool(), audit or Audit()
        self.sip.flows = {"pbx": trunk_flow(), "old": trunk_flow("udp"), "soft": trunk_flow()}
        numbers = itertools.count(1)
        self.sites = Sites(site(directory, calls))
        self.services = Services(
            sites=self.sites,
            sip=self.sip,
            agent=Agent(self.sip, lambda length: "x" * length),
            pool=cast(RelayPool, self.pool),
            identity=IDENTITY,
            audit=cast(AuditLog, self.audit),
            counters=Counters(),
            tokens=lambda length: f"{next(numbers):0{length}d}"[-length:],
            new_key=lambda length: (next(numbers) % 256).to_bytes(1, "big") * length,
            clock=time.monotonic,
            own=lambda: NO_PLACES,
        )
        self.manager = CallManager(self.services, cast(DigestServer, None))
        self.manager.location.identities.authenticate(BROWSER_FLOW, "alice")

    def bind(
        self,
        contact: str = "<sip:alice@client.invalid;transport=ws>",
        flow: Flow = BROWSER_FLOW,
        user: str = "alice",
    ) -> None:
        """A browser of a user is reachable, as after a REGISTER over this flow."""
        self.manager.location.identities.authenticate(flow, user)
        node = self.manager.location.node
        binding = Binding(node, flow, NameAddr.parse(contact), contact, f"reg-{flow.id}", 1, 600.0)
        self.manager.bindings.put(user, [binding], [])

    def request(self, request: Request, *, key: str = "in-1", flow: Flow = BROWSER_FLOW) -> None:
        self.manager.on_event(RequestReceived(key, request, flow))

    def call(self, number: str = "600", *, key: str = "in-1", call_id: str = "call-1") -> None:
        """The browser calls."""
        self.request(invite(number, call_id=call_id), key=key)

    def reply(
        self,
        method: str,
        status: int,
        body: bytes = b"",
        *,
        tag: str = "callee",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """The peer of the last request of that method answers it."""
        key, (request, flow) = [(k, v) for k, v in self.sip.sent.items() if v[0].method == method][-1]
        contact = (("Contact", "<sip:callee@127.0.0.2:5061>"), *headers)
        kind = "application/sdp" if body else ""
        response = create_response(request, status, to_tag=tag, headers=contact, body=body, content_type=kind)
        self.manager.on_event(ResponseReceived(key, response, flow))

    def statuses(self, key: str) -> list[int]:
        """What the sender of a request was answered."""
        return [response.status for k, response in self.sip.answers if k == key]

    @property
    def methods(self) -> list[str]:
        return [request.method for request, _ in self.sip.sent.values()]

    async def settle(self) -> None:
        """Let the tasks of the calls run to their next wait."""
        for _ in range(20):
            await asyncio.sleep(0)
        for runner in self.manager.index.runners:
            self._is_found(runner)

    def _is_found(self, runner: CallRunner) -> None:
        """Whatever has happened to a call: it is found by each connection and each user of its legs."""
        index = self.manager.index
        for leg in runner.state.legs.values():
            assert runner in index.on(leg.flow.id)
            assert not leg.habits.returns or runner in index.of_user(leg.number)


def invite(number: str = "600", *, call_id: str = "call-1", contact: str = "<sip:alice@client.invalid>") -> Request:
    """The INVITE of a browser."""
    lines = messages.fields(
        "INVITE",
        via=f"SIP/2.0/WSS client.invalid;branch=z9hG4bK{call_id}",
        from_="<sip:alice@example.test>;tag=caller",
        to=f"<sip:{number}@example.test>",
        call_id=call_id,
        contact=contact,
    )
    return messages.request("INVITE", f"sip:{number}@example.test", lines, vector("chromium_offer"))
