"""What PBXs do to their streams, replayed as numbers, and judged as a strict receiver would at either end."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pylibsrtp import Error

from gateway.base.values import Secret
from tests.effort import examples
from tests.media.listener import FRAME, SUITE, TRUNK, ListenerRig, RelayListener, rig, voice
from tests.media.local import TRUNK as TRUNK_LEG

MAX_GAP = 0.2
PHONE = 0x1234ABCD
Way = tuple[ListenerRig, Callable[[bytes], bool], RelayListener]


@pytest.fixture(params=["plain trunk to browser", "keyed trunk to browser", "browser to plain", "browser to keyed"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each direction, over a plain and over a keyed trunk leg."""
    with rig(keyed="keyed" in request.param) as made:
        if request.param.startswith("browser"):
            yield made, made.from_browser, made.trunk
        else:
            yield made, made.from_trunk, made.browser


@pytest.fixture
def plain() -> Iterator[Way]:
    """From a plain trunk: only such a source may turn its numbers back (RFC 3711 3.3.1 forbids it under a key)."""
    with rig() as made:
        yield made, made.from_trunk, made.browser


def play(way: Way, sequence: int, timestamp: int, count: int, ssrc: int = PHONE) -> None:
    """That many packets, one every 20 ms."""
    made, send, _ = way
    for n in range(count):
        assert send(voice(sequence + n, timestamp + n * FRAME, ssrc)), f"packet {sequence + n} is not relayed"
        made.now += 0.02


def is_one_stream(listener: RelayListener, *runs: int) -> None:
    """One SSRC, numbers without a hole, no gap that is heard, the marker where a run begins: so many times."""
    assert len({packet.ssrc for packet in listener.packets}) == 1
    first = listener.numbers[0]
    assert first < 1 << 15
    assert listener.numbers == list(range(first, first + len(listener.packets)))
    assert all(gap <= MAX_GAP for gap in listener.gaps())
    assert len(listener.begins) in runs


def reports(way: Way) -> None:
    """Nothing was lost on our side."""
    made, _, _ = way
    tally = made.call.counters
    assert (tally.srtp_unsendable, tally.stale_dropped, tally.unsent, tally.srtp_ssrc_limit) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("talk", "music", "again"),
    [(24839, 28578, 25378), (20723, 60705, 21255), (29298, 50480, 29604)],
    ids=["+3739", "-25554", "third call"],
)
def test_hold_music_under_the_ssrc_of_the_phone(plain: Way, talk: int, music: int, again: int) -> None:
    """Asterisk's native bridge: the phone's numbers, its own for the music, the phone's again; one SSRC."""
    made = plain[0]
    began = made.now
    play(plain, talk, 900_000, again - talk)
    play(plain, music, 160, 102)
    # The phone went on counting while it held.
    play(plain, again, 900_000 + round((made.now - began) * 8000), 300)
    is_one_stream(plain[2], 3)
    reports(plain)


def test_the_same_hold_when_the_phones_timestamps_stood_still(plain: Way) -> None:
    play(plain, 24839, 900_000, 539)
    play(plain, 28578, 160, 102)
    play(plain, 25378, 900_000 + 539 * FRAME, 300)
    is_one_stream(plain[2], 3)


def test_ten_successive_sources(way: Way) -> None:
    """Ten Dial()s in one call: every native bridge brings a new SSRC."""
    for n in range(10):
        play(way, 7000 * n + 11, 123_456 * n, 60, PHONE + n)
    is_one_stream(way[2], 10)
    reports(way)


def test_ninety_sources_and_the_first_one_again(way: Way) -> None:
    for n in range(90):
        play(way, 700 * n + 11, 123_456 * n, 5, PHONE + n)
    play(way, 16, 5 * FRAME, 50)
    is_one_stream(way[2], 91)
    reports(way)


def test_an_attended_transfer_turns_the_timestamps_back_without_marker(way: Way) -> None:
    """Same SSRC, the sequence goes on by one, the timestamp from 38720 to 5440."""
    play(way, 1000, 38720 - 199 * FRAME, 200)
    play(way, 1200, 5440, 200)
    is_one_stream(way[2], 2)
    reports(way)


@pytest.mark.parametrize("jump", [-1, -FRAME, -3000, -200_000, 1 << 31, 4000, 80_000, 1_000_000_000], ids=str)
def test_any_jump_of_the_timestamp_is_bridged(way: Way, jump: int) -> None:
    play(way, 65500, 0xFFFFFF00, 100)
    play(way, 65600, 0xFFFFFF00 + 100 * FRAME + jump, 100)
    is_one_stream(way[2], *((1, 2) if -FRAME <= jump < 0 else (2,)))
    reports(way)


@pytest.mark.parametrize("jump", [20, 100, 500, 3001, 20_000, 32_000])
def test_a_jump_of_the_sequence_number_is_bridged(way: Way, jump: int) -> None:
    play(way, 30_000, 0, 200)
    play(way, 30_200 + jump, 200 * FRAME, 200)
    is_one_stream(way[2], 2)
    reports(way)


@pytest.mark.parametrize("timestamp", [200 * FRAME, 160, 5_000_000], ids=["goes on", "restarts", "jumps"])
@pytest.mark.parametrize("jump", [32_767, 32_768, 40_000, -2, -50, -99, -100, -101, -3000, -30_000])
def test_a_jump_back_of_the_sequence_number_is_bridged(plain: Way, jump: int, timestamp: int) -> None:
    play(plain, 30_000, 0, 200)
    play(plain, 30_200 + jump, timestamp, 200)
    is_one_stream(plain[2], 2)
    reports(plain)


@pytest.mark.parametrize("back", [3, 20, 50, 99, 150])
def test_a_recording_that_starts_again_with_the_same_numbers_is_heard_again(plain: Way, back: int) -> None:
    """Packet for packet the same as before: only that nothing newer comes between tells it from late ones."""
    made, send, listener = plain
    play(plain, 0, 0, back)
    heard = 0
    for n in range(200):
        heard += send(voice(n, n * FRAME, PHONE))
        made.now += 0.02
    assert heard >= 198
    assert all(gap <= MAX_GAP for gap in listener.gaps())


def test_sources_that_alternate_packet_by_packet_are_all_heard(way: Way) -> None:
    made, send, listener = way
    for n in range(300):
        for offset, ssrc in enumerate((PHONE, 99, 100_000)):
            assert send(voice(n + offset * 5000, n * FRAME + offset * 77_777, ssrc))
            made.now += 0.02 / 3
    assert len(listener.packets) == 900
    assert len(set(listener.numbers)) == 900
    # However often the source changes, our clock does not run away from the wall's.
    passed = (listener.packets[-1].timestamp - listener.packets[0].timestamp) & 0xFFFFFFFF
    assert passed / 8000 == pytest.approx(6.0, abs=0.2)
    assert all(gap <= MAX_GAP for gap in listener.gaps())


def test_two_numberings_under_one_ssrc_that_alternate_are_both_heard(plain: Way) -> None:
    made, send, listener = plain
    for n in range(200):
        assert send(voice(n, n * FRAME, PHONE))
        assert send(voice(40_000 + n, 3_000_000 + n * FRAME, PHONE))
        made.now += 0.02
    assert len(set(listener.numbers)) == 400
    assert all(gap <= MAX_GAP for gap in listener.gaps())


def test_what_comes_back_after_a_pause_without_timestamps_is_on_time(way: Way) -> None:
    """A source that stops its clock while it is silent would be late for ever."""
    made = way[0]
    play(way, 100, 0, 50)
    made.now += 5.0
    play(way, 150, 50 * FRAME, 50)
    listener = way[2]
    assert listener.numbers[-1] - listener.numbers[0] == 99
    assert [gap for gap in listener.gaps() if gap > MAX_GAP] == [pytest.approx(5.0, abs=0.05)]


def test_silence_suppression_is_one_run(way: Way) -> None:
    """The timestamp goes on with the clock, the number by one, the marker says that speech begins."""
    made, send, listener = way
    play(way, 100, 0, 50)
    made.now += 30.0
    assert send(voice(150, 50 * FRAME + 240_000, PHONE, marker=True))
    made.now += 0.02
    play(way, 151, 51 * FRAME + 240_000, 50)
    first, last = listener.packets[0], listener.packets[-1]
    assert (last.timestamp - first.timestamp) & 0xFFFFFFFF == 240_000 + 100 * FRAME
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + 101))
    assert listener.begins == [0, 50]


def test_a_change_of_the_clock_rate_goes_on_by_the_time_that_passed(way: Way) -> None:
    """PCMU counts 8000 a second, Opus 48000 (RFC 7160)."""
    made, send, listener = way
    play(way, 100, 0, 50)
    for n in range(50):
        assert send(voice(150 + n, 7_000_000 + n * 960, PHONE, kind=111))
        made.now += 0.02
    play(way, 200, 100 * FRAME, 50)
    assert listener.begins == [0, 50, 100]
    steps = [
        (b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(listener.packets, listener.packets[1:], strict=False)
    ]
    assert set(steps[:49] + steps[99:]) == {160}
    assert set(steps[49:99]) == {960}


def test_another_clock_rate_is_another_run_even_where_the_timestamp_goes_on(way: Way) -> None:
    made, send, listener = way
    play(way, 100, 0, 10)
    for n in range(10):
        assert send(voice(110 + n, 10 * FRAME + n * 2 * FRAME, PHONE, kind=112))
        made.now += 0.02
    assert listener.begins == [0, 10]


def test_an_outage_of_more_than_three_thousand_packets_ends_the_run_and_a_shorter_one_does_not(way: Way) -> None:
    made = way[0]
    play(way, 0, 0, 10)
    made.now += 2900 * 0.02
    play(way, 2910, 2910 * FRAME, 10)
    made.now += 3100 * 0.02
    play(way, 6020, 6020 * FRAME, 10)
    assert way[2].begins == [0, 20]
    assert way[2].numbers[-1] - way[2].numbers[0] == 2919 + 10


def test_numbers_and_timestamps_wrap_within_a_run(way: Way) -> None:
    play(way, 65_000, 0xFFFF0000, 1200)
    is_one_stream(way[2], 1)


def test_the_roll_over_counter_of_our_stream_goes_on_over_many_wraps(way: Way) -> None:
    made, send, listener = way
    for n in range(0, 3 * 65_536, 997):
        made.now += 997 * 0.02
        assert send(voice(n, n * FRAME, PHONE))
    assert listener.numbers[-1] - listener.numbers[0] == n
    assert listener.begins == [0]


def test_loss_stays_loss_and_late_packets_keep_their_place(way: Way) -> None:
    made, send, listener = way
    numbers = list(range(300))
    shuffled = random.Random(7)
    arriving = [n for n in sorted(numbers, key=lambda n: n + shuffled.uniform(0, 4)) if n % 11]
    for n in arriving:
        made.now = 100.0 + n * 0.02 + 0.05 if n == 0 else max(made.now, 100.0 + n * 0.02)
        assert send(voice(500 + n, n * FRAME, PHONE))
    assert [n - listener.numbers[0] for n in listener.numbers] == [n - arriving[0] for n in arriving]
    times = [(p.timestamp - listener.packets[0].timestamp) & 0xFFFFFFFF for p in listener.packets]
    assert times == [((n - arriving[0]) * FRAME) & 0xFFFFFFFF for n in arriving]
    assert listener.begins == [0]


def test_a_repeated_packet_is_relayed_once(plain: Way) -> None:
    made, send, listener = plain
    for n in range(50):
        assert send(voice(n, n * FRAME, PHONE))
        assert not send(voice(n, n * FRAME, PHONE))
        made.now += 0.02
    assert len(listener.packets) == 50
    assert made.call.counters.stale_dropped == 50


def test_latecomers_of_a_source_that_was_replaced_are_dropped_and_counted(way: Way) -> None:
    made, send, listener = way
    play(way, 100, 0, 49)
    made.now += 0.02
    assert send(voice(150, 50 * FRAME, PHONE))
    play(way, 7, 0, 5, 99)
    assert not send(voice(149, 49 * FRAME, PHONE))
    play(way, 12, 5 * FRAME, 5, 99)
    assert made.call.counters.stale_dropped == 1
    assert listener.begins == [0, 50]


def test_a_burst_after_a_stall_of_the_network_is_one_run(way: Way) -> None:
    made, send, listener = way
    play(way, 0, 0, 50)
    made.now += 0.9
    for n in range(50, 96):
        assert send(voice(n, n * FRAME, PHONE))
    play(way, 96, 96 * FRAME, 50)
    assert listener.begins == [0]


def test_what_was_held_back_is_no_loss_to_the_receiver(way: Way) -> None:
    made, send, listener = way
    play(way, 100, 0, 50)
    made.call.hold(made.now, to_trunk=False, to_browser=False)
    for n in range(500):
        assert not send(voice(150 + n, (50 + n) * FRAME, PHONE))
        made.now += 0.02
    made.call.hold(made.now)
    play(way, 650, 550 * FRAME, 50)
    assert listener.numbers == list(range(listener.numbers[0], listener.numbers[0] + 100))
    assert (listener.packets[50].timestamp - listener.packets[49].timestamp) & 0xFFFFFFFF == 501 * FRAME
    assert listener.begins == [0, 50]


def test_the_streams_of_the_two_legs_share_no_number() -> None:
    firsts = set()
    for _ in range(20):
        with rig() as made:
            made.from_trunk(voice(1, 1))
            made.from_browser(voice(1, 1))
            for listener in (made.browser, made.trunk):
                (packet,) = listener.packets
                assert packet.sequence < 1 << 15
                firsts |= {packet.ssrc, packet.timestamp, packet.sequence << 32}
    assert len(firsts) > 110, "SSRC, timestamp and sequence number begin at random"
    assert 0x5EED not in firsts


def test_another_key_to_send_with_takes_another_ssrc_and_the_same_key_goes_on() -> None:
    with rig(keyed=True) as made:
        play((made, made.from_browser, made.trunk), 0, 0, 10)
        ours, theirs = (Secret(bytes([n]) * SUITE.master_length) for n in (2, 4))
        made.call.keys(TRUNK_LEG, SUITE.name, ours, Secret(bytes([9]) * SUITE.master_length), made.now)
        play((made, made.from_browser, made.trunk), 10, 10 * FRAME, 10)
        is_one_stream(made.trunk, 1)
        before = made.trunk.packets[0].ssrc
        made.call.keys(TRUNK_LEG, SUITE.name, Secret(bytes([7]) * SUITE.master_length), theirs, made.now)
        made.call.keys(TRUNK_LEG, SUITE.name, ours, theirs, made.now)
        made.trunk.packets.clear()
        # Back under the first key: had the SSRC come back with it, an index could be used twice.
        play((made, made.from_browser, made.trunk), 20, 20 * FRAME, 10)
        is_one_stream(made.trunk, 1)
        assert made.trunk.packets[0].ssrc != before


def test_a_leg_that_was_plain_for_long_is_heard_when_it_is_keyed_again() -> None:
    """Half an hour in clear moves the numbers by more than an SRTP context could guess."""
    with rig(keyed=True) as made:
        play((made, made.from_browser, made.trunk), 0, 0, 10)
        srtp, made.trunk.srtp = made.trunk.srtp, None
        made.call.peer(TRUNK, made.now)
        for n in range(10, 90_000, 2000):
            made.now += 40
            assert made.from_browser(voice(n, n * FRAME, PHONE))
        made.trunk.packets.clear()
        made.trunk.srtp = srtp
        made.call.peer(TRUNK, made.now, keyed=True)
        play((made, made.from_browser, made.trunk), n + 1, (n + 1) * FRAME, 20)
        is_one_stream(made.trunk, 1)


def test_a_source_that_lost_a_little_time_is_soon_on_time_again(plain: Way) -> None:
    """A tenth of a second: less than a network may delay, and for ever too late for who plays after 60 ms."""
    made, _, listener = plain
    play(plain, 0, 0, 50)
    made.now += 0.1
    play(plain, 50, 50 * FRAME, 200)
    made.now += 0.1
    play(plain, 250, 250 * FRAME, 200)
    assert all(gap <= MAX_GAP for gap in listener.gaps())


def test_the_jitter_of_many_changes_does_not_add_up(plain: Way) -> None:
    made, send, listener = plain
    jitter = random.Random(5)
    for n in range(3000):
        made.now = max(made.now, 100.0 + n * 0.02 + jitter.uniform(0, 0.04))
        assert send(voice(n * 7, n * 12_345, n // 5))
    first = listener.packets[0]
    ahead = [
        ((p.timestamp - first.timestamp) & 0xFFFFFFFF) / 8000 - (p.arrived - first.arrived)
        for p in listener.packets
        if p.timestamp != first.timestamp
    ]
    assert max(map(abs, ahead)) < 0.25


_SEQUENCE_STEPS = (0, 0, 0, 1, 3, 10, 60, 99, 101, 500, 3001, -1, -2, -5, -30, -60, -99, -100, -150, -3000, 32768)
_TIMESTAMP_STEPS = (0, 0, 0, 160, -160, -320, -800, 800, 1600, 3200, -3200, 8000, -8000, 80_000, -80_000, 1 << 31)


@pytest.mark.parametrize("jitter", [0.0, 0.04], ids=["even", "uneven"])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_plain_source_does_no_gap_is_heard(plain: Way, seed: int, jitter: float) -> None:
    made, send, listener = plain
    chance = random.Random(seed)
    sequence, timestamp, ssrc, due = chance.randrange(1 << 16), chance.randrange(1 << 32), 1, made.now
    for count in [*(chance.choice((1, 2, 3, 5, 10, 25, 60)) for _ in range(12)), 30]:
        ssrc = chance.choice((ssrc, ssrc, ssrc, 2, 3))
        sequence += chance.choice(_SEQUENCE_STEPS)
        timestamp += chance.choice(_TIMESTAMP_STEPS)
        for _ in range(count):
            made.now = max(made.now, due + chance.uniform(0, jitter))
            send(voice(sequence, timestamp, ssrc))
            sequence, timestamp, due = sequence + 1, timestamp + FRAME, due + 0.02
    assert all(gap <= MAX_GAP for gap in listener.gaps())
    assert len(set(listener.numbers)) == len(listener.packets)
    assert made.call.counters.srtp_unsendable == 0


_PIECES = st.lists(
    st.tuples(
        st.integers(0, 3),  # SSRC
        st.one_of(st.none(), st.integers(0, 0xFFFF)),  # sequence number to jump to
        st.one_of(st.none(), st.integers(0, 0xFFFFFFFF)),  # timestamp to jump to
        st.integers(1, 30),  # packets
        st.floats(0, 2),  # pause before
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=_PIECES, to_trunk=st.booleans())
def test_whatever_the_numbers_do_every_index_leaves_once_and_time_goes_on(
    pieces: list[tuple[int, int | None, int | None, int, float]], to_trunk: bool
) -> None:
    with rig() as made:
        send, listener = (made.from_browser, made.trunk) if to_trunk else (made.from_trunk, made.browser)
        at: dict[int, tuple[int, int]] = {}
        for ssrc, sequence, timestamp, count, pause in pieces:
            made.now += pause
            number, time = at.get(ssrc, (0, 0))
            number, time = number if sequence is None else sequence, time if timestamp is None else timestamp
            for _ in range(count):
                with contextlib.suppress(Error):  # the library does not let the browser of this test turn back
                    send(voice(number, time, ssrc))
                number, time = number + 1, time + FRAME
                made.now += 0.02
            at[ssrc] = number, time
        assert len(set(listener.numbers)) == len(listener.packets)
        assert len({p.ssrc for p in listener.packets}) == 1
        assert made.call.counters.srtp_unsendable == 0
        first, last = listener.packets[0], listener.packets[-1]
        passed = ((last.timestamp - first.timestamp) & 0xFFFFFFFF) / 8000
        assert passed == pytest.approx(last.arrived - first.arrived, abs=1.3)
