"""How many calls a trunk may have at once, and which of the trunks of a rule gets one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.call.legs.targets import TrunkTarget
from gateway.call.machine import routes
from gateway.sip.uri import SipUri
from tests.call.machine_scene import BROWSER_FLOW, answer
from tests.call.office import Audit, Office
from tests.call.test_caps import rung
from tests.policy.facts import asker
from tests.sites import made_site

NUMBER = SipUri.parse("sip:700@example.test")
TRUNKS: Mapping[str, object] = {
    "a": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
    "b": {"target": "sip:127.0.0.4", "security": "legacy"},
    "c": {"target": "sip:127.0.0.5", "security": "legacy", "number_format": "e164"},
}


def plan(*trunks: object, **more: object) -> dict[str, object]:
    return {"outbound": [{"id": "all", "dialled": "7*", "trunks": trunks}], **more}


def order(found: routes.Route | None) -> str:
    assert found is not None
    return "".join(target.trunk.name for target in found.targets if isinstance(target, TrunkTarget))


def test_trunks_of_a_rule_are_tried_by_priority() -> None:
    site = made_site(plan({"trunk": "b", "priority": 1}, "a", {"trunk": "c", "priority": 2}), trunks=TRUNKS)
    assert order(routes.from_user(site, asker("alice"), "700", NUMBER)) == "abc"


def test_trunks_of_one_priority_share_the_calls_by_weight() -> None:
    shares = ({"trunk": "a", "weight": 3}, {"trunk": "b", "weight": 1}, {"trunk": "c", "priority": 1})
    site, draw = made_site(plan(*shares), trunks=TRUNKS), random.Random(5).randrange
    found = Counter(order(routes.from_user(site, asker("alice"), "700", NUMBER, draw)) for _ in range(1000))
    assert set(found) == {"abc", "bac"}
    assert 690 < found["abc"] < 810


def test_a_lot_is_drawn_from_tokens() -> None:
    numbers = iter(["0000000000", "zzzzzzzzzz", "000000000a"])
    draw = routes.lots(lambda _length: next(numbers))
    assert [draw(7), 0 <= draw(7) < 7, draw(7)] == [0, True, 3]


def test_each_trunk_gets_the_number_in_its_own_format() -> None:
    more = {"country": "49", "trunk_prefix": "0", "outbound": [{"id": "de", "dialled": "+49*", "trunks": ["a", "c"]}]}
    trunks = {**TRUNKS, "a": {**TRUNKS["a"], "number_format": "national"}}  # type: ignore[dict-item]
    site = made_site(more, trunks=trunks)
    found = routes.from_user(site, asker("alice"), "030123456", NUMBER)
    assert found is not None
    sent = {t.trunk.name: t.number for t in found.targets if isinstance(t, TrunkTarget)}
    assert sent["a"] == "030123456"
    assert sent["c"].endswith("4930123456")


def test_an_emergency_call_goes_on_to_the_trunks_of_all_emergencies() -> None:
    rules = {"outbound": [{"id": "sos", "dialled": "112", "trunks": ["b", "a"], "emergency": True}]}
    site = made_site({**rules, "emergency_trunks": ["c", "a"]}, trunks=TRUNKS)
    assert order(routes.from_user(site, asker("alice"), "112", NUMBER)) == "bac"


class Lines:
    """An office whose trunks have so many lines."""

    def __init__(self, directory: Path, *, caps: Mapping[str, int], audit: Audit | None = None) -> None:
        self.office = Office(directory, audit, calls=20)
        site = self.office.sites.current
        trunks = {n: replace(trunk, max_calls=caps.get(n)) for n, trunk in site.trunks.items()}
        self.office.sites.current = replace(site, trunks=MappingProxyType(trunks))
        self._number = 0

    async def dials(self, number: str = "700") -> str:
        """A browser calls; the key its answers have."""
        self._number += 1
        key = f"in-{self._number}"
        self.office.call(number, key=key, call_id=f"call-{self._number}")
        await self.office.settle()
        return key

    async def rings(self) -> str:
        """The trunk calls alice."""
        self._number += 1
        key = f"in-{self._number}"
        rung(self.office, key)
        await self.office.settle()
        return key

    def invites(self) -> list[str]:
        """Who got an INVITE, in order: a trunk by its transport, or a browser."""
        names = {"udp": "old", "tls": "pbx", "wss": "alice"}
        return [names[flow.transport] for request, flow in self.office.sip.sent.values() if request.method == "INVITE"]

    def over(self) -> list[object]:
        return [r["termination"] for r in self.office.audit.records if r["type"] == "call.final"]


@pytest.mark.asyncio
async def test_one_call_more_than_the_trunk_may_have_is_refused_by_name_and_never_sent(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 2})
    keys = [await lines.dials() for _ in range(3)]
    assert lines.invites() == ["old", "old"]
    assert lines.office.statuses(keys[2])[-1] == 503
    assert lines.over() == ["trunk-full"]


@pytest.mark.asyncio
async def test_calls_in_and_out_count_together(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 2})
    lines.office.bind()
    await lines.rings()
    await lines.dials()
    key = await lines.rings()
    assert lines.office.statuses(key)[-1] == 503
    assert lines.over() == ["trunk-full"]
    assert lines.invites() == ["alice", "old"]


@pytest.mark.asyncio
async def test_a_line_is_free_again_when_its_call_is_over(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 1})
    await lines.dials()
    lines.office.reply("INVITE", 486)
    await lines.office.settle()
    await lines.dials()
    assert lines.invites() == ["old", "old"]


@pytest.mark.asyncio
async def test_emergency_calls_are_neither_refused_nor_counted(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"pbx": 1})
    await lines.dials("112")
    await lines.dials("600")
    await lines.dials("112")
    assert lines.invites() == ["pbx", "pbx", "pbx"]
    await lines.dials("601")
    assert lines.invites() == ["pbx", "pbx", "pbx"]


@pytest.mark.asyncio
async def test_a_flood_of_calls_that_are_refused_takes_no_lines(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 1})
    lines.office.bind()
    await lines.rings()
    for _ in range(10):
        await lines.rings()
    assert lines.office.manager.index.lines_of("old") == 1
    assert lines.over() == ["trunk-full"] * 10


class HeldAudit(Audit):
    """A log whose disk is slow: nothing is written before the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Callable[[bool], None]] = []

    def write(self, record: Mapping[str, object], then: Callable[[bool], None] | None = None) -> None:
        self.records.append(record)
        if then is not None:
            self.held.append(then)


@pytest.mark.asyncio
async def test_a_call_that_was_refused_takes_no_line_while_its_record_is_being_written(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 1}, audit=HeldAudit())
    lines.office.bind()
    for _ in range(3):
        await lines.rings()
    assert len(lines.office.manager.index.runners) == 3
    assert lines.office.manager.index.lines_of("old") == 1


@pytest.mark.asyncio
async def test_many_calls_at_the_same_moment_do_not_slip_past_the_cap(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 3})
    await asyncio.gather(*(lines.dials() for _ in range(8)))
    assert lines.invites() == ["old"] * 3


@pytest.mark.asyncio
async def test_a_call_that_is_answered_keeps_its_line_until_it_is_over(tmp_path: Path) -> None:
    lines = Lines(tmp_path, caps={"old": 1})
    await lines.dials()
    lines.office.reply("INVITE", 200, answer("RTP/AVP"))
    await lines.office.settle()
    assert lines.office.statuses("in-1")[-1] == 200
    await lines.dials()
    assert lines.over() == ["trunk-full"]
    lines.office.manager.flow_closed(BROWSER_FLOW)
    await lines.office.settle()
    assert lines.office.manager.index.lines_of("old") == 0
