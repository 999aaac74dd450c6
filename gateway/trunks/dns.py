"""Asking DNS: over the nameservers of this machine or those of the configuration, by dnspython, in bounded time.

What fails is answered with what was said last, where there is anything, and told in the log once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.trunks.dns_cache import DnsCache, Question, Records
from gateway.trunks.selection import Naptr, Srv

DNS_SECONDS = 2.0
"""How long one question may take, all nameservers together. A target is found with two in turn, which leaves time for a
connection within the five seconds of `StreamLimits.handshake`; with three where a domain's NAPTR names its services in
another way than the usual one: what comes too late for one call is known for the next."""
KEPT_PATIENCE = 0.5
"""How long a call waits for an answer when the last one is at hand (RFC 8767 5); the question goes on meanwhile."""
MAX_RECORDS = 32
"""Records of one answer that are looked at."""
RESOLV_CONF = "/etc/resolv.conf"

log = logging.getLogger(__name__)


class DnsError(TransportError):
    """DNS gave no answer: neither that there is something nor that there is nothing."""


class DnsClient:
    """Asks, and remembers. Of one question there is one under way, whoever waits for it."""

    def __init__(self, servers: Sequence[HostPort] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._clock = tuple(servers), clock
        self._cache = DnsCache()
        self._asking: dict[Question, asyncio.Task[Records]] = {}
        self._tasks: set[asyncio.Task[Records]] = set()
        """Those, and questions to nameservers of before, which end within `DNS_SECONDS`."""
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._read_at = 0.0
        """When `RESOLV_CONF` was changed that the resolver was made of."""

    def use(self, servers: Sequence[HostPort]) -> None:
        """Ask these from now on; what others have said is forgotten, and what they are asked now comes too late."""
        if tuple(servers) != self._servers:
            self._servers, self._resolver = tuple(servers), None
            self._cache, self._asking = DnsCache(), {}

    async def find(self, name: str, kind: str) -> Records:
        """The records of this kind: address text for A and AAAA, `Srv`, `Naptr`. Empty: there are none.

        Raises:
            DnsError: DNS failed, and never said anything that could serve.
        """
        question, now = Question(name.lower().removesuffix("."), kind), self._clock()
        held = self._cache.holding(question, now)
        if held is not None:
            return held
        kept = self._cache.kept(question, now)
        if self._cache.is_failing(question, now):
            return _or_fail(question, kept)
        try:
            async with asyncio.timeout(None if kept is None else KEPT_PATIENCE):
                return await asyncio.shield(self._ask(question))
        except (TimeoutError, DnsError):
            return _or_fail(question, kept)

    async def close(self) -> None:
        """Ask nothing more."""
        asking = list(self._tasks)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _ask(self, question: Question) -> asyncio.Task[Records]:
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.get_running_loop().create_task(self._answer(question))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(question, done))
        return task

    def _done(self, question: Question, task: asyncio.Task[Records]) -> None:
        self._tasks.discard(task)
        if self._asking.get(question) is task:
            del self._asking[question]
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more

    async def _answer(self, question: Question) -> Records:
        cache = self._cache
        try:
            records, ttl = await self._query(question)
        except DnsError as error:
            if cache.failed(question, self._clock()):
                kept = cache.kept(question, self._clock())
                after = "what it said last is kept" if kept is not None else "nothing is known of it"
                log.warning("dns name=%s type=%s failed=%s: %s", *question, error.why, after)
            raise
        if cache.answered(question, records, ttl, self._clock()):
            log.warning("dns name=%s type=%s answers again", *question)
        return records

    async def _query(self, question: Question) -> tuple[Records, float]:
        try:
            resolver = self._current()
            answer = await resolver.resolve(
                question.name,
                question.kind,
                raise_on_no_answer=False,
                lifetime=DNS_SECONDS,
                search=_is_short(question.name),
            )
        except dns.resolver.NXDOMAIN as error:
            return (), _negative_ttl(error)
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
            return (), 0.0  # no name at all
        except (dns.exception.DNSException, OSError, ValueError, UnicodeError) as error:
            raise DnsError(_why(error)) from error
        records = tuple(_read(question.kind, data) for data in list(answer.rrset or ())[:MAX_RECORDS])
        return records, float(answer.chaining_result.minimum_ttl)

    def _current(self) -> dns.asyncresolver.Resolver:
        """The resolver; made anew when the machine's nameservers have changed."""
        changed = 0.0
        if not self._servers:
            with contextlib.suppress(OSError):
                changed = os.stat(RESOLV_CONF).st_mtime
        if self._resolver is None or changed != self._read_at:
            self._resolver, self._read_at = _made(self._servers), changed
        return self._resolver


def _made(servers: Sequence[HostPort]) -> dns.asyncresolver.Resolver:
    made = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        made.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in servers]
    made.timeout = DNS_SECONDS / max(1, len(made.nameservers))  # a dead one leaves time for the others
    return made


def _is_short(name: str) -> bool:
    """Whether this is a name of the local network, which the search list completes. Never a whole domain: one that is
    gone must not become a name below ours."""
    return sum(not label.startswith("_") for label in name.split(".")) == 1


def _or_fail(question: Question, kept: Records | None) -> Records:
    if kept is None:
        raise DnsError(f"DNS does not say what {question.name} is")
    return kept


def _read(kind: str, data: Any) -> object:
    """A record as `selection` knows it."""
    if kind == "SRV":
        return Srv(data.priority, data.weight, data.port, data.target.to_text(omit_final_dot=True).lower())
    if kind == "NAPTR":
        flags, service, regexp = (bytes(field).decode("latin-1") for field in (data.flags, data.service, data.regexp))
        return Naptr(data.order, data.preference, flags, service, regexp, data.replacement.to_text(True).lower())
    return str(data.address)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    """How long "there is no such name" holds: as the last of the answers says (RFC 2308 5)."""
    responses = list(error.kwargs.get("responses", {}).values())
    with contextlib.suppress(dns.exception.DNSException, IndexError):
        return float(responses[-1].resolve_chaining().minimum_ttl)
    return 0.0


def _why(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        codes = [str(attempt[3]) for attempt in error.kwargs.get("errors", ()) if attempt[3]]
        return codes[-1][:80] if codes else "no nameserver answers"
    return type(error).__name__
