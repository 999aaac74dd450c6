"""DNS for host names in descriptions: bounded in time and number, and never an error."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from gateway.call.run import lookup
from gateway.call.run.lookup import MAX_ADDRESSES, MAX_LOOKUPS, NameLookups

pytestmark = pytest.mark.asyncio
Resolver = Callable[..., Awaitable[list[tuple[object, ...]]]]


def with_resolver(monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> NameLookups:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
    return NameLookups()


def entry(address: str) -> tuple[object, ...]:
    return (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, 0))


async def test_every_name_comes_back_with_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [entry(f"192.0.2.{len(name)}")]

    found = await with_resolver(monkeypatch, resolve).find(["a", "bb"])
    assert found == (("a", ("192.0.2.1",)), ("bb", ("192.0.2.2",)))


@pytest.mark.parametrize("error", [socket.gaierror(-2, "no such name"), UnicodeError("label too long"), OSError()])
async def test_a_name_dns_does_not_know_has_no_address(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise error

    assert await with_resolver(monkeypatch, resolve).find(["x"]) == (("x", ()),)


async def test_a_resolver_that_hangs_is_not_waited_for_and_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.01)
    release, started = asyncio.Event(), 0

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        nonlocal started
        started += 1
        await release.wait()
        return [entry("192.0.2.1")]

    lookups = with_resolver(monkeypatch, resolve)
    names = [str(n) for n in range(MAX_LOOKUPS + 3)]
    assert await lookups.find(names) == tuple((name, ()) for name in names)
    assert started == MAX_LOOKUPS, "no more than that hang at a time"
    assert await lookups.find(["more"]) == (("more", ()),)
    release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await lookups.find(["again"]) == (("again", ("192.0.2.1",)),)


async def test_a_name_with_very_many_addresses_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [entry(f"192.0.2.{n}") for n in range(200)]

    assert len((await with_resolver(monkeypatch, resolve).find(["x"]))[0][1]) == MAX_ADDRESSES
