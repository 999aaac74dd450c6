"""Random calls through a whole office: runners, index, media, timers and admission are real, SIP and relay are played.

Calls begin, fork, are handed over, lose connections and end in any order. When all is over, nothing is left: no entry
of the index, no task, no timer, no leg at the relay, no seat; and each call that began has its one final record.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.profiles import Profile
from gateway.policy import model
from gateway.policy.model import ProfileRules
from tests.call.promise import RULES
from tests.call.world import World
from tests.effort import examples

MAX_STEPS = 60
SOME = st.integers(0, 1000)
"""Chooses one of those there are."""
STEPS = st.sampled_from(
    [
        *["call", "called", "settle", "settle", "ring", "hand over", "hand over", "join", "join", "change"],
        *["answer"] * 4,
        *["acknowledge"] * 3,
        *["respond"] * 3,
        *["refuse", "cancel", "hang up", "lose a request", "close a connection", "shut a trunk", "fill the relay"],
    ]
)


class TravellingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


async def _play(directory: Path, places: int, steps: list[tuple[str, int]]) -> None:
    world = World(directory)
    world.sign_in(places)
    for step, which in steps:
        await world.play(step, which)
    await world.end()
    loop = cast(TravellingLoop, asyncio.get_running_loop())
    world.nothing_is_left()
    loop.ahead += 60.0  # longer than an answered INVITE can be answered by another fork
    await asyncio.sleep(0.001)
    assert not world.manager.index.late_forks
    assert asyncio.all_tasks() == {asyncio.current_task()}


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    places=st.integers(0, 3),
    steps=st.lists(st.tuples(STEPS, SOME), min_size=10, max_size=MAX_STEPS),
)
def test_when_all_calls_are_over_the_office_is_as_it_was(
    tmp_path: Path, places: int, steps: list[tuple[str, int]]
) -> None:
    _run(tmp_path, places, steps)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rules=st.fixed_dictionaries(dict.fromkeys([Profile.STRICT, Profile.LEGACY, Profile.PREFER], RULES)),
    steps=st.lists(st.tuples(STEPS, SOME), min_size=10, max_size=MAX_STEPS),
)
def test_under_any_policies_each_call_that_begins_has_one_end_and_no_leg_is_too_weak(
    tmp_path: Path, rules: dict[Profile, ProfileRules], steps: list[tuple[str, int]]
) -> None:
    with mock.patch.dict(model.BUILT_IN, rules):
        _run(tmp_path, 2, steps)


def _run(directory: Path, places: int, steps: list[tuple[str, int]]) -> None:
    loop = TravellingLoop()
    try:
        loop.run_until_complete(_play(directory, places, steps))
    finally:
        loop.close()
