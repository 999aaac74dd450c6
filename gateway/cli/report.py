"""What `check` says about a configuration: per trunk what it will offer, accept and refuse."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.text import Text

from gateway.base.keying import Keying
from gateway.base.signalling import Signalling
from gateway.base.values import LegKind
from gateway.cli.tables import colour
from gateway.config.load import LoadedConfig
from gateway.config.schema import GatewayConfig
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import OfferPlan, Refusal, plan_offer, plan_retry
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import allowed_suites
from gateway.renewal.files import Watched
from gateway.renewal.watched import watched
from gateway.site import Site
from gateway.trunks.identity import Asserts, CallerFrom, PrivacyMode, TrunkIdentity
from gateway.trunks.model import Trunk
from gateway.trunks.target import TargetChoice, TrunkTarget

LABEL_WIDTH = 12

NOT_ACCEPTABLE = 488
"""The answer of a peer that refuses encryption (RFC 3261 21.4.26)."""

_TLS_VERSION = "1.3"
"""What the plan assumes of a TLS connection; 1.2 is judged alike and anything older is not connected."""


def report(loaded: LoadedConfig) -> Iterator[Text]:
    """The lines `check` prints for a configuration without mistakes."""
    yield from _gateway(loaded)
    for trunk in loaded.site.trunks.values():
        yield Text("")
        yield from _trunk(trunk, loaded.site.policies.standing(trunk.name))


def _gateway(loaded: LoadedConfig) -> Iterator[Text]:
    config = loaded.config
    yield Text(f"realm {config.realm}", style="bold")
    yield from _listeners(config)
    yield from _certificates(loaded.site)
    browser, trunk = config.media.browser, config.media.trunk
    workers = loaded.site.media.workers
    yield _line("media", f"browsers {', '.join(browser.advertised)} ports {browser.ports}, workers {workers}")
    yield _line("", f"trunks {trunk.advertised} ports {trunk.ports}")
    rules = f"rules: {len(loaded.dialplan.outbound)} outbound, {len(loaded.dialplan.inbound)} inbound"
    yield _line("dialplan", f"{rules}; emergency: {', '.join(loaded.dialplan.emergency) or 'none'}")
    if config.policy is not None:
        yield _line("policy", _book(loaded))
    relay = config.registration
    yield _line("users", str(len(loaded.users.users)) if relay is None else f"registered by trunk {relay.relay}")
    yield _line("audit", f"{config.audit.directory}, when unavailable {config.audit.on_unavailable}")


def _book(loaded: LoadedConfig) -> str:
    """How much a policy file says; what follows of each trunk is what its own profile says, before rules and floors."""
    policy, book = loaded.policy, loaded.site.policies
    parts = (
        ("profiles", policy.profiles),
        ("rules", book.rules),
        ("floors", book.floors),
        ("exceptions", book.exceptions),
    )
    return ", ".join(f"{len(found)} {kind}" for kind, found in parts) + f"; {book.sha256}"


def _listeners(config: GatewayConfig) -> Iterator[Text]:
    web = config.listen.web
    scheme = "https" if web.certificate else "http"
    origins = ", ".join(web.origins) or "none: no browser may connect"
    yield _line("web", f"{scheme}://{_address(web.address.host, web.address.port)}, origins {origins}")
    listeners = [f"{s.transport}:{_address(s.address.host, s.address.port)}" for s in config.listen.sip]
    yield _line("sip", ", ".join(listeners) or "no listener: trunks are only called, over TCP or TLS")


def _certificates(site: Site) -> Iterator[Text]:
    """When our certificates, and those of the authorities we believe, end."""
    files = watched(site, lambda _: None, lambda _name, _: None)
    for number, (key, _, end) in enumerate(_ends(files)):
        until = datetime.datetime.fromtimestamp(end, datetime.UTC)
        yield _line("" if number else "certs", f"{key} until {until:%Y-%m-%d}")


def _ends(files: Iterable[Watched]) -> Iterator[tuple[str, Path, float]]:
    return itertools.chain.from_iterable(entry.ends() for entry in files)


def _trunk(trunk: Trunk, policy: EffectivePolicy) -> Iterator[Text]:
    target = trunk.target
    verified = target.transport == "tls"
    signalling = Signalling(target.transport, _TLS_VERSION if verified else "", verified)
    shown = f", shown as {trunk.display_name}" if trunk.display_name else ""
    yield Text.assemble((f"trunk {trunk.name}", "bold"), f", security {policy.profile}{shown}")
    for choice in trunk.choices:
        yield _line("signalling", _signalling(trunk, choice))
    yield from _offer(policy, signalling)
    yield _line("calls in", _calls_in(policy, trunk))
    if trunk.identity != TrunkIdentity() or trunk.number_format is not None:
        yield _line("callers", _callers(trunk))


def _callers(trunk: Trunk) -> str:
    """What it is told of who calls."""
    identity = trunk.identity
    who = {CallerFrom.FIXED: identity.number, CallerFrom.NUMBER: "the caller's number"}.get(identity.from_, "the user")
    told = [f"From {who}" + (f" at {identity.domain}" if identity.domain else "")]
    if identity.asserts is not Asserts.NONE:
        told.append(f"P-{identity.asserts.value.title()}-Identity")
    if trunk.number_format is not None:
        told.append(f"numbers as {trunk.number_format}")
    private = "told with the wish" if identity.privacy is PrivacyMode.ON else "anonymous"
    return f"{', '.join(told)}; who wants privacy is {private}"


def _signalling(trunk: Trunk, choice: TargetChoice) -> str:
    target = choice.target
    where = f"{target.transport} to {_address(target.host, target.port)}"
    if trunk.targets:
        where += f" (priority {choice.priority}, weight {choice.weight})"
    if target.transport != "tls":
        return f"{where}, not verified"
    return f"{where}, verified: {_proof(trunk, target)}"


def _proof(trunk: Trunk, target: TrunkTarget) -> str:
    """What its certificate must show."""
    expected, wanted = trunk.peer_of(target), []
    if expected.is_named:
        wildcards = ", or by a wildcard" if expected.wildcards else ""
        wanted.append(f"name {' or '.join(expected.names)}{wildcards}")
    if expected.pins:
        wanted.append(f"be one of {len(expected.pins)} pinned")
    authority = trunk.tls.ca or "system" if trunk.tls.needs_chain else "none"
    return f"the certificate must {' and '.join(wanted)} (CA: {authority})"


def _offer(policy: EffectivePolicy, signalling: Signalling) -> Iterator[Text]:
    plan = plan_offer(policy, signalling)
    if isinstance(plan, Refusal):
        yield _line("calls out", f"REFUSED: {plan.code}: {plan.termination.words}", "bold red")
        yield _line("remedy", "use transport=tls, or a weaker security profile for this trunk")
        return
    best = _vector(signalling, plan, policy).grade
    yield _line("offer", _media(plan, policy))
    yield _line("at best", best.name, colour(best))
    yield _line("if refused", ", then ".join(_retries(policy, signalling, plan)) or "the call ends")
    worst = policy.rules.require
    yield _line("at worst", f"{worst.name}, {_consequence(policy)}", colour(worst))


def _retries(policy: EffectivePolicy, signalling: Signalling, plan: OfferPlan) -> Iterator[str]:
    """What is offered when the first offer is refused, and the one after that."""
    while (retry := plan_retry(policy, signalling, NOT_ACCEPTABLE, plan)) is not None:
        yield f"a second INVITE with {_media(retry, policy)}{'' if retry.has_keys else ', logged'}"
        plan = retry


def _consequence(policy: EffectivePolicy) -> str:
    return "anything weaker is refused" if policy.demands_protection else "logged and shown to the user"


def _vector(signalling: Signalling, plan: OfferPlan, policy: EffectivePolicy) -> SecurityVector:
    """The trunk leg if the peer takes the keys we prefer."""
    return SecurityVector(
        leg=LegKind.TRUNK,
        signalling=signalling,
        keying=Keying.PENDING if plan.has_keys else Keying.NONE,
        awaits=plan.ways[0] if plan.has_keys else None,
        proto=plan.proto,
    )


def _media(plan: OfferPlan, policy: EffectivePolicy) -> str:
    if not plan.has_keys:
        return f"{plan.proto} without keys"
    known = [suite for suite in allowed_suites(policy) if suite.dtls_name or Keying.SDES in plan.ways]
    names = ", ".join(suite.name for suite in known)
    by_handshake = " by DTLS" if plan.ways == (Keying.DTLS,) else " by SDES or DTLS" if len(plan.ways) > 1 else ""
    return f"{plan.proto} with {names}{by_handshake}"


def _calls_in(policy: EffectivePolicy, trunk: Trunk) -> str:
    if not trunk.networks:
        return "none: the trunk has no networks"
    kind = "encrypted or plain, keyed when offered" if policy.rules.accepts_plain else "encrypted offers only"
    return f"from {', '.join(map(str, trunk.networks))}{_proved_by(trunk)}; {kind}"


def _proved_by(trunk: Trunk) -> str:
    """What it must prove besides."""
    inbound = trunk.inbound
    if inbound is None:
        return ""
    proofs = ["its certificate"] if inbound.certificate else []
    proofs += [f"the password of {inbound.user}"] if inbound.credentials is not None else []
    return f", by {(' or ' if inbound.any_is_enough else ' and ').join(proofs)}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _line(label: str, words: str, style: str = "") -> Text:
    return Text.assemble((f"  {label:<{LABEL_WIDTH}}", "dim"), (words, style))
