"""RTP and RTCP packets as the relay sees them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker import rtcp, rtp
from tests.media import packets


def _rewrite(packet: bytes, payloads: dict[int, int]) -> bytes | None:
    ends = rtp.header_ends(packet)
    assert ends is not None
    return rtp.rewrite(packet, payloads, ends)


def test_an_unchanged_payload_type_leaves_the_packet_as_it_is() -> None:
    packet = packets.rtp(1)
    assert _rewrite(packet, {0: 0}) is packet


def test_the_payload_type_is_mapped_and_the_marker_kept() -> None:
    mapped = _rewrite(packets.rtp(9, payload_type=101, marker=True), {101: 96})
    assert mapped == packets.rtp(9, payload_type=96, marker=True)


def test_an_unmapped_payload_type_is_not_relayed() -> None:
    assert _rewrite(packets.rtp(1, payload_type=13), {0: 0}) is None


def test_header_extensions_are_taken_out_and_contributing_sources_kept() -> None:
    packet = packets.rtp(1, csrc=(7, 8), extension=b"\x10\xff\x00\x00", padding=b"\x00\x00\x03")
    assert _rewrite(packet, {0: 0}) == packets.rtp(1, csrc=(7, 8), padding=b"\x00\x00\x03")


def test_an_empty_extension_is_taken_out_too() -> None:
    assert _rewrite(packets.rtp(1, extension=b""), {0: 0}) == packets.rtp(1)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
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
    assert rtp.header_ends(packet) is None


@settings(deadline=None)
@given(st.binary(max_size=64), st.dictionaries(st.integers(0, 127), st.integers(0, 127)))
def test_any_octets_are_rejected_or_rewritten_without_an_extension(data: bytes, payloads: dict[int, int]) -> None:
    ends = rtp.header_ends(data)
    if ends is None:
        return
    mapped = rtp.rewrite(data, payloads, ends)
    if mapped is not None:
        assert not mapped[0] & 0x10
        assert rtp.header_ends(mapped) is not None
        assert mapped[2:12] == data[2:12]


def test_rtcp_is_told_from_rtp_by_the_second_octet() -> None:
    assert rtp.is_rtcp(packets.receiver_report())
    assert rtp.is_rtcp(packets.rtp(1, payload_type=64))
    assert rtp.is_rtcp(packets.rtp(1, payload_type=95, marker=True))
    assert not rtp.is_rtcp(packets.rtp(1, payload_type=63, marker=True))
    assert not rtp.is_rtcp(packets.rtp(1, payload_type=96))


def test_a_compound_is_relayed_whole() -> None:
    compound = packets.sender_report() + struct.pack("!BBHI4s", 0x81, 202, 2, 1, b"\x01\x01x\x00")
    assert rtcp.relayable(compound) == compound


def test_a_private_packet_stays_on_its_leg() -> None:
    assert rtcp.relayable(packets.receiver_report() + packets.app()) == packets.receiver_report()
    assert rtcp.relayable(packets.app()) is None


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
        struct.pack("!BBHI", 0x80, 192, 1, 1),
        packets.rtp(1, payload_type=64),
    ],
)
def test_rtcp_whose_lengths_do_not_add_up_is_dropped_cve_2017_14099(packet: bytes) -> None:
    assert rtcp.relayable(packet) is None


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_any_octets_are_dropped_or_a_valid_compound(data: bytes) -> None:
    clean = rtcp.relayable(data)
    assert clean is None or rtcp.relayable(clean) == clean
