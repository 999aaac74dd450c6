"""Changes of one user wait for each other, those of different users do not."""

from __future__ import annotations

import asyncio

import pytest

from gateway.location import turns
from gateway.location.asking import StoreUnavailableError
from gateway.location.turns import MAX_WAITING, Turns

pytestmark = pytest.mark.asyncio


class Queue:
    """Takes turns for users, and notes who has had one."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.go = asyncio.Event()
        self.had: list[str] = []

    async def take(self, name: str, user: str = "alice", *, must: bool = False) -> None:
        async with self.turns.take(user, must=must):
            self.had.append(name)
            await self.go.wait()

    def start(self, name: str, user: str = "alice", *, must: bool = False) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self.take(name, user, must=must))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_after_the_other_in_the_order_of_arrival() -> None:
    queue = Queue()
    tasks = [queue.start(name) for name in "abc"]
    await settle()
    assert queue.had == ["a"]
    queue.go.set()
    await asyncio.gather(*tasks)
    assert queue.had == ["a", "b", "c"]


async def test_users_do_not_wait_for_each_other_and_nothing_is_kept_of_them() -> None:
    queue = Queue()
    tasks = [queue.start("a", "alice"), queue.start("b", "bob")]
    await settle()
    assert (queue.had, len(queue.turns)) == (["a", "b"], 2)
    queue.go.set()
    await asyncio.gather(*tasks)
    assert len(queue.turns) == 0


async def test_only_so_many_wait_but_what_has_to_be_done_waits_with_them() -> None:
    queue = Queue()
    tasks = [queue.start(str(number)) for number in range(MAX_WAITING)]
    await settle()
    with pytest.raises(StoreUnavailableError):
        await queue.take("one too many")
    tasks.append(queue.start("must", must=True))
    await settle()
    queue.go.set()
    await asyncio.gather(*tasks)
    assert (queue.had[-1], len(queue.had), len(queue.turns)) == ("must", MAX_WAITING + 1, 0)


async def test_who_has_waited_too_long_gives_up_and_what_has_to_be_done_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.01)
    queue = Queue()
    first = queue.start("first")
    await settle()
    must = queue.start("must", must=True)
    with pytest.raises(StoreUnavailableError):
        await queue.take("late")
    queue.go.set()
    await asyncio.gather(first, must)
    assert queue.had == ["first", "must"]


async def test_an_error_in_a_turn_passes_it_on() -> None:
    queue = Queue()
    queue.go.set()
    with pytest.raises(ValueError, match="odd"):
        async with queue.turns.take("alice"):
            raise ValueError("odd")
    await queue.take("next")
    assert (queue.had, len(queue.turns)) == (["next"], 0)
