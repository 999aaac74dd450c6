"""The configuration as frozen models: every key the gateway knows, typed, with its default and its meaning.

YAML scalars arrive here as text (`load` reads no implicit booleans, numbers or times) and are typed by these
models. Unknown keys are errors. Paths are resolved by `load` before they get here.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.base.values import Secret

MAX_WORKERS = 64
"""More relay workers than this is a typing mistake, not a machine."""


class Profile(StrEnum):
    """The built-in security profiles of a trunk (docs/policy.md)."""

    STRICT = "strict"
    PREFER = "prefer"
    OSRTP = "osrtp"
    LEGACY = "legacy"


class Model(BaseModel):
    """Base: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _ip(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=True))


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _secret(value: object) -> object:
    return Secret(value) if isinstance(value, str) else value


IpAddress = Annotated[str, AfterValidator(_ip)]
Network = Annotated[str, AfterValidator(_network)]
IpList = Annotated[tuple[IpAddress, ...], BeforeValidator(_as_list)]
Port = Annotated[int, Field(ge=1, le=65535)]
SecretText = Annotated[Secret[str], BeforeValidator(_secret)]


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
        return {"host": _ip(host.strip("[]")), "port": port}


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


class Web(Model):
    """The HTTPS listener: softphone page and SIP over WebSocket."""

    address: Endpoint
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretText | None = None
    origins: tuple[str, ...] = ()
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

    certificate: Path
    key: Path
    key_password: SecretText | None = None
    client_ca: Path | None = None
    """CA file for client certificates; without it no inbound TLS request counts as verified by certificate."""


class Listen(Model):
    web: Web
    sip: tuple[SipListener, ...] = ()
    tls: ListenTls | None = None

    @model_validator(mode="after")
    def _tls_has_certificate(self) -> Listen:
        if any(s.transport == "tls" for s in self.sip) and self.tls is None:
            raise ValueError("a tls: listener needs listen.tls with certificate and key")
        return self


class BrowserMedia(Model):
    """Media towards browsers: one UDP port per relay worker, on every bind address."""

    bind: IpList
    advertise: IpList = ()
    """Addresses written in candidates, one per bind address (1:1 NAT). Default: the bind addresses."""
    ports: PortRange
    dtls_setup: Literal["passive", "active"] = "passive"
    """Role we answer with. passive: we are DTLS server and choose the strongest suite."""

    @model_validator(mode="after")
    def _pairs(self) -> BrowserMedia:
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
    advertise: IpAddress | None = None
    ports: PortRange

    @model_validator(mode="after")
    def _room(self) -> TrunkMedia:
        if len(self.ports) < 2:
            raise ValueError("a call needs two ports (RTP and RTCP)")
        return self

    @property
    def advertised(self) -> str:
        return self.advertise or self.bind


class Media(Model):
    browser: BrowserMedia
    trunk: TrunkMedia
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)

    @model_validator(mode="after")
    def _port_per_worker(self) -> Media:
        if len(self.browser.ports) < self.workers:
            raise ValueError("media.browser.ports needs one port per worker")
        return self


class TrunkTls(Model):
    """How a trunk's TLS identity is verified (RFC 5922) and how we prove ours."""

    ca: Path | None = None
    """CA file; default is the system's."""
    names: tuple[str, ...] = ()
    """Names accepted in the certificate; default is the host of `target`."""
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretText | None = None


class TrunkAddresses(Model):
    """Media addresses of one trunk where they differ from `media.trunk` (another interface, another NAT)."""

    bind: IpAddress
    advertise: IpAddress | None = None


class Trunk(Model):
    """A SIP peer: PBX or carrier."""

    target: str
    """SIP URI of the peer: sip:host[:port][;transport=udp|tcp|tls]."""
    security: Profile = Profile.STRICT
    networks: tuple[Network, ...] = ()
    """Source networks whose requests are this trunk's. Empty: the trunk cannot call in."""
    media_networks: tuple[Network, ...] = ()
    """Networks its media may come from besides the signalled address (POLICY A2b `media_cidr`)."""
    tls: TrunkTls = TrunkTls()
    media: TrunkAddresses | None = None
    rtcp_mux: bool = False
    """Offer rtcp-mux to this trunk. An inbound offer with rtcp-mux is always honoured."""
    codecs: tuple[str, ...] = ("opus", "G722", "PCMU", "PCMA")
    """Codecs offered to this trunk, in order, of those the browser offered."""


class Audit(Model):
    directory: Path
    on_unavailable: Literal["buffer_then_refuse_new", "refuse_new"] = "buffer_then_refuse_new"
    buffer_mb: float = Field(default=1.0, gt=0, le=1024)
    """How much is buffered in memory while the log cannot be written."""


class Limits(Model):
    calls: int = Field(default=1000, ge=1)
    ring_seconds: int = Field(default=180, ge=1, le=600)


class GatewayConfig(Model):
    """The whole `gateway.yaml`."""

    realm: str
    """SIP domain of the browser users and digest realm, for example pbx.example.com."""
    listen: Listen
    media: Media
    users: Path
    trunks: dict[str, Trunk] = {}
    dialplan: Path
    audit: Audit
    limits: Limits = Limits()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class User(Model):
    """One browser user as `sip-gateway users add` writes it: digests of the password, never the password."""

    realm: str
    ha1_md5: SecretText
    ha1_sha256: SecretText


class UsersFile(Model):
    users: dict[str, User] = {}


class OutboundRule(Model):
    """Dialled number -> trunk."""

    id: str
    dialled: str
    """Exact number or a pattern where a final `*` stands for any rest, for example +49*."""
    trunk: str
    strip: int = Field(default=0, ge=0, le=32)
    prefix: str = ""
    emergency: bool = False


class InboundRule(Model):
    """Number a trunk calls -> browser user."""

    id: str
    dialled: str
    user: str
    trunk: str | None = None


class DialplanFile(Model):
    emergency: tuple[str, ...] = ("112", "110", "911", "999")
    """Numbers that always connect, whatever policy or the audit log say."""
    emergency_trunks: tuple[str, ...] = ()
    """Trunks tried for an emergency number, in order; default: the first outbound rule that matches."""
    outbound: tuple[OutboundRule, ...] = ()
    inbound: tuple[InboundRule, ...] = ()
