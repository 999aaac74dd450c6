"""RTP packets as the relay sends them."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker import rtp
from gateway.media.worker.packet import SHORTEST, Packet
from gateway.media.worker.stream import Payload, Place
from tests.media import packets

PCMU = Payload(0)


def _rewrite(packet: bytes, payload: Payload = PCMU, place: Place = (7, 8, False)) -> bytes:
    read = Packet(packet)
    assert read.is_whole()
    return rtp.rewrite(read, payload, 9, place)


def _leaves(**parts: Any) -> bytes:
    """What leaves at the place above."""
    packet = packets.rtp(1, ssrc=9, **parts)
    return packet[:2] + struct.pack("!HI", 7, 8) + packet[8:]


def test_a_packet_leaves_under_our_numbers_with_its_payload_untouched() -> None:
    assert _rewrite(packets.rtp(1)) == _leaves()


def test_the_payload_type_is_mapped_and_the_marker_kept() -> None:
    assert _rewrite(packets.rtp(1, payload_type=101, marker=True), Payload(96)) == _leaves(payload_type=96, marker=True)


def test_the_first_packet_of_a_run_gets_the_marker() -> None:
    assert _rewrite(packets.rtp(1), PCMU, (7, 8, True)) == _leaves(marker=True)


def test_header_extensions_are_taken_out_and_contributing_sources_kept() -> None:
    packet = packets.rtp(1, csrc=(7, 8), extension=b"\x10\xff\x00\x00", padding=b"\x00\x00\x03")
    assert _rewrite(packet) == _leaves(csrc=(7, 8), padding=b"\x00\x00\x03")


def test_an_empty_extension_is_taken_out_too() -> None:
    assert _rewrite(packets.rtp(1, extension=b"")) == _leaves()


@settings(deadline=None)
@given(st.binary(min_size=SHORTEST, max_size=64), st.integers(0, 127), st.booleans())
def test_any_octets_are_rejected_or_rewritten_without_an_extension(data: bytes, number: int, begins: bool) -> None:
    if not Packet(data).is_whole():
        return
    written = _rewrite(data, Payload(number), (1, 2, begins))
    read = Packet(written)
    assert not written[0] & 0x10
    assert (read.sequence, read.timestamp, read.ssrc, read.payload_type) == (1, 2, 9, number)
    assert read.is_rtcp or read.is_whole()
