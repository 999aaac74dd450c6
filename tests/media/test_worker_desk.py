"""The calls of one worker: each command finds its leg, each limit holds, and what is closed is given back."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import CloseLeg, IcePort, OpenLeg, OwnPort, RelayPlan, Route, SetIce, SetPeer, Unroute
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import (
    CallClosed,
    CommandRefused,
    CountersReport,
    Event,
    LegClosed,
    LegFailed,
    LegOpened,
)
from gateway.media.relay_protocol import WORKER, WorkerConfig
from gateway.media.relay_quality import LegQuality
from gateway.media.worker import desk as desk_module
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.desk import Desk, Receiver
from gateway.media.worker.leg import Leg
from tests.media.peers import LOOPBACK

ONE, OTHER = LegId(1), LegId(2)
OWN = OwnPort(LOOPBACK)
CONFIG = WorkerConfig(-1, (LOOPBACK,), 0, 29200, 29205, ("203.0.113.1",), quarantine_seconds=5.0)


class DeskBench:
    """A desk whose loop only remembers which sockets it looks after."""

    def __init__(self) -> None:
        self.told: list[tuple[int, Event]] = []
        self.watched: set[socket.socket] = set()
        self.port = BrowserPort(CONFIG)
        self.desk = Desk(CONFIG, self.port, self, lambda call, event: self.told.append((call, event)))

    def register(self, own: socket.socket, _receive: Receiver, _leg: Leg | None = None) -> None:
        self.watched.add(own)

    def unregister(self, own: socket.socket) -> None:
        self.watched.remove(own)

    def open(self, call: int, leg: LegId, place: IcePort | OwnPort = OWN, now: float = 0.0) -> Event:
        self.desk.open(call, OpenLeg(leg, place), now)
        (number, event) = self.told[-1]
        assert number == call
        return event


@pytest.fixture
def bench() -> Iterator[DeskBench]:
    made = DeskBench()
    yield made
    for call in range(10):
        made.desk.close_call(call, 0.0)
    assert made.watched == set()
    for own in made.port.sockets:
        own.close()


def test_a_leg_is_where_its_peer_is_told_to_send(bench: DeskBench) -> None:
    opened = bench.open(1, ONE, IcePort("name", Secret("word")))
    assert opened == LegOpened(ONE, (HostPort("203.0.113.1", bench.port.number),), None)
    opened = bench.open(1, OTHER, OwnPort(LOOPBACK, "203.0.113.9"))
    assert isinstance(opened, LegOpened)
    (rtp,) = opened.rtp
    assert (rtp.host, rtp.port % 2, opened.rtcp) == ("203.0.113.9", 0, HostPort("203.0.113.9", rtp.port + 1))
    assert {own.getsockname()[1] for own in bench.watched} == {rtp.port, rtp.port + 1}


def test_a_worker_has_so_many_calls_and_no_more(bench: DeskBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MAX_CALLS", 2)
    assert isinstance(bench.open(1, ONE), LegOpened)
    assert isinstance(bench.open(2, ONE), LegOpened)
    assert bench.open(3, ONE, IcePort("name", Secret("word"))) == LegFailed(ONE, "too_many_calls")
    assert isinstance(bench.open(2, OTHER), LegOpened), "a call there is may have more legs"
    bench.desk.close_call(1, 0.0)
    assert isinstance(bench.open(3, ONE, IcePort("name", Secret("word"))), LegOpened)


def test_a_leg_that_fails_begins_no_call(bench: DeskBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MAX_CALLS", 1)
    for _ in range(2):
        assert bench.open(1, ONE, OwnPort("192.0.2.1")) == LegFailed(ONE, "bad_address")
    assert isinstance(bench.open(2, ONE), LegOpened)


def test_the_worker_itself_has_no_legs(bench: DeskBench) -> None:
    assert bench.open(WORKER, ONE) == LegFailed(ONE, "duplicate")


def test_ports_rest_before_they_serve_another_leg(bench: DeskBench) -> None:
    for n in range(1, 4):
        assert isinstance(bench.open(1, LegId(n)), LegOpened)
    assert bench.open(2, ONE) == LegFailed(ONE, "no_port")
    bench.desk.close_leg(1, CloseLeg(OTHER), 100.0)
    assert bench.open(2, ONE, now=104.9) == LegFailed(ONE, "no_port")
    assert isinstance(bench.open(2, ONE, now=105.0), LegOpened)


def test_the_end_of_what_is_not_there_is_answered_all_the_same(bench: DeskBench) -> None:
    bench.open(1, ONE)
    bench.desk.close_leg(1, CloseLeg(OTHER), 0.0)
    bench.desk.close_leg(9, CloseLeg(ONE), 0.0)
    bench.desk.close_call(9, 0.0)
    bench.desk.report(9)
    assert bench.told[1:] == [
        (1, LegClosed(OTHER, PacketCounters())),
        (9, LegClosed(ONE, PacketCounters())),
        (9, CallClosed({})),
        (9, CountersReport({})),
    ]


def test_the_end_of_a_call_tells_the_numbers_of_the_legs_there_were(bench: DeskBench) -> None:
    bench.open(1, ONE)
    bench.open(1, OTHER, IcePort("name", Secret("word")))
    bench.desk.close_leg(1, CloseLeg(ONE), 0.0)
    assert bench.watched == set()
    bench.desk.close_call(1, 0.0)
    ended = CallClosed({OTHER: PacketCounters()}, {OTHER: LegQuality()})
    assert bench.told[-2:] == [(1, LegClosed(ONE, PacketCounters())), (1, ended)]
    assert not bench.port.knows("name")


def test_a_name_is_of_one_leg_in_the_whole_worker(bench: DeskBench) -> None:
    place = IcePort("name", Secret("word"))
    bench.open(1, ONE, place)
    assert bench.open(2, ONE, place) == LegFailed(ONE, "duplicate")
    bench.open(2, OTHER, IcePort("another", Secret("word")))
    bench.desk.obey(2, SetIce(OTHER, "name", Secret("word")), 0.0)
    assert bench.told[-1] == (2, CommandRefused(OTHER, "duplicate"))
    bench.desk.obey(2, SetIce(OTHER, "third", Secret("word")), 0.0)
    bench.desk.close_leg(2, CloseLeg(OTHER), 0.0)
    assert [bench.port.knows(name) for name in ("name", "another", "third")] == [True, False, False]


def test_a_command_for_a_leg_of_another_call_finds_nothing(bench: DeskBench) -> None:
    bench.open(1, ONE)
    bench.open(2, OTHER)
    told = len(bench.told)
    bench.desk.obey(1, Route(ONE, OTHER, RelayPlan()), 0.0)
    bench.desk.obey(2, Unroute(ONE), 0.0)
    bench.desk.obey(1, SetPeer(OTHER, False, HostPort("127.0.0.9", 4000)), 0.0)
    bench.desk.obey(7, SetPeer(ONE, False, HostPort("127.0.0.9", 4000)), 0.0)
    assert bench.port.tally.control_rejected == 4
    assert len(bench.told) == told
