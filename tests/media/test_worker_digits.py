"""Digits through the relay: heard as telephone-events or told by a command, each leaves once, as ours (RFC 4733)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.dtmf import SIGNALS
from gateway.base.values import LegId, Secret
from gateway.media.relay_commands import EventFormat, PayloadMap, PlayDigit, RelayPlan, Route, Unroute
from gateway.media.relay_events import DigitHeard
from gateway.media.worker.agenda import NEVER
from gateway.media.worker.call import Call
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.digit_player import MAX_WAITING
from gateway.media.worker.digit_teller import MAX_TOLD_PER_SECOND
from gateway.media.worker.ice_leg import IceLeg
from gateway.media.worker.packet import Packet
from gateway.media.worker.stream import signed
from tests.effort import examples
from tests.media.keypad import HeardDigit, Keypad, read_digits
from tests.media.listener import FRAME, FROM_TRUNK, SUITE, TO_TRUNK, ListenerRig, RelayListener, rig, voice
from tests.media.local import BROWSER, TRUNK
from tests.media.packets import receiver_report, rtp

PHONE = 0x5EED
OPUS = (PayloadMap(111, 111, 48000),)
CLOCKS = pytest.mark.parametrize("there", [8000, 48000, 16000])


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def made(request: pytest.FixtureRequest) -> Iterator[ListenerRig]:
    with rig(keyed=request.param) as opened:
        yield opened


@pytest.fixture
def plain() -> Iterator[ListenerRig]:
    with rig() as opened:
        yield opened


class Talker:
    """A phone whose audio and events share one sequence: what it sends in between is one stream."""

    def __init__(self, made: ListenerRig, send: Callable[[bytes], bool], keypad: Keypad, kind: int = 0) -> None:
        self.made, self.send, self.keypad, self.kind = made, send, keypad, kind
        keypad.began = made.now

    def talk(self, count: int) -> None:
        """That many packets of audio."""
        for _ in range(count):
            self.made.pass_time(0.02)
            self.keypad.sequence += 1
            moment = self.keypad.timestamp(self.made.now)
            self.send(voice(self.keypad.sequence, moment, PHONE, kind=self.kind))

    def press(self, signal: str, seconds: float) -> None:
        """A digit, with nothing beside it."""
        for at, packet in list(self.keypad.press(signal, seconds, self.made.now)):
            self.made.pass_time(at - self.made.now)
            self.send(packet)


def by_browser(made: ListenerRig) -> Talker:
    return Talker(made, made.from_browser, Keypad())


def by_trunk(made: ListenerRig) -> Talker:
    """One whose packets may come twice, or in any order: nobody has sealed them."""
    return Talker(made, made.from_trunk, Keypad())


def play(made: ListenerRig, signal: str, milliseconds: int, leg: LegId = TRUNK) -> None:
    assert made.call.call.obey(PlayDigit(leg, Secret(signal), milliseconds), made.now)
    made.deliver()


def is_unbroken(listener: RelayListener) -> None:
    """One SSRC and numbers without a hole: nothing of what the relay makes of a digit looks lost, or comes twice."""
    assert len({packet.ssrc for packet in listener.packets}) == 1
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + len(listener.packets)))


def digits(listener: RelayListener, kind: int = 101, scale: int = 1) -> list[HeardDigit]:
    found = read_digits(listener.packets, kind, scale)
    assert all(digit.begins and digit.markers == 1 for digit in found), "the marker is on the first packet"
    return found


def test_a_digit_leaves_with_a_marker_its_length_and_three_ends_in_one_unbroken_stream(made: ListenerRig) -> None:
    talker = by_browser(made)
    talker.talk(20)
    talker.press("5", 0.2)
    talker.talk(20)
    (digit,) = digits(made.trunk)
    assert (digit.signal, digit.duration, digit.ends) == ("5", 1600, 3)
    is_unbroken(made.trunk)
    voices = [packet for packet in made.trunk.packets if packet.kind == 0]
    assert len(voices) == 40
    assert abs(digit.timestamp - voices[19].timestamp) <= 1, "the keypad was pressed then"


@CLOCKS
def test_the_length_is_counted_in_the_clock_of_the_other_side(there: int) -> None:
    """Opus leg with telephone-event/48000, trunk with /8000, or the other way round (RFC 4733 2.3.5, 2.5.1.1)."""
    with rig() as made:
        made.call.payloads(OPUS, OPUS, made.now, browser=EventFormat(110, there), trunk=EventFormat(101))
        talker = Talker(made, made.from_browser, Keypad(kind=110, rate=there, clock=48000), 111)
        talker.talk(5)
        talker.press("7", 1.0)
        talker.talk(5)
        back = Talker(made, made.from_trunk, Keypad(clock=48000), 111)
        back.talk(5)
        back.press("8", 1.0)
        back.talk(5)
        assert [(d.signal, d.duration) for d in digits(made.trunk)] == [("7", 8000)]
        assert [(d.signal, d.duration) for d in digits(made.browser, 110, 48000 // there)] == [("8", there)]


@pytest.mark.parametrize("seconds", [0.04, 0.1, 1.3, 1.4, 3.0, 8.0])
def test_a_digit_of_any_length_arrives_at_48000_in_segments_and_leaves_so(seconds: float) -> None:
    """0xFFFF at 48000 Hz is 1.37 s: what lasts longer is cut into segments on either side (RFC 4733 2.5.1.3)."""
    with rig() as made:
        made.call.payloads(OPUS, OPUS, made.now, browser=EventFormat(110, 48000), trunk=EventFormat(101))
        Talker(made, made.from_browser, Keypad(kind=110, rate=48000, clock=48000), 111).press("1", seconds)
        Talker(made, made.from_trunk, Keypad(clock=48000), 111).press("2", seconds)
        made.pass_time(0.3)
        assert [(d.signal, d.duration) for d in digits(made.trunk)] == [("1", round(seconds * 8000))]
        assert [(d.signal, d.duration) for d in digits(made.browser, 110)] == [("2", round(seconds * 48000))]


def test_a_long_digit_of_which_only_the_end_arrives_begins_with_the_marker_too(plain: ListenerRig) -> None:
    plain.call.payloads(OPUS, OPUS, plain.now, browser=EventFormat(110, 48000), trunk=EventFormat(101))
    plain.from_trunk(Keypad().packet(5, 24000, 8000, end=True))
    plain.pass_time(0.3)
    assert [(d.signal, d.duration, d.ends) for d in digits(plain.browser, 110)] == [("5", 144000, 3)]


def test_a_key_held_for_longer_than_eight_seconds_is_one_digit_that_ends(plain: ListenerRig) -> None:
    by_browser(plain).press("9", 12.0)
    plain.pass_time(0.3)
    assert [(d.signal, d.duration) for d in digits(plain.trunk)] == [("9", 64000)]


@pytest.mark.parametrize(
    "lost", [{0}, {0, 1}, {0, 1, 2}, {3}, {4}, {3, 4, 5}, {5, 4}, {0, 1, 2, 3, 4}, {1, 2, 3, 4, 5}]
)
def test_a_digit_of_which_anything_arrives_is_one_digit(plain: ListenerRig, lost: set[int]) -> None:
    talker = by_trunk(plain)
    talker.talk(5)
    for n, (at, packet) in enumerate(list(talker.keypad.press("3", 0.2, plain.now))):
        plain.pass_time(at - plain.now)
        if n not in lost:
            talker.send(packet)
    plain.pass_time(0.5)
    talker.talk(10)
    (digit,) = digits(plain.browser)
    assert (digit.signal, digit.ends) == ("3", 3)
    assert digit.duration == 1600 if {3, 4, 5} - lost else 400 <= digit.duration < 1600


@pytest.mark.parametrize("copies", [2, 5])
def test_packets_that_come_twice_are_no_second_digit(plain: ListenerRig, copies: int) -> None:
    talker = by_trunk(plain)
    for at, packet in list(talker.keypad.press("4", 0.1, plain.now)):
        plain.pass_time(max(at - plain.now, 0))
        for _ in range(copies):
            talker.send(packet)
    assert [d.signal for d in digits(plain.browser)] == ["4"]


def test_the_same_key_twice_is_two_digits_even_when_every_end_between_them_was_lost(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.keypad.ends = 0
    talker.press("6", 0.12)
    plain.pass_time(0.05)
    talker.keypad.ends = 3
    talker.press("6", 0.12)
    plain.pass_time(0.5)
    assert [d.signal for d in digits(plain.trunk)] == ["6", "6"]


def test_an_end_that_comes_late_after_the_next_digit_has_begun_is_no_digit(plain: ListenerRig) -> None:
    talker = by_trunk(plain)
    first = [packet for _, packet in talker.keypad.press("1", 0.1, plain.now)]
    for packet in first[:-1]:
        talker.send(packet)
    plain.pass_time(0.17)
    second = [packet for _, packet in talker.keypad.press("2", 0.1, plain.now)]
    for packet in (second[0], first[-1], *second[1:]):
        talker.send(packet)
    plain.pass_time(0.5)
    assert [d.signal for d in digits(plain.browser)] == ["1", "2"]


def test_a_device_whose_timestamp_counts_on_within_a_digit_presses_one(plain: ListenerRig) -> None:
    keypad = Keypad()
    for n in range(1, 11):
        plain.from_browser(keypad.packet(4, n * 160, 8000 + n * 160, end=n == 10, marker=n == 1))
        plain.pass_time(0.02)
    plain.pass_time(0.3)
    assert [(d.signal, d.duration) for d in digits(plain.trunk)] == [("4", 1600)]


def test_digits_under_one_timestamp_are_told_apart_by_their_code(plain: ListenerRig) -> None:
    """Some devices never let it count on while no audio is sent."""
    keypad = Keypad()
    for code in (1, 2, 3):
        for n in (1, 2, 3, 3, 3):
            plain.from_trunk(keypad.packet(code, n * 400, 8000, end=n == 3, marker=n == 1))
            plain.pass_time(0.02)
        if code > 1:
            plain.from_trunk(keypad.packet(code - 1, 1200, 8000, end=True))
        plain.pass_time(0.08)
    assert "".join(d.signal for d in digits(plain.browser)) == "123"


def test_a_packet_of_the_source_before_is_no_digit_of_the_next(plain: ListenerRig) -> None:
    one, other = Keypad(ssrc=1), Keypad(ssrc=2, sequence=40000)
    first = [packet for _, packet in one.press("1", 0.1, 100.0)]
    second = [packet for _, packet in other.press("2", 0.1, 107.0)]
    for packet in (*first[:-1], *second[:2], first[-1], *second[2:], first[-1]):
        plain.from_trunk(packet)
        plain.pass_time(0.02)
    plain.pass_time(0.5)
    assert "".join(d.signal for d in digits(plain.browser)) == "12"


def test_events_that_say_nothing_are_passed_over(plain: ListenerRig) -> None:
    for size in range(4):
        plain.from_browser(rtp(size, payload_type=101, payload=bytes(size)))
    plain.pass_time(1.0)
    assert plain.trunk.packets == []


LOSS = 0.05
DIGITS = 1000


@settings(max_examples=examples(4), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), clock=st.sampled_from([(8000, 8000), (48000, 48000), (8000, 48000)]))
def test_a_thousand_digits_over_a_network_that_loses_five_in_a_hundred_arrive_once_each(
    seed: int, clock: tuple[int, int]
) -> None:
    """Lost, doubled and overtaken: each of which a packet arrives, in order, with its length if an end does."""
    chance = random.Random(seed)
    rate, stamps = clock
    wanted = _digits_over_bad_network(chance, count := examples(DIGITS))
    with rig() as made:
        audio = OPUS if stamps == 48000 else (PayloadMap(0, 0),)
        made.call.payloads(audio, audio, made.now, browser=EventFormat(101), trunk=EventFormat(110, rate))
        keypad = Keypad(kind=110, rate=rate, clock=stamps, began=made.now)
        arrivals, expected = _arrivals(keypad, wanted, chance, made.now)
        for at, packet in arrivals:
            made.pass_time(max(at - made.now, 0.0))
            made.from_trunk(packet)
        made.pass_time(2.0)
        found = digits(made.browser)
        assert [d.signal for d in found] == [signal for signal, _ in expected]
        assert len(found) > 0.99 * count
        for digit, (_, length) in zip(found, expected, strict=True):
            assert digit.ends == 3
            assert length is None or abs(digit.duration - length * 8000) <= 1
        for one, other in pairwise(found):
            gap = ((other.timestamp - one.timestamp) & 0xFFFFFFFF) - one.duration
            assert gap >= 0.03 * 8000 - 1
        is_unbroken(made.browser)
        assert made.call.counters.digits_dropped == 0


def _digits_over_bad_network(chance: random.Random, count: int) -> list[tuple[str, float, float]]:
    """Signal, length and pause after it."""
    return [(chance.choice(SIGNALS), chance.uniform(0.04, 0.4), chance.uniform(0.07, 0.3)) for _ in range(count)]


def _arrivals(
    keypad: Keypad, wanted: list[tuple[str, float, float]], chance: random.Random, now: float
) -> tuple[list[tuple[float, bytes]], list[tuple[str, float | None]]]:
    """Packets in the order they arrive, and the digits of which some do, with their length where an end does."""
    arrivals: list[tuple[float, bytes]] = []
    expected: list[tuple[str, float | None]] = []
    for signal, seconds, pause in wanted:
        ends = arrived = 0
        for at, packet in keypad.press(signal, seconds, now):
            if chance.random() < LOSS:
                continue
            arrived += 1
            ends += packet[13] >> 7
            for _ in range(1 + (chance.random() < LOSS)):
                arrivals.append((at + chance.uniform(0.0, 0.03), packet))
        if arrived:
            expected.append((signal, seconds if ends else None))
        now += seconds + pause
    return sorted(arrivals), expected


# Told by a command.


def test_a_digit_that_is_told_is_played_between_the_audio_which_is_left_out_meanwhile(made: ListenerRig) -> None:
    talker = by_browser(made)
    talker.talk(10)
    play(made, "#", 160)
    talker.talk(20)
    (digit,) = digits(made.trunk)
    assert (digit.signal, digit.duration, digit.ends) == ("#", 1280, 3)
    is_unbroken(made.trunk)
    assert made.call.counters.audio_replaced == 7
    assert len([p for p in made.trunk.packets if p.kind == 0]) == 23
    last = made.trunk.packets[-1].timestamp - made.trunk.packets[0].timestamp
    assert last & 0xFFFFFFFF == 29 * FRAME, "speech goes on where the clock is"


@pytest.mark.parametrize(("told", "played"), [(1, 40), (40, 40), (100, 100), (6000, 6000), (8000, 8000), (99999, 8000)])
def test_its_length_is_kept_from_40_to_8000_ms(plain: ListenerRig, told: int, played: int) -> None:
    play(plain, "1", told)
    plain.pass_time(9.0)
    assert [d.duration for d in digits(plain.trunk)] == [played * 8]


def test_updates_come_every_20_ms(plain: ListenerRig) -> None:
    play(plain, "1", 200)
    plain.pass_time(1.0)
    times = [packet.arrived for packet in plain.trunk.packets]
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.02] * (len(times) - 1)
    assert len(times) == 10 + 3


def test_a_string_of_digits_is_played_in_order_with_pauses(made: ListenerRig) -> None:
    talker = by_browser(made)
    talker.talk(5)
    for signal in "1234567890*#ABCD":
        play(made, signal, 100)
    talker.talk(150)
    found = digits(made.trunk)
    assert "".join(d.signal for d in found) == "1234567890*#ABCD"
    for one, other in pairwise(found):
        assert 240 <= (other.timestamp - one.timestamp) - one.duration <= 400
    is_unbroken(made.trunk)


def test_digits_before_any_audio_begin_the_stream_and_audio_goes_on_from_there(made: ListenerRig) -> None:
    play(made, "5", 100)
    made.pass_time(0.5)
    by_browser(made).talk(10)
    assert [d.signal for d in digits(made.trunk)] == ["5"]
    is_unbroken(made.trunk)
    assert made.trunk.packets[0].marker
    passed = made.trunk.packets[-1].timestamp - made.trunk.packets[0].timestamp
    assert 0 < passed & 0xFFFFFFFF < 8000


def test_no_more_digits_wait_than_a_person_presses(plain: ListenerRig) -> None:
    for _ in range(3 * MAX_WAITING):
        plain.call.call.obey(PlayDigit(TRUNK, Secret("1"), 40), plain.now)
    plain.pass_time(60.0)
    assert len(digits(plain.trunk)) == MAX_WAITING + 1
    assert plain.call.counters.digits_dropped == 2 * MAX_WAITING - 1


@pytest.mark.parametrize("signal", ["", "12", "E", "a", "\u0661"])
def test_what_is_no_digit_is_not_played(plain: ListenerRig, signal: str) -> None:
    play(plain, signal, 100)
    plain.pass_time(1.0)
    assert plain.trunk.packets == []
    assert plain.call.counters.digits_dropped == 1


def test_a_leg_without_events_plays_none_and_no_call_is_harmed(plain: ListenerRig) -> None:
    plain.call.call.obey(Route(BROWSER, TRUNK, RelayPlan((PayloadMap(0, 0),))), plain.now)
    play(plain, "1", 100)
    by_browser(plain).talk(5)
    assert [p.kind for p in plain.trunk.packets] == [0] * 5
    assert plain.events == [e for e in plain.events if type(e).__name__ == "MediaStarted"]


def test_a_digit_for_a_leg_that_has_no_keys_yet_waits_for_them() -> None:
    with rig() as made:
        made.call.peer(("127.0.0.9", 40000), made.now, keyed=True)
        play(made, "7", 100)
        made.pass_time(1.0)
        assert made.trunk.packets == []
        made.call.keys(TRUNK, SUITE.name, TO_TRUNK, FROM_TRUNK, made.now)
        made.pass_time(0.5)
        assert len(made.trunk.packets) == 8
        play(made, "8", 100)
        made.pass_time(0.5)
        assert made.call.counters.digits_dropped == 0


def test_a_digit_that_comes_as_an_event_and_by_info_is_played_once(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.press("1", 0.1)
    play(plain, "1", 100)
    play(plain, "2", 100)
    plain.pass_time(0.3)
    talker.press("2", 0.1)
    plain.pass_time(0.3)
    assert [d.signal for d in digits(plain.trunk)] == ["1", "2"]
    talker.press("2", 0.1)
    plain.pass_time(0.3)
    play(plain, "3", 100)
    plain.pass_time(3.0)
    talker.press("3", 0.1)
    plain.pass_time(0.3)
    assert [d.signal for d in digits(plain.trunk)] == ["1", "2", "2", "3", "3"]


# What happens to the legs meanwhile.


def test_a_hold_ends_the_digit_that_is_played_and_forgets_those_that_wait(plain: ListenerRig) -> None:
    for signal in "123":
        play(plain, signal, 4000)
    plain.pass_time(0.5)
    plain.call.hold(plain.now, to_trunk=False)
    plain.pass_time(10.0)
    (digit,) = digits(plain.trunk)
    assert (digit.signal, digit.ends) == ("1", 3)
    assert digit.duration <= 8 * 540


def test_a_new_key_does_not_make_a_second_digit_of_the_one_that_is_played() -> None:
    with rig() as made:
        play(made, "1", 1000)
        made.pass_time(0.5)
        before = len(made.trunk.packets)
        made.call.keys(TRUNK, SUITE.name, Secret(bytes(SUITE.master_length)), FROM_TRUNK, made.now)
        made.call.peer(("127.0.0.9", 40000), made.now)
        made.pass_time(2.0)
        assert len(made.trunk.packets) == before
        play(made, "2", 100)
        made.pass_time(1.0)
        assert [d.signal for d in digits(made.trunk)] == ["1", "2"]


def test_reports_about_digits_of_ours_are_passed_on_in_numbers_the_source_has_sent(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.talk(10)
    play(plain, "1", 100)
    talker.talk(20)
    stream = plain.call.trunk.stream
    index = [stream.source_index(packet.sequence) for packet in plain.trunk.packets]
    last = talker.keypad.sequence
    assert index[-1] == last
    assert index == sorted(i for i in index if i is not None)
    plain.from_trunk(receiver_report(1))


def test_packets_of_speech_that_were_overtaken_by_a_digit_keep_their_own_numbers(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.talk(10)
    late = voice(talker.keypad.sequence + 1, talker.keypad.timestamp(plain.now + 0.02), PHONE)
    talker.keypad.sequence += 1
    plain.pass_time(0.02)
    talker.talk(1)
    play(plain, "1", 40)
    plain.pass_time(0.15)
    plain.from_browser(late)
    talker.talk(3)
    numbers = [p.sequence for p in plain.trunk.packets]
    assert len(set(numbers)) == len(numbers)
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))


def test_a_source_that_begins_with_a_digit_begins_a_run_with_its_speech(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.press("1", 0.1)
    talker.talk(5)
    assert [d.signal for d in digits(plain.trunk)] == ["1"]
    is_unbroken(plain.trunk)
    assert next(p for p in plain.trunk.packets if p.kind == 0).marker


def test_nothing_is_woken_of_a_leg_that_is_gone(plain: ListenerRig) -> None:
    play(plain, "1", 1000)
    agenda = plain.call.call.agenda
    plain.call.call.remove(plain.call.trunk, plain.now)
    agenda.run(plain.now + 5.0)
    assert len(plain.trunk.packets) == 1
    assert plain.to_trunk.sent == []


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_number_leaves_twice_and_none_is_missing_that_was_not_lost_on_the_way(seed: int) -> None:
    """Speech, events and digits that are told, at random lost and overtaken (RFC 3711 3.3.1: an index is used once)."""
    chance = random.Random(seed)
    with rig() as made:
        talker = by_trunk(made)
        late: list[bytes] = []
        absent = 0
        for _ in range(300):
            made.pass_time(0.02)
            draw = chance.random()
            if draw < 0.05:
                play(made, chance.choice(SIGNALS), chance.choice([40, 100, 300]), BROWSER)
            talker.keypad.sequence += 1
            moment = talker.keypad.timestamp(made.now)
            packet = voice(talker.keypad.sequence, moment, PHONE)
            if draw > 0.85:
                packet = rtp(
                    talker.keypad.sequence,
                    payload_type=101,
                    ssrc=PHONE,
                    timestamp=moment // 1600,
                    payload=b"\5\12\0\240",
                )
            if 0.1 < draw < 0.15:
                absent += 1
            elif 0.15 < draw < 0.2:
                late.append(packet)
                absent += 1  # if it does not leave after all, as an event, or speech beside a digit
            else:
                made.from_trunk(packet)
            if late and chance.random() < 0.3:
                made.from_trunk(late.pop(0))
        made.pass_time(1.0)
        numbers = made.browser.numbers
        assert len(set(numbers)) == len(numbers)
        missing = max(numbers) - min(numbers) + 1 - len(numbers)
        assert missing <= absent
        indices = [made.call.browser.stream.source_index(n & 0xFFFF) for n in sorted(numbers)[-50:]]
        known = [index for index in indices if index is not None]
        assert known == sorted(known)
        assert not known or known[-1] <= talker.keypad.sequence


# Told to the gateway.


def tells(made: ListenerRig) -> None:
    plan = RelayPlan((PayloadMap(0, 0),), heard=(EventFormat(101),), tells_digits=True)
    made.call.call.obey(Route(BROWSER, TRUNK, plan), made.now)


def told(made: ListenerRig) -> list[tuple[LegId, str, int]]:
    return [(e.leg, e.digit.reveal(), e.milliseconds) for e in made.events if isinstance(e, DigitHeard)]


def test_where_the_other_side_takes_no_events_digits_are_told_once_with_their_length(made: ListenerRig) -> None:
    tells(made)
    talker = by_browser(made)
    talker.talk(5)
    for signal, seconds in (("1", 0.1), ("1", 0.25), ("#", 2.0)):
        talker.press(signal, seconds)
        made.pass_time(0.05)
    talker.talk(5)
    assert told(made) == [(BROWSER, "1", 100), (BROWSER, "1", 250), (BROWSER, "#", 2000)]
    assert {packet.kind for packet in made.trunk.packets} == {0}
    is_unbroken(made.trunk)


def test_a_digit_whose_end_was_lost_is_told_all_the_same(plain: ListenerRig) -> None:
    tells(plain)
    talker = by_browser(plain)
    talker.keypad.ends = 0
    talker.press("4", 0.2)
    plain.pass_time(1.0)
    assert [(signal, length) for _, signal, length in told(plain)] == [("4", 150)]


def test_digits_are_not_told_any_more_when_the_way_is_gone(plain: ListenerRig) -> None:
    tells(plain)
    talker = by_browser(plain)
    talker.keypad.ends = 0
    talker.press("4", 0.2)
    plain.call.call.obey(Unroute(TRUNK), plain.now)
    plain.pass_time(1.0)
    assert told(plain) == []


def test_a_flood_of_events_is_told_within_a_limit(plain: ListenerRig) -> None:
    tells(plain)
    keypad = Keypad()
    for n in range(500):
        plain.from_browser(keypad.packet(n % 10, 800, n * 1000, end=True))
    assert len(told(plain)) <= MAX_TOLD_PER_SECOND
    assert plain.call.counters.digits_dropped >= 480


@pytest.mark.parametrize("first", [True, False], ids=["told", "played"])
def test_a_key_that_is_held_while_its_way_changes_is_one_digit_by_the_way_it_began(
    plain: ListenerRig, first: bool
) -> None:
    """An agreement in mid-call may turn events into INFO, or INFO into events."""
    ways = [RelayPlan((PayloadMap(0, 0),), heard=(EventFormat(101),), tells_digits=True), plain.call.plan_to_trunk]
    before, after = ways if first else ways[::-1]
    plain.call.call.obey(Route(BROWSER, TRUNK, before), plain.now)
    talker = by_browser(plain)
    pressed = list(talker.keypad.press("5", 0.4, plain.now))
    for n, (at, packet) in enumerate(pressed):
        if n == 3:
            plain.call.call.obey(Route(BROWSER, TRUNK, after), plain.now)
        plain.pass_time(at - plain.now)
        talker.send(packet)
    plain.pass_time(0.5)
    assert ([(s, ms) for _, s, ms in told(plain)], [(d.signal, d.duration) for d in digits(plain.trunk)]) == (
        ([("5", 400)], []) if first else ([], [("5", 3200)])
    )


# What happens when a leg goes, or comes, in the middle of a digit.


def test_the_digit_of_a_peer_that_is_gone_ends_and_nothing_of_it_waits_on(plain: ListenerRig) -> None:
    talker = by_browser(plain)
    talker.talk(5)
    for n, (at, packet) in enumerate(list(talker.keypad.press("1", 4.0, plain.now))[:10]):
        plain.pass_time(at - plain.now)
        talker.send(packet)
        if n == 5:
            play(plain, "2", 100)
    plain.call.call.remove(plain.call.browser, plain.now)
    plain.pass_time(10.0)
    (digit,) = digits(plain.trunk)
    assert (digit.signal, digit.ends) == ("1", 3)
    assert digit.duration <= 8 * 540
    assert plain.call.call.agenda.next == NEVER
    is_unbroken(plain.trunk)


def test_a_leg_adopted_in_the_middle_of_a_digit_ends_it_and_plays_those_of_its_new_source(made: ListenerRig) -> None:
    """A transfer joins the trunk of one call with the browser of another (RFC 3891): its peer hears one stream."""
    talker = by_browser(made)
    talker.talk(5)
    for at, packet in list(talker.keypad.press("1", 4.0, made.now))[:10]:
        made.pass_time(at - made.now)
        talker.send(packet)
    play(made, "9", 100)  # waits, and is forgotten
    into = Call(made.events.append, made.call.call.agenda)
    phone = IceLeg(BROWSER, made.events.append, into.ssrcs, Credentials("other", b"password"), 30.0)
    into.add(phone)
    made.call.call.release(made.call.trunk, made.now)
    into.adopt(made.call.trunk, LegId(7))
    into.obey(Route(BROWSER, LegId(7), made.call.plan_to_trunk), made.now)
    assert into.obey(PlayDigit(LegId(7), Secret("2"), 100), made.now)
    for at, packet in list(talker.keypad.press("1", 0.2, made.now)):  # the peer before presses on, and is not heard
        made.pass_time(at - made.now)
        talker.send(packet)
    for sequence in range(5):
        made.pass_time(0.02)
        phone.accepted(Packet(voice(sequence, sequence * FRAME, ssrc=1)), made.now)
    made.deliver()
    assert [(d.signal, d.ends) for d in digits(made.trunk)] == [("1", 3), ("2", 3)]
    assert [p.kind for p in made.trunk.packets[-5:]] == [0] * 5
    is_unbroken(made.trunk)
    into.remove(made.call.trunk, made.now)


@pytest.mark.parametrize("is_told", [False, True], ids=["played", "told"])
def test_a_flood_of_digits_that_never_end_leaves_nothing_behind_but_those_that_may_wait(
    plain: ListenerRig, is_told: bool
) -> None:
    """Each packet begins another one: what is not played or told soon is counted and forgotten."""
    if is_told:
        tells(plain)
    keypad = Keypad()
    for n in range(5000):
        plain.from_browser(keypad.packet(n % 10, 80, n * 1000, marker=True))
        if n % 50 == 49:
            plain.pass_time(0.01)
    plain.pass_time(60.0)
    counters = plain.call.counters
    if is_told:
        assert len(told(plain)) <= 2 * MAX_TOLD_PER_SECOND
        assert counters.digits_dropped == 5000 - len(told(plain))
    else:
        found = digits(plain.trunk)
        assert MAX_WAITING < len(found) < MAX_WAITING + 20
        assert counters.digits_dropped == 5000 - len(found)
        is_unbroken(plain.trunk)
    assert plain.call.call.agenda.next == NEVER


@pytest.mark.parametrize("rate", [1, 100, 1_000_000])
def test_a_clock_nobody_has_makes_no_digit_longer_than_the_longest(plain: ListenerRig, rate: int) -> None:
    """Any rate may stand in a description (RFC 8866 6.6): in hours before now no digit began."""
    plain.call.payloads(OPUS, OPUS, plain.now, browser=EventFormat(101, rate))
    talker = by_browser(plain)
    talker.kind = 111
    talker.talk(5)
    plain.from_browser(talker.keypad.packet(5, 0xFFFF, talker.keypad.timestamp(plain.now), end=True, marker=True))
    plain.pass_time(10.0)
    (digit,) = digits(plain.trunk)
    before = signed(digit.timestamp - plain.trunk.packets[4].timestamp)
    assert -8.0 * 48000 <= before <= 0
    assert digit.duration == max(min(round(0xFFFF / rate * 8000), 64000), 320)
