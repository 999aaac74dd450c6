"""What the schema cannot see: names that refer to other parts, files that must exist, addresses that collide."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.base.errors import ConfigError, SipError
from gateway.base.profiles import Profile
from gateway.config.certificates import Finding, KeyPair, certifies, check_ca, check_pair
from gateway.config.compile import compile_dialplan, has_others, number_formats, registered_domain
from gateway.config.dialplan_references import check_dialplan
from gateway.config.document import Document
from gateway.config.hep import check_hep
from gateway.config.inbound import check_inbound, located_targets, warn_of_networks
from gateway.config.issuers import check_issuers
from gateway.config.policy_references import PROFILES, check_policy, refuses_clear_keys
from gateway.config.registrar import check_registrar, warn_of_registrar
from gateway.config.schema import DialplanFile, GatewayConfig, ListenTls, PolicyFile, Trunk, UsersFile, Web
from gateway.config.sinks import check_sinks
from gateway.config.yaml import Location
from gateway.routing.dialplan import SAME_USER, Dialplan
from gateway.routing.e164 import Home
from gateway.routing.numbers import normalise
from gateway.sdp.codecs import CODEC_NAMES
from gateway.trunks.target import TrunkTarget

BROWSER_CODECS = frozenset(name.lower() for name in CODEC_NAMES)
OTHER_CODECS = frozenset({"amr", "amr-wb", "evs", "g723", "g729", "gsm", "ilbc", "isac", "l16", "speex"})
"""What other WebRTC clients may have; any other name is a spelling that SDP does not know, such as `alaw`."""

DEFAULT_PORTS = {"http": 80, "https": 443}


Gateway = Document[GatewayConfig]
Users = Document[UsersFile]
Plan = Document[DialplanFile]
Policy = Document[PolicyFile]


def check_references(
    gateway: Gateway,
    users: Users | None,
    dialplan: Plan | None,
    policy: Policy | None,
    now: datetime.datetime,
) -> tuple[list[ConfigError], list[str]]:
    """Every mistake, and every warning, that shows only when the files are read together.

    A file that could not be read is None: what asks for it is not asked, and its own mistakes are told already.
    """
    errors = [
        *_check_targets(gateway, policy),
        *_check_registrations(gateway),
        *_check_codecs(gateway),
        *check_inbound(gateway),
        *_check_listeners(gateway),
        *_check_media_ports(gateway),
        *check_registrar(gateway, dialplan),
        *check_issuers(gateway),
    ]
    warnings = [*warn_of_networks(gateway), *_foreign_origins(gateway), *warn_of_registrar(gateway)]
    warnings += _unproved_contacts(gateway)
    if users is not None:
        errors += _check_users(gateway, users)
    if dialplan is not None:
        errors += [*_check_rule_ids(dialplan), *_check_trunk_names(gateway, dialplan)]
        errors += [*_check_emergency_rules(dialplan), *check_dialplan(dialplan, number_formats(gateway.model))]
        warnings += [*_unrouted_emergencies(dialplan), *_silent_inbound(gateway, dialplan)]
        warnings += _weaker_alternatives(gateway, dialplan)
    if users is not None and dialplan is not None and gateway.model.users is not None:
        errors += [] if has_others(gateway.model) else _check_rule_users(gateway, users, dialplan)
        errors += _check_user_numbers(users, compile_dialplan(dialplan.model).home)
    if policy is not None:
        errors += check_policy(policy, gateway.model, _plan_of(gateway, users, dialplan), now)
        errors += _check_own_profiles(gateway, policy)
    for location, finding in _findings(gateway.model, now):
        where = (*location, finding.key)
        if finding.warning:
            warnings.append(str(gateway.error(where, finding.message)))
        else:
            errors.append(gateway.error(where, finding.message, finding.remedy))
    return errors, warnings


def _check_registrations(gateway: Gateway) -> Iterator[ConfigError]:
    """Two of one address, be its domain written or that of the target, would take turns at one binding."""
    for name, trunk in gateway.model.trunks.items():
        known: set[tuple[str, str]] = set()
        for index, registration in enumerate(trunk.registrations):
            where: Location = ("trunks", name, "registrations", index)
            try:
                one = registration.user, registered_domain(trunk, registration)
            except (ValueError, SipError):
                continue  # its target is told elsewhere
            if one in known:
                yield gateway.error(where, f"{one[0]}@{one[1]} is registered already", "remove one of the two")
            known.add(one)


def _plan_of(gateway: Gateway, users: Users | None, dialplan: Plan | None) -> Dialplan | None:
    """The dialplan with the users where both could be read."""
    if users is None or dialplan is None:
        return None
    known = users.model.users if gateway.model.registration is None else None
    return compile_dialplan(dialplan.model, known, number_formats(gateway.model), others=has_others(gateway.model))


def _check_own_profiles(gateway: Gateway, policy: Policy) -> Iterator[ConfigError]:
    """A profile of the policy file that a trunk names exists, and blocks something."""
    known = policy.model.profiles
    for name, trunk in gateway.model.trunks.items():
        where: Location = ("trunks", name, "profile")
        if trunk.profile is not None and trunk.profile not in {*known, *PROFILES}:
            remedy = f"profiles: {', '.join((*known, *sorted(PROFILES)))}"
            yield gateway.error(where, f"there is no profile {trunk.profile}", remedy)
        elif trunk.profile in known and known[trunk.profile].never_block:
            yield gateway.error(where, "a profile with never_block is for emergency numbers", "name another one")


def check_named_files(gateway: Gateway) -> Iterator[ConfigError]:
    """The users file and the dialplan are told by the key that names them when they are not there."""
    config = gateway.model
    make_user = f"make it: sip-gateway users add {config.users} USER --realm {config.realm}"
    for key, path, make in (
        ("users", config.users, make_user),
        ("dialplan", config.dialplan, "make it: dialplan/*.yaml of the distribution are examples"),
        ("policy", config.policy, "make it: deploy/policy.yaml of the distribution is an example"),
    ):
        if path is None:
            continue
        if path.is_dir():
            yield gateway.error((key,), f"{path} is a directory", "give the path of a YAML file")
        elif not path.exists():
            yield gateway.error((key,), f"there is no file {path}", make)


def _check_targets(gateway: Gateway, policy: Policy | None) -> Iterator[ConfigError]:
    for name, trunk in gateway.model.trunks.items():
        found = []
        for where, written in located_targets(name, trunk):
            try:
                found.append(TrunkTarget.parse(written))
            except ValueError as error:
                yield gateway.error(where, str(error), "for example sip:pbx.example.com;transport=tls")
                continue
            refuses = policy is not None and refuses_clear_keys(policy.model, name, trunk)
            yield from _check_transport(gateway, where, found[-1], refuses_clear_keys=refuses)
        if len({target.transport == "tls" for target in found}) > 1:
            message = "some of these are reached over tls and some are not: one that fails must not lead into the clear"
            yield gateway.error(("trunks", name, "targets"), message, "add ;transport=tls to all of them, or make two")


def _check_transport(
    gateway: Gateway, where: Location, target: TrunkTarget, *, refuses_clear_keys: bool
) -> Iterator[ConfigError]:
    if target.transport == "udp" and not any(found.transport == "udp" for found in gateway.model.listen.sip):
        remedy = "add one to listen.sip, for example udp:0.0.0.0:5060, or use transport=tls"
        yield gateway.error(where, "a trunk over UDP needs a udp: listener to send from", remedy)
    if refuses_clear_keys and target.transport != "tls":
        message = f"security strict refuses every call over {target.transport}: whoever sees the keys can listen"
        remedy = "add ;transport=tls to target, or write another `security` for this trunk (docs/policy.md)"
        yield gateway.error(where, message, remedy)


def _check_codecs(gateway: Gateway) -> Iterator[ConfigError]:
    """Names no browser offers would make calls fail for want of a common codec, one by one."""
    remedy = f"browsers have {', '.join(CODEC_NAMES)} (Asterisk's ulaw is PCMU, its alaw PCMA)"
    for name, trunk in gateway.model.trunks.items():
        names = [codec.lower() for codec in trunk.codecs]
        for index, codec in enumerate(names):
            if codec not in BROWSER_CODECS | OTHER_CODECS:
                yield gateway.error(("trunks", name, "codecs", index), "this is no codec the gateway knows", remedy)
        if OTHER_CODECS.issuperset(names):
            yield gateway.error(("trunks", name, "codecs"), "no browser has one of these, and none is added", remedy)


def _check_listeners(gateway: Gateway) -> Iterator[ConfigError]:
    listen = gateway.model.listen
    taken = [("tcp", listen.web.address.host, listen.web.address.port)]
    for index, listener in enumerate(listen.sip):
        protocol = "udp" if listener.transport == "udp" else "tcp"
        here = (protocol, listener.address.host, listener.address.port)
        if here[2] and any(p == protocol and port == here[2] and _same(host, here[1]) for p, host, port in taken):
            yield gateway.error(("listen", "sip", index), "another listener has this address and port", "change one")
        taken.append(here)


def _check_media_ports(gateway: Gateway) -> Iterator[ConfigError]:
    media = gateway.model.media
    browser, trunk = media.browser.ports, media.trunk.ports
    overlap = browser.first <= trunk.last and trunk.first <= browser.last
    for where, bind in _trunk_binds(gateway.model) if overlap else ():
        if any(_same(bind, other) for other in media.browser.bind):
            message = f"media.trunk.ports {trunk} overlap media.browser.ports {browser} on this address"
            yield gateway.error(where, message, "move one of them")
    trunk_binds = [bind for _, bind in _trunk_binds(gateway.model)]
    for index, listener in enumerate(gateway.model.listen.sip):
        where = ("listen", "sip", index)
        port, host = listener.address.port, listener.address.host
        for name, ports, binds in (("browser", browser, media.browser.bind), ("trunk", trunk, trunk_binds)):
            if listener.transport == "udp" and ports.first <= port <= ports.last and any(_same(host, b) for b in binds):
                yield gateway.error(where, f"the port is one of media.{name}.ports {ports}", "move one of them")


def _trunk_binds(config: GatewayConfig) -> Iterator[tuple[Location, str]]:
    """Every address on which `media.trunk.ports` are used, and the key that says so."""
    yield ("media", "trunk", "ports"), config.media.trunk.bind
    for name, trunk in config.trunks.items():
        if trunk.media is not None:
            yield ("trunks", name, "media", "bind"), trunk.media.bind


def _same(one: str, other: str) -> bool:
    """True when a socket bound to one address takes datagrams for the other."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))


def _check_users(gateway: Gateway, users: Users) -> Iterator[ConfigError]:
    realm, known = gateway.model.realm, dict[str, str]()
    for name, user in users.model.users.items():
        where: Location = ("users", name)
        first = known.setdefault(name.lower(), name)
        if first != name:
            yield users.error(where, f"{first} is the same name, whatever its case", "rename one of the two")
        if not _is_plain_name(name):
            yield users.error(where, "a user name has a-z A-Z 0-9 . _ - only", "rename the user")
        if user.realm != realm:
            remedy = f"add the user again with --realm {realm}"
            yield users.error((*where, "realm"), f"the gateway's realm is {realm}", remedy)


def _check_user_numbers(users: Users, home: Home) -> Iterator[ConfigError]:
    """Numbers of users that are none where they dial."""
    for name, user in users.model.users.items():
        written: list[tuple[Location, str | None]] = [(("users", name, "number"), user.number)]
        written += [(("users", name, "numbers", index), number) for index, number in enumerate(user.numbers)]
        for where, number in written:
            if number is not None and not home.international(number):
                yield users.error(where, "this is no telephone number", "write it with +, for example +4930123450")


def _is_plain_name(name: str) -> bool:
    try:
        return normalise(name) == name
    except SipError:
        return False


def _check_rule_ids(dialplan: Plan) -> Iterator[ConfigError]:
    seen: set[str] = set()
    for kind in ("permissions", "outbound", "inbound"):
        for index, rule in enumerate(getattr(dialplan.model, kind)):
            if rule.id in seen:
                yield dialplan.error((kind, index, "id"), f"duplicate rule id {rule.id}", "give each rule its own id")
            seen.add(rule.id)


def _check_trunk_names(gateway: Gateway, dialplan: Plan) -> Iterator[ConfigError]:
    plan = dialplan.model
    named: list[tuple[Location, str | None]] = [
        *((("emergency_trunks", i), t) for i, t in enumerate(plan.emergency_trunks)),
        *((("outbound", i, "trunk"), r.trunk) for i, r in enumerate(plan.outbound)),
        *((("outbound", i, "trunks", j), s.trunk) for i, r in enumerate(plan.outbound) for j, s in enumerate(r.trunks)),
        *((("inbound", i, "trunk"), r.trunk) for i, r in enumerate(plan.inbound)),
        *((("inbound", i, "to_trunk"), r.to_trunk) for i, r in enumerate(plan.inbound)),
    ]
    known = gateway.model.trunks
    for where, name in named:
        if name is not None and name not in known:
            remedy = f"trunks in {gateway.path}: {', '.join(known) or 'none'}"
            yield dialplan.error(where, f"there is no trunk {name}", remedy)


def _check_rule_users(gateway: Gateway, users: Users, dialplan: Plan) -> Iterator[ConfigError]:
    plan = dialplan.model
    named: list[tuple[Location, str | None]] = [
        *((("outbound", i, "user"), r.user) for i, r in enumerate(plan.outbound)),
        *((("inbound", i, "user"), r.user) for i, r in enumerate(plan.inbound)),
        *((("groups", g, "members", i), m) for g, group in plan.groups.items() for i, m in enumerate(group.members)),
        *((("permissions", i, "users", j), u) for i, p in enumerate(plan.permissions) for j, u in enumerate(p.users)),
    ]
    for where, name in named:
        if name not in (None, SAME_USER) and name not in users.model.users:
            remedy = f"sip-gateway users add {users.path} NAME --realm {gateway.model.realm}"
            yield dialplan.error(where, f"there is no user {name!r}", remedy)


def _check_emergency_rules(dialplan: Plan) -> Iterator[ConfigError]:
    """A rule that would ring a user for a call for help is never followed."""
    for index, rule in enumerate(dialplan.model.outbound):
        if not rule.named_trunks and rule.dialled in dialplan.model.emergency:
            remedy = "set emergency_trunks, or take the number out of `emergency`"
            where = ("outbound", index, "user" if rule.user is not None else "group")
            yield dialplan.error(where, "an emergency call goes to a trunk", remedy)


def _findings(config: GatewayConfig, now: datetime.datetime) -> Iterator[tuple[Location, Finding]]:
    yield from ((("listen", "web"), f) for f in _server_findings(config.listen.web, now))
    if config.listen.tls is not None:
        yield from ((("listen", "tls"), f) for f in _server_findings(config.listen.tls, now))
    for name, trunk in config.trunks.items():
        yield from ((("trunks", name, "tls"), f) for f in _trunk_findings(trunk, now))
    yield from check_sinks(config.audit, now)
    yield from check_hep(config.hep, now)


def _server_findings(server: Web | ListenTls, now: datetime.datetime) -> Iterator[Finding]:
    if server.certificate is not None and server.key is not None:
        yield from check_pair(KeyPair(server.certificate, server.key, server.key_password), now)
    if isinstance(server, ListenTls) and server.client_ca is not None:
        yield from check_ca("client_ca", server.client_ca)


def _trunk_findings(trunk: Trunk, now: datetime.datetime) -> Iterator[Finding]:
    tls = trunk.tls
    if tls.certificate is not None and tls.key is not None:
        yield from check_pair(KeyPair(tls.certificate, tls.key, tls.key_password), now)
    if tls.ca is not None:
        yield from check_ca("ca", tls.ca)


def _unproved_contacts(gateway: Gateway) -> Iterator[str]:
    """A trunk that wants a name in Contact connects to it, and finds it in no certificate of ours."""
    listen = gateway.model.listen.tls
    for name, trunk in gateway.model.trunks.items():
        shown = [path for path in (trunk.tls.certificate, listen.certificate if listen else None) if path is not None]
        if trunk.contact is not None and any(not certifies(path, trunk.contact) for path in shown):
            yield str(gateway.error(("trunks", name, "contact"), "our certificate does not name this"))


def _unrouted_emergencies(dialplan: Plan) -> Iterator[str]:
    plan = compile_dialplan(dialplan.model)
    missing = [number for number in plan.emergency if plan.route_outbound(number) is None]
    if missing:
        yield f"{dialplan.path}: no trunk for emergency numbers {', '.join(missing)}: set emergency_trunks"


def _weaker_alternatives(gateway: Gateway, dialplan: Plan) -> Iterator[str]:
    """Whoever keeps calls from the first trunk of a rule decides that they take the next one."""
    strictness = {name: list(Profile).index(trunk.security) for name, trunk in gateway.model.trunks.items()}
    for rule in dialplan.model.outbound:
        known = [name for name in rule.named_trunks if name in strictness]
        if len({strictness[name] for name in known}) > 1:
            weakest = max(known, key=lambda name: strictness[name])
            security = gateway.model.trunks[weakest].security
            yield f"{dialplan.path}: rule {rule.id}: calls that the others do not take go over {weakest}, as {security}"


def _silent_inbound(gateway: Gateway, dialplan: Plan) -> Iterator[str]:
    for rule in dialplan.model.inbound:
        trunk = gateway.model.trunks.get(rule.trunk or "")
        if trunk is not None and not trunk.may_call_in:
            yield f"{dialplan.path}: rule {rule.id}: trunk {rule.trunk} has no networks, so it cannot call in"


def _foreign_origins(gateway: Gateway) -> Iterator[str]:
    """The gateway's own page is an origin like any other; without it that page loads and cannot sign in."""
    web = gateway.model.listen.web
    scheme, port = ("https" if web.certificate else "http"), web.address.port
    suffix = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    own = (urlsplit(origin) for origin in web.origins)
    if port and not any(o.scheme == scheme and (o.port or DEFAULT_PORTS[scheme]) == port for o in own):
        words = f"none is the gateway's own page, {scheme}://HOST{suffix}: it cannot sign in (unless a proxy serves it)"
        yield str(gateway.error(("listen", "web", "origins"), words))
