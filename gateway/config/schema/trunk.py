"""Trunks: the SIP peers, how they are reached and how their identity is verified."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gateway.base.dtmf import Dtmf
from gateway.base.profiles import Profile
from gateway.config.scalars import (
    ONE_OR_MORE,
    DigestName,
    DisplayName,
    FilePath,
    HeaderName,
    Host,
    IdentityUser,
    Model,
    Name,
    Network,
    PinList,
    SecretText,
    TlsName,
    Written,
)
from gateway.config.schema.media import TrunkAddresses
from gateway.routing.e164 import NumberFormat
from gateway.sdp.codecs import CODEC_NAMES
from gateway.sip.passing import MAX_PASSED
from gateway.sip.session_timer import MIN_SE
from gateway.trunks.identity import Asserts, CallerFrom, Passing, PrivacyMode

LEAST_KEEPALIVE = 10
"""Seconds: a pong may take as long, and within 5 s two pongs would read as a ping."""
MAX_REGISTRATIONS = 64
"""Of one trunk; each is a request that is repeated for ever."""
MAX_TARGETS = 16
"""Targets of one trunk."""


class TrunkTls(Model):
    """How a trunk's TLS identity is verified (RFC 5922) and how we prove ours."""

    ca: FilePath | None = None
    """CA file; default is the system's."""
    names: tuple[TlsName, ...] = ()
    """Names or IP addresses accepted in the certificate; default is the host of `target`."""
    wildcards: bool = False
    """Accept a certificate for *.example.com where pbx.example.com is expected: a whole left-most label only. RFC 5922
    forbids it; some carriers have no other."""
    pin_sha256: PinList = ()
    """SHA-256 of certificates, or of public keys (SPKI), of which the trunk must show one: hexadecimal, with or without
    colons, or base64. Such a certificate may be self-signed: its chain is checked only with `ca`, its name only with
    `names`."""
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


class TrunkInbound(Model):
    """What a trunk that calls in must prove besides its address, with every request that begins something."""

    user: DigestName | None = None
    """User name it signs in with by digest (RFC 8760), in the gateway's `realm`. No other trunk may have the same."""
    password: SecretText | None = None
    """Password of `user`: the text, `${NAME}` from the environment, or `file:PATH`."""
    certificate: bool = False
    """It must prove its name by a certificate (`tls.names`, `tls.pin_sha256`), on a connection either side opened."""
    require: Literal["all", "any"] = "all"
    """all: digest and certificate where both are named; any: one of the two is enough."""

    @model_validator(mode="after")
    def _proves_something(self) -> TrunkInbound:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if self.user is None and not self.certificate:
            raise ValueError("expected user and password, or certificate: yes")
        if self.require == "any" and (self.user is None or not self.certificate):
            raise ValueError("require: any needs both user and certificate to choose from")
        return self


class TrunkAuth(Model):
    """Who we are to a trunk when it asks (401, 407): digest, over flows we opened to it, and over those it opened if it
    proved its name there by a certificate."""

    user: str = Field(min_length=1, max_length=128)
    """User name the trunk knows us by."""
    password: SecretText
    """Password: the text, `${NAME}` from the environment, or `file:PATH`."""
    realm: str | None = Field(default=None, min_length=1, max_length=255)
    """The realm the password is for. A challenge for any other is not answered. Default: whichever the trunk names."""


class TrunkRegistration(Model):
    """An address of record that is kept registered at a trunk (RFC 3261 10.2): calls for it come to us."""

    user: str = Field(min_length=1, max_length=128)
    """The user part of the address of record, and of the Contact the trunk calls: inbound rules see it as `dialled`
    where the trunk does not name a number."""
    domain: Host | None = None
    """The domain of the address of record. Default: the host of `target`."""
    expires: int = Field(default=3600, ge=30, le=86_400)
    """Seconds asked for; it is refreshed before they are over. A trunk that wants longer is followed."""
    auth: TrunkAuth | None = None
    """Who we are for this registration. Default: `auth` of the trunk."""


class TrunkIdentity(Model):
    """What the trunk is told of who calls, and what of its own words about callers is passed on."""

    from_: CallerFrom = Field(default=CallerFrom.USER, alias="from")
    """Who stands in From: user (the name she signs in with), number (hers of the users file, else `number` here), or
    fixed (`number` here, whoever calls)."""
    number: IdentityUser | None = None
    """Number or account name for From, as the trunk wants it written; required with `from: fixed`."""
    domain: Host | None = None
    """Domain of From and of identities. Default: `realm`."""
    names: bool = False
    """Tell the trunk people's names (`display_name` of the users file, or what another trunk says)."""
    user_phone: bool = False
    """Mark telephone numbers with user=phone, in From, To, the request URI and identities."""
    send: Asserts = Asserts.NONE
    """Who calls, told besides From: asserted (P-Asserted-Identity), preferred (P-Preferred-Identity) or none."""
    privacy: PrivacyMode = PrivacyMode.ACT
    """When a caller wants privacy. act: the trunk is told nothing, From is anonymous. pass: it is trusted with the
    identity (`send`) and gets the wish in Privacy. An emergency call is never anonymous."""
    diversion: Passing = Passing.STRIP
    """Diversion (RFC 5806) of this trunk's calls, and to this trunk: strip, or pass it written anew."""
    history_info: Passing = Passing.STRIP
    """History-Info (RFC 7044), in the same way."""

    @model_validator(mode="after")
    def _fixed_is_known(self) -> TrunkIdentity:
        if self.from_ is CallerFrom.FIXED and self.number is None:
            raise ValueError("`from: fixed` needs `number`: what stands in From")
        return self


class TrunkTarget(Written):
    """One of several places of a trunk, written as a SIP URI alone or with priority and weight."""

    target: str
    """SIP URI, as `target` of the trunk."""
    priority: int = Field(default=0, ge=0, le=65535)
    """The lowest is tried first."""
    weight: int = Field(default=1, ge=0, le=65535)
    """How often it is the first of its priority, in proportion to the others."""

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        return {"target": text}


class TrunkDtls(Model):
    """How a trunk is keyed by DTLS-SRTP (RFC 5763), where it is."""

    setup: Literal["passive", "active"] = "passive"
    """Role we answer with where the trunk leaves the choice. passive: we are DTLS server and choose the strongest
    suite. active: we begin, which lets our packets out through the trunk's firewall first."""
    transport: Literal["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "RTP/SAVPF"] = "UDP/TLS/RTP/SAVP"
    """What our offers call it. RTP/SAVPF with a fingerprint is how PBXs wrote it before RFC 5764. An answer repeats
    what was offered. Default with `ice`: UDP/TLS/RTP/SAVPF."""
    ice: bool = False
    """Offer ICE (ICE-lite, with rtcp-mux). An offer that brings ICE is answered with it either way."""


class Trunk(Model):
    """A SIP peer: PBX or carrier."""

    target: str | None = None
    """SIP URI of the peer: sip:host[:port][;transport=udp|tcp|tls]. With a port the addresses of the host are called
    there; without one DNS may name servers (SRV), and without transport also how they are reached (NAPTR), else it is
    udp. strict needs tls."""
    targets: tuple[TrunkTarget, ...] = Field(default=(), max_length=MAX_TARGETS)
    """Several places of the peer in place of `target`, by `priority` and `weight`: a call that one does not take (no
    answer, 503, no connection) is sent to the next. All or none of them over tls."""
    display_name: DisplayName | None = None
    """What callers read where the trunk is meant: "beyond Acme Telecom". Default: the trunk's name here."""
    security: Profile = Profile.STRICT
    """Security profile: strict, prefer, osrtp or legacy."""
    profile: Name | None = None
    """A profile of the policy file, in place of `security`."""
    keying: Annotated[tuple[Literal["sdes", "dtls"], ...], ONE_OR_MORE] = ("sdes",)
    """How this trunk is offered keys: sdes (in the description), dtls (DTLS-SRTP), or both: the second is tried when
    the first is refused. What it offers itself is taken either way. A profile with `media.offer` goes before."""
    dtls: TrunkDtls = TrunkDtls()
    """How it is keyed by DTLS, where it is."""
    networks: tuple[Network, ...] = ()
    """Source networks whose requests are this trunk's; of several that hold an address the narrowest wins, then the
    transport of `target`, then the name of a client certificate. Empty: it calls in by
    `registrations`, or not at all."""
    inbound: TrunkInbound | None = None
    """What it must prove to call in besides that it calls from `networks`, which may then be wide: 0.0.0.0/0, ::/0."""
    media_networks: tuple[Network, ...] = ()
    """Networks its media may come from besides the signalled address. A host name where it says its media is must lead
    into these or into `networks`."""
    registrations: tuple[TrunkRegistration, ...] = Field(default=(), max_length=MAX_REGISTRATIONS)
    """What is kept registered there. Such a trunk may call in, without `networks`, over the flow it was registered on
    and from the addresses `target` leads to."""
    auth: TrunkAuth | None = None
    """How we answer when the trunk asks who we are."""
    tls: TrunkTls = TrunkTls()
    """How its TLS identity is verified."""
    crlf_keepalive: int = Field(default=90, ge=0, le=3600)
    """Seconds between two keepalives (two line ends, RFC 5626) on TCP and TLS connections we opened, at most; 10 or
    more, 0 for none. A connection whose peer answered before and stops is given up and opened anew."""
    media: TrunkAddresses | None = None
    """Media addresses where they differ from `media.trunk`."""
    keepalive: int = Field(default=60, ge=0, le=3600)
    """Seconds of silence after which the trunk is asked by OPTIONS whether it is there; 0: only when a call hears
    nothing. Two questions without an answer take it down; any word of it takes it up."""
    tcp_fallback: bool = False
    """Send requests over 1,300 octets to a trunk over UDP by TCP, to the same address and port (RFC 3261 18.1.1). Off:
    they leave as datagrams, which may be lost in fragments, unless a target of the same host is reached over tcp."""
    max_calls: int | None = Field(default=None, ge=1)
    """Calls over this trunk at the same time, in and out together. One more in is refused with 503, one more out goes
    to the next trunk of its rule (`trunk-full`). Emergency calls are never refused, nor counted. Default: no cap."""
    pin: bool = True
    """Once this trunk has been seen to encrypt over verified TLS, take nothing less from it (`pin.bid_down`). Off: for
    a trunk behind which some places encrypt and some do not."""
    rtcp_mux: bool = False
    """Offer rtcp-mux to this trunk. An inbound offer with rtcp-mux is always honoured."""
    trust_identity: bool = False
    """Show browsers the name and number this trunk asserts (P-Asserted-Identity, display name) for callers and for who
    is connected. Otherwise the number in From alone."""
    reliable_provisional: bool = True
    """Acknowledge ringing and early media by PRACK (100rel, RFC 3262): offered with each INVITE, and done where the
    trunk asks for it. Without it an INVITE of the trunk that requires it gets 420."""
    identity: TrunkIdentity = TrunkIdentity()
    """What it is told of who calls."""
    contact: Host | None = None
    """Domain name of Contact towards this trunk, where it wants one that leads here and stands in our certificate, as
    Teams does. Default: our address."""
    pass_headers: tuple[HeaderName, ...] = Field(default=(), max_length=MAX_PASSED)
    """Header fields passed on in INVITEs, their answers and refusals, and BYEs, from this trunk and to it, for example
    User-to-User. From trunk to trunk what both name. None that identity, routing, authentication or protection rest
    on."""
    number_format: NumberFormat | None = None
    """How the trunk writes telephone numbers, in both directions: e164 (4930123), +e164, or national (030123, as the
    dialplan's `country` has it). Default: as the dialplan makes them, +e164 with a `country`, else as dialled."""
    delayed_offer: bool = False
    """Call this trunk without an offer; it makes its own in the answer (RFC 3261 13.2.1). For trunks that insist on it:
    the gateway cannot ask for encryption then, only refuse what comes without, there is no early media, and ringing is
    not acknowledged."""
    session_expires: int = Field(default=1800, ge=0, le=86400)
    """Seconds of the session timer the gateway asks this trunk for and refreshes itself, half-way (RFC 4028): 90 or
    more, or 0 to ask for none. What the trunk asks for is agreed to either way."""
    dtmf: Dtmf = Dtmf.RTP
    """How digits reach the trunk and come from it: rtp (telephone-event, RFC 4733), info (SIP INFO with
    application/dtmf-relay, and no telephone-event), or auto (telephone-event where the trunk agrees to it, else
    INFO)."""
    codecs: tuple[str, ...] = Field(default=CODEC_NAMES, min_length=1)
    """Codecs offered to this trunk, in order, of those the browser offered."""

    @field_validator("crlf_keepalive")
    @classmethod
    def _not_too_often(cls, value: int) -> int:
        if 0 < value < LEAST_KEEPALIVE:
            raise ValueError(f"expected {LEAST_KEEPALIVE} s or more, or 0 for no keepalive")
        return value

    @field_validator("session_expires")
    @classmethod
    def _long_enough(cls, seconds: int) -> int:
        if 0 < seconds < MIN_SE:
            raise ValueError(f"must be {MIN_SE} or more (RFC 4028 4), or 0 to ask for none")
        return seconds

    @field_validator("keying")
    @classmethod
    def _each_once(cls, ways: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(ways)) != len(ways):
            raise ValueError("each of sdes and dtls once")
        return ways

    @model_validator(mode="after")
    def _one_profile(self) -> Trunk:
        if self.profile is not None and "security" in self.model_fields_set:
            raise ValueError("a trunk has either `security` or `profile`: both name what its calls must meet")
        return self

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Trunk:
        if (self.target is None) == (not self.targets):
            raise ValueError("a trunk has either `target` or `targets`: where it is reached")
        return self

    @property
    def written_targets(self) -> tuple[TrunkTarget, ...]:
        """Every target, however it was written."""
        return self.targets if self.target is None else (TrunkTarget(target=self.target),)

    @property
    def may_call_in(self) -> bool:
        """Whether requests that begin something can be this trunk's."""
        return bool(self.networks or self.registrations)
