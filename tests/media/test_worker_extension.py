"""Header extensions (RFC 8285): what was agreed passes in the numbers of the other side, all else stays behind."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.relay_commands import ExtensionMap, PayloadMap, RelayPlan, Route
from gateway.media.relay_events import MediaMismatch
from gateway.media.worker.extension import elements, passed_on, tells_more
from gateway.media.worker.libsrtp import MAX_PACKET
from gateway.media.worker.packet import Packet
from tests.effort import examples
from tests.media import packets
from tests.media.lanes import PAIRS, lane_rig
from tests.media.peers import BROWSER, TRUNK

LEVEL, MID, OTHER = 1, 4, 9
LOUD = bytes((LEVEL << 4, 0x85))
NAMED = bytes((MID << 4 | 2,)) + b"mic"


def packet(body: bytes, form: int = 0xBEDE) -> Packet:
    """A packet whose extension holds this."""
    body = body.ljust((len(body) + 3) // 4 * 4, b"\0")
    whole = packets.rtp(1)
    extension = struct.pack("!HH", form, len(body) // 4) + body
    made = Packet(bytes((whole[0] | 0x10,)) + whole[1:12] + extension + whole[12:])
    assert made.is_whole()
    return made


def left(extension: bytes) -> list[tuple[int, bytes]]:
    """What an extension holds, read back."""
    assert len(extension) == 4 + 4 * int.from_bytes(extension[2:4])
    return list(elements(packet(extension[4:], int.from_bytes(extension[:2]))) or ())


def test_what_has_a_number_on_the_other_side_goes_on_under_it_alone() -> None:
    mixed = packet(LOUD + NAMED + bytes((OTHER << 4, 1)))
    assert left(passed_on(mixed, {LEVEL: 7})) == [(7, b"\x85")]
    assert left(passed_on(mixed, {LEVEL: 3, MID: 2})) == [(3, b"\x85"), (2, b"mic")]
    assert passed_on(mixed, {12: 1}) == passed_on(mixed, {}) == b""


def test_padding_between_elements_is_none() -> None:
    assert list(elements(packet(b"\0" + LOUD + b"\0\0" + NAMED)) or ()) == [(LEVEL, b"\x85"), (MID, b"mic")]


def test_after_number_15_nothing_is_read() -> None:
    assert list(elements(packet(LOUD + b"\xf0\0" + NAMED)) or ()) == [(LEVEL, b"\x85")]


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (LOUD + bytes((MID << 4 | 15, 1, 2, 3, 4, 5)), 0xBEDE),
        (bytes((LEVEL, 1, 0x85, MID, 200, 1, 2, 3)), 0x1000),
        (bytes((LEVEL, 1, 0x85, 0, 0, 0, 0, MID)), 0x1000),
    ],
)
def test_an_element_that_does_not_fit_ends_what_is_read(body: bytes, form: int) -> None:
    assert list(elements(packet(body, form)) or ()) == [(LEVEL, b"\x85")]


@pytest.mark.parametrize("form", [0x1000, 0x100F])
def test_the_form_of_two_bytes_is_read_whatever_its_last_bits_say(form: int) -> None:
    long = packet(bytes((LEVEL, 1, 0x85, 0, 200, 0, MID, 20)) + b"m" * 20, form)
    assert list(elements(long) or ()) == [(LEVEL, b"\x85"), (200, b""), (MID, b"m" * 20)]


def test_what_does_not_fit_the_short_form_leaves_in_the_long_one() -> None:
    assert passed_on(packet(LOUD), {LEVEL: 14})[:2] == b"\xbe\xde"
    for number in (15, 200):
        assert passed_on(packet(LOUD), {LEVEL: number})[:2] == b"\x10\x00"
        assert left(passed_on(packet(LOUD), {LEVEL: number})) == [(number, b"\x85")]
    empty = packet(bytes((LEVEL, 0)), 0x1000)
    assert left(passed_on(empty, {LEVEL: 2})) == [(2, b"")]


@pytest.mark.parametrize("form", [0, 0xBEDF, 0x1010, 0xFFFF])
def test_another_form_of_extension_holds_nothing_that_could_be_agreed_on(form: int) -> None:
    odd = packet(LOUD, form)
    assert elements(odd) is None
    assert passed_on(odd, {LEVEL: LEVEL}) == b""
    assert tells_more(odd, {LEVEL})


def test_who_says_only_what_was_agreed_tells_no_more() -> None:
    assert not tells_more(packet(LOUD), {LEVEL})
    assert tells_more(packet(LOUD + NAMED), {LEVEL})
    assert tells_more(packet(LOUD), ())


@settings(max_examples=examples(300), deadline=None)
@given(
    body=st.binary(max_size=120),
    form=st.sampled_from([0xBEDE, 0x1000, 0x100A, 0]),
    numbers=st.dictionaries(st.integers(1, 255), st.integers(1, 255)),
)
def test_whatever_an_extension_holds_what_leaves_is_what_was_agreed(
    body: bytes, form: int, numbers: dict[int, int]
) -> None:
    read = packet(body, form)
    extension = passed_on(read, numbers)
    kept = [(numbers[number], content) for number, content in elements(read) or () if number in numbers]
    assert (left(extension) if extension else []) == kept


def plan(*extensions: ExtensionMap) -> RelayPlan:
    return RelayPlan((PayloadMap(0, 0),), extensions=extensions)


def with_level(sequence: int, now: float, more: bytes = b"") -> bytes:
    body = LOUD + more
    return packets.rtp(sequence, timestamp=round(now * 8000), extension=body.ljust(len(body) + -len(body) % 4, b"\0"))


@pytest.mark.parametrize("pair", PAIRS)
def test_an_agreed_extension_passes_the_relay_and_is_no_leak(pair: str) -> None:
    with lane_rig(*PAIRS[pair]) as rig:
        rig.obey(Route(BROWSER, TRUNK, plan(ExtensionMap(LEVEL, 6))))
        for sequence in range(1, 6):
            rig.now += 0.02
            rig.send(BROWSER, rig.sealed(BROWSER, with_level(sequence, rig.now)))
            rig.serve()
            (heard,) = rig.heard(TRUNK)
            assert heard[0] == 0x90
            assert heard[12:20] == b"\xbe\xde\x00\x01" + bytes((6 << 4, 0x85, 0, 0))
            assert heard[20:] == packets.rtp(sequence)[12:]
        assert not [event for event in rig.events() if MediaMismatch.__name__.encode() in event]


def test_beside_an_agreed_extension_another_one_is_left_out_and_told() -> None:
    with lane_rig(*PAIRS["keyed trunk"]) as rig:
        rig.obey(Route(BROWSER, TRUNK, plan(ExtensionMap(LEVEL, 6))))
        rig.send(BROWSER, rig.sealed(BROWSER, with_level(1, rig.now, NAMED)))
        rig.serve()
        (heard,) = rig.heard(TRUNK)
        assert b"mic" not in heard
        assert [event for event in rig.events() if b"meta.leak" in event]


def test_without_agreement_no_extension_passes() -> None:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        rig.obey(Route(BROWSER, TRUNK, plan()))
        rig.send(BROWSER, rig.sealed(BROWSER, with_level(1, rig.now)))
        rig.serve()
        (heard,) = rig.heard(TRUNK)
        assert (heard[0], heard[12:]) == (0x80, packets.rtp(1)[12:])


def test_an_extension_that_grows_beyond_what_can_be_sealed_stays_behind_and_the_sound_does_not() -> None:
    with lane_rig(*PAIRS["keyed trunk"]) as rig:
        rig.obey(Route(BROWSER, TRUNK, plan(*(ExtensionMap(number, 200 + number) for number in range(1, 5)))))
        body = bytes(octet for number in range(1, 5) for octet in (number << 4, 1))
        full = MAX_PACKET - 12 - 4 - len(body)
        whole = packets.rtp(1, timestamp=0, payload=bytes(full), extension=body)
        assert len(whole) == MAX_PACKET
        rig.send(BROWSER, rig.sealed(BROWSER, whole))
        rig.serve()
        assert len(rig.heard(TRUNK)) == 1
