"""What calls need from the rest of the gateway, as narrow protocols and one bundle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from gateway.audit.log import AuditLog
from gateway.base.counters import Counters
from gateway.base.values import HostPort, TokenSource
from gateway.call.legs.keys import KeySource
from gateway.call.legs.places import OwnPlaces
from gateway.call.run.bulletin import Bulletin
from gateway.call.run.lookup import NameLookups
from gateway.call.run.pins import PinStore
from gateway.call.run.witness import Nobody, Witness
from gateway.media.relay_client import RelayPool
from gateway.sip.address import NameAddr
from gateway.sip.agent import Agent
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.site import Sites
from gateway.trunks.target import Reached, Spot
from gateway.webrtc.dtls import DtlsIdentity


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class SipSender(Protocol):
    """The SIP endpoint as calls use it; `net.endpoint.SipEndpoint` has this shape."""

    def send_request(self, request: Request, flow: Flow) -> str: ...

    def send_ack(self, request: Request, flow: Flow) -> None: ...

    def respond(self, key: str, response: Response) -> None: ...

    def cancel(self, key: str, headers: Sequence[tuple[str, str]] = ()) -> None: ...

    def signed_in(self, flow: Flow, user: str) -> bool: ...

    async def connect(self, trunk_name: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> Flow: ...

    def reached(self, flow: Flow, tried: Collection[Spot]) -> Reached: ...

    def unheard(self, flow: Flow) -> None: ...

    def wants_stream(self, request: Request, flow: Flow) -> bool: ...

    async def over_stream(self, flow: Flow) -> Flow: ...

    def is_open(self, flow: Flow) -> bool: ...

    def close(self, flow: Flow) -> None: ...

    async def reconnect(self, trunk_name: str, lost: Flow, place: HostPort | None) -> Flow: ...


class Bound(Protocol):
    """What of a binding a call needs: the connection, and the Contact registered over it."""

    @property
    def flow(self) -> Flow: ...

    @property
    def contact(self) -> NameAddr: ...


class Locator(Protocol):
    """Where users can be reached; `location.service.Location` has this shape."""

    async def locate(self, user: str) -> Sequence[Bound]: ...


@dataclass(frozen=True)
class Services:
    """Everything a call may use; made once by the composition root."""

    sites: Sites
    """The site is looked at when something begins, and kept by it."""
    sip: SipSender
    agent: Agent
    """Sends requests, and tells who asked what comes of them."""
    pool: RelayPool
    identity: DtlsIdentity
    audit: AuditLog
    counters: Counters
    tokens: TokenSource
    new_key: KeySource
    clock: Callable[[], float]
    own: Callable[[], OwnPlaces]
    """Where this gateway itself is reached: media is never sent there."""
    bulletin: Bulletin = field(default_factory=Bulletin)
    """What event sockets show of the calls."""
    lookups: NameLookups = field(default_factory=NameLookups)
    """DNS for the host names of trunks' media, shared by all calls."""
    pins: PinStore = field(default_factory=PinStore)
    """Who has been seen to encrypt."""
    witness: Witness = field(default_factory=Nobody)
    """Who is shown the reports on the media of calls."""
    wall: Callable[[], datetime] = utc_now
    """The time of day, by which rules of the policy hold and its exceptions end."""
