"""Where a trunk's media may come from: the latching rule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker.latch import (
    CONSECUTIVE_PACKETS,
    HOLD_DOWN_SECONDS,
    SILENCE_SECONDS,
    Address,
    AllowedSources,
    KeyedLatch,
    PlainLatch,
    Verdict,
    is_reachable,
)

SIGNALLED = ("192.0.2.10", 4000)
OTHER_PORT = ("192.0.2.10", 5000)
IN_NETWORK = ("198.51.100.9", 4000)
STRANGER = ("203.0.113.66", 4000)
SSRC = 1


def _allowed(signalled: Address = SIGNALLED) -> AllowedSources:
    return AllowedSources(signalled, ("198.51.100.0/24",))


def _plain(now: float = 100.0) -> PlainLatch:
    return PlainLatch(_allowed(), now)


def _feed(latch: PlainLatch, source: Address, now: float, first: int = 1, count: int = 3) -> list[Verdict]:
    return [latch.judge(source, SSRC, (first + n) & 0xFFFF, True, now) for n in range(count)]


PENDING_THEN_LEARNED = [Verdict.PENDING, Verdict.PENDING, Verdict.LEARNED]


def test_the_signalled_source_is_accepted_at_once() -> None:
    assert _plain().judge(SIGNALLED, SSRC, 1, True, 100.0) is Verdict.ACCEPT


def test_media_goes_to_the_signalled_address_from_the_start() -> None:
    assert _plain().target == SIGNALLED


QUIET = 100.0 + SILENCE_SECONDS
"""When a signalled address that never spoke has been silent for long enough."""


@pytest.mark.parametrize("source", [OTHER_PORT, IN_NETWORK])
def test_another_source_is_not_listened_to_before_the_signalled_one_had_its_time_to_speak(source: Address) -> None:
    latch = _plain()
    for now in (100.0, 100.5, QUIET - 0.01):
        assert set(_feed(latch, source, now, count=20)) == {Verdict.INTRUDER}
    assert latch.target == SIGNALLED
    assert latch.judge(SIGNALLED, SSRC, 1, True, QUIET) is Verdict.ACCEPT


@pytest.mark.parametrize("source", [OTHER_PORT, IN_NETWORK])
def test_an_allowed_source_stands_in_for_a_signalled_one_that_never_spoke(source: Address) -> None:
    latch = _plain()
    assert _feed(latch, source, QUIET) == PENDING_THEN_LEARNED
    assert latch.target == source


def test_packets_of_before_do_not_count_towards_the_three() -> None:
    latch = _plain()
    _feed(latch, OTHER_PORT, QUIET - 0.01, first=1, count=2)
    assert _feed(latch, OTHER_PORT, QUIET, first=3, count=2) == [Verdict.PENDING, Verdict.PENDING]


def test_silence_of_two_seconds_is_what_the_policy_says() -> None:
    assert SILENCE_SECONDS == 2.0


def test_the_same_address_described_again_gets_its_time_to_speak_again() -> None:
    latch = _plain()
    assert _feed(latch, OTHER_PORT, QUIET, count=2) == [Verdict.PENDING, Verdict.PENDING]
    latch.described(QUIET)
    assert _feed(latch, OTHER_PORT, QUIET + 1.0, first=3) == [Verdict.INTRUDER] * 3
    assert _feed(latch, OTHER_PORT, QUIET + SILENCE_SECONDS) == PENDING_THEN_LEARNED


def test_a_stranger_is_never_learned() -> None:
    latch = _plain()
    for now in (100.0, 101.0, 104.0, 200.0):
        assert set(_feed(latch, STRANGER, now, count=10)) == {Verdict.STRANGER}
    assert latch.target == SIGNALLED


def test_another_port_is_learned_once_the_signalled_one_was_silent_for_two_seconds() -> None:
    latch = _plain()
    latch.judge(SIGNALLED, SSRC, 1, True, 110.0)
    assert set(_feed(latch, OTHER_PORT, 110.0 + SILENCE_SECONDS - 0.01)) == {Verdict.INTRUDER}
    assert _feed(latch, OTHER_PORT, 110.0 + SILENCE_SECONDS) == PENDING_THEN_LEARNED


def test_a_packet_of_the_signalled_source_ends_the_learning_of_another() -> None:
    latch = _plain()
    assert _feed(latch, OTHER_PORT, QUIET, count=2) == [Verdict.PENDING, Verdict.PENDING]
    latch.judge(SIGNALLED, SSRC, 1, True, QUIET + 0.1)
    assert _feed(latch, OTHER_PORT, QUIET + 0.2, first=3) == [Verdict.INTRUDER] * 3
    assert _feed(latch, OTHER_PORT, QUIET + 0.1 + SILENCE_SECONDS, first=6) == PENDING_THEN_LEARNED


@pytest.mark.parametrize(
    "packets",
    [
        [(1, SSRC), (2, SSRC), (4, SSRC)],
        [(1, SSRC), (2, SSRC), (2, SSRC)],
        [(3, SSRC), (2, SSRC), (1, SSRC)],
        [(1, SSRC), (2, 2), (3, SSRC)],
    ],
)
def test_packets_that_are_not_one_stream_in_sequence_teach_nothing(packets: list[tuple[int, int]]) -> None:
    latch = _plain()
    assert {latch.judge(OTHER_PORT, ssrc, n, True, QUIET) for n, ssrc in packets} == {Verdict.PENDING}
    assert latch.target == SIGNALLED


def test_packets_of_two_sources_do_not_add_up() -> None:
    latch = _plain()
    for n in range(1, 12):
        source = OTHER_PORT if n % 2 else IN_NETWORK
        assert latch.judge(source, SSRC, n, True, QUIET) is Verdict.PENDING


def test_packets_of_an_unknown_payload_type_teach_nothing() -> None:
    latch = _plain()
    assert {latch.judge(OTHER_PORT, SSRC, n, False, QUIET) for n in range(9)} == {Verdict.PENDING}


def test_the_sequence_number_may_wrap_while_learning() -> None:
    assert _feed(_plain(), OTHER_PORT, QUIET, first=0xFFFF) == PENDING_THEN_LEARNED


def test_a_learned_source_is_locked_against_every_other() -> None:
    latch = _plain()
    _feed(latch, OTHER_PORT, QUIET)
    for now in (QUIET + 1.0, 110.0, 1000.0):
        assert set(_feed(latch, IN_NETWORK, now, count=6)) == {Verdict.INTRUDER}
        assert set(_feed(latch, ("192.0.2.10", 6000), now, count=6)) == {Verdict.INTRUDER}
    assert latch.target == OTHER_PORT
    assert latch.judge(OTHER_PORT, SSRC, 9, True, 1000.0) is Verdict.ACCEPT


@pytest.mark.parametrize("known", [True, False], ids=["agreed type", "any type"])
@pytest.mark.parametrize("later", [0.0, 0.02, 60.0])
def test_the_signalled_address_has_the_leg_back_with_its_first_packet(later: float, known: bool) -> None:
    latch = _plain()
    _feed(latch, OTHER_PORT, QUIET)
    latch.judge(OTHER_PORT, SSRC, 4, True, QUIET + later)
    assert latch.judge(SIGNALLED, SSRC, 7, known, QUIET + later) is Verdict.LEARNED
    assert latch.target == SIGNALLED
    assert latch.judge(SIGNALLED, SSRC, 8, True, QUIET + later) is Verdict.ACCEPT
    assert set(_feed(latch, OTHER_PORT, QUIET + later + 1.9, count=9)) == {Verdict.INTRUDER}


def test_a_signalled_address_that_speaks_again_and_falls_silent_may_be_stood_in_for_again() -> None:
    latch = _plain()
    _feed(latch, OTHER_PORT, QUIET)
    latch.judge(SIGNALLED, SSRC, 1, True, 110.0)
    assert _feed(latch, OTHER_PORT, 110.0 + SILENCE_SECONDS) == PENDING_THEN_LEARNED


def test_on_hold_silence_teaches_nothing() -> None:
    latch = _plain()
    latch.judge(SIGNALLED, SSRC, 1, True, 100.0)
    latch.hold(True, 101.0)
    assert set(_feed(latch, OTHER_PORT, 200.0, count=9)) == {Verdict.INTRUDER}
    assert latch.judge(SIGNALLED, SSRC, 2, True, 200.0) is Verdict.ACCEPT


def test_after_hold_the_silence_counts_from_the_resume() -> None:
    latch = _plain()
    latch.judge(SIGNALLED, SSRC, 1, True, 100.0)
    latch.hold(True, 101.0)
    latch.hold(False, 200.0)
    assert set(_feed(latch, OTHER_PORT, 200.0 + SILENCE_SECONDS - 0.1)) == {Verdict.INTRUDER}
    assert _feed(latch, OTHER_PORT, 200.0 + SILENCE_SECONDS) == PENDING_THEN_LEARNED


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"])
def test_an_address_media_cannot_be_sent_to_is_no_reason_to_learn_one(host: str) -> None:
    assert not is_reachable(host)
    latch = PlainLatch(_allowed((host, 4000)), 100.0)
    assert set(_feed(latch, IN_NETWORK, QUIET, count=9)) == {Verdict.STRANGER}


def test_networks_are_compared_as_networks_not_as_text() -> None:
    allowed = AllowedSources(SIGNALLED, ("198.51.100.0/25",))
    assert "198.51.100.127" in allowed
    assert "198.51.100.128" not in allowed
    assert "2001:db8::1" not in allowed


def test_a_network_that_cannot_be_read_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"300\.0\.0\.0"):
        AllowedSources(SIGNALLED, ("300.0.0.0/8",))


_SOURCES = st.sampled_from([SIGNALLED, OTHER_PORT, IN_NETWORK, STRANGER, ("203.0.113.1", 4000)])
_PACKETS = st.tuples(_SOURCES, st.integers(0, 3), st.integers(0, 5), st.booleans(), st.floats(0, 2))


@settings(deadline=None)
@given(st.lists(_PACKETS, max_size=60))
def test_whatever_arrives_media_is_only_ever_sent_to_an_allowed_address(
    packets: list[tuple[Address, int, int, bool, float]],
) -> None:
    latch, now, signalled_spoke = _plain(0.0), 0.0, 0.0
    for source, ssrc, sequence, known, pause in packets:
        now += pause
        before = latch.target
        verdict = latch.judge(source, ssrc, sequence, known, now)
        assert latch.target[0] in ("192.0.2.10", "198.51.100.9")
        assert (verdict is Verdict.LEARNED) == (latch.target != before)
        if source == SIGNALLED:
            assert latch.target == SIGNALLED
            signalled_spoke = now
        if latch.target != before and source != SIGNALLED:
            assert before == SIGNALLED
            assert now - signalled_spoke >= SILENCE_SECONDS
        if verdict in (Verdict.ACCEPT, Verdict.LEARNED):
            assert source == latch.target


def test_three_packets_are_what_the_policy_says() -> None:
    assert CONSECUTIVE_PACKETS == 3


def test_a_keyed_leg_accepts_authenticated_media_from_anywhere_but_keeps_sending_to_the_signalled_address() -> None:
    latch = KeyedLatch(_allowed())
    for n in range(100):
        assert latch.authenticated(STRANGER, 100.0 + n) is Verdict.ACCEPT
    assert latch.target == SIGNALLED


def test_a_keyed_leg_moves_to_an_allowed_source_after_the_hold_down() -> None:
    latch = KeyedLatch(_allowed())
    assert latch.authenticated(IN_NETWORK, 100.0) is Verdict.ACCEPT
    assert latch.authenticated(IN_NETWORK, 100.0 + HOLD_DOWN_SECONDS - 0.01) is Verdict.ACCEPT
    assert latch.target == SIGNALLED
    assert latch.authenticated(IN_NETWORK, 100.0 + HOLD_DOWN_SECONDS) is Verdict.LEARNED
    assert latch.target == IN_NETWORK


def test_a_keyed_leg_does_not_move_while_the_address_in_use_sends() -> None:
    latch = KeyedLatch(_allowed())
    for n in range(20):
        assert latch.authenticated(OTHER_PORT, 100.0 + n) is Verdict.ACCEPT
        assert latch.authenticated(SIGNALLED, 100.5 + n) is Verdict.ACCEPT
    assert latch.target == SIGNALLED


def test_two_new_sources_of_a_keyed_leg_restart_each_others_hold_down() -> None:
    latch = KeyedLatch(_allowed())
    for n in range(20):
        latch.authenticated(OTHER_PORT, 100.0 + n)
        latch.authenticated(IN_NETWORK, 100.5 + n)
    assert latch.target == SIGNALLED
