"""Media datagrams before anything is authentic: DTLS records, RTP and RTCP headers (RFC 6347 4.1, RFC 3550 5 and 6)."""

from __future__ import annotations

import pytest

from gateway.media.worker import extended, rtcp, rtp
from gateway.media.worker.feedback import IntraRequests, mapped
from gateway.media.worker.packet import SHORTEST, Packet
from gateway.media.worker.stream import Payload, Stream
from gateway.webrtc.dtls_record import RECORD_HEADER, pack_records, split_records
from tests.fuzz.mutate import TIMEOUT, run

pytestmark = pytest.mark.timeout(TIMEOUT)

RECORD = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x04abcd"
RECORDS = [RECORD, RECORD * 3, RECORD * 100, b"\x15\xfe\xff" + bytes(8) + b"\x00\x02\x02\x28"]
RECORD_WORDS = (b"\x16\xfe\xfd", b"\x17\xfe\xff", b"\x00\x00", b"\xff\xff", b"\x16\xfe\xfc", bytes(13))

PLAIN = b"\x80\x00\x12\x34\x00\x00\x00\xa0SSRC" + b"\xd5" * 160
EXTENDED = b"\x92\x80\x12\x34\x00\x00\x00\xa0SSRCCSR1CSR2\xbe\xde\x00\x01\x10\x05\x00\x00" + b"\xd5" * 20
PADDED = b"\xa0\x08\x12\x34\x00\x00\x00\xa0SSRC" + b"\xd5" * 12 + b"\x00\x00\x00\x04"
METRICS = b"\x80\xcf\x00\x0aSSRC\x07\x00\x00\x08SSRC" + bytes(28)
REQUEST = b"\x81\xcd\x00\x03SSRCSSRC\x00\x01\x00\x05"
REPORT = b"\x80\xc8\x00\x06SSRC" + bytes(20)
COMPOUND = REPORT + b"\x81\xca\x00\x03SSRC\x01\x04cname\x00"[:16] + b"\x81\xcb\x00\x01SSRC"
RTP_WORDS = (b"\x80\xc8", b"\x81\xcb\x00\x01", b"\xbe\xde\xff\xff", b"\x00\x00\xff\xff", b"\xff" * 4, b"\x9f")


HEARD = Stream()
HEARD.ssrc = int.from_bytes(b"SSRC")
HEARD.place(1, 1, 7, Payload(0), 0.0)


def split(data: bytes) -> None:
    records = list(split_records(data))
    assert data.startswith(b"".join(records))
    assert all(len(record) >= RECORD_HEADER for record in records)
    assert b"".join(pack_records(data)) == b"".join(records)


def relay(data: bytes) -> None:
    """As the worker does it: what is shorter than any packet never gets here."""
    if len(data) < SHORTEST:
        return
    packet = Packet(data)
    if packet.is_whole():
        place = Stream().place(packet.sequence, packet.timestamp, packet.ssrc, Payload(8), 0.0)
        assert place is not None
        assert len(rtp.rewrite(packet, Payload(8), 1, place)) <= len(data)
    parts = rtcp.split(data)
    assert parts is None or b"".join(parts) == data
    for part in rtcp.read(data) or ():
        report(part)


def report(part: bytes) -> None:
    """A packet of a compound, as the leg it came to reads it."""
    assert all(-0x800000 <= block.lost < 0x800000 for block in rtcp.blocks(part))
    if part[1] == rtcp.XR:
        extended.reference_time(part)
        extended.voip_metrics(part, HEARD.ssrc)
    elif part[1] in (rtcp.RTPFB, rtcp.PSFB):
        request = mapped(part, HEARD, 1, IntraRequests(), IntraRequests())
        assert request is None or rtcp.read(request) == [request]


def test_any_datagram_is_cut_into_whole_dtls_records() -> None:
    assert run(split, RECORDS, RECORD_WORDS) > 100


def test_any_datagram_is_rtp_rtcp_or_nothing() -> None:
    assert run(relay, [PLAIN, EXTENDED, PADDED, REPORT, COMPOUND, REQUEST, METRICS], RTP_WORDS) > 100
