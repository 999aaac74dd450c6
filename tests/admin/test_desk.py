"""The desk gathers what is asked for: each fact with the trunk, user or call it is of, and traces that end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import desk as module
from gateway.admin.desk import Desk
from gateway.admin.lines import Ask, AskError, Problem, Question
from gateway.admin.traces import MAX_TRACES, Recorder
from gateway.admin.views import Row
from gateway.base.errors import MediaError
from gateway.location.asking import StoreUnavailableError
from gateway.media.relay_facts import DRAIN_SECONDS, Relief, WorkerFacts, WorkerState
from gateway.media.relay_quality import LegQuality, Reception
from gateway.sip.flow import Flow
from gateway.trunks.registering import Shown
from gateway.trunks.registration import Standing
from gateway.trunks.target import Spot, TrunkTarget
from tests.call.machine_scene import BROWSER_FLOW, trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


class Endpoint:
    """What of the sockets is shown."""

    def flows_of(self, trunk: str) -> list[Flow]:
        return [trunk_flow()] if trunk == "pbx" else []

    def places_of(self, trunk: str) -> list[tuple[Spot, TrunkTarget, str]]:
        return []

    @property
    def opened_at(self) -> Mapping[int, float]:
        return {BROWSER_FLOW.id: 0.0}


class Workers:
    """What of the relay is shown, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, float]] = []
        self.workers = [WorkerFacts(10000, 4711, WorkerState.DRAINING, 3, 60.0, "1.2\x1b[m", 20.0)]

    async def relieve(self, port: int | None = None, seconds: float = 0.0) -> dict[int, Relief]:
        if port == 9:
            raise MediaError("there is no worker 9")
        self.asked.append((port, seconds))
        return {10000: Relief.RELIEVED}


async def reloaded() -> AsyncGenerator[Row]:
    yield {"event": "loaded", "changes": 0, "sha256": "ab"}


class DeskOf(Desk):
    """The desk of an office, and what it wanted tapped."""

    def __init__(self, office: Office) -> None:
        self.tapped: list[Recorder | None] = []
        self.relay = Workers()
        shown = [Shown("pbx", "sip:acme@pbx.example", Standing.REGISTERED, "", 60.0)]
        super().__init__(
            office.manager,
            Endpoint(),
            office.sites,
            office.services.clock,
            tapped=lambda tap, wanted: self.tapped.append(tap if wanted else None),
            registered=lambda: shown,
            reload=reloaded,
            relay=self.relay,
        )

    async def ask(self, ask: Ask, **fields: str) -> list[Row]:
        return [row async for row in self.rows(Question(ask, fields))]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, calls=50)


@pytest.fixture
def desk(office: Office) -> DeskOf:
    return DeskOf(office)


async def test_each_trunk_has_its_own_calls_connections_and_registrations(office: Office, desk: DeskOf) -> None:
    office.call("600")
    office.call("700", key="in-2", call_id="call-2")
    await office.settle()
    rows: dict[object, Any] = {row["trunk"]: row for row in await desk.ask(Ask.TRUNKS)}
    assert {name: row["calls_live"] for name, row in rows.items()} == {"pbx": 1, "old": 1, "soft": 0}
    assert {name: len(row["registrations"]) for name, row in rows.items()} == {"pbx": 1, "old": 0, "soft": 0}
    assert {name: row["verified_name"] for name, row in rows.items()} == {"pbx": "pbx.example", "old": "", "soft": ""}
    await office.manager.stop()


async def test_users_are_those_of_the_file_and_whoever_is_signed_in_besides(office: Office, desk: DeskOf) -> None:
    office.bind(user="guest", flow=Flow(9, "wss", BROWSER_FLOW.local, BROWSER_FLOW.remote))
    rows: dict[object, Any] = {row["user"]: row for row in await desk.ask(Ask.USERS)}
    assert (rows["guest"]["state"], rows["guest"]["in_users_file"]) == ("registered", False)
    assert (rows["alice"]["state"], rows["alice"]["in_users_file"]) == ("connected", True)
    assert rows["bob"]["state"] == "away"
    assert [row["user"] for row in await desk.ask(Ask.REGISTRATIONS)] == ["guest"]


async def test_a_store_that_does_not_answer_is_told(
    office: Office, desk: DeskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_user: str) -> None:
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr(office.manager.location, "bindings", fail)
    with pytest.raises(AskError) as caught:
        await desk.ask(Ask.USERS)
    assert caught.value.problem is Problem.UNAVAILABLE


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, Problem.NO_SUCH_CALL),
        ({"call": "c-nothing"}, Problem.NO_SUCH_CALL),
        ({"call": "c-"}, Problem.AMBIGUOUS),
        ({"next": "nobody"}, Problem.UNKNOWN),
    ],
)
async def test_a_trace_of_no_call_of_several_or_of_nobody_is_refused_and_leaves_no_tap(
    office: Office, desk: DeskOf, fields: dict[str, str], problem: Problem
) -> None:
    office.call("600")
    office.call("601", key="in-2", call_id="call-2")
    for number, runner in enumerate(office.manager.index.runners):
        runner.state.facts = replace(runner.state.facts, id=f"c-{number}")
    with pytest.raises(AskError) as caught:
        await desk.ask(Ask.TRACE, **fields)
    assert caught.value.problem is problem
    assert desk.tapped in ([], [desk.recorder, None])
    await office.manager.stop()


@pytest.mark.parametrize("name", ["pbx", "bob", "*"])
async def test_the_next_call_is_that_of_a_trunk_of_a_user_or_of_anybody(desk: DeskOf, name: str) -> None:
    async with aclosing(desk.rows(Question(Ask.TRACE, {"next": name}))) as rows:
        assert await anext(rows) == {"event": "waiting"}
        assert desk.tapped == [desk.recorder]
    assert desk.tapped == [desk.recorder, None]


async def test_there_are_so_many_traces_and_no_more(desk: DeskOf) -> None:
    held = [desk.rows(Question(Ask.TRACE, {"next": "*"})) for _ in range(MAX_TRACES)]
    for rows in held:
        await anext(rows)
    with pytest.raises(AskError) as caught:
        await desk.ask(Ask.TRACE, next="*")
    assert caught.value.problem is Problem.BUSY
    for rows in held:
        await rows.aclose()
    assert desk.tapped[-1] is None


async def test_a_trace_nobody_ends_ends_by_itself(desk: DeskOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRACE_SECONDS", 0.0)
    with pytest.raises(AskError) as caught:
        await desk.ask(Ask.TRACE, next="*")
    assert caught.value.problem is Problem.TIMEOUT
    assert desk.tapped[-1] is None


async def test_each_call_is_shown_with_what_its_relay_counts_now_or_counted_last(office: Office, desk: DeskOf) -> None:
    office.call("600")
    await office.settle()
    office.pool.call.quality = {leg: LegQuality(Reception(500, 5)) for leg in office.pool.call.legs}
    (row,) = await desk.ask(Ask.CALLS)
    for leg in row["legs"]:  # type: ignore[attr-defined]
        assert leg["packets"] == {"received": 500, "sent": 498}
        assert leg["sound"]["heard"]["loss_percent"] == 1.0
    office.pool.call.silent = True
    (row,) = await desk.ask(Ask.CALLS)
    for leg in row["legs"]:  # type: ignore[attr-defined]
        assert (leg["packets"], leg["sound"]["heard"]["packets"]) == (None, 500)


async def test_calls_that_are_over_count_in_the_total(office: Office, desk: DeskOf) -> None:
    office.call("600")
    await office.settle()
    await office.manager.stop()
    office.manager.index.ended["pbx"] += 3
    (row,) = [row for row in await desk.ask(Ask.TRUNKS) if row["trunk"] == "pbx"]
    assert row["calls_total"] == 3 + int(str(row["calls_live"]))


async def test_a_worker_is_shown_with_what_it_does_and_how_long_its_calls_may_go_on(desk: DeskOf) -> None:
    (row,) = await desk.ask(Ask.WORKERS)
    assert (row["worker"], row["pid"], row["state"], row["calls_live"], row["left"]) == (10000, 4711, "draining", 3, 20)
    assert "\x1b" not in str(row["version"])


async def test_a_worker_is_relieved_by_its_number_and_all_of_them_by_that_word(desk: DeskOf) -> None:
    assert await desk.ask(Ask.RELIEVE, worker="10000", seconds="0") == [{"worker": 10000, "outcome": "relieved"}]
    await desk.ask(Ask.RELIEVE, worker="all")
    assert desk.relay.asked == [(10000, 0.0), (None, DRAIN_SECONDS)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, Problem.MALFORMED),
        ({"worker": "first"}, Problem.MALFORMED),
        ({"worker": "10000", "seconds": "soon"}, Problem.MALFORMED),
        ({"worker": "10000", "seconds": "-1"}, Problem.MALFORMED),
        ({"worker": "10000", "seconds": "inf"}, Problem.MALFORMED),
        ({"worker": "10000", "seconds": "nan"}, Problem.MALFORMED),
        ({"worker": "9"}, Problem.UNAVAILABLE),
    ],
)
async def test_a_worker_that_is_not_there_or_a_time_that_is_none_is_refused(
    desk: DeskOf, fields: dict[str, str], problem: Problem
) -> None:
    with pytest.raises(AskError) as caught:
        await desk.ask(Ask.RELIEVE, **fields)
    assert caught.value.problem is problem
    assert desk.relay.asked == []
