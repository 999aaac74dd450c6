"""Makes the site of a configuration: what was written becomes, once, what its users speak of.

Nothing below this module knows the schema. A mistake was told before (`references`); what comes here has none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.audit.place import MEBIBYTE, AuditPlace
from gateway.audit.retention import Retention
from gateway.audit.rotation import Rotation
from gateway.base.keying import Proto, Setup
from gateway.base.values import HostPort, Secret
from gateway.config import schema
from gateway.config.book import compile_book, ways_of
from gateway.config.hep import compile_hep
from gateway.config.sinks import compile_sink
from gateway.media.places import BrowserPlace, MediaPlaces, TrunkPlace
from gateway.policy.pins import Pinning
from gateway.quality.watch import Marks
from gateway.routing.dialplan import Dialplan, InboundRule, OutboundRule, TrunkShare
from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.groups import Group
from gateway.routing.patterns import Pattern
from gateway.routing.people import Person
from gateway.routing.permissions import NumberClass, PermissionRule, Permissions
from gateway.sip.auth import Credentials, compute_ha1
from gateway.sip.digest_client import Login
from gateway.site import CallLimits, ConnectionShares, Listeners, RegistrationRelay, SipListener, Site, WebListener
from gateway.tokens.issuer import Issuer
from gateway.trunks.identity import TrunkIdentity
from gateway.trunks.model import Inbound, ListenerTls, Network, Trunk, TrunkDtls, TrunkTls
from gateway.trunks.registration import RegistrationPlan
from gateway.trunks.target import TargetChoice, TrunkTarget

PIN_FILE = "pins.json"
"""Where the capability pins are, beside the audit log."""


def compile_site(
    config: schema.GatewayConfig,
    users: schema.UsersFile,
    dialplan: schema.DialplanFile,
    policy: schema.PolicyFile | None = None,
    cores: int = 1,
) -> Site:
    """The site of files without mistakes, on a machine with so many cores."""
    known = users.users if config.registration is None else None  # the PBX knows them, and we do not
    media = compile_media(config.media, cores)
    plan = compile_dialplan(dialplan, known, number_formats(config), others=has_others(config))
    return Site(
        realm=config.realm,
        trunks=MappingProxyType(
            {n: compile_trunk(n, trunk, media.trunk, config.realm) for n, trunk in config.trunks.items()}
        ),
        dialplan=plan,
        policies=compile_book(policy or schema.PolicyFile(), config.trunks),
        users=MappingProxyType({name: _credentials(user) for name, user in users.users.items()}),
        people=MappingProxyType({name: compile_person(user, plan.home) for name, user in users.users.items()}),
        media=media,
        limits=compile_limits(config.limits),
        shares=ConnectionShares(**dict(config.limits.connections)),
        listeners=compile_listeners(config.listen),
        nameservers=tuple(_address(server) for server in config.dns.servers),
        audit=compile_audit(config.audit),
        hep=compile_hep(config.hep) if config.hep is not None else None,
        pinning=compile_pinning(config),
        header_extensions=config.media.header_extensions,
        quality=Marks(**dict(config.media.quality)),
        pin_file=config.pins.file or config.audit.directory / PIN_FILE,
        registration=compile_registration(config) if config.registration is not None else None,
        admin_socket=config.admin.socket,
        tokens=tuple(compile_issuer(issuer) for issuer in config.tokens),
    )


def compile_trunk(name: str, trunk: schema.Trunk, media: TrunkPlace, realm: str) -> Trunk:
    """One trunk; `media` is the place of those that name none, `realm` is asked of those that sign in.

    Raises:
        ValueError: its target is none.
    """
    choices = compile_targets(trunk)
    first = choices[0].target
    return Trunk(
        name=name,
        target=first,
        targets=choices if trunk.targets else (),
        port=first.port if first.has_port else None,
        media=_trunk_place(trunk.media) if trunk.media is not None else media,
        display_name=trunk.display_name or "",
        security=trunk.security,
        profile=trunk.profile or "",
        networks=_networks(trunk.networks),
        inbound=compile_inbound(trunk.inbound, realm) if trunk.inbound is not None else None,
        media_networks=_networks(trunk.media_networks),
        registrations=tuple(_registration(name, trunk, found) for found in trunk.registrations),
        auth=compile_login(name, trunk.auth) if trunk.auth is not None else None,
        tls=compile_trunk_tls(trunk.tls),
        keying=ways_of(trunk.keying),
        dtls=_dtls(trunk.dtls),
        crlf_keepalive=trunk.crlf_keepalive,
        keepalive=trunk.keepalive,
        tcp_fallback=trunk.tcp_fallback,
        max_calls=trunk.max_calls,
        pin=trunk.pin,
        rtcp_mux=trunk.rtcp_mux,
        trust_identity=trunk.trust_identity,
        reliable_provisional=trunk.reliable_provisional,
        identity=compile_identity(trunk.identity),
        contact=trunk.contact or "",
        pass_headers=trunk.pass_headers,
        number_format=trunk.number_format,
        delayed_offer=trunk.delayed_offer,
        session_expires=trunk.session_expires,
        dtmf=trunk.dtmf,
        codecs=trunk.codecs,
    )


def _dtls(dtls: schema.TrunkDtls) -> TrunkDtls:
    """How a trunk is keyed by DTLS: with ICE it speaks WebRTC's profile, where no other is written."""
    written = "transport" in dtls.model_fields_set or not dtls.ice
    return TrunkDtls(Setup(dtls.setup), Proto(dtls.transport) if written else Proto.DTLS_SAVPF, dtls.ice)


def compile_login(trunk: str, auth: schema.TrunkAuth) -> Login:
    """Who we are to a trunk."""
    return Login(auth.user, auth.password, auth.realm or "", trunk)


def compile_inbound(inbound: schema.TrunkInbound, realm: str) -> Inbound:
    """What a trunk proves itself by."""
    credentials = None
    if inbound.user is not None and inbound.password is not None:
        password = inbound.password.reveal()
        md5, sha256 = (Secret(compute_ha1(inbound.user, realm, password, name)) for name in ("MD5", "SHA-256"))
        credentials = Credentials(realm, md5, sha256)
    return Inbound(inbound.user or "", credentials, inbound.certificate, any_is_enough=inbound.require == "any")


def _registration(name: str, trunk: schema.Trunk, registration: schema.TrunkRegistration) -> RegistrationPlan:
    auth = registration.auth or trunk.auth
    return RegistrationPlan(
        trunk=name,
        user=registration.user,
        domain=registered_domain(trunk, registration),
        expires=registration.expires,
        login=compile_login(name, auth) if auth is not None else None,
    )


def registered_domain(trunk: schema.Trunk, registration: schema.TrunkRegistration) -> str:
    """The domain of an address of record.

    Raises:
        ValueError: no target of the trunk has one.
    """
    return registration.domain or compile_targets(trunk)[0].target.host


def compile_targets(trunk: schema.Trunk) -> tuple[TargetChoice, ...]:
    """The targets of a trunk, the one that is tried first in front.

    Raises:
        ValueError: one is none.
    """
    written = sorted(trunk.written_targets, key=lambda one: one.priority)
    return tuple(TargetChoice(TrunkTarget.parse(one.target), one.priority, one.weight) for one in written)


def compile_trunk_tls(tls: schema.TrunkTls) -> TrunkTls:
    """How a trunk is verified."""
    pins = frozenset(tls.pin_sha256)
    return TrunkTls(tls.ca, tls.names, tls.certificate, tls.key, tls.key_password, tls.wildcards, pins)


def number_formats(config: schema.GatewayConfig) -> dict[str, NumberFormat]:
    """How the trunks write numbers that say so."""
    return {name: trunk.number_format for name, trunk in config.trunks.items() if trunk.number_format is not None}


def compile_dialplan(
    plan: schema.DialplanFile,
    users: Iterable[str] | None = None,
    formats: Mapping[str, NumberFormat] = MappingProxyType({}),
    *,
    others: bool = False,
) -> Dialplan:
    """The rules of a dialplan file, and the users who are reached by name where they are known."""
    home = Home(plan.country or "", plan.trunk_prefix, plan.international_prefix, plan.national_digits)
    return Dialplan(
        outbound=tuple(_outbound_rule(rule) for rule in plan.outbound),
        inbound=tuple(InboundRule(**dict(rule)) for rule in plan.inbound),
        emergency=plan.emergency,
        emergency_trunks=plan.emergency_trunks,
        users=frozenset(users) if users is not None else None,
        others=others,
        home=home,
        formats=MappingProxyType(dict(formats)),
        groups=MappingProxyType({name: _group(name, group) for name, group in plan.groups.items()}),
        permissions=Permissions(home, plan.countries, tuple(_permission(plan, rule) for rule in plan.permissions)),
    )


def _outbound_rule(rule: schema.OutboundRule) -> OutboundRule:
    shares = tuple(TrunkShare(**dict(share)) for share in sorted(rule.trunks, key=lambda share: share.priority))
    return OutboundRule(**{**dict(rule), "trunk": shares[0].trunk if shares else rule.trunk, "trunks": shares})


def _group(name: str, group: schema.Group) -> Group:
    return Group(name, tuple(dict.fromkeys(group.members)), group.ring, float(group.seconds))


def _permission(plan: schema.DialplanFile, rule: schema.Permission) -> PermissionRule:
    """Classes become what they stand for; groups become their members."""
    named = rule.allow or rule.deny
    built_in = frozenset(NumberClass(name) for name in named if name in set(NumberClass))
    texts = [text for name in named if name not in set(NumberClass) for text in plan.classes.get(name, (name,))]
    members = (member for name in rule.groups if name in plan.groups for member in plan.groups[name].members)
    callers = frozenset((*rule.users, *members)) if rule.users or rule.groups else None
    patterns = tuple(Pattern.parse(text) for text in texts)
    return PermissionRule(rule.id, bool(rule.allow), built_in, patterns, callers, ", ".join(named))


def compile_media(media: schema.Media, cores: int = 1) -> MediaPlaces:
    """Addresses and ports of the relay."""
    browser = media.browser
    return MediaPlaces(
        browser=BrowserPlace(browser.bind, browser.advertised, _ports(browser.ports), Setup(browser.dtls_setup)),
        trunk=_trunk_place(media.trunk),
        trunk_ports=_ports(media.trunk.ports),
        workers=media.workers_on(cores),
    )


def compile_listeners(listen: schema.Listen) -> Listeners:
    """Every listener, with its certificate."""
    return Listeners(
        web=compile_web(listen.web),
        sip=tuple(SipListener(listener.transport, _address(listener.address)) for listener in listen.sip),
        tls=compile_listener_tls(listen.tls) if listen.tls is not None else None,
    )


def compile_web(web: schema.Web) -> WebListener:
    """The listener of the page."""
    address = _address(web.address)
    return WebListener(
        address, web.certificate, web.key, web.key_password, web.origins, allow_missing_origin=web.allow_missing_origin
    )


def compile_listener_tls(tls: schema.ListenTls) -> ListenerTls:
    """The certificate of `tls:` listeners."""
    return ListenerTls(tls.certificate, tls.key, tls.key_password, tls.client_ca)


def compile_limits(limits: schema.Limits) -> CallLimits:
    """The caps of calls."""
    return CallLimits(
        calls=limits.calls,
        calls_per_user=limits.calls_per_user,
        registrations_per_user=limits.registrations_per_user,
        registrations_displace=limits.registrations_full == "displace",
        ring_seconds=limits.ring_seconds,
        silence_seconds=limits.silence_seconds,
        reconnect_seconds=limits.reconnect_seconds,
    )


def has_others(config: schema.GatewayConfig) -> bool:
    """Whether there may be users besides those of the users file."""
    return any(issuer.users == "any" for issuer in config.tokens)


def compile_issuer(issuer: schema.TokenIssuer) -> Issuer:
    """Who may say who a user is.

    Raises:
        ValueError: it has no keys.
    """
    keys = issuer.keys_file if issuer.keys_file is not None else issuer.keys_url
    if keys is None:
        raise ValueError("an issuer without keys")
    return Issuer(
        name=issuer.issuer,
        audience=issuer.audience,
        keys=keys,
        authorization_server=issuer.authorization_server or issuer.issuer,
        claim=issuer.user_claim,
        anyone=issuer.users == "any",
        leeway=issuer.leeway_seconds,
        cookie=issuer.cookie or "",
        ca=issuer.keys_ca,
    )


def compile_registration(config: schema.GatewayConfig) -> RegistrationRelay:
    """The registrar, and where it reaches us.

    Raises:
        ValueError: there is none, or nowhere.
    """
    relay, address = config.registration, registrar_reaches(config)
    if relay is None or address is None:
        raise ValueError("no registrar that could reach this gateway")
    return RegistrationRelay(
        trunk=relay.relay,
        address=address,
        path=relay.reached_by == "path",
        realm=relay.realm or "",
        max_expires=relay.max_expires,
        unregister=relay.unregister,
    )


def registrar_reaches(config: schema.GatewayConfig) -> HostPort | None:
    """Where the registrar reaches us: as it is written, else the first listener of its transport; None: nowhere."""
    relay = config.registration
    if relay is None or relay.relay not in config.trunks:
        return None
    if relay.address is not None:
        return HostPort(relay.address.host, relay.address.port)
    trunk = config.trunks[relay.relay]
    transport = compile_targets(trunk)[0].target.transport
    place = next((listener.address for listener in config.listen.sip if listener.transport == transport), None)
    if place is None:
        return None
    media = _trunk_place(trunk.media or config.media.trunk)
    host = media.advertised if ipaddress.ip_address(place.host).is_unspecified else place.host
    return HostPort(host, place.port)


def compile_audit(audit: schema.Audit) -> AuditPlace:
    """Where the log is."""
    return AuditPlace(
        audit.directory,
        signing_key=audit.signing_key,
        refuses_at_once=audit.on_unavailable == "refuse_new",
        buffer_octets=int(audit.buffer_mb * MEBIBYTE),
        pseudonyms=audit.people == "pseudonyms",
        rotation=Rotation(int(audit.rotate.size_mb * MEBIBYTE), audit.rotate.daily),
        retention=Retention(audit.retention.detail_days, audit.retention.final_days, audit.retention.hold),
        sinks=tuple(compile_sink(sink) for sink in audit.sinks),
    )


def compile_pinning(config: schema.GatewayConfig) -> Pinning:
    """How long who is held to encryption."""
    return Pinning(config.pins.days, frozenset(name for name, trunk in config.trunks.items() if not trunk.pin))


def _trunk_place(place: schema.TrunkAddresses) -> TrunkPlace:
    return TrunkPlace(place.bind, place.advertise or "")


def compile_person(user: schema.User, home: Home) -> Person:
    """Numbers as the dialplan knows them, the one that is shown first."""
    written = (*(() if user.number is None else (user.number,)), *user.numbers)
    return Person(tuple(dict.fromkeys(home.international(number) for number in written)), user.display_name or "")


def compile_identity(identity: schema.TrunkIdentity) -> TrunkIdentity:
    """How a trunk is told who calls."""
    return TrunkIdentity(
        identity.from_,
        identity.number or "",
        identity.domain or "",
        names=identity.names,
        user_phone=identity.user_phone,
        asserts=identity.send,
        privacy=identity.privacy,
        diversion=identity.diversion,
        history=identity.history_info,
    )


def _credentials(user: schema.User) -> Credentials:
    return Credentials(user.realm, user.ha1_md5, user.ha1_sha256)


def _address(endpoint: schema.Endpoint) -> HostPort:
    return HostPort(endpoint.host, endpoint.port)


def _ports(ports: schema.PortRange) -> range:
    return range(ports.first, ports.last + 1)


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
