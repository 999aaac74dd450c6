"""Tickets for the event socket: one use, one user, void with the connection they came over."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.values import HostPort
from gateway.call.run.bulletin import Bulletin
from gateway.call.run.listening import HEADER, MAX_TICKET, Listening, Origin
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Response, create_response
from tests.call.machine_scene import BROWSER_FLOW, request
from tests.call.office import Office
from tests.call.registration.reception import Reception, RelayedPage

OTHER = replace(BROWSER_FLOW, id=9)
CLEAR = Flow(5, "ws", HostPort("192.0.2.1", 80), HostPort("192.0.2.99", 50000))


class Doors:
    """Who is proved on which connection."""

    def __init__(self) -> None:
        self.users = {BROWSER_FLOW.id: "alice", OTHER.id: "bob", CLEAR.id: "alice"}
        numbers = itertools.count()
        self.listening = Listening(
            lambda length: f"{next(numbers):0{length}}", lambda flow: self.users.get(flow.id), Bulletin()
        )

    def ticket(self, flow: Flow = BROWSER_FLOW, origin: Origin = Origin.REGISTER) -> str:
        made = self.listening.ticket(flow, origin)
        assert made is not None
        return made


def test_a_ticket_says_who_the_connection_was_proved_to_be() -> None:
    doors = Doors()
    alice, bob = doors.ticket(), doors.ticket(OTHER)
    for ticket, user in ((bob, "bob"), (alice, "alice")):
        standing = doors.listening.admit(ticket)
        assert standing is not None
        assert standing.user == user


def test_a_ticket_is_good_once() -> None:
    doors = Doors()
    ticket = doors.ticket()
    assert doors.listening.admit(ticket) is not None
    assert doors.listening.admit(ticket) is None


@pytest.mark.parametrize(
    "ticket", ["", "x", "0" * 31, "0" * 33, "0" * (MAX_TICKET + 1), "0" * 32 + "\x00", "\udcff" * 8]
)
def test_what_is_no_ticket_admits_nobody(ticket: str) -> None:
    doors = Doors()
    doors.ticket()
    assert doors.listening.admit(ticket) is None
    assert len(doors.listening) == 1


def test_a_newer_ticket_takes_the_place_of_the_one_before_of_the_same_origin_only() -> None:
    doors = Doors()
    first, second, other = doors.ticket(), doors.ticket(), doors.ticket(origin=Origin.EVENTS)
    assert doors.listening.admit(first) is None
    assert doors.listening.admit(second) is not None
    assert doors.listening.admit(other) is not None
    for _ in range(50):
        doors.ticket()
    assert len(doors.listening) == 1


def test_a_ticket_is_void_with_its_connection_and_who_looks_on_is_told() -> None:
    doors = Doors()
    void: list[Flow] = []
    doors.listening.on_void = void.append
    ticket, other = doors.ticket(), doors.ticket(OTHER)
    del doors.users[BROWSER_FLOW.id]
    doors.listening.flow_closed(BROWSER_FLOW)
    assert void == [BROWSER_FLOW]
    assert doors.listening.admit(ticket) is None
    assert doors.listening.admit(other) is not None
    assert len(doors.listening) == 0


def test_a_ticket_is_void_when_the_proof_has_run_out_or_is_another_users() -> None:
    for now in (None, "bob"):
        doors = Doors()
        ticket = doors.ticket()
        if now is None:
            del doors.users[BROWSER_FLOW.id]
        else:
            doors.users[BROWSER_FLOW.id] = now
        assert doors.listening.admit(ticket) is None


def test_a_stranger_and_a_connection_others_can_read_get_none() -> None:
    doors = Doors()
    assert doors.listening.ticket(replace(BROWSER_FLOW, id=77)) is None
    assert doors.listening.ticket(CLEAR) is None
    near = replace(CLEAR, remote=HostPort("127.0.0.1", 4000))
    assert doors.listening.ticket(near) is not None


# --- where they are handed over


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def registered(office: Office, status: int, key: str = "r") -> Response:
    event_request = request("REGISTER").with_header("To", "<sip:alice@example.test>")
    office.manager._respond(RequestReceived(key, event_request, BROWSER_FLOW), create_response(event_request, status))
    return [response for k, response in office.sip.answers if k == key][-1]


@pytest.mark.asyncio
async def test_the_200_to_a_register_brings_one_and_no_other_answer_does(office: Office) -> None:
    ticket = registered(office, 200).headers.get(HEADER)
    assert ticket
    standing = office.manager.listening.admit(ticket)
    assert standing is not None
    assert (standing.user, standing.flow) == ("alice", BROWSER_FLOW)
    for status in (401, 403, 503):
        assert registered(office, status, f"r{status}").headers.get(HEADER) is None


@pytest.mark.asyncio
async def test_the_end_of_the_connection_voids_it(office: Office) -> None:
    ticket = registered(office, 200).headers.get(HEADER)
    assert ticket
    office.manager.flow_closed(BROWSER_FLOW)
    assert office.manager.listening.admit(ticket) is None
    assert len(office.manager.listening) == 0


@pytest.mark.asyncio
async def test_who_signs_in_at_the_pbx_gets_one_with_its_200_and_not_before(tmp_path: Path) -> None:
    reception = Reception(tmp_path)
    page = RelayedPage(reception)
    answer = await page.register()
    assert [response.headers.get(HEADER) is None for response in page.heard] == [True, False]
    listening = reception.office.manager.listening
    standing = listening.admit(answer.headers.get(HEADER) or "")
    assert standing is not None
    assert (standing.user, standing.flow) == ("alice", page.flow)
    reception.office.manager.flow_closed(page.flow)
    assert not listening.holds(standing)
