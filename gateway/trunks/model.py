"""What is known of a trunk: a SIP peer as it was configured, read once and frozen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.base.dtmf import Dtmf
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.profiles import Profile
from gateway.base.values import Secret
from gateway.media.places import TrunkPlace
from gateway.routing.e164 import NumberFormat
from gateway.sdp.codecs import CODEC_NAMES
from gateway.sip.auth import Credentials
from gateway.sip.digest_client import Login
from gateway.trunks.identity import TrunkIdentity
from gateway.trunks.registration import RegistrationPlan
from gateway.trunks.target import TargetChoice, TrunkTarget, is_ip_literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TrunkTls:
    """How a trunk's TLS identity is verified (RFC 5922) and how we prove ours."""

    ca: Path | None = None
    """Certificates its chain may end at; None: those of the system."""
    names: tuple[str, ...] = ()
    """Names accepted in its certificate; none: the host of its target."""
    certificate: Path | None = None
    """The client certificate we show, with its chain."""
    key: Path | None = None
    key_password: Secret[str] | None = None
    wildcards: bool = False
    """`*.example.com` in its certificate stands for names with one label in place of the asterisk."""
    pins: frozenset[str] = frozenset()
    """SHA-256 of certificates or of their public keys (SubjectPublicKeyInfo), hexadecimal; one of them it must show.

    Then a chain is asked for only with `ca`, and a name only with `names`: what is written is checked.
    """

    @property
    def needs_chain(self) -> bool:
        """Whether the certificate must come from an authority."""
        return not self.pins or self.ca is not None


@dataclass(frozen=True, slots=True)
class ExpectedPeer:
    """What the certificate of a trunk must show, whoever opened the connection."""

    names: tuple[str, ...]
    """Names it may speak for."""
    wildcards: bool = False
    pins: frozenset[str] = frozenset()
    is_named: bool = True
    """False: a pinned certificate proves the first name, whatever it says."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a trunk must prove to begin a call, besides that it is in its networks."""

    user: str = ""
    credentials: Credentials | None = None
    """Of `user`, for digest (RFC 8760); None: it is not asked for a password."""
    certificate: bool = False
    """It must show a certificate for its name, or a pinned one."""
    any_is_enough: bool = False
    """Either of the two will do."""


@dataclass(frozen=True, slots=True)
class TrunkDtls:
    """How a trunk is keyed by DTLS-SRTP (RFC 5763), where it is."""

    setup: Setup = Setup.PASSIVE
    """Our role in answers, where the offer leaves a choice."""
    transport: Proto = Proto.DTLS_SAVP
    """Of our offers."""
    ice: bool = False
    """ICE is offered to it."""


NOBODY = ExpectedPeer(())
"""No certificate proves anything."""


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """Our certificate on `tls:` listeners, and who may prove itself there by one of its own."""

    certificate: Path
    key: Path
    key_password: Secret[str] | None = None
    client_ca: Path | None = None
    """None: no certificate is asked for, and no request over these listeners counts as verified by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A SIP peer: PBX or carrier."""

    name: str
    """As logs and records have it."""
    target: TrunkTarget
    """Where it is reached; of several targets the one that is tried first."""
    targets: tuple[TargetChoice, ...] = ()
    """Where it is reached, when there is more than one place for it."""
    port: int | None = None
    """Of the addresses we call there: as it was written in the target, else none."""
    media: TrunkPlace
    """Where our media towards it is."""
    display_name: str = ""
    """As people are told it; empty: its name."""
    security: Profile = Profile.STRICT
    profile: str = ""
    """The profile of the policy file that it names in place of `security`."""
    networks: tuple[Network, ...] = ()
    """Where its requests come from; none: it cannot call in."""
    inbound: Inbound | None = None
    """None: whoever is in its networks is it."""
    media_networks: tuple[Network, ...] = ()
    """Where its media may come from besides the signalled address."""
    tls: TrunkTls = field(default=TrunkTls())
    keying: tuple[Keying, ...] = (Keying.SDES,)
    """How it is offered keys, in order of preference, where its profile does not say."""
    dtls: TrunkDtls = field(default=TrunkDtls())
    registrations: tuple[RegistrationPlan, ...] = ()
    """Addresses of record that are kept registered there: calls for them come over the flow they were registered on."""
    auth: Login | None = None
    """Who we are to it when it asks (RFC 3261 22)."""
    crlf_keepalive: float = 90
    """Seconds between two pings on connections we opened to it at most (RFC 5626 3.5.1); 0: none."""
    keepalive: float = 60
    """Seconds of silence after which it is asked by OPTIONS whether it is there; 0: never for that reason."""
    tcp_fallback: bool = False
    """Requests too large for a datagram go to it over TCP (RFC 3261 18.1.1)."""
    max_calls: int | None = None
    """Calls over it at the same time, in and out together; None: no cap."""
    pin: bool = True
    """It is held to encryption once it was seen to encrypt."""
    rtcp_mux: bool = False
    """rtcp-mux is offered to it; an offer with rtcp-mux is always honoured."""
    trust_identity: bool = False
    """The name and number it asserts (RFC 3325) are shown."""
    reliable_provisional: bool = True
    """Ringing and early media may be acknowledged (RFC 3262), which it is told with each INVITE."""
    identity: TrunkIdentity = field(default=TrunkIdentity())
    """How it is told who calls."""
    contact: str = ""
    """The host name it reaches us by, in Contact; empty: the address."""
    pass_headers: tuple[str, ...] = ()
    """Header fields that are passed on, from it and to it."""
    number_format: NumberFormat | None = None
    """How it writes telephone numbers; None: as the dialplan makes them."""
    delayed_offer: bool = False
    """It gets INVITEs without an offer and makes its own in the 2xx."""
    session_expires: int = 1800
    """Seconds after which a session that was not refreshed ends, as we ask for it (RFC 4028); 0: we do not ask."""
    dtmf: Dtmf = Dtmf.RTP
    """How digits reach it."""
    codecs: tuple[str, ...] = CODEC_NAMES
    """Codecs it is offered, in order, of those the browser offered."""

    @property
    def choices(self) -> tuple[TargetChoice, ...]:
        """Every target, however many were written."""
        return self.targets or (TargetChoice(self.target),)

    @property
    def tls_names(self) -> tuple[str, ...]:
        """The names its certificate may carry (RFC 5922 4)."""
        return self.tls.names or tuple(dict.fromkeys(choice.target.host for choice in self.choices))

    @property
    def peer(self) -> ExpectedPeer:
        """What its certificate must show, where it is not known for which of its targets."""
        return self._peer(self.tls_names)

    def peer_of(self, target: TrunkTarget) -> ExpectedPeer:
        """What the certificate of a peer must show that was found for this target: never the name of another one.

        A pinned one is the trunk, wherever it was found, and by the same name each time.
        """
        return self._peer(self.tls.names or (self.tls_names if self.tls.pins else (target.host,)))

    def server_name(self, target: TrunkTarget) -> str:
        """What our TLS hello asks for (RFC 6066 3): the target's host, or the domain when the target is an address."""
        return self.peer_of(target).names[0] if is_ip_literal(target.host) else target.host

    def _peer(self, names: tuple[str, ...]) -> ExpectedPeer:
        tls = self.tls
        return ExpectedPeer(names, tls.wildcards, tls.pins, is_named=not tls.pins or bool(tls.names))
