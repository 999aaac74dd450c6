"""The configuration as frozen models: every key the gateway knows, typed, with its default and its meaning.

YAML scalars arrive here as text (`load` reads no implicit booleans, numbers or times) and are typed by these
models. Unknown keys are errors. The docstring under a key is its text in docs/configuration.md and the remedy
told when its value is wrong.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.base.profiles import Profile
from gateway.config.scalars import (
    Dialled,
    DisplayName,
    EmergencyNumber,
    FilePath,
    Host,
    IpAddress,
    IpList,
    Model,
    Name,
    Network,
    Origin,
    Port,
    Prefix,
    SecretText,
    emergency_number,
    hexadecimal,
    ip_address,
)
from gateway.sdp.codecs import CODEC_NAMES

MAX_WORKERS = 64
"""More relay workers than this is a typing mistake, not a machine."""

MAX_RULES = 2000
"""Rules of one direction: they are walked for every call, and compared with each other once."""


class Endpoint(Model):
    """An address to listen on, written `host:port` (`[v6]:port`)."""

    host: str
    port: int = Field(ge=0, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host:
            raise ValueError("expected host:port")
        return {"host": ip_address(host.strip("[]")), "port": port}


class SipListener(Model):
    """One SIP listener, written `transport:host:port` with transport udp, tcp or tls."""

    transport: Literal["udp", "tcp", "tls"]
    address: Endpoint

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        transport, colon, rest = value.partition(":")
        if not colon:
            raise ValueError("expected transport:host:port, for example udp:0.0.0.0:5060")
        return {"transport": transport.lower(), "address": rest}


class PortRange(Model):
    """A range of UDP ports, written `first-last` or one number."""

    first: Port
    last: Port

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        first, dash, last = value.partition("-")
        return {"first": first, "last": last if dash else first}

    @model_validator(mode="after")
    def _ordered(self) -> PortRange:
        if self.first > self.last:
            raise ValueError("the first port is above the last")
        return self

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class Web(Model):
    """The HTTPS listener: softphone page and SIP over WebSocket."""

    address: Endpoint
    """IP address and port of the HTTPS listener, for example 0.0.0.0:8443."""
    certificate: FilePath | None = None
    """PEM file with the server certificate and its chain. Without it plain ws:// is served, on loopback only."""
    key: FilePath | None = None
    """PEM file with the private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""
    origins: tuple[Origin, ...] = ()
    """Origins allowed to open the WebSocket, exact match, for example https://pbx.example.com. The gateway's own page
    must be listed too."""
    allow_missing_origin: bool = False
    """Accept WebSocket clients that send no Origin (not browsers). Off: they get 403."""

    @model_validator(mode="after")
    def _plain_only_on_loopback(self) -> Web:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.certificate is None and not ipaddress.ip_address(self.address.host).is_loopback:
            raise ValueError("plain ws:// is served on loopback only: give certificate and key")
        return self


class ListenTls(Model):
    """The gateway's certificate on `tls:` listeners, and who may prove itself there by a client certificate."""

    certificate: FilePath
    """PEM file with the certificate and its chain."""
    key: FilePath
    """PEM file with the private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""
    client_ca: FilePath | None = None
    """CA file for client certificates; without it no inbound TLS request counts as verified by certificate."""


class Listen(Model):
    """Where the gateway listens."""

    web: Web
    """The HTTPS listener for browsers."""
    sip: tuple[SipListener, ...] = ()
    """Listeners for trunks, each `udp:`, `tcp:` or `tls:` and an address, for example udp:0.0.0.0:5060."""
    tls: ListenTls | None = None
    """Certificate of the `tls:` listeners; required when there is one."""

    @model_validator(mode="after")
    def _tls_has_certificate(self) -> Listen:
        if any(s.transport == "tls" for s in self.sip) and self.tls is None:
            raise ValueError("a tls: listener needs listen.tls with certificate and key")
        return self


class BrowserMedia(Model):
    """Media towards browsers: one UDP port per relay worker, on every bind address."""

    bind: IpList
    """Local address or addresses for browser media."""
    advertise: IpList = ()
    """Addresses written in candidates, one per bind address (1:1 NAT). Default: the bind addresses."""
    ports: PortRange
    """UDP ports, one per worker: `first-last` or one number. These must be open in the firewall."""
    dtls_setup: Literal["passive", "active"] = "passive"
    """Role we answer with. passive: we are DTLS server and choose the strongest suite."""

    @model_validator(mode="after")
    def _pairs(self) -> BrowserMedia:
        if not self.bind:
            raise ValueError("bind needs at least one address")
        if self.advertise and len(self.advertise) != len(self.bind):
            raise ValueError("advertise needs one address per bind address")
        if not self.advertise and any(ipaddress.ip_address(b).is_unspecified for b in self.bind):
            raise ValueError("bind on an unspecified address needs advertise")
        return self

    @property
    def advertised(self) -> tuple[str, ...]:
        return self.advertise or self.bind


class TrunkMedia(Model):
    """Media towards trunks: one even RTP port and the odd RTCP port above it per call."""

    bind: IpAddress
    """Local address for trunk media."""
    advertise: IpAddress | None = None
    """Address written in the SDP for trunks (1:1 NAT). Default: the bind address."""
    ports: PortRange
    """UDP ports for trunk media, `first-last`: two per call, and room for ports that rest after a call."""

    @model_validator(mode="after")
    def _room(self) -> TrunkMedia:
        if (self.ports.last + 1) // 2 <= (self.ports.first + 1) // 2:
            raise ValueError("a call needs an even port and the odd port above it (RTP and RTCP)")
        if self.advertise is None and ipaddress.ip_address(self.bind).is_unspecified:
            raise ValueError("bind on an unspecified address needs advertise")
        return self

    @property
    def advertised(self) -> str:
        return self.advertise or self.bind


class Media(Model):
    """Addresses and ports of the media relay."""

    browser: BrowserMedia
    """Media towards browsers."""
    trunk: TrunkMedia
    """Media towards trunks."""
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
    """Relay processes; one per core that may carry media."""

    @model_validator(mode="after")
    def _port_per_worker(self) -> Media:
        if len(self.browser.ports) < self.workers:
            raise ValueError("media.browser.ports needs one port per worker")
        if (self.trunk.ports.last + 1) // 2 - (self.trunk.ports.first + 1) // 2 < self.workers:
            raise ValueError("media.trunk.ports needs an even port and the odd one above it for each worker")
        return self


class TrunkTls(Model):
    """How a trunk's TLS identity is verified (RFC 5922) and how we prove ours."""

    ca: FilePath | None = None
    """CA file; default is the system's."""
    names: tuple[Host, ...] = ()
    """Names accepted in the certificate; default is the host of `target`."""
    certificate: FilePath | None = None
    """PEM file with the client certificate we show to this trunk."""
    key: FilePath | None = None
    """PEM file with the private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""

    @model_validator(mode="after")
    def _pair(self) -> TrunkTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class TrunkAddresses(Model):
    """Media addresses of one trunk where they differ from `media.trunk` (another interface, another NAT)."""

    bind: IpAddress
    """Local address for this trunk's media."""
    advertise: IpAddress | None = None
    """Address written in the SDP for this trunk. Default: the bind address."""


class Trunk(Model):
    """A SIP peer: PBX or carrier."""

    target: str
    """SIP URI of the peer: sip:host[:port][;transport=udp|tcp|tls]. Without transport it is udp; strict needs tls."""
    display_name: DisplayName | None = None
    """What callers read where the trunk is meant: "beyond Acme Telecom". Default: the trunk's name here."""
    security: Profile = Profile.STRICT
    """Security profile: strict, prefer, osrtp or legacy."""
    networks: tuple[Network, ...] = ()
    """Source networks whose requests are this trunk's; of several that hold an address the narrowest wins, then the
    transport of `target`, then the name of a client certificate. Empty: the trunk cannot call in."""
    media_networks: tuple[Network, ...] = ()
    """Networks its media may come from besides the signalled address. A host name where it says its media is must lead
    into these or into `networks`."""
    tls: TrunkTls = TrunkTls()
    """How its TLS identity is verified."""
    media: TrunkAddresses | None = None
    """Media addresses where they differ from `media.trunk`."""
    rtcp_mux: bool = False
    """Offer rtcp-mux to this trunk. An inbound offer with rtcp-mux is always honoured."""
    trust_identity: bool = False
    """Show browsers the name and number this trunk asserts (P-Asserted-Identity, display name) for callers and for who
    is connected. Otherwise the number in From alone."""
    codecs: tuple[str, ...] = Field(default=CODEC_NAMES, min_length=1)
    """Codecs offered to this trunk, in order, of those the browser offered."""


class Audit(Model):
    """The audit log."""

    directory: FilePath
    """Directory of the audit log; made when it is missing."""
    on_unavailable: Literal["buffer_then_refuse_new", "refuse_new"] = "buffer_then_refuse_new"
    """When the log cannot be written: buffer in memory and refuse new calls once that is full, or refuse at once.
    Emergency numbers always connect."""
    buffer_mb: float = Field(default=1.0, gt=0, le=1024)
    """How much is buffered in memory while the log cannot be written."""


class Connections(Model):
    """Shares of connections: whoever fills one leaves the others alone. A source is an IPv4 address or an IPv6 /64."""

    page: int = Field(default=512, ge=16)
    """Connections to the page and `/metrics` from other machines; when full, the longest silent gives way."""
    page_per_source: int = Field(default=256, ge=8)
    """Those of one source: an office behind one NAT, each browser with its usual six connections. Also all of this
    machine's own."""
    strangers: int = Field(default=512, ge=16)
    """WebSockets that are not signed in yet; when full, the oldest gives way."""
    strangers_per_source: int = Field(default=32, ge=4)
    """Those of one source."""
    signed_in: int = Field(default=4000, ge=1)
    """WebSockets of users that are signed in; more sign-ins are refused with 503."""
    signed_in_per_source: int = Field(default=1000, ge=1)
    """Those of one source."""
    signed_in_per_user: int = Field(default=16, ge=1)
    """Those of one user: pages and devices, and connections that died unnoticed."""
    trunk: int = Field(default=256, ge=1)
    """TCP and TLS connections from one trunk; each trunk has its own share, and nobody but trunks is let in."""
    trunk_per_source: int = Field(default=32, ge=1)
    """Those of one source within a trunk's networks."""


class Limits(Model):
    """Caps on what the gateway takes on."""

    calls: int = Field(default=1000, ge=1)
    """Calls at the same time; more are refused with 503."""
    ring_seconds: int = Field(default=180, ge=1, le=600)
    """How long a call may ring before it is ended."""
    silence_seconds: int = Field(default=1800, ge=60, le=86_400)
    """How long a trunk that still answers may send neither RTP nor RTCP, hold aside, before its call is ended."""
    connections: Connections = Connections()
    """Shares of connections."""


class GatewayConfig(Model):
    """The gateway file: addresses, trunks, and where the other files are."""

    realm: Host
    """SIP domain of the browser users and digest realm, for example pbx.example.com."""
    listen: Listen
    """Where the gateway listens."""
    media: Media
    """Addresses and ports of the media relay."""
    users: FilePath
    """The users file, written by `sip-gateway users add`."""
    trunks: dict[Name, Trunk] = Field(default_factory=dict)
    """The SIP peers, by name."""
    dialplan: FilePath
    """The dialplan file."""
    audit: Audit
    """The audit log."""
    limits: Limits = Limits()
    """Caps on what the gateway takes on."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Detail of the gateway's own log on standard error."""


class User(Model):
    """One browser user as `sip-gateway users add` writes it: digests of the password, never the password."""

    realm: Host
    """Realm the digests were made for; must be the gateway's `realm`."""
    ha1_md5: Annotated[SecretText, hexadecimal(32)]
    """MD5 of user:realm:password, as browser libraries need it (RFC 2617)."""
    ha1_sha256: Annotated[SecretText, hexadecimal(64)]
    """SHA-256 of user:realm:password (RFC 7616, RFC 8760)."""


class UsersFile(Model):
    """The users file: who may sign in from a browser."""

    users: dict[str, User] = Field(default_factory=dict)
    """The users, by name."""


class OutboundRule(Model):
    """Dialled number or name -> trunk, or user."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or a pattern where a final `*` stands for any rest, for example +49*. The rest holds no `*` and
    no `#` (feature codes) unless the pattern begins with one of them or is `*` alone."""
    trunk: Name | None = None
    """Trunk that gets the call; a rule has this or `user`."""
    user: str | None = None
    """Browser user who rings, on all browsers, in place of a trunk. `*`: the user whose name is what was dialled."""
    strip: int = Field(default=0, ge=0, le=32)
    """Characters taken from the front of the number before the trunk gets it."""
    prefix: Prefix = ""
    """Characters put in front of the number after `strip`."""
    emergency: bool = False
    """Calls by this rule are emergency calls: they always connect. Only for one exact number, and a trunk."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> OutboundRule:
        if (self.trunk is None) == (self.user is None):
            raise ValueError("a rule has either `trunk` or `user`: where a call goes that it matches")
        if self.user is not None and (self.strip or self.prefix or self.emergency):
            raise ValueError("`strip`, `prefix` and `emergency` are for rules with a `trunk`")
        return self

    @model_validator(mode="after")
    def _emergency_is_exact(self) -> OutboundRule:
        if self.emergency:
            emergency_number(self.dialled)
        return self


class InboundRule(Model):
    """Number a trunk calls -> browser user."""

    id: Name
    """Name of the rule in logs and audit records; unique in the file."""
    dialled: Dialled
    """Exact number or name, or a pattern where a final `*` stands for any rest."""
    user: str
    """Browser user that rings. `*`: the user whose name is the dialled number itself."""
    trunk: Name | None = None
    """Only calls from this trunk; default: from any."""


class DialplanFile(Model):
    """The dialplan: which trunk a dialled number takes, which user an incoming call rings."""

    emergency: tuple[EmergencyNumber, ...] = ("112", "110", "911", "999")
    """Numbers that always connect, whatever policy or the audit log say."""
    emergency_trunks: tuple[Name, ...] = ()
    """Trunks tried for an emergency number, in order; default: the first outbound rule that matches."""
    outbound: tuple[OutboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from browsers. The first that matches decides; none: the call is refused."""
    inbound: tuple[InboundRule, ...] = Field(default=(), max_length=MAX_RULES)
    """Rules for calls from trunks. The first that matches decides; none: the call is refused."""
