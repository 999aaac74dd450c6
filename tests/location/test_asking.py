"""A store that is slow, broken or deaf is never waited for longer than is said."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.base.counters import Counter, Counters
from gateway.location import asking
from gateway.location.asking import MAX_OPEN, Asking, StoreUnavailableError

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "STORE_SECONDS", 0.01)


async def value(answer: int) -> int:
    return answer


async def deaf(heard: asyncio.Event) -> int:
    """Ignores that it is cancelled, once."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await heard.wait()
    return 1


async def broken(error: BaseException) -> int:
    raise error


async def test_an_answer_is_the_stores() -> None:
    counters = Counters()
    assert await Asking(counters).ask(value(7)) == 7
    assert counters[Counter.LOCATION_FAILED] == 0


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("odd"), asyncio.CancelledError(), TimeoutError()])
async def test_whatever_a_store_raises_it_is_unavailable_and_counted(error: BaseException) -> None:
    counters = Counters()
    with pytest.raises(StoreUnavailableError):
        await Asking(counters).ask(broken(error))
    assert counters[Counter.LOCATION_FAILED] == 1


async def test_a_store_that_does_not_answer_is_given_up_even_if_it_cannot_be_cancelled() -> None:
    counters, heard = Counters(), asyncio.Event()
    asked = Asking(counters)
    with pytest.raises(StoreUnavailableError):
        await asked.ask(deaf(heard))
    assert counters[Counter.LOCATION_FAILED] == 1
    heard.set()
    assert await asked.ask(value(1)) == 1


async def test_questions_to_a_store_that_hangs_do_not_gather() -> None:
    counters, heard = Counters(), asyncio.Event()
    asked = Asking(counters)
    answers = await asyncio.gather(*(asked.ask(deaf(heard)) for _ in range(MAX_OPEN)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailableError}
    with pytest.raises(StoreUnavailableError, match="too much"):
        await asked.ask(value(1))
    heard.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await asked.ask(value(1)) == 1


async def test_who_gives_up_asking_leaves_no_question_behind() -> None:
    cancelled = asyncio.Event()

    async def waits() -> int:
        try:
            return await asyncio.Event().wait() and 1
        finally:
            cancelled.set()

    asked = Asking(Counters())
    task = asyncio.get_running_loop().create_task(asked.ask(waits()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(cancelled.wait(), 5)
