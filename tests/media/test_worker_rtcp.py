"""RTCP as it is read and written: by length, block by block."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker import rtcp
from tests.effort import examples
from tests.media import packets


def description(ssrc: int, name: bytes) -> bytes:
    items = b"\x01" + bytes((len(name),)) + name + b"\x06\x06Evil/1"
    items += bytes(4 - len(items) % 4)
    return struct.pack("!BBHI", 0x81, 202, 1 + len(items) // 4, ssrc) + items


def test_a_sender_report_is_written_as_rfc_3550_6_4_1_has_it() -> None:
    found = [rtcp.Block(7, 31, -2, 0x10004, 33, 0xAABBCCDD, 0x10000)]
    written = rtcp.sender_report(9, 0x1122334455667788, 160, 20, 3200, found)
    assert written == (
        struct.pack("!BBHIQIII", 0x81, 200, 12, 9, 0x1122334455667788, 160, 20, 3200)
        + struct.pack("!IB3sIIII", 7, 31, b"\xff\xff\xfe", 0x10004, 33, 0xAABBCCDD, 0x10000)
    )
    assert list(rtcp.blocks(written)) == found
    assert (rtcp.sender_of(written), rtcp.sent_at(written)) == (9, 0x33445566)


def test_counts_of_a_long_call_are_written_modulo_32_bits() -> None:
    written = rtcp.sender_report(1, 0, 0, (1 << 32) + 5, (1 << 33) + 6, ())
    assert struct.unpack_from("!II", written, 20) == (5, 6)


def test_a_receiver_report_with_nothing_heard_is_empty() -> None:
    assert rtcp.receiver_report(9, ()) == packets.receiver_report(9)
    assert list(rtcp.blocks(packets.receiver_report(9))) == []


@pytest.mark.parametrize("length", [1, 5, 16, 29])
def test_a_description_has_one_chunk_that_ends_in_zeros(length: int) -> None:
    written = rtcp.description(9, b"n" * length)
    assert written[:8] == struct.pack("!BBHI", 0x81, 202, len(written) // 4 - 1, 9)
    assert written[8:].rstrip(b"\0") == bytes((1, length)) + b"n" * length
    assert written.endswith(b"\0")
    assert len(written) % 4 == 0


def test_what_is_written_is_a_compound_that_is_read_again() -> None:
    parts = [rtcp.receiver_report(9, ()), rtcp.description(9, b"name"), rtcp.goodbye(9)]
    assert rtcp.read(b"".join(parts)) == parts


def test_types_that_mean_nothing_here_are_left_out() -> None:
    private = struct.pack("!BBHI", 0x80, 210, 1, 1)
    assert rtcp.read(packets.receiver_report() + packets.app() + private) == [packets.receiver_report()]


def test_a_block_that_is_cut_off_and_what_follows_the_blocks_are_not_read() -> None:
    whole = packets.receiver_report(1, packets.block(7), packets.block(8))
    assert [block.ssrc for block in rtcp.blocks(whole[:-4])] == [7]
    assert [block.ssrc for block in rtcp.blocks(b"\x81" + whole[1:])] == [7], "a profile extension"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x80",
        b"\x80\xc8\x00",
        packets.sender_report()[:-4],
        packets.receiver_report() + b"\x80",
        packets.receiver_report() + b"\x80\xc9\x00\x05",
        b"\x00" + packets.receiver_report()[1:],
        struct.pack("!BBHI", 0x80, 200, 1, 1),
        struct.pack("!BBHI", 0x80, 201, 5, 1) + bytes(8),
        struct.pack("!BBH", 0x80, 201, 0),
        struct.pack("!BBHI", 0xA0, 201, 1, 1) + packets.receiver_report(),
        packets.receiver_report() * (rtcp.MAX_PACKETS + 1),
        packets.receiver_report() + struct.pack("!BBHI", 0x81, 205, 1, 1),
        struct.pack("!BBHI", 0x80, 192, 1, 1),
        packets.rtp(1, payload_type=64),
        packets.app(),
    ],
)
def test_rtcp_whose_lengths_do_not_add_up_is_dropped_cve_2017_14099(packet: bytes) -> None:
    assert rtcp.read(packet) is None


_PARTS = st.builds(
    lambda kind, count, words: (
        struct.pack("!BBH", 0x80 | count, kind, len(words)) + struct.pack(f"!{len(words)}I", *words)
    ),
    st.integers(192, 210),
    st.integers(0, 31),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=16),
)


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(st.binary(max_size=120), st.lists(_PARTS, max_size=4).map(b"".join)))
def test_any_octets_are_dropped_or_read_to_their_end(data: bytes) -> None:
    for part in rtcp.read(data) or ():
        for block in rtcp.blocks(part):
            assert -0x800000 <= block.lost < 0x800000
