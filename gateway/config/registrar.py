"""What must be true of a configuration in which the PBX registers the browsers (`registration`)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.base.errors import ConfigError
from gateway.config.compile import compile_targets, has_others, registrar_reaches
from gateway.config.document import Document
from gateway.config.schema import DialplanFile, GatewayConfig, Trunk


def check_registrar(gateway: Document[GatewayConfig], dialplan: Document[DialplanFile] | None) -> Iterator[ConfigError]:
    """Every mistake in it, and in what it asks of trunk, listeners and dialplan."""
    config = gateway.model
    if config.registration is None:
        if config.users is None and not has_others(config):
            remedy = "name the users file, or the PBX that knows them: registration: {relay: TRUNK}"
            yield gateway.error(("users",), "nobody is a user of this gateway", remedy)
        return
    if config.users is not None:
        yield gateway.error(("users",), "the PBX knows the users (`registration`)", "leave one of the two out")
    if config.tokens:
        yield gateway.error(("tokens",), "the PBX proves who a user is (`registration`)", "leave one of the two out")
    trunk = config.trunks.get(config.registration.relay)
    if trunk is None:
        remedy = f"trunks: {', '.join(config.trunks) or 'none'}"
        yield gateway.error(("registration", "relay"), f"there is no trunk {config.registration.relay}", remedy)
        return
    yield from _check_trunk(gateway, config.registration.relay, trunk)
    if dialplan is not None:
        yield from _check_rules(dialplan, config.registration.relay)


def warn_of_registrar(gateway: Document[GatewayConfig]) -> Iterator[str]:
    """What is allowed but probably not meant."""
    registration = gateway.model.registration
    trunk = gateway.model.trunks.get(registration.relay) if registration is not None else None
    transport = _transport(trunk) if trunk is not None else ""
    if transport in ("udp", "tcp"):
        words = (
            f"whoever can listen to {transport} between here and the PBX can guess passwords from what browsers prove"
        )
        yield str(gateway.error(("registration", "relay"), words))


def _check_trunk(gateway: Document[GatewayConfig], name: str, trunk: Trunk) -> Iterator[ConfigError]:
    if not trunk.networks:
        remedy = "give the networks its calls come from"
        yield gateway.error(("trunks", name, "networks"), "the registrar could not call any browser", remedy)
    if trunk.auth is not None:
        remedy = "remove it, or make another trunk of the same PBX for what the gateway itself asks"
        yield gateway.error(("trunks", name, "auth"), "the registrar asks browsers for passwords, not us", remedy)
    if _transport(trunk) and registrar_reaches(gateway.model) is None:
        remedy = f"add a {_transport(trunk)}: listener to listen.sip, or write registration.address"
        yield gateway.error(("registration", "address"), "the registrar could not reach this gateway", remedy)


def _check_rules(dialplan: Document[DialplanFile], name: str) -> Iterator[ConfigError]:
    """The browser's digest covers the number as it was dialled."""
    for index, rule in enumerate(dialplan.model.outbound):
        if name in rule.named_trunks and (rule.strip or rule.prefix):
            key = "strip" if rule.strip else "prefix"
            remedy = "let the PBX rewrite it"
            yield dialplan.error(
                ("outbound", index, key), "the registrar gets the number as it was dialled, or cannot check it", remedy
            )


def _transport(trunk: Trunk) -> str:
    """ "" for a target that is none, which is told elsewhere."""
    try:
        return compile_targets(trunk)[0].target.transport
    except ValueError:
        return ""
