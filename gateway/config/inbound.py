"""Whose a call that comes in is: one trunk's by network, transport or what it proves, and no other's."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Set

from gateway.base.errors import ConfigError
from gateway.config.compile import compile_targets
from gateway.config.document import Document
from gateway.config.schema import GatewayConfig, Trunk, TrunkInbound
from gateway.config.yaml import Location
from gateway.trunks.target import TrunkTarget

Gateway = Document[GatewayConfig]

_APART = (
    "give each source to one trunk, or let the two differ in transport, in tls.names with listen.tls.client_ca set, or"
    " in the user and password of `inbound` that both must prove"
)
"""What can tell two trunks at one address apart when they call in."""


def check_inbound(gateway: Gateway) -> Iterator[ConfigError]:
    """Every mistake in where trunks call from, and in what they must prove."""
    yield from _check_networks(gateway)
    yield from _check_proofs(gateway)


def warn_of_networks(gateway: Gateway) -> Iterator[str]:
    """Networks that are probably too wide."""
    for name, trunk in gateway.model.trunks.items():
        if trunk.inbound is None and any(ipaddress.ip_network(n).prefixlen == 0 for n in trunk.networks):
            yield str(gateway.error(("trunks", name, "networks"), "every address may call in as this trunk"))


def located_targets(name: str, trunk: Trunk) -> Iterator[tuple[Location, str]]:
    """Each target, and where it is written."""
    if trunk.target is not None:
        yield ("trunks", name, "target"), trunk.target
    for index, one in enumerate(trunk.targets):
        yield ("trunks", name, "targets", index), one.target


def _check_proofs(gateway: Gateway) -> Iterator[ConfigError]:
    users: dict[str, str] = {}
    for name, trunk in gateway.model.trunks.items():
        inbound = trunk.inbound
        if inbound is None:
            continue
        where = ("trunks", name, "inbound")
        if not trunk.may_call_in:
            remedy = "name the networks it calls from; 0.0.0.0/0 and ::/0 where its address is not known"
            yield gateway.error(where, "the trunk has no networks, so it cannot call in", remedy)
        if inbound.certificate and not _asks_for_certificates(gateway.model):
            remedy = "add a tls: listener and listen.tls.client_ca, the authority of the certificates trunks show"
            yield gateway.error((*where, "certificate"), "no listener asks for a certificate", remedy)
        if inbound.user is not None:
            other = users.setdefault(inbound.user, name)
            if other != name:
                remedy = "give each trunk a user name of its own: it says whose call it is"
                yield gateway.error((*where, "user"), f"trunk {other} has the same user", remedy)


def _asks_for_certificates(config: GatewayConfig) -> bool:
    """Whether a trunk that connects to us can show one."""
    listens = any(listener.transport == "tls" for listener in config.listen.sip)
    return listens and config.listen.tls is not None and config.listen.tls.client_ca is not None


def _check_networks(gateway: Gateway) -> Iterator[ConfigError]:
    """Calls that come in must be one trunk's: by the narrowest network, by transport, or by the name a client proves.

    Requests inside a dialog need none of this: the dialog knows its trunk.
    """
    trunks = gateway.model.trunks
    for index, (name, trunk) in enumerate(trunks.items()):
        earlier = dict(list(trunks.items())[:index])
        for position, network in enumerate(trunk.networks):
            same = (n for n, other in earlier.items() if network in other.networks)
            for owner in (n for n in same if not _told_apart(gateway.model, trunk, trunks[n])):
                where = ("trunks", name, "networks", position)
                yield gateway.error(where, f"trunk {owner} has the same network", _APART)
                break
        yield from _check_callback(gateway, name, trunk)


def _check_callback(gateway: Gateway, name: str, trunk: Trunk) -> Iterator[ConfigError]:
    """A trunk that may call in does so from its targets: their addresses must not count as another trunk's."""
    for where, host in _target_addresses(name, trunk) if trunk.networks else ():
        own = _narrowest(trunk, host)
        for other_name, other in gateway.model.trunks.items():
            if other_name != name and _narrowest(other, host) > own and not _told_apart(gateway.model, trunk, other):
                message = f"calls from {host} would count as trunk {other_name}'s: it has the narrower network"
                remedy = f"add {host}/{host.max_prefixlen} to the networks of {name}, or: {_APART}"
                yield gateway.error(where, message, remedy)
                return


def _told_apart(config: GatewayConfig, one: Trunk, other: Trunk) -> bool:
    """Whether something besides the address says whose call it is: transport, certificate or password."""
    try:
        transports = {_first_target(trunk).transport for trunk in (one, other)}
    except ValueError:
        return True  # told by `_check_targets`
    if len(transports) > 1:
        return True
    asked = config.listen.tls is not None and config.listen.tls.client_ca is not None
    names = [frozenset(name.lower() for name in _tls_names(trunk)) for trunk in (one, other)]
    by_certificate = asked and _certificates_differ(one, other, (names[0], names[1]))
    return (transports == {"tls"} and by_certificate) or _told_apart_by_proof(one, other, by_certificate=by_certificate)


def _first_target(trunk: Trunk) -> TrunkTarget:
    return compile_targets(trunk)[0].target


def _tls_names(trunk: Trunk) -> tuple[str, ...]:
    return trunk.tls.names or tuple(choice.target.host for choice in compile_targets(trunk))


def _target_addresses(
    name: str, trunk: Trunk
) -> Iterator[tuple[Location, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """The addresses of targets that are some; what a name resolves to is known only while the gateway runs."""
    for where, written in located_targets(name, trunk):
        with contextlib.suppress(ValueError):
            yield where, ipaddress.ip_address(TrunkTarget.parse(written).host.strip("[]"))


def _narrowest(trunk: Trunk, host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Prefix length of the trunk's narrowest network that holds the address, -1 when none does."""
    networks = (ipaddress.ip_network(network) for network in trunk.networks)
    return max((network.prefixlen for network in networks if host in network), default=-1)


def _certificates_differ(one: Trunk, other: Trunk, names: tuple[Set[str], Set[str]]) -> bool:
    """Whether a certificate that proves one of them proves the other as well only by its owner's design.

    Args:
        names: those each of them may prove.
    """
    if one.tls.pin_sha256 and other.tls.pin_sha256:
        return set(one.tls.pin_sha256).isdisjoint(other.tls.pin_sha256)
    if one.tls.pin_sha256 or other.tls.pin_sha256:
        return True
    if one.tls.wildcards and other.tls.wildcards:
        above = [{name.partition(".")[2] for name in found} for found in names]
        return names[0].isdisjoint(names[1]) and above[0].isdisjoint(above[1])
    return names[0].isdisjoint(names[1])


def _told_apart_by_proof(one: Trunk, other: Trunk, *, by_certificate: bool) -> bool:
    """Whether what two trunks must prove says which of them calls.

    Args:
        by_certificate: certificates are asked for, and none is for both.
    """
    proofs = [trunk.inbound for trunk in (one, other)]
    if by_certificate and any(proof is not None and proof.certificate and proof.require == "all" for proof in proofs):
        return True
    return all(proof is not None and _asks_for_password(proof, by_certificate) for proof in proofs)


def _asks_for_password(proof: TrunkInbound, by_certificate: bool) -> bool:
    """Whether nobody passes without a password, which is right for one trunk only, or a certificate that is."""
    return proof.user is not None and (proof.require == "all" or by_certificate)
