"""The memory keeps to what any store of bindings promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.location.store import LocationStore, MemoryStore
from tests.location.test_binding import binding

pytestmark = pytest.mark.asyncio

A, B = binding("a"), binding("b")


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.memory = MemoryStore(lambda: self.now)
        self.store: LocationStore = self.memory

    async def names(self, user: str = "alice") -> list[str]:
        return [found.contact.uri.user or "" for found in await self.store.lookup(user)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_bound_is_found_with_the_seconds_it_has_left(bench: Bench) -> None:
    await bench.store.change("alice", [A], [])
    bench.now += 100
    assert await bench.store.lookup("alice") == (replace(A, seconds=500.0),)


async def test_what_has_run_out_is_not_found_and_not_kept(bench: Bench) -> None:
    await bench.store.change("alice", [A, replace(B, seconds=60.0)], [])
    bench.now += 60
    assert await bench.names() == ["a"]
    bench.now += 540
    assert await bench.names() == []
    assert len(bench.memory) == 0


async def test_bindings_come_in_the_order_in_which_they_came_and_a_refresh_keeps_it(bench: Bench) -> None:
    await bench.store.change("alice", [A], [])
    await bench.store.change("alice", [B], [])
    await bench.store.change("alice", [A], [])
    assert await bench.names() == ["a", "b"]


async def test_one_change_binds_and_unbinds(bench: Bench) -> None:
    await bench.store.change("alice", [A], [])
    await bench.store.change("alice", [B], [A.contact_uri, "sip:never@x.invalid"])
    assert await bench.names() == ["b"]


async def test_what_is_unbound_and_bound_in_one_change_is_bound(bench: Bench) -> None:
    await bench.store.change("alice", [A], [A.contact_uri])
    assert await bench.names() == ["a"]


async def test_users_have_nothing_in_common(bench: Bench) -> None:
    await bench.store.change("alice", [A], [])
    await bench.store.change("bob", [A], [])
    await bench.store.change("bob", [], [A.contact_uri])
    assert (await bench.names(), await bench.names("bob"), len(bench.memory)) == (["a"], [], 1)
