"""Reports on media as JSON: what RFC 3550 and RFC 3611 say, under the names collectors read, whatever peers send."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import HostPort
from gateway.hep.reports import MAX_PACKETS, EndedWay, ended_ways, payload, quality_report, rtcp_report
from tests.effort import examples

OWN, PEER = HostPort("192.0.2.1", 4000), HostPort("198.51.100.2", 5000)
BLOCK = struct.pack("!IIIIII", 0x2222, 0x33_FFFFFE, 70_000, 160, 0xAABBCCDD, 0x10000)
"""51 of 256 lost lately, two more came than were expected, 20 ms of jitter."""
SENDER = struct.pack("!IIIII", 0x11223344, 0x80000000, 48_000, 300, 48_000)
METRICS = struct.pack("!IBBBBHHHH", 0x2222, 10, 20, 30, 40, 500, 600, 70, 80) + bytes(16)


def rtcp(kind: int, body: bytes, count: int = 0) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def of(ssrc: int, rest: bytes = b"") -> bytes:
    return struct.pack("!I", ssrc) + rest


SR = rtcp(200, of(0x1111, SENDER + BLOCK), 1)
RR = rtcp(201, of(0x1111, BLOCK), 1)
SDES = rtcp(202, of(0x1111, b"\x01\x10alice@example.te" + bytes(2)), 1)
XR = rtcp(207, of(0x1111, bytes((4, 0, 0, 2)) + bytes(8) + bytes((7, 0, 0, len(METRICS) // 4)) + METRICS))


def test_a_sender_report_is_told_number_by_number() -> None:
    assert rtcp_report(SR + SDES) == {
        "ssrc": 0x1111,
        "type": 200,
        "report_count": 1,
        "sender_information": {
            "ntp_timestamp_sec": 0x11223344,
            "ntp_timestamp_usec": 0x80000000,
            "rtp_timestamp": 48_000,
            "packets": 300,
            "octets": 48_000,
        },
        "report_blocks": [
            {
                "source_ssrc": 0x2222,
                "fraction_lost": 51,
                "packets_lost": -2,
                "highest_seq_no": 70_000,
                "ia_jitter": 160,
                "lsr": 0xAABBCCDD,
                "dlsr": 0x10000,
            }
        ],
    }


def test_voip_metrics_stand_beside_the_report_they_came_with() -> None:
    found: dict[str, Any] = rtcp_report(RR + XR) or {}
    assert (found["type"], found["report_count"]) == (201, 1)
    metrics = found["report_blocks_xr"]
    assert metrics == {
        "type": 207, "id": 7, "source_ssrc": 0x2222,
        "fraction_lost": 10, "fraction_discard": 20, "burst_density": 30, "gap_density": 40,
        "burst_duration": 500, "gap_duration": 600, "round_trip_delay": 70, "end_system_delay": 80,
    }  # fmt: skip


def test_nobodys_name_is_told() -> None:
    assert b"alice" not in payload(rtcp_report(SR + SDES) or {})


def test_what_reports_nothing_is_no_report() -> None:
    nack = rtcp(205, of(1, of(2, b"\0\1\0\0")), 1)
    for compound in (b"", SDES, nack, rtcp(203, of(1)), b"\x80\xc8\0\0", bytes(40), SR[:20]):
        assert rtcp_report(compound) is None


def test_a_report_that_says_it_has_more_blocks_than_it_has_tells_those_it_has() -> None:
    found: dict[str, Any] = rtcp_report(rtcp(201, of(1, BLOCK), 31)) or {}
    assert (found["report_count"], len(found["report_blocks"])) == (1, 1)


def test_of_endless_packets_a_few_are_read() -> None:
    assert rtcp_report(rtcp(203, of(1)) * MAX_PACKETS + RR) is None


@settings(max_examples=examples(500), deadline=None)
@given(
    st.lists(st.sampled_from([SR, RR, SDES, XR, rtcp(207, of(1, b"\x07\0\0\0"))]), max_size=4).map(b"".join),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.binary(max_size=80),
)
def test_whatever_octets_come_what_is_told_is_json(
    compound: bytes, changes: list[tuple[int, int]], rest: bytes
) -> None:
    octets = bytearray(compound + rest)
    for place, value in changes:
        if place < len(octets):
            octets[place] = value
    report = rtcp_report(bytes(octets))
    if report is not None:
        assert json.loads(payload(report)) == report
        assert len(payload(report)) < 7000


FACTS: Mapping[str, object] = {
    "mos": 3.1,
    "rtt_ms": 80.0,
    "heard": {"mos": 4.3, "packets": 500, "lost": 5, "loss_percent": 1.0, "jitter_ms": 3.0, "jitter_max_ms": 9.0},
    "sent": None,
}


def ways(**changes: object) -> list[EndedWay]:
    return list(ended_ways({**FACTS, **changes}, leg="trunk", codec="PCMU/8000", call_id="b@x", own=OWN, peer=PEER))


def test_what_a_leg_was_like_is_told_of_each_way_that_is_known_from_where_it_came() -> None:
    (heard,) = ways()
    found = quality_report(heard, "a@x", 1_900_000_000.5)
    assert (found["CORRELATION_ID"], found["RTP_SIP_CALL_ID"], found["REPORT_TS"]) == ("a@x", "b@x", 1_900_000_000.5)
    assert (found["MOS"], found["EXPECTED_PK"], found["PACKET_LOSS"], found["JITTER"]) == (4.3, 500, 5, 3.0)
    assert (found["SRC_IP"], found["SRC_PORT"], found["DST_IP"], found["DST_PORT"]) == (*_pair(PEER), *_pair(OWN))
    assert (found["REPORT_NAME"], found["RTT"], found["CODEC_NAME"]) == ("trunk-heard", 80.0, "PCMU/8000")
    assert "DELAY" not in found
    sent = quality_report(ways(sent={"mos": 2.0})[1], "a@x", 0)
    assert (sent["SRC_IP"], sent["DST_IP"], sent["MOS"], sent["DIR"]) == (OWN.host, PEER.host, 2.0, 1)


def test_no_call_id_is_so_long_that_a_report_does_not_fit() -> None:
    way = ended_ways(FACTS, leg="trunk", codec="", call_id="x" * 9000, own=OWN, peer=PEER)[0]
    assert len(payload(quality_report(way, "y" * 9000, 0))) < 2000


def _pair(place: HostPort) -> tuple[str, int]:
    return place.host, place.port
