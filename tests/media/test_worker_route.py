"""Who hears whom in one call, in this process: the listener's one stream, and random calls whose rules always hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.base.values import HostPort, LegId
from gateway.media.relay_commands import EventFormat, PayloadMap, RelayPlan, Route, SetKeys, SetPeer, Unroute
from gateway.media.relay_events import Event
from gateway.media.worker.call import Call
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.port_pair import PortPair
from tests.effort import examples
from tests.media import packets
from tests.media.listener import FRAME, FROM_TRUNK, SUITE, TO_TRUNK, ListenerSocket, RelayListener, voice

EVENTS = (EventFormat(101),)
PLAN = RelayPlan((PayloadMap(0, 0), PayloadMap(111, 111, 48000)), heard=EVENTS, events=EVENTS)


class PlainLegs:
    """A call of plain legs; each says who it is in its payload, and what each is sent is kept."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Event] = []
        self.call = Call(self.events.append)
        self.wires: dict[LegId, ListenerSocket] = {}

    def add(self, number: int) -> LegId:
        leg, wire = LegId(number), ListenerSocket()
        self.wires[leg] = wire
        self.call.add(PortLeg(leg, self.events.append, self.call.ssrcs, PortPair(wire, ListenerSocket(), 20000)))
        self.call.obey(SetPeer(leg, False, self.address(leg)), self.now)
        return leg

    @staticmethod
    def address(leg: LegId) -> HostPort:
        return HostPort("127.0.0.9", 40000 + 2 * leg)

    def leg(self, number: LegId) -> PortLeg:
        found = self.call.legs[number]
        assert isinstance(found, PortLeg)
        return found

    def route(self, source: LegId, sink: LegId, plan: RelayPlan = PLAN) -> None:
        assert self.call.obey(Route(source, sink, plan), self.now)

    def say(self, leg: LegId, packet: bytes) -> None:
        address = self.address(leg)
        self.leg(leg).receive(packet, (address.host, address.port), self.now)

    def heard(self, leg: LegId) -> list[bytes]:
        """What the peer of a leg was sent since it was asked last."""
        sent, self.wires[leg].sent = self.wires[leg].sent, []
        return sent

    def close(self) -> None:
        for leg in list(self.call.legs.values()):
            self.call.remove(leg, self.now)


@pytest.fixture
def legs() -> Iterator[PlainLegs]:
    made = PlainLegs()
    yield made
    made.close()


def _play(
    legs: PlainLegs, source: LegId, listener: RelayListener, sink: LegId, first: int, count: int, **more: Any
) -> None:
    """Speech of one source, 20 ms a packet, as the listener has it."""
    frame = more.pop("frame", FRAME)
    for n in range(first, first + count):
        legs.say(source, voice(n, n * frame, **more))
        for data in legs.heard(sink):
            listener.take(data, legs.now)
        legs.now += 0.02
        legs.call.agenda.run(legs.now)


@pytest.mark.parametrize("offset", [0, 1, 40, 30_000, 65_500], ids=lambda n: f"at {n}")
@pytest.mark.parametrize("ssrc", [0x5EED, 0xBEEF], ids=["same SSRC", "another"])
def test_a_listener_that_is_handed_over_hears_no_gap_whatever_the_numbers_of_the_next_source_are(
    legs: PlainLegs, offset: int, ssrc: int
) -> None:
    one, other, sink = (legs.add(n) for n in (1, 2, 3))
    listener = RelayListener(None)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 0, 50)
    legs.route(other, sink)
    _play(legs, other, listener, sink, offset, 50, ssrc=ssrc)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 100, 50)
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + 150))
    assert len({packet.ssrc for packet in listener.packets}) == 1
    assert listener.begins == [0, 50, 100]
    assert listener.gaps() == []


def test_latecomers_of_a_source_that_was_handed_over_are_not_looked_for_in_the_next(legs: PlainLegs) -> None:
    """The first source began anew a moment ago; the second one happens to count where that had been before."""
    one, other, sink = (legs.add(n) for n in (1, 2, 3))
    listener = RelayListener(None)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 1000, 5)
    _play(legs, one, listener, sink, 50_000, 5)
    legs.route(other, sink)
    _play(legs, other, listener, sink, 995, 5)
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + 15))


@pytest.mark.parametrize("gone", [1, 2], ids=["source", "sink"])
def test_a_leg_that_is_gone_is_in_nobodys_routes(legs: PlainLegs, gone: int) -> None:
    one, other, third = (legs.add(n) for n in (1, 2, 3))
    legs.route(one, other)
    legs.route(other, one)
    legs.route(other, third) if gone == 1 else legs.route(one, third)
    legs.call.remove(legs.leg(LegId(gone)), legs.now)
    left = legs.leg(other if gone == 1 else one)
    assert [route.sink.id for route in left.routes] == [third]
    legs.say(left.id, voice(1, 1))
    assert [len(legs.heard(leg)) for leg in (LegId(gone), third)] == [0, 1]


def test_a_source_with_another_clock_takes_over_without_a_gap(legs: PlainLegs) -> None:
    """From PCMU to Opus: the timestamp goes on in the new clock."""
    one, other, sink = (legs.add(n) for n in (1, 2, 3))
    listener = RelayListener(None)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 0, 50)
    legs.route(other, sink)
    _play(legs, other, listener, sink, 7, 50, kind=111, frame=960)
    steps = [
        (b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(listener.packets, listener.packets[1:], strict=False)
    ]
    assert steps == [160] * 49 + [960] * 50


def test_a_digit_is_cut_short_by_the_hand_over_and_does_not_hold_up_what_follows(legs: PlainLegs) -> None:
    one, other, sink = (legs.add(n) for n in (1, 2, 3))
    listener = RelayListener(None)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 0, 10)
    for n in range(10, 20):
        digit = b"\x05\x0a" + ((n - 9) * FRAME).to_bytes(2)
        legs.say(one, packets.rtp(n, payload_type=101, timestamp=10 * FRAME, ssrc=0x5EED, payload=digit))
        legs.now += 0.02
        legs.call.agenda.run(legs.now)
    for data in legs.heard(sink):
        listener.take(data, legs.now)
    assert {packet.kind for packet in listener.packets[10:]} == {101}
    legs.route(other, sink)
    _play(legs, other, listener, sink, 500, 20, ssrc=9)
    ends = [packet for packet in listener.packets if packet.kind == 101 and packet.payload[1] & 0x80]
    assert len(ends) == 3
    assert len([packet for packet in listener.packets if packet.kind == 0]) >= 29
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + len(listener.packets)))


def test_nobody_spoke_for_a_while_between_two_sources_and_the_time_shows_it(legs: PlainLegs) -> None:
    one, other, sink = (legs.add(n) for n in (1, 2, 3))
    listener = RelayListener(None)
    legs.route(one, sink)
    _play(legs, one, listener, sink, 0, 10)
    legs.call.remove(legs.leg(one), legs.now)
    legs.now += 2.0
    legs.route(other, sink)
    _play(legs, other, listener, sink, 0, 10)
    before, after = listener.packets[9], listener.packets[10]
    assert (after.sequence - before.sequence) & 0xFFFF == 1
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == FRAME + 16000


def test_one_leg_is_heard_by_many_and_each_has_its_own_numbers(legs: PlainLegs) -> None:
    source, *sinks = (legs.add(n) for n in range(1, 6))
    for sink in sinks:
        legs.route(source, sink)
    legs.say(source, voice(1, 1))
    sent = [legs.heard(sink) for sink in sinks]
    assert [len(one) for one in sent] == [1, 1, 1, 1]
    assert len({struct.unpack_from("!I", one[0], 8)[0] for one in sent}) == 4
    assert len({one[0][12:] for one in sent}) == 1


def test_a_leg_that_nobody_hears_learns_no_other_source_until_somebody_does(legs: PlainLegs) -> None:
    """Its peer may have stopped sending: silence proves nothing, and packets of its host are no claim to the leg."""
    leg, sink = legs.add(1), legs.add(2)
    near = (legs.address(leg).host, 50000)
    legs.now += 10.0
    for n in range(10):
        legs.leg(leg).receive(voice(n, n * FRAME), near, legs.now)
    assert legs.leg(leg).tally.source_moved == 0
    legs.route(leg, sink)
    for n in range(10, 20):
        legs.leg(leg).receive(voice(n, n * FRAME), near, legs.now + 1.9)
    assert legs.leg(leg).tally.source_moved == 0, "it has its time to speak"
    for n in range(20, 25):
        legs.leg(leg).receive(voice(n, n * FRAME), near, legs.now + 2.1)
    assert legs.leg(leg).tally.source_moved == 1


@pytest.mark.parametrize("bad", [PayloadMap(0, 72), PayloadMap(72, 0), PayloadMap(-1, 0), PayloadMap(0, 128)])
def test_what_is_no_payload_type_is_not_mapped(legs: PlainLegs, bad: PayloadMap) -> None:
    source, sink = legs.add(1), legs.add(2)
    legs.route(source, sink, RelayPlan((bad,)))
    assert legs.leg(source).expected == frozenset()


@pytest.mark.parametrize("clock", [0, -8000])
def test_a_payload_without_a_clock_is_not_mapped(legs: PlainLegs, clock: int) -> None:
    source, sink = legs.add(1), legs.add(2)
    legs.route(source, sink, RelayPlan((PayloadMap(0, 0, clock),)))
    legs.say(source, voice(1, 1))
    assert legs.heard(sink) == []


@dataclass
class Told:
    """What a random call knows of a leg."""

    sequence: int = 0
    hears: LegId | None = None
    places: set[tuple[int, int]] = field(default_factory=set)


_NUMBERS = st.integers(1, 4).map(LegId)


class RandomCall(RuleBasedStateMachine):
    """Legs come, go, are routed, keyed and unkeyed at random, and everybody talks."""

    @initialize()
    def begin(self) -> None:
        self.legs = PlainLegs()
        self.known: dict[LegId, Told] = {}
        for number in (1, 2, 3):
            self.open(LegId(number))

    @rule(number=_NUMBERS)
    def open(self, number: LegId) -> None:
        if number not in self.known:
            self.legs.add(number)
            self.known[number] = Told()

    @rule(number=_NUMBERS)
    def close(self, number: LegId) -> None:
        if self.known.pop(number, None) is not None:
            self.legs.call.remove(self.legs.leg(number), self.legs.now)
            for told in self.known.values():
                told.hears = None if told.hears == number else told.hears

    @rule(source=_NUMBERS, sink=_NUMBERS, is_open=st.booleans())
    def route(self, source: LegId, sink: LegId, is_open: bool) -> None:
        there = source in self.known and sink in self.known
        obeyed = self.legs.call.obey(Route(source, sink, RelayPlan(PLAN.payloads, is_open)), self.legs.now)
        assert obeyed == there
        if there and source != sink:
            self.known[sink].hears = source if is_open else None

    @rule(sink=_NUMBERS)
    def unroute(self, sink: LegId) -> None:
        assert self.legs.call.obey(Unroute(sink), self.legs.now) == (sink in self.known)
        if sink in self.known:
            self.known[sink].hears = None

    @rule(number=_NUMBERS)
    def renew(self, number: LegId) -> None:
        """Keys and back again: another SSRC, as no index may leave twice."""
        if number in self.known:
            self.legs.call.obey(SetKeys(number, SUITE.name, TO_TRUNK, FROM_TRUNK), self.legs.now)
            self.legs.call.obey(SetPeer(number, False, self.legs.address(number)), self.legs.now)

    @rule(jump=st.sampled_from([1, 1, 1, 2, 500, 40_000]), pause=st.sampled_from([0.0, 0.02, 0.02, 3.0]))
    def everybody_talks(self, jump: int, pause: float) -> None:
        self.legs.now += pause
        for number, told in self.known.items():
            told.sequence += jump
            packet = voice(told.sequence, told.sequence * FRAME, 0x5EED)
            self.legs.say(number, packet[:12] + bytes([number]) * 160)
            self.legs.say(number, packets.receiver_report(0x5EED))
        for number, told in self.known.items():
            self._listens(number, told)

    def _listens(self, number: LegId, told: Told) -> None:
        """At most one packet, of whom it hears, at a place nothing left at before."""
        heard = self.legs.heard(number)
        assert len(heard) <= (told.hears is not None)
        for data in heard:
            assert data[12] == told.hears
            place = struct.unpack_from("!I", data, 8)[0], int.from_bytes(data[2:4])
            if len(told.places) < 0x8000:
                assert place not in told.places
                told.places.add(place)

    @invariant()
    def the_wiring_is_what_was_said(self) -> None:
        if not hasattr(self, "known"):
            return
        for leg in self.legs.call.legs.values():
            sinks = [route.sink.id for route in leg.routes if route.is_open]
            assert sorted(sinks) == sorted(n for n, told in self.known.items() if told.hears == leg.id)

    def teardown(self) -> None:
        if hasattr(self, "legs"):
            self.legs.close()
            assert self.legs.call.legs == {}


TestRandomCall = RandomCall.TestCase
TestRandomCall.settings = settings(max_examples=examples(500), stateful_step_count=50, deadline=None)
