"""Streams: where one message ends and the next begins is never a guess."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.framing import PING, PING_GAP, PONG, StreamFramer
from gateway.sip.head import MAX_HEAD, MAX_HEADERS, MAX_MESSAGE
from gateway.sip.message import parse_message
from tests.sip.samples import jssip_capture, raw

ONE = raw(Content_Length="3", body=b"abc")
TWO = raw("BYE sip:b@h SIP/2.0", CSeq="2 BYE", extra="l: 0")


def refusal(data: bytes) -> int:
    framer = StreamFramer()
    with pytest.raises(SipError) as caught:
        framer.feed(data, 0.0)
    with pytest.raises(SipError):
        framer.feed(ONE, 1.0)
    return caught.value.status


def test_two_messages_in_one_segment_are_two() -> None:
    assert StreamFramer().feed(ONE + TWO, 0.0) == [ONE, TWO]


def test_a_message_split_anywhere_is_one() -> None:
    for cut in range(len(ONE)):
        framer = StreamFramer()
        assert framer.feed(ONE[:cut], 0.0) == []
        assert framer.feed(ONE[cut:] + TWO, 1.0) == [ONE, TWO]


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1))
def test_any_segmentation_gives_the_same_messages(steps: list[int]) -> None:
    sent = jssip_capture()
    data, framer, got, place, turn = b"".join(sent), StreamFramer(), list[bytes](), 0, 0
    while place < len(data):
        step = steps[turn % len(steps)]
        got += framer.feed(data[place : place + step], 0.0)
        place, turn = place + step, turn + 1
    assert got == sent
    assert framer.pending_since is None
    assert all(bytes(parse_message(message, stream=True)) == message for message in got)


@pytest.mark.parametrize(
    "line",
    ["Content-Length: 3", "content-length : 3", "l:3", "L \t:\t3 ", "Content-Length:\r\n 3", "CONTENT-LENGTH: 0003"],
)
def test_content_length_is_found_in_every_legal_spelling(line: str) -> None:
    data = raw(extra=line, body=b"abc")
    assert StreamFramer().feed(data + TWO, 0.0) == [data, TWO]


def test_a_content_length_inside_another_header_or_the_body_is_none() -> None:
    body = b"Content-Length: 99\r\n\r\n"
    data = raw(extra=f"Subject: a\r\n Content-Length: 5\r\nX-Content-Length: 6\r\nl: {len(body)}", body=body)
    assert StreamFramer().feed(data + TWO, 0.0) == [data, TWO]


@pytest.mark.parametrize(
    "extra",
    [
        "X: 1",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 0\r\nl: 5",
        "Content-Length: 3, 3",
        "Content-Length: -1",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length:",
        "Content-Length: 3 3",
        "Content-Length: 99999999999999999999",
        "Content-Length\x0b: 3",
        "X: a\nContent-Length: 3",
        "X: a\rContent-Length: 3",
        "X: \0\r\nContent-Length: 3",
    ],
)
def test_an_unsafe_end_of_message_loses_the_stream(extra: str) -> None:
    assert refusal(raw(extra=extra, body=b"abc")) == 400


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\n", b" INVITE", b"\r\r", b"\0", b"\r\n\x80", b"<"])
def test_noise_loses_the_stream_with_its_first_octet(data: bytes) -> None:
    assert refusal(data) == 400


BROKEN = [
    b"C\r\n\r\n",
    b"\x16\x03\x01",
    raw(extra="X: 1"),
    raw(extra="Content-Length: x"),
    raw(extra="Content-Length: 1\r\nl: 2", body=b"ab"),
    raw(extra=f"l: {MAX_MESSAGE}"),
    b"X" * (MAX_HEAD + 4),
]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_messages_before_a_broken_one_are_not_lost_with_it(broken: bytes) -> None:
    framer = StreamFramer()
    assert framer.feed(ONE + PING + TWO + broken + ONE, 0.0) == [ONE, PING, TWO]
    assert framer.failure is not None
    assert framer.refused.startswith(broken[:20])
    with pytest.raises(SipError):
        framer.feed(ONE, 1.0)


def test_what_a_broken_message_began_with_is_kept_across_segments() -> None:
    framer = StreamFramer()
    broken = raw(extra="Content-Length: x")
    assert framer.feed(broken[:50], 0.0) == []
    with pytest.raises(SipError):
        framer.feed(broken[50:], 0.1)
    assert framer.refused == broken


def test_the_limits_of_a_stream() -> None:
    assert refusal(b"X" * (MAX_HEAD + 4)) == 513
    assert refusal(raw(extra="\r\n".join(["X: y"] * MAX_HEADERS))) == 513
    assert refusal(raw(extra=f"l: {MAX_MESSAGE}")) == 413
    assert refusal(raw(extra=f"l: {MAX_MESSAGE * 9}")) == 413
    body = b"x" * (MAX_MESSAGE - 400)
    assert len(StreamFramer().feed(raw(extra=f"l: {len(body)}", body=body), 0.0)) == 1


def test_a_head_of_exactly_the_limit_is_taken() -> None:
    lines = ["X: " + "y" * 8000] * 4
    room = MAX_HEAD + len(b"\r\n\r\n") - len(raw(extra="\r\n".join([*lines, "l: 0", "Y: "])))
    data = raw(extra="\r\n".join([*lines, "l: 0", "Y: " + "z" * room]))
    assert StreamFramer().feed(data, 0.0) == [data]
    assert refusal(raw(extra="\r\n".join([*lines, "l: 0", "Y: " + "z" * (room + 1)]))) == 513


def test_a_double_line_end_is_a_ping_and_a_single_one_a_pong() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n\r\n", 0.0) == [PING]
    assert framer.feed(PONG, 100.0) == []
    assert framer.feed(PONG, 100.0 + PING_GAP + 1) == []
    assert framer.pending_since is None


def test_a_ping_cut_in_pieces_is_a_ping() -> None:
    framer = StreamFramer()
    assert [framer.feed(bytes([octet]), 0.0) for octet in b"\r\n\r\n"] == [[], [], [], [PING]]


def test_pings_between_messages_keep_their_place() -> None:
    assert StreamFramer().feed(PING + ONE + PING + TWO + PONG + ONE, 0.0) == [PING, ONE, PING, TWO, ONE]


def test_a_flood_of_pings_is_answered_once() -> None:
    framer = StreamFramer()
    start = time.process_time()
    assert framer.feed(b"\r\n" * 32000, 0.0) == [PING]
    assert time.process_time() - start < 0.05


def test_a_line_end_before_a_message_is_no_half_of_a_later_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(PONG + ONE + PONG, 0.0) == [ONE]


def test_the_age_of_an_unfinished_message_counts_from_its_first_octet() -> None:
    framer = StreamFramer()
    ages: list[float | None] = []
    for now, data in ((5.0, ONE[:10]), (9.0, ONE[10:20]), (12.0, ONE[20:] + TWO[:7]), (13.0, TWO[7:])):
        framer.feed(data, now)
        ages.append(framer.pending_since)
    assert ages == [5.0, 5.0, 12.0, None]


def test_octet_by_octet_costs_no_more_than_linear_time() -> None:
    data = raw(extra="\r\n".join(["X: " + "y" * 7000] * 4) + "\r\nl: 20000", body=b"x" * 20000)
    framer = StreamFramer()
    start = time.process_time()
    got = [message for octet in data for message in framer.feed(bytes([octet]), 0.0)]
    assert got == [data]
    assert time.process_time() - start < 0.5
