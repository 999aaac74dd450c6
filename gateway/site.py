"""The site: everything the configuration says, compiled once into the values its users speak of, and frozen.

What begins looks at the site there is (`Sites.current`) and keeps it: a call that lives goes on under the trunks, the
policy and the limits it began with, whatever is loaded meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gateway.audit.place import AuditPlace
from gateway.base.values import HostPort, Secret
from gateway.hep.plan import HepPlan
from gateway.media.places import MediaPlaces
from gateway.policy.book import UNROUTED, PolicyBook
from gateway.policy.pins import Pinning
from gateway.quality.watch import Marks
from gateway.routing.dialplan import Dialplan
from gateway.routing.people import Person
from gateway.sip.auth import Credentials
from gateway.tokens.issuer import Issuer
from gateway.trunks.model import ListenerTls, Trunk
from gateway.trunks.target import TrunkTarget

NOBODY = Person()
NOWHERE = "invalid.invalid"
"""A host there can never be (RFC 6761 6.4)."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Caps on what the gateway takes on."""

    calls: int = 1000
    """Calls at the same time."""
    calls_per_user: int = 8
    """Of these, calls one user has dialled."""
    registrations_per_user: int = 10
    """Contacts of one user at the same time."""
    registrations_displace: bool = True
    """One too many takes the place of the oldest; else it is refused."""
    ring_seconds: float = 180.0
    """How long a call may ring."""
    silence_seconds: float = 1800.0
    """How long a trunk that still answers, or a browser that consents, may send neither RTP nor RTCP, hold aside."""
    reconnect_seconds: float = 30.0
    """How long a call waits for a browser whose connection is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionShares:
    """Shares of connections: whoever fills one leaves the others alone. A source is an IPv4 address or an IPv6 /64."""

    page: int = 512
    page_per_source: int = 256
    strangers: int = 512
    """WebSockets that are not signed in yet."""
    strangers_per_source: int = 32
    signed_in: int = 4000
    signed_in_per_source: int = 1000
    signed_in_per_user: int = 16
    trunk: int = 256
    """TCP and TLS connections from one trunk."""
    trunk_per_source: int = 32


@dataclass(frozen=True, slots=True)
class WebListener:
    """The HTTPS listener: softphone page and SIP over WebSocket."""

    address: HostPort
    certificate: Path | None = None
    """Without it plain ws:// is served, on loopback only."""
    key: Path | None = None
    key_password: Secret[str] | None = None
    origins: tuple[str, ...] = ()
    """Origins that may open the WebSocket, exact match."""
    allow_missing_origin: bool = False


@dataclass(frozen=True, slots=True)
class SipListener:
    """A listener for trunks."""

    transport: Literal["udp", "tcp", "tls"]
    address: HostPort


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the gateway listens."""

    web: WebListener
    sip: tuple[SipListener, ...] = ()
    tls: ListenerTls | None = None
    """What `tls:` listeners prove; there is none without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRelay:
    """The registrar that authenticates browsers in our place."""

    trunk: str
    address: HostPort
    """Where it reaches us."""
    path: bool = False
    """It reaches a browser by Path (RFC 3327); else our Contact stands in place of the browser's."""
    realm: str = ""
    """The only realm that may ask browsers for a password; empty: any that this trunk names."""
    max_expires: int = 600
    """Seconds a registration is asked for at most."""
    unregister: bool = True
    """When a connection has ended its registration is removed, as far as the registrar lets us."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """One configuration, as the gateway works by it."""

    realm: str
    """SIP domain of the browser users, and digest realm."""
    trunks: Mapping[str, Trunk]
    dialplan: Dialplan
    policies: PolicyBook
    users: Mapping[str, Credentials] = field(repr=False)
    people: Mapping[str, Person] = field(default_factory=lambda: MappingProxyType({}))
    """Numbers and names of users that have any."""
    media: MediaPlaces
    limits: CallLimits
    shares: ConnectionShares
    listeners: Listeners
    audit: AuditPlace
    hep: HepPlan | None = None
    """Who gets SIP messages and reports on media; None: nobody."""
    pinning: Pinning = field(default_factory=Pinning)
    """How long who is held to encryption."""
    header_extensions: tuple[str, ...] = ()
    """Of RTP, by URI: what may pass from one side to the other where both agree on it."""
    quality: Marks = field(default_factory=Marks)
    """When a leg of a call counts as bad."""
    pin_file: Path | None = None
    """Where that is remembered; None: in memory only."""
    tokens: tuple[Issuer, ...] = ()
    """Who else may say who a user is."""
    registration: RegistrationRelay | None = None
    """Who registers browsers in our place; None: we do, by `users`."""
    admin_socket: Path | None = None
    """Where administrators ask; None: in the runtime directory."""
    nameservers: tuple[HostPort, ...] = ()
    """Who is asked for the names of trunks; none: whom this machine asks."""

    def is_same_user(self, one: str, other: str) -> bool:
        """Whether two names mean one user. Of those we know ourselves no two differ in case alone; what a registrar's
        names mean is its affair: there `Bob` may be another one than `bob` (RFC 3261 19.1.4)."""
        return one == other if self.registration is not None else one.lower() == other.lower()

    def person(self, user: str) -> Person:
        """Number and name of a user; nothing is known of one who is not configured."""
        return self.people.get(user, NOBODY)

    def trunk(self, name: str) -> Trunk:
        """The trunk of that name; one that leads nowhere where a call has none."""
        known = self.trunks.get(name)
        if known is not None:
            return known
        return Trunk(name=UNROUTED, target=TrunkTarget.parse(f"sip:{NOWHERE}"), media=self.media.trunk)


class Sites:
    """The site there is now. Loading another one swaps it in one step; nobody is told."""

    def __init__(self, site: Site) -> None:
        self.current = site
