"""A datagram read once: what it says it is, and whether that fits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker.packet import HEADER, SHORTEST, Packet
from tests.media import packets


def test_the_numbers_of_an_ordinary_packet_are_read_and_nothing_more_needs_asking() -> None:
    read = Packet(packets.rtp(7, payload_type=8, ssrc=9, timestamp=10))
    assert (read.payload_type, read.sequence, read.timestamp, read.ssrc) == (8, 7, 10, 9)
    assert (read.end, read.start, read.is_odd, read.is_rtcp) == (HEADER, HEADER, False, False)
    assert read.is_whole()


def test_extension_and_contributing_sources_lie_between_header_and_payload() -> None:
    read = Packet(packets.rtp(1, csrc=(7, 8), extension=bytes(8)))
    assert (read.end, read.start, read.is_odd) == (HEADER + 8, HEADER + 8 + 12, True)
    assert read.is_whole()


def test_padding_is_looked_at_in_clear_only() -> None:
    """SRTP encrypts it: what looks like too much padding may be none."""
    clear = packets.rtp(1, padding=b"\x00\x02")
    read = Packet(clear[:-1] + b"\xff" + bytes(10))
    read.data = clear
    assert read.is_whole()


@pytest.mark.parametrize(
    "packet",
    [
        packets.rtp(1)[:11],
        b"\x40" + packets.rtp(1)[1:],
        b"\x8f" + packets.rtp(1, payload=bytes(8))[1:],
        packets.rtp(1, extension=bytes(4), payload=b"")[:14],
        b"\x90" + bytes(11) + b"\xbe\xde\xff\xff" + bytes(100),
        packets.rtp(1, payload=b"", padding=b"\x02"),
        packets.rtp(1, payload=b"", padding=b"\x00"),
        packets.rtp(1, padding=b"\xff"),
    ],
)
def test_what_does_not_fit_its_own_header_is_no_rtp(packet: bytes) -> None:
    read = Packet(packet)
    assert read.is_odd, "so that it is asked"
    assert not read.is_whole()


def test_rtcp_is_told_from_rtp_by_the_second_octet() -> None:
    assert Packet(packets.receiver_report()).is_rtcp
    assert Packet(packets.rtp(1, payload_type=64)).is_rtcp
    assert Packet(packets.rtp(1, payload_type=95, marker=True)).is_rtcp
    assert not Packet(packets.rtp(1, payload_type=63, marker=True)).is_rtcp
    assert not Packet(packets.rtp(1, payload_type=96)).is_rtcp


@settings(deadline=None)
@given(st.binary(min_size=SHORTEST, max_size=80))
def test_any_octets_are_read_and_what_is_not_odd_is_whole(data: bytes) -> None:
    read = Packet(data)
    if not read.is_rtcp and not read.is_odd:
        assert read.is_whole()
    if read.is_whole():
        assert HEADER <= read.end <= read.start <= len(data)
