"""From a target to the places it can be reached at: NAPTR, then SRV, then addresses (RFC 3263 4).

What is written in a target is not asked of DNS: an address is where it is, a port means that only addresses are asked
for, a transport means that DNS has no say in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TypeVar

from gateway.base.values import HostPort
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.dns_cache import Records
from gateway.trunks.hosts import HostsFile
from gateway.trunks.selection import (
    Draw,
    Service,
    Srv,
    guessed_services,
    interleaved,
    named_services,
    servers,
)
from gateway.trunks.target import NextHop, TrunkTarget, TrunkTransport, is_ip_literal

T = TypeVar("T")

MAX_SERVERS = 8
"""Servers of one service that are tried."""
MAX_HOPS = 16
"""Places of one target that are tried."""


class Resolver:
    """Finds where targets are; asks DNS for what is not known already."""

    def __init__(self, client: DnsClient, draw: Draw, hosts: HostsFile | None = None) -> None:
        self._dns, self._draw, self._hosts = client, draw, hosts or HostsFile()

    async def hops(self, target: TrunkTarget, usable: Collection[TrunkTransport]) -> list[NextHop]:
        """The places of a target, in the order they are to be tried; of servers of one priority the order is drawn by
        lot each time. Empty: it has none.

        Args:
            usable: transports that may be chosen where the target names none.

        Raises:
            DnsError: DNS failed, and nothing is known from before.
        """
        if is_ip_literal(target.host):
            return _at(target, target.transport, [target.host.strip("[]")], target.port)
        if known := self._hosts.addresses(target.host):
            return _at(target, target.transport, known, target.port)
        if target.has_port:
            return _at(target, target.transport, await self._addresses(target.host), target.port)
        return (await self._by_service(target, _allowed(target, usable)))[:MAX_HOPS]

    async def _by_service(self, target: TrunkTarget, allowed: Collection[TrunkTransport]) -> list[NextHop]:
        """By what the domain names, by what it may have, or else where its own name leads."""
        named, *guessed = await self._records(target, allowed)
        services: list[tuple[Service, Records | None]] = [(s, None) for s in named_services(named, allowed)]
        if not services:
            guesses = zip(guessed_services(target.host, allowed), guessed, strict=True)
            services = [(service, records) for service, records in guesses if records]
        if services:
            return await self._of_services(target, services)
        return _at(target, target.transport, await self._addresses(target.host), target.port)

    async def _records(self, target: TrunkTarget, allowed: Collection[TrunkTransport]) -> list[Records]:
        """NAPTR of the domain, and SRV of each service it may have, asked for side by side.

        Where DNS fails they count as none: routers that know no NAPTR answer it with an error, or not at all, and
        whoever must not be reached in the clear has said so in the target.
        """
        names = [service.name for service in guessed_services(target.host, allowed)]
        naptr = [] if target.has_transport else [self._dns.find(target.host, "NAPTR")]
        asked = await asyncio.gather(*naptr, *(self._dns.find(n, "SRV") for n in names), return_exceptions=True)
        found = [() if isinstance(answer, DnsError) else _raised(answer) for answer in asked]
        return found if naptr else [(), *found]

    async def _of_services(
        self, target: TrunkTarget, services: Sequence[tuple[Service, Records | None]]
    ) -> list[NextHop]:
        """The places of each, found side by side; where DNS fails for one of them the others serve."""
        found = await asyncio.gather(*(self._of_service(target, *one) for one in services), return_exceptions=True)
        failures = [answer for answer in found if isinstance(answer, BaseException)]
        if len(failures) == len(found):
            raise failures[0]
        return [hop for answer in found if not isinstance(answer, DnsError) for hop in _raised(answer)]

    async def _of_service(self, target: TrunkTarget, service: Service, records: Records | None) -> list[NextHop]:
        """The places of one service; those of a server whose name leads nowhere are left out."""
        if records is None:
            records = await self._dns.find(service.name, "SRV")
        chosen = servers(records, self._draw)[:MAX_SERVERS]
        addresses = await asyncio.gather(*(self._of_server(server) for server in chosen))
        return [
            hop
            for server, hosts in zip(chosen, addresses, strict=True)
            for hop in _at(target, service.transport, hosts, server.port)
        ]

    async def _of_server(self, server: Srv) -> Sequence[str]:
        if is_ip_literal(server.target):
            return ()  # RFC 2782: the target is a name
        try:
            return self._hosts.addresses(server.target) or await self._addresses(server.target)
        except DnsError:
            return ()

    async def _addresses(self, host: str) -> list[str]:
        """AAAA and A; when DNS fails for one of them the other serves."""
        kinds = await asyncio.gather(*(self._dns.find(host, k) for k in ("AAAA", "A")), return_exceptions=True)
        failures = [found for found in kinds if isinstance(found, BaseException)]
        if len(failures) == len(kinds):
            raise failures[0]
        six, four = (() if isinstance(found, DnsError) else _raised(found) for found in kinds)
        return interleaved(six, four)


def _allowed(target: TrunkTarget, usable: Collection[TrunkTransport]) -> Collection[TrunkTransport]:
    """The transports DNS may choose of: a `sips` target is reached over TLS whatever it says (RFC 3263 4.1)."""
    fixed = target.has_transport or target.transport == "tls"
    return (target.transport,) if fixed else usable


def _at(target: TrunkTarget, transport: TrunkTransport, hosts: Sequence[str], port: int) -> list[NextHop]:
    return [NextHop(transport, HostPort(host, port), target) for host in hosts][:MAX_HOPS]


def _raised(answer: T | BaseException) -> T:
    if isinstance(answer, BaseException):
        raise answer
    return answer
