"""A nameserver of our own on loopback: says what a test wants, late, wrongly or not at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from gateway.base.values import HostPort

TTL = 300


class NameServer(asyncio.DatagramProtocol):
    """Answers from `records`; a name without any is NXDOMAIN, one that has another kind of record has none of this."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl: dict[tuple[str, str], int] = {}
        """Of those answers that have another one than `TTL`."""
        self.negative_ttl = 30
        self.servfail: set[str] = set()
        """Names, or kinds, that are answered with SERVFAIL; `*`: all."""
        self.servfail_for: set[str] = set()
        """Addresses whose every question is answered with SERVFAIL."""
        self.silent: set[str] = set()
        """The same, not answered at all."""
        self.delay = 0.0
        """Seconds each answer takes."""
        self.asked: list[tuple[str, str]] = []
        self.address = HostPort("", 0)
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def says(self, name: str, kind: str, *records: str, ttl: int | None = None) -> NameServer:
        """What a question is answered with from now on; nothing: there is no such record."""
        self.records[name, kind] = list(records)
        if ttl is not None:
            self.ttl[name, kind] = ttl
        return self

    def count(self, name: str, kind: str) -> int:
        """How often a question came."""
        return self.asked.count((name, kind))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = HostPort(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self.silent.isdisjoint({"*", name, kind}):
            fails = addr[0] in self.servfail_for or not self.servfail.isdisjoint({"*", name, kind})
            answer = (_failure(query) if fails else self._answer(query, name, kind)).to_wire()
            asyncio.get_running_loop().call_later(self.delay, self._send, answer, addr)

    def _send(self, data: bytes, to: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        found = self.records.get((name, kind), [])
        if found:
            ttl = self.ttl.get((name, kind), TTL)
            answer.answer.append(dns.rrset.from_text_list(f"{name}.", ttl, "IN", kind, found))
            return answer
        zone = name.rpartition(".")[2]
        soa = f"ns.{zone}. admin.{zone}. 1 3600 600 86400 {self.negative_ttl}"
        answer.authority.append(dns.rrset.from_text(f"{zone}.", self.negative_ttl, "IN", "SOA", soa))
        if not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._closed


def _failure(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(dns.rcode.SERVFAIL)
    return answer


@asynccontextmanager
async def nameserver(port: int = 0, *, bound: socket.socket | None = None) -> AsyncIterator[NameServer]:
    """A nameserver that runs in the test's loop.

    Args:
        bound: the socket it has, in place of one on loopback.
    """
    made = NameServer()
    where: dict[str, Any] = {"sock": bound} if bound is not None else {"local_addr": ("127.0.0.1", port)}
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, **where)
    try:
        yield made
    finally:
        await made.close()
