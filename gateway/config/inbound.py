"""Whether trunks that call in can be told apart by what they prove, and can prove it at all."""

from __future__ import annotations

from collections.abc import Iterator, Set

from gateway.base.errors import ConfigError
from gateway.config.document import Document
from gateway.config.schema import GatewayConfig, Trunk, TrunkInbound

Gateway = Document[GatewayConfig]


def check_inbound(gateway: Gateway) -> Iterator[ConfigError]:
    """Every mistake in what trunks must prove."""
    users: dict[str, str] = {}
    for name, trunk in gateway.model.trunks.items():
        inbound = trunk.inbound
        if inbound is None:
            continue
        where = ("trunks", name, "inbound")
        if not trunk.may_call_in:
            remedy = "name the networks it calls from; 0.0.0.0/0 and ::/0 where its address is not known"
            yield gateway.error(where, "the trunk has no networks, so it cannot call in", remedy)
        if inbound.certificate and not asks_for_certificates(gateway.model):
            remedy = "add a tls: listener and listen.tls.client_ca, the authority of the certificates trunks show"
            yield gateway.error((*where, "certificate"), "no listener asks for a certificate", remedy)
        if inbound.user is not None:
            other = users.setdefault(inbound.user, name)
            if other != name:
                remedy = "give each trunk a user name of its own: it says whose call it is"
                yield gateway.error((*where, "user"), f"trunk {other} has the same user", remedy)


def asks_for_certificates(config: GatewayConfig) -> bool:
    """Whether a trunk that connects to us can show one."""
    listens = any(listener.transport == "tls" for listener in config.listen.sip)
    return listens and config.listen.tls is not None and config.listen.tls.client_ca is not None


def certificates_differ(one: Trunk, other: Trunk, names: tuple[Set[str], Set[str]]) -> bool:
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


def told_apart_by_proof(one: Trunk, other: Trunk, *, by_certificate: bool) -> bool:
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
