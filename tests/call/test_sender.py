"""What a call sends: over its connection, over a new one that proves as much, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.termination import Termination
from gateway.call.machine import events
from gateway.call.run.runner import CallRunner
from gateway.sip.events import AckReceived, CancelReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from tests.call.machine_scene import BROWSER_FLOW, sdes_answer, trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


async def talking(office: Office) -> CallRunner:
    office.call()
    await office.settle()
    office.reply("INVITE", 200, sdes_answer(next(r for r, _ in office.sip.sent.values()).body))
    office.manager.on_event(AckReceived("in-1", Request("ACK", "sip:x", Headers()), BROWSER_FLOW))
    await office.settle()
    return next(iter(office.manager.index.runners))


async def goodbyes(office: Office, runner: CallRunner) -> list[int]:
    """Over which connections the trunk is told goodbye."""
    runner.feed(events.Lost(Termination.SHUTDOWN))
    await office.settle()
    sent = [(request, flow) for request, flow in office.sip.sent.values() if request.method == "BYE"]
    return [flow.id for _, flow in sent if flow.trunk is not None]


async def test_a_request_leaves_on_the_connection_of_its_leg(tmp_path: Path) -> None:
    office = Office(tmp_path)
    assert await goodbyes(office, await talking(office)) == [trunk_flow().id]


async def test_where_that_is_gone_a_new_one_is_made_that_proves_as_much(tmp_path: Path) -> None:
    office = Office(tmp_path)
    runner = await talking(office)
    office.sip.gone.add(trunk_flow().id)
    office.sip.again["pbx"] = replace(trunk_flow(), id=77)
    assert await goodbyes(office, runner) == [77]


async def test_a_new_connection_that_proves_less_carries_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path)
    runner = await talking(office)
    office.sip.gone.add(trunk_flow().id)
    office.sip.again["pbx"] = replace(trunk_flow(verified=False), id=77)
    assert await goodbyes(office, runner) == []


async def test_what_cannot_leave_has_its_answer_so_that_nobody_waits(tmp_path: Path) -> None:
    office = Office(tmp_path)
    runner = await talking(office)
    office.sip.gone.add(trunk_flow().id)
    assert await goodbyes(office, runner) == []
    office.reply("BYE", 200, tag="caller")
    await office.settle()
    assert not runner.state.asks


def large(office: Office) -> Flow:
    """The trunk's datagrams are too small for requests; the connection there is in their place."""
    datagrams, stream = trunk_flow("udp"), replace(trunk_flow("udp"), id=88, transport="tcp")
    office.sip.flows["old"], office.sip.streams[datagrams.id] = datagrams, stream
    return stream


async def test_an_invite_too_large_for_a_datagram_leaves_over_the_connection_that_is_opened_for_it(
    tmp_path: Path,
) -> None:
    office = Office(tmp_path)
    stream = large(office)
    office.call("700")
    await office.settle()
    assert office.methods == []
    office.sip.may_connect.set()
    await office.settle()
    assert [(request.method, flow) for request, flow in office.sip.sent.values()] == [("INVITE", stream)]
    office.reply("INVITE", 486)
    await office.settle()
    assert office.statuses("in-1")[-1] == 486


async def test_an_invite_that_was_taken_back_before_it_could_leave_never_does(tmp_path: Path) -> None:
    office = Office(tmp_path)
    large(office)
    office.call("700")
    await office.settle()
    office.manager.on_event(CancelReceived("in-1"))
    await office.settle()
    office.sip.may_connect.set()
    await office.settle()
    assert office.methods == []
    assert office.statuses("in-1")[-1] == 487
    assert not office.manager.index.runners
