"""Browsers of a user bind, refresh, leave and are found; a store that is slow or fails finds nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.base.counters import Counter
from gateway.location import asking
from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.location.store import MemoryStore
from gateway.sip.message import Request, Response
from tests.location.pages import Page, Pages, connection, register, settle
from tests.location.test_binding import binding

pytestmark = pytest.mark.asyncio


@pytest.fixture
def pages() -> Pages:
    return Pages()


async def test_all_pages_of_a_user_ring_and_none_is_told_of_the_others(pages: Pages) -> None:
    opened = [pages.open(name) for name in "abc"]
    for page in opened:
        await page.register()
    assert await opened[0].register() == ["a", "b", "c"]
    assert sorted(await pages.rings()) == ["a", "b", "c"]
    assert pages.sender.sent == {}
    assert pages.location.users == 1


async def test_the_preferred_page_is_called_first(pages: Pages) -> None:
    for name, q in (("a", ";q=0.9"), ("b", ";q=0.1"), ("c", "")):
        await pages.open(name).register(extra=q)
    assert await pages.rings() == ["c", "a", "b"]


async def test_a_refresh_prolongs_a_binding_and_what_is_not_refreshed_runs_out(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    await first.register(expires=100)
    await second.register(expires=100)
    pages.now += 60
    await first.register(expires=100)
    pages.now += 60
    assert await pages.rings() == ["a"]


async def test_signing_out_on_one_page_leaves_the_others(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    await first.register()
    await second.register()
    assert await first.register(expires=0) == ["b"]
    assert await pages.rings() == ["b"]
    assert pages.sender.sent == {}


async def test_a_connection_that_closes_takes_exactly_its_own_bindings_with_it(pages: Pages) -> None:
    first, second, bob = pages.open("a"), pages.open("b"), pages.open("bob", user="bob")
    await first.register()
    await pages.ask(register("<sip:more@client.invalid>", cseq=9, call_id="reg-a"), first.flow)
    await second.register()
    await pages.ask(register("<sip:bob@client.invalid>", user="bob"), bob.flow, "bob")
    await first.close()
    assert await pages.rings() == ["b"]
    assert [b.contact.uri.user for b in pages.memory.peek("alice")] == ["b"]
    assert len(await pages.location.locate("bob")) == 1
    await second.close()
    assert (await pages.rings(), pages.location.users, len(pages.memory)) == ([], 1, 1)
    assert pages.sender.sent == {}


async def test_a_device_that_registers_over_a_new_connection_replaces_what_it_had(pages: Pages) -> None:
    first = pages.open("a", instance="0a")
    await first.register()
    old = Page(pages, first.name, first.flow)
    assert await first.come_back(900).register() == ["a"]
    (found,) = await pages.location.locate("alice")
    assert found.flow == first.flow
    await old.close()
    assert await pages.rings() == ["a"]
    assert pages.sender.sent == {}


async def test_a_page_that_is_open_in_two_tabs_rings_in_both(pages: Pages) -> None:
    """Each tab runs a client of its own, with an instance of its own."""
    for name in "ab":
        await pages.open(name, instance=f"0{name}").register()
    assert sorted(await pages.rings()) == ["a", "b"]


async def test_tabs_that_share_the_name_of_a_device_ring_in_the_later_one_and_the_first_says_so(pages: Pages) -> None:
    first, copy = pages.open("a", instance="0a"), pages.open("b", instance="0a")
    await first.register()
    assert await copy.register() == ["b"]
    assert (await pages.rings(), first.told(), copy.told()) == (["b"], ["rejected"], [])
    await first.answer()
    await copy.close()
    assert first.told() == ["rejected", "deactivated"]


async def test_one_page_too_many_displaces_the_oldest_which_is_told(pages: Pages) -> None:
    opened = [pages.open("x" * (number + 1)) for number in range(MAX_BINDINGS + 1)]
    for page in opened:
        await page.register()
    assert opened[0].name not in await pages.rings()
    assert len(await pages.rings()) == MAX_BINDINGS
    assert [page.told() for page in opened] == [["rejected"], *[[]] * MAX_BINDINGS]


async def test_a_page_that_ran_out_is_told_to_register_again_when_somebody_else_changes_something(
    pages: Pages,
) -> None:
    first, second = pages.open("a"), pages.open("b")
    await first.register(expires=60)
    await second.register()
    pages.now += 61
    await second.register()
    assert first.told() == ["deactivated"]
    assert sorted(await first.register()) == ["a", "b"]


async def test_a_connection_that_only_calls_is_told_nothing_and_does_not_ring(pages: Pages) -> None:
    caller, page = pages.open("a"), pages.open("b")
    await page.register()
    await page.register(star=True)
    assert (caller.told(), await pages.rings(), pages.location.users) == ([], [], 0)


async def test_what_another_process_holds_is_listed_and_not_called(pages: Pages) -> None:
    page = pages.open("a")
    far = binding("far", flow=page.flow.id, node="another")
    pages.memory.put("alice", [far], [])
    assert await page.register() == ["far", "a"]
    assert await pages.rings() == ["a"]


async def test_a_malformed_register_is_answered_by_its_status(pages: Pages) -> None:
    page = pages.open("a")
    assert (await pages.ask(register("<mailto:a@x>"), page.flow)).status == 400
    assert (await pages.ask(register("<sip:a@x>", user="bob"), page.flow)).status == 403
    assert (await page.send(expires=5)).status == 423


# --- several at once


async def test_requests_of_one_user_count_in_the_order_in_which_they_came(pages: Pages) -> None:
    page = pages.open("a")
    answers: list[Response] = []
    for cseq, expires in ((1, 600), (2, 0), (3, 600)):
        request = register(f"<{page.uri}>;expires={expires}", cseq=cseq)
        pages.location.register(request, page.flow, "alice", answers.append)
    await settle()
    assert [len(answer.contacts) for answer in answers] == [1, 0, 1]


async def test_a_connection_that_closes_while_it_registers_is_not_bound(pages: Pages) -> None:
    page = pages.open("a")
    pages.location.register(register(f"<{page.uri}>"), page.flow, "alice", lambda _: None)
    pages.location.flow_closed(page.flow)
    await settle()
    assert (await pages.rings(), len(pages.memory), pages.location.users) == ([], 0, 0)
    assert pages.sender.sent == {}


async def test_an_error_nobody_foresaw_is_answered_500_and_stops_nothing(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pages.open("a")
    with monkeypatch.context() as broken:
        broken.setattr("gateway.location.registrar.read", lambda *_: 1 / 0)
        assert (await page.send()).status == 500
    assert await page.register() == ["a"]


async def test_stopping_lets_the_store_know_what_has_ended(pages: Pages) -> None:
    page = pages.open("a")
    await page.register()
    pages.location.flow_closed(page.flow)
    await pages.location.stop()
    assert len(pages.memory) == 0


# --- stores that fail


class BadStore:
    """A memory that may hang or fail, in what it finds and in what it is told."""

    def __init__(self) -> None:
        self.memory = MemoryStore(lambda: 1000.0)
        self.hangs = False
        self.lookup_error: Exception | None = None
        self.change_error: Exception | None = None

    async def lookup(self, user: str) -> tuple[Binding, ...]:
        await self._fail(self.lookup_error)
        return self.memory.peek(user)

    async def change(self, user: str, bound: Sequence[Binding], unbound: Sequence[str]) -> None:
        await self._fail(self.change_error)
        self.memory.put(user, bound, unbound)

    async def _fail(self, error: Exception | None) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if error is not None:
            raise error


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> BadStore:
    monkeypatch.setattr(asking, "STORE_SECONDS", 0.01)
    return BadStore()


async def test_a_store_that_hangs_finds_nobody_in_time_and_is_counted(store: BadStore) -> None:
    pages = Pages(store)
    await pages.open("a").register()
    store.hangs = True
    assert await pages.rings() == []
    assert pages.counters[Counter.LOCATION_FAILED] == 1
    store.hangs = False
    assert await pages.rings() == ["a"]


async def test_a_store_that_fails_finds_nobody_and_is_counted(store: BadStore) -> None:
    pages = Pages(store)
    await pages.open("a").register()
    store.lookup_error = ConnectionResetError("gone")
    assert await pages.rings() == []
    assert pages.counters[Counter.LOCATION_FAILED] == 1


async def test_stopping_waits_for_no_store_that_hangs_and_leaves_nothing_under_way(
    store: BadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.location.service.STORE_SECONDS", 0.01)
    monkeypatch.setattr(asking, "STORE_SECONDS", 60.0)
    pages = Pages(store)
    page = pages.open("a")
    store.hangs = True
    pages.location.register(register(f"<{page.uri}>"), page.flow, "alice", lambda _: None)
    await pages.location.stop()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("where", ["lookup_error", "change_error", "hangs"])
async def test_a_page_the_store_does_not_take_is_told_to_come_back_and_not_that_it_is_bound(
    store: BadStore, where: str
) -> None:
    pages = Pages(store)
    page = pages.open("a")
    setattr(store, where, True if where == "hangs" else OSError("gone"))
    answer = await page.send()
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
    assert pages.location.users == 0
    setattr(store, where, False if where == "hangs" else None)
    assert await page.register() == ["a"]


async def test_a_connection_whose_end_the_store_was_not_told_does_not_ring(store: BadStore) -> None:
    pages = Pages(store)
    first, second = pages.open("a"), pages.open("b")
    await first.register()
    store.change_error = OSError("gone")
    await first.close()
    store.change_error = None
    assert len(store.memory.peek("alice")) == 1
    assert await pages.rings() == []
    assert await second.register() == ["b"]
    assert [b.contact.uri.user for b in store.memory.peek("alice")] == ["b"]


async def test_a_page_that_comes_back_after_its_end_was_not_told_is_bound_again(store: BadStore) -> None:
    pages = Pages(store)
    page = pages.open("a")
    await page.register()
    store.lookup_error = OSError("gone")
    await page.close()
    store.lookup_error = None
    assert await page.come_back(900).register() == ["a"]
    assert await pages.rings() == ["a"]


async def test_a_dead_store_keeps_no_request_waiting_for_long(store: BadStore) -> None:
    pages = Pages(store)
    store.hangs = True
    flows = [connection(number) for number in range(1, 41)]
    answers: list[int] = []
    all_answered = asyncio.Event()

    def answered(response: Response) -> None:
        answers.append(response.status)
        if len(answers) == len(flows):
            all_answered.set()

    for flow in flows:
        pages.location.identities.authenticate(flow, "alice")
        request: Request = register(f"<sip:n{flow.id}@x>", call_id=f"reg-{flow.id}")
        pages.location.register(request, flow, "alice", answered)
    await asyncio.wait_for(all_answered.wait(), 20)
    assert answers == [503] * len(flows)
