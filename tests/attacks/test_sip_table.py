"""Every malformed or abusive message of the table, over each transport: the right answer, in time, and no harm done."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator

import pytest

from tests.attacks.judge import judge
from tests.attacks.table import bodies, framing, people, requests
from tests.attacks.table.case import TRANSPORTS, Case
from tests.attacks.target import HOSTS, Target

pytestmark = pytest.mark.attack

TYPICAL_SECONDS = 0.05
"""Every message is decided in less; held against the median, since the machines that run tests are shared."""
WORST_SECONDS = 0.5
TRIES = 3
CASES: list[Case] = [*framing.CASES, *requests.CASES, *people.CASES, *bodies.CASES]
TABLE = [(case, transport) for case in CASES for transport in TRANSPORTS if transport not in case.without]


class Times:
    """How long each decision took."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.worst: tuple[float, str] = (0.0, "")

    def add(self, transport: str, name: str, seconds: float) -> None:
        self.seconds.setdefault(transport, []).append(seconds)
        self.worst = max(self.worst, (seconds, f"{transport}: {name}"))

    def report(self) -> Iterator[str]:
        for transport, seconds in self.seconds.items():
            typical, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
            yield f"{transport}: {len(seconds)} messages, median {typical:.1f} ms, worst {worst:.1f} ms"
        yield f"worst of all {self.worst[0] * 1000:.1f} ms: {self.worst[1]}"


@pytest.fixture(scope="module")
def times() -> Times:
    return Times()


@pytest.fixture
def bob(target: Target, case: Case, transport: str) -> Iterator[None]:
    """Somebody to be called by those messages that get as far as their body."""
    called = case in bodies.CASES and transport in HOSTS
    with target.wire("wss", "bob") if called else contextlib.nullcontext():
        yield


def test_the_table_has_its_size_and_each_row_its_name() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize(("case", "transport"), TABLE, ids=[f"{t}: {c.name}" for c, t in TABLE])
def test_a_hostile_message_gets_what_the_table_says(target: Target, times: Times, case: Case, transport: str) -> None:
    before = target.metrics()
    for _ in range(TRIES):  # a slow machine may be slow once
        with target.wire(transport) as wire:
            found, seconds = judge(wire, case.fill(wire), case.expected(transport))
        assert found == case.expected(transport), f"{found}, not {case.expected(transport)}"
        if seconds < WORST_SECONDS:
            break
    times.add(transport, case.name, seconds)
    assert seconds < WORST_SECONDS
    if case.counter and not (transport == "open" and case.expected("open").status == 401 != case.expect.status):
        assert target.metrics()[case.counter] > before[case.counter]


def test_every_message_was_decided_in_time(times: Times, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("".join(f"\n{line}" for line in times.report()))  # noqa: T201
    assert all(statistics.median(seconds) < TYPICAL_SECONDS for seconds in times.seconds.values())


@pytest.mark.parametrize("transport", list(HOSTS))
def test_afterwards_a_clean_call_is_heard_both_ways(target: Target, transport: str) -> None:
    target.wait_idle()
    target.canary(transport)


def test_afterwards_nothing_is_held_and_the_log_is_clean(target: Target) -> None:
    target.wait_idle()
    metrics = target.metrics()
    assert metrics["relay_sessions"] == 0
    assert metrics["worker_restarted"] == 0
    assert metrics["calls_started"] == metrics["calls_ended"] > 0
    target.check_log()
