"""Whether the targets of the trunks lead anywhere. Only `check` asks: a start must not fail because DNS is away."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.cli.preflight import Findings
from gateway.config.schema import GatewayConfig
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.resolve import Resolver
from gateway.trunks.target import NextHop, TrunkTarget, is_ip_literal

DNS_SECONDS = 5.0
"""How long all names together may take."""


def unknown_names(config: GatewayConfig) -> Findings:
    """The targets that lead nowhere by DNS; where DNS itself gave no answer it is a warning."""
    targets = _targets(config)
    if not targets:
        return Findings((), ())
    servers = [HostPort(server.host, server.port) for server in config.dns.servers]
    answers = asyncio.run(_ask(list(targets.values()), servers))
    wrong = [_unknown(key, targets[key].host) for key, found in zip(targets, answers, strict=True) if found is False]
    silent = [_silent(key, targets[key].host) for key, found in zip(targets, answers, strict=True) if found is None]
    return Findings(tuple(wrong), tuple(silent))


def _targets(config: GatewayConfig) -> dict[str, TrunkTarget]:
    """Each target whose host is a name, by its key."""
    found = {}
    for name, trunk in config.trunks.items():
        for index, written in enumerate(trunk.written_targets):
            try:
                target = TrunkTarget.parse(written.target)
            except ValueError:
                continue  # told of as a target
            if not is_ip_literal(target.host):
                found[f"trunks.{name}.targets[{index}]" if trunk.targets else f"trunks.{name}.target"] = target
    return found


async def _ask(targets: Sequence[TrunkTarget], servers: Sequence[HostPort]) -> list[bool | None]:
    """Whether each leads somewhere; None: DNS did not say so in time."""
    client = DnsClient(servers)
    asked = [asyncio.create_task(_found(client, target)) for target in targets]
    await asyncio.wait(asked, timeout=DNS_SECONDS)
    await client.close()
    return [None if one.cancelled() or not one.done() else one.result() for one in asked]


async def _found(client: DnsClient, target: TrunkTarget) -> bool | None:
    try:
        return bool(await _resolve(client, target))
    except DnsError:
        return None


async def _resolve(client: DnsClient, target: TrunkTarget) -> Sequence[NextHop]:
    return await Resolver(client, secrets.randbelow).hops(target, ("udp", "tcp", "tls"))


def _unknown(key: str, host: str) -> ConfigError:
    remedy = "write the name as DNS has it (a NAPTR, SRV, A or AAAA record), or an address"
    return ConfigError(f"DNS knows no address of {host}", key=key, remedy=remedy)


def _silent(key: str, host: str) -> ConfigError:
    return ConfigError(f"DNS did not say whether {host} exists", key=key, remedy="look at this machine's resolver")
