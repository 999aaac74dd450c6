"""Header extensions in descriptions (RFC 8285 5)."""

from __future__ import annotations

import pytest

from gateway.sdp.description import SessionDescription
from gateway.sdp.direction import Direction
from gateway.sdp.extension import MAX_EXTENSIONS, HeaderExtension, answered, offered, read_extensions

LEVEL, MID, TIME = "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "urn:ietf:params:rtp-hdrext:sdes:mid", "urn:x:time"


def read(*lines: str, session: tuple[str, ...] = ()) -> tuple[HeaderExtension, ...]:
    text = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    text += (
        [f"a=extmap:{line}" for line in session] + ["m=audio 4000 RTP/AVP 0"] + [f"a=extmap:{line}" for line in lines]
    )
    description = SessionDescription.parse("".join(line + "\r\n" for line in text).encode())
    return read_extensions(description, description.media[0])


def test_number_direction_and_uri_are_read_and_written() -> None:
    found = read(f"1 {LEVEL}", f"200/recvonly {MID} with=attributes", session=(f"3/sendonly {TIME}",))
    assert found == (
        HeaderExtension(1, LEVEL),
        HeaderExtension(200, MID, Direction.RECVONLY),
        HeaderExtension(3, TIME, Direction.SENDONLY),
    )
    assert [extension.to_line() for extension in found] == [f"1 {LEVEL}", f"200/recvonly {MID}", f"3/sendonly {TIME}"]


MALFORMED = [
    "",
    "1",
    "1  ",
    "1 " + "u" * 256,
    *(f"{number} {LEVEL}" for number in ("0", "256", "4096", "-1", "x", "1/both", "1/", "\u00b2")),
]


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_left_out(line: str) -> None:
    assert read(line, f"2 {MID}") == (HeaderExtension(2, MID),)


def test_a_number_or_an_extension_that_stands_there_twice_counts_once() -> None:
    assert read(f"1 {LEVEL}", f"1 {MID}", f"2 {LEVEL}") == (HeaderExtension(1, LEVEL),)


def test_of_many_lines_the_first_are_read() -> None:
    assert len(read(*(f"{n} urn:x:{n}" for n in range(1, 100)))) == MAX_EXTENSIONS


def test_what_is_wanted_and_allowed_is_offered_under_numbers_that_stay() -> None:
    first = offered([MID, LEVEL, TIME], (LEVEL, MID))
    assert first == (HeaderExtension(1, LEVEL), HeaderExtension(2, MID))
    assert offered([MID], (LEVEL, MID), first) == (HeaderExtension(2, MID),)
    assert offered([MID, TIME], (TIME, MID), first) == (HeaderExtension(3, TIME), HeaderExtension(2, MID))
    assert offered([LEVEL], ()) == offered([], (LEVEL,)) == ()


def test_no_more_is_offered_than_the_short_form_has_numbers_for() -> None:
    uris = [f"urn:x:{n}" for n in range(20)]
    assert [extension.number for extension in offered(uris, uris)] == list(range(1, 15))


def test_what_is_answered_has_the_numbers_of_the_offer_and_is_seen_from_our_side() -> None:
    theirs = read(f"7/sendonly {LEVEL}", f"2 {MID}", f"9 {TIME}")
    assert answered(theirs, [LEVEL, MID], [LEVEL, TIME, MID]) == (
        HeaderExtension(7, LEVEL, Direction.RECVONLY),
        HeaderExtension(2, MID),
    )
    assert answered(theirs, [LEVEL], []) == answered(theirs, [], [LEVEL]) == ()
