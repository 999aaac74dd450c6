"""NOTIFYs of lost Contacts go out one at a time for each connection, and any answer will do."""

from __future__ import annotations

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import TransportError
from tests.location.pages import Page, Pages, settle

pytestmark = pytest.mark.asyncio


@pytest.fixture
def pages() -> Pages:
    return Pages()


async def both(pages: Pages) -> tuple[Page, Page]:
    """Two pages that are bound."""
    first, second = pages.open("a"), pages.open("b")
    await first.register()
    await second.register()
    return first, second


async def test_a_star_of_one_page_is_told_to_the_others_and_not_to_itself(pages: Pages) -> None:
    first, second = await both(pages)
    assert await second.register(star=True) == []
    assert (first.told(), second.told()) == (["unregistered"], [])


async def test_the_notify_goes_to_the_contact_over_its_own_connection(pages: Pages) -> None:
    first, second = await both(pages)
    await second.register(star=True)
    (request,) = first.notifies()
    assert request.uri == first.uri
    assert str(request.to.uri) == "sip:alice@example.test"
    assert request.contact is not None


@pytest.mark.parametrize("status", [200, 202, 405, 481, 489, 500, 603])
async def test_any_final_answer_will_do_and_a_provisional_one_is_none(pages: Pages, status: int) -> None:
    first, second = await both(pages)
    await second.register(star=True)
    await first.answer(100)
    await first.register()
    assert first.told() == ["unregistered"]
    await first.answer(status)
    assert first.told() == ["unregistered", "registered"]


async def test_a_page_that_does_not_answer_is_told_the_latest_when_its_transaction_has_given_up(pages: Pages) -> None:
    first, second = await both(pages)
    for _ in range(50):
        await second.register(star=True)
        await first.register()
    assert first.told() == ["unregistered"]
    (key,) = pages.sender.sent
    assert pages.unanswered(key)
    await settle()
    assert first.told() == ["unregistered", "registered"]


async def test_an_answer_to_anything_else_is_not_taken(pages: Pages) -> None:
    await both(pages)
    assert not pages.unanswered("else")


async def test_a_notify_that_cannot_be_sent_harms_nobody(pages: Pages) -> None:
    first, second = await both(pages)
    pages.sender.broken = TransportError("full")
    assert await second.register(star=True) == []
    pages.sender.broken = None
    assert await first.register() == ["a"]
    assert pages.counters[Counter.LOCATION_FAILED] == 0


async def test_a_connection_that_closed_before_it_answered_is_forgotten(pages: Pages) -> None:
    first, second = await both(pages)
    await second.register(star=True)
    (key,) = pages.sender.sent
    await first.close()
    assert not pages.answered(key, 200)
