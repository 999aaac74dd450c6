"""Limits of calls as callers meet them: what strangers or one user do uses up no other budget."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.call.admission import ATTEMPTS
from gateway.routing.admission import MAX_EMERGENCY_PER_USER, MAX_INBOUND_PER_USER, MAX_RINGING_PER_USER
from gateway.sip.events import CancelReceived
from gateway.sip.message import Request
from tests.call.machine_scene import answer, trunk_flow
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio


def opened(directory: Path, calls: int = 2) -> Office:
    """An office that alice is signed in to."""
    made = Office(directory, calls=calls)
    made.bind()
    return made


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return opened(tmp_path)


def dialled(office: Office, number: str, key: str) -> None:
    office.call(number, key=key, call_id=f"call-{key}")


def rung(office: Office, key: str) -> None:
    """A stranger calls alice through the trunk that takes calls without encryption."""
    request = invite("100", call_id=f"stranger-{key}", contact="<sip:stranger@127.0.0.3>")
    request = request.with_header("From", "<sip:+4930123@127.0.0.3>;tag=stranger")
    stranger = Request("INVITE", request.uri, request.headers, answer("RTP/AVP"))
    office.request(stranger, key=key, flow=replace(trunk_flow("udp"), trunk="old"))


async def test_thirty_emergency_calls_of_one_user_are_three_and_cost_nobody_an_ordinary_call(office: Office) -> None:
    """The office has room for two ordinary calls."""
    for number in range(30):
        dialled(office, "112", f"sos-{number}")
    await office.settle()
    sent = [request.uri for request, _ in office.sip.sent.values() if request.method == "INVITE"]
    assert len(sent) == MAX_EMERGENCY_PER_USER
    refused = [office.statuses(f"sos-{number}")[-1:] for number in range(MAX_EMERGENCY_PER_USER, 30)]
    assert refused == [[486]] * (30 - MAX_EMERGENCY_PER_USER)
    finals = Counter(r["termination"] for r in office.audit.records if r["type"] == "call.final")
    assert finals == {"emergency-limit": 30 - MAX_EMERGENCY_PER_USER}
    for key in ("one", "two"):
        dialled(office, "600", key)
    await office.settle()
    assert all(status < 300 for key in ("one", "two") for status in office.statuses(key))


async def test_an_emergency_call_connects_when_there_is_no_room_for_another(office: Office) -> None:
    for key in ("one", "two", "three"):
        dialled(office, "600", key)
    dialled(office, "112", "sos")
    await office.settle()
    assert office.statuses("three") == [503]
    assert all(status < 300 for status in office.statuses("sos"))
    assert [r.uri for r, _ in office.sip.sent.values()][-1].startswith("sip:112@")


async def test_strangers_that_ring_are_told_busy_and_do_not_block_her_own_calls(tmp_path: Path) -> None:
    office = opened(tmp_path, calls=30)
    for number in range(12):
        rung(office, f"ring-{number}")
    await office.settle()
    answers = [office.statuses(f"ring-{number}") for number in range(12)]
    assert answers[MAX_RINGING_PER_USER:] == [[486]] * (12 - MAX_RINGING_PER_USER)
    assert all(status < 300 for told in answers[:MAX_RINGING_PER_USER] for status in told)
    for number in range(8):
        dialled(office, "600", f"own-{number}")
    await office.settle()
    assert all(status < 300 for number in range(8) for status in office.statuses(f"own-{number}"))
    dialled(office, "600", "own-9")
    await office.settle()
    assert office.statuses("own-9") == [486]


async def test_a_user_who_is_not_there_is_never_busy_however_many_ask_at_once(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=100)
    for number in range(3 * MAX_INBOUND_PER_USER):
        rung(office, f"ring-{number}")
        dialled(office, "bob", f"own-{number}")
    await office.settle()
    told = Counter(office.statuses(f"ring-{number}")[-1] for number in range(3 * MAX_INBOUND_PER_USER))
    assert told == {480: 3 * MAX_INBOUND_PER_USER}
    own = Counter(office.statuses(f"own-{number}")[-1] for number in range(3 * MAX_INBOUND_PER_USER))
    assert set(own) == {480, 486}  # all that one user may dial at once


async def test_a_call_given_up_while_she_is_looked_for_leaves_her_free(office: Office) -> None:
    for number in range(3 * MAX_RINGING_PER_USER):
        rung(office, f"ring-{number}")
        office.manager.on_event(CancelReceived(f"ring-{number}"))
        await office.settle()
    rung(office, "last")
    await office.settle()
    assert all(status < 300 for status in office.statuses("last"))


async def test_a_user_who_dials_without_end_writes_no_more_records_than_the_rate_allows(office: Office) -> None:
    for number in range(3 * ATTEMPTS.burst):
        dialled(office, "900", f"nowhere-{number}")
    await office.settle()
    told = Counter(status for number in range(3 * ATTEMPTS.burst) for status in office.statuses(f"nowhere-{number}"))
    assert set(told) == {404, 503}
    assert ATTEMPTS.burst <= told[404] < 2 * ATTEMPTS.burst
    kinds = Counter(record["type"] for record in office.audit.records)
    assert kinds["call.start"] == kinds["call.final"] == told[404]
    dialled(office, "112", "sos")
    await office.settle()
    assert all(status < 300 for status in office.statuses("sos"))
