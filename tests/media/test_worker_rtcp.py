"""RTCP in the numbers of our own streams: what each side reads is about packets it has seen."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker import rtcp
from gateway.media.worker.stream import Payload, Stream
from tests.media import packets

PCMU = Payload(0)
CALLER, CALLEE, STRANGER = 0x1111, 0x2222, 0x3333
"""Sources: of what the reporting peer sends, of what it receives, and of neither."""


class Talk:
    """Two streams in use: the caller's packets 1000.., the callee's 65530.. (its numbers wrap)."""

    def __init__(self) -> None:
        self.sent, self.received = Stream(), Stream()
        for n in range(20):
            now = n * 0.02
            self.first = self.first if n else self.sent.place(1000, 50_000, CALLER, PCMU, now)
            self.sent.place(1000 + n, 50_000 + 160 * n, CALLER, PCMU, now)
            where = self.received.place((65530 + n) & 0xFFFF, 160 * n, CALLEE, PCMU, now)
            self.begins = self.begins if n else where
        self.now = 19 * 0.02

    first: tuple[int, int, bool] | None = None
    begins: tuple[int, int, bool] | None = None

    def translate(self, packet: bytes) -> bytes | None:
        parts = rtcp.split(packet)
        return rtcp.translate(parts, self.sent, self.received, self.now) if parts is not None else None

    @property
    def base(self) -> int:
        """Our sequence number of the callee's packet 65530."""
        assert self.begins is not None
        return self.begins[0]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def block(ssrc: int, highest: int) -> bytes:
    """A report block (RFC 3550 6.4.1): 12 % lost, 7 in all, some jitter, LSR and DLSR."""
    return struct.pack("!IIIIII", ssrc, 0x1F000007, highest, 33, 0xAABBCCDD, 0x00010000)


def sender_report(ssrc: int, timestamp: int, *blocks: bytes) -> bytes:
    head = struct.pack("!BBHI", 0x80 | len(blocks), 200, 6 + 6 * len(blocks), ssrc)
    return head + struct.pack("!QIII", 0x1122334455667788, timestamp, 4711, 815) + b"".join(blocks)


def receiver_report(ssrc: int, *blocks: bytes) -> bytes:
    return struct.pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), ssrc) + b"".join(blocks)


def description(ssrc: int, name: bytes) -> bytes:
    items = b"\x01" + bytes((len(name),)) + name + b"\x06\x06Evil/1"
    items += bytes(4 - len(items) % 4)
    return struct.pack("!BBHI", 0x81, 202, 1 + len(items) // 4, ssrc) + items


def feedback(kind: int, form: int, media: int, control: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0x80 | form, kind, 2 + len(control) // 4, CALLER, media) + control


def extended(*blocks: bytes) -> bytes:
    body = b"".join(blocks)
    return struct.pack("!BBHI", 0x80, 207, 1 + len(body) // 4, CALLER) + body


def test_a_sender_report_speaks_of_our_stream(talk: Talk) -> None:
    talk.sent.packets, talk.sent.octets = 20, 3200
    written = talk.translate(sender_report(CALLER, 50_000 + 160 * 19))
    assert written is not None
    assert talk.first is not None
    ssrc, ntp, timestamp, sent, octets = struct.unpack_from("!IQIII", written, 4)
    assert (written[1], ssrc, ntp) == (rtcp.SR, talk.sent.ssrc, 0x1122334455667788)
    assert timestamp == (talk.first[1] + 160 * 19) & 0xFFFFFFFF
    assert (sent, octets) == (20, 3200)


def test_a_sender_report_in_timestamps_the_stream_has_left_tells_the_present_one(talk: Talk) -> None:
    written = talk.translate(sender_report(CALLER, 7))
    assert written is not None
    assert struct.unpack_from("!I", written, 16)[0] == talk.sent.timestamp_at(talk.now)


def test_a_sender_report_of_another_source_keeps_its_reports_only(talk: Talk) -> None:
    written = talk.translate(sender_report(STRANGER, 1, block(talk.received.ssrc, talk.base)))
    assert written == receiver_report(talk.sent.ssrc, block(CALLEE, 65530))


def test_reports_about_our_stream_reach_its_source_in_its_own_numbers(talk: Talk) -> None:
    reports = block(talk.received.ssrc, talk.base + 10), block(STRANGER, talk.base), block(CALLEE, talk.base)
    written = talk.translate(receiver_report(CALLER, *reports))
    # Ten packets after 65530 the source has begun its second cycle.
    assert written == receiver_report(talk.sent.ssrc, block(CALLEE, 0x10004))


def test_a_report_about_a_source_that_was_replaced_is_left_out(talk: Talk) -> None:
    talk.received.place(1, 1, STRANGER, PCMU, 1.0)
    assert talk.translate(receiver_report(CALLER, block(talk.received.ssrc, talk.base + 5))) == receiver_report(
        talk.sent.ssrc
    )
    written = talk.translate(receiver_report(CALLER, block(talk.received.ssrc, talk.base + 20)))
    assert written == receiver_report(talk.sent.ssrc, block(STRANGER, 1))


def test_the_name_is_ours_and_nothing_of_the_peers_description_is_passed_on(talk: Talk) -> None:
    written = talk.translate(receiver_report(CALLER) + description(CALLER, b"alice@laptop.lan"))
    assert written is not None
    assert b"alice" not in written
    assert b"Evil" not in written
    assert talk.sent.cname in written
    assert talk.sent.cname != talk.received.cname
    parts = rtcp.split(written)
    assert parts is not None
    assert [part[1] for part in parts] == [rtcp.RR, rtcp.SDES]
    assert struct.unpack_from("!I", parts[1], 4)[0] == talk.sent.ssrc


def test_the_end_of_a_source_does_not_end_our_stream(talk: Talk) -> None:
    bye = struct.pack("!BBHI", 0x81, 203, 1, CALLER)
    assert talk.translate(receiver_report(CALLER) + bye) == receiver_report(talk.sent.ssrc)
    assert talk.translate(bye) is None


def test_a_nack_asks_for_the_numbers_of_the_source(talk: Talk) -> None:
    lost = struct.pack("!HH", (talk.base + 7) & 0xFFFF, 0b101)
    written = talk.translate(feedback(rtcp.RTPFB, 1, talk.received.ssrc, lost))
    assert written == struct.pack("!BBHII", 0x81, 205, 3, talk.sent.ssrc, CALLEE) + struct.pack("!HH", 1, 0b101)


def test_feedback_that_names_what_the_other_leg_does_not_know_stays_on_its_leg(talk: Talk) -> None:
    for packet in (
        feedback(rtcp.RTPFB, 1, STRANGER, struct.pack("!HH", talk.base, 0)),
        feedback(rtcp.RTPFB, 15, talk.received.ssrc, bytes(8)),
        feedback(rtcp.RTPFB, 3, talk.received.ssrc, struct.pack("!II", STRANGER, 0)),
        feedback(rtcp.PSFB, 15, talk.received.ssrc, b"REMB" + bytes(8)),
        feedback(rtcp.PSFB, 4, 0, struct.pack("!II", talk.received.ssrc, 0)),
        packets.app(),
    ):
        assert talk.translate(packet) is None


def test_a_picture_loss_is_told_to_the_source(talk: Talk) -> None:
    assert talk.translate(feedback(rtcp.PSFB, 1, talk.received.ssrc)) == struct.pack(
        "!BBHII", 0x81, 206, 2, talk.sent.ssrc, CALLEE
    )


def test_extended_reports_are_mapped_block_by_block(talk: Talk) -> None:
    ours = struct.pack("!I", talk.received.ssrc)
    time = struct.pack("!BBHQ", 4, 0, 2, 99)
    echo = struct.pack("!BBH", 5, 0, 6) + ours + bytes(8) + struct.pack("!III", STRANGER, 1, 2)
    voip = struct.pack("!BBH", 7, 0, 8) + ours + bytes(28)
    summary = struct.pack("!BBH", 6, 0xE0, 9) + ours + struct.pack("!HH", talk.base, talk.base + 20) + bytes(28)
    loss = struct.pack("!BBH", 1, 0, 3) + ours + bytes(8)
    written = talk.translate(extended(time, echo, voip, summary, loss))
    assert written is not None
    theirs = struct.pack("!I", CALLEE)
    assert written[4:8] == struct.pack("!I", talk.sent.ssrc)
    assert written[8:] == (
        time
        + struct.pack("!BBH", 5, 0, 3)
        + theirs
        + bytes(8)
        + voip[:4]
        + theirs
        + bytes(28)
        + summary[:4]
        + theirs
        + struct.pack("!HH", 65530, 14)
        + bytes(28)
    )


def test_before_a_source_was_heard_its_reports_say_nothing_of_it() -> None:
    sent, received = Stream(), Stream()
    written = rtcp.translate([sender_report(CALLER, 1, block(received.ssrc, 1))], sent, received, 0.0)
    assert written == receiver_report(sent.ssrc)


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
def test_rtcp_whose_lengths_do_not_add_up_is_dropped_cve_2017_14099(talk: Talk, packet: bytes) -> None:
    assert talk.translate(packet) is None


KNOWN = Talk()
_WORDS = st.sampled_from([CALLER, CALLEE, STRANGER, KNOWN.sent.ssrc, KNOWN.received.ssrc, 0, 0xFFFFFFFF])
_PARTS = st.builds(
    lambda kind, count, words: (
        struct.pack("!BBH", 0x80 | count, kind, len(words)) + struct.pack(f"!{len(words)}I", *words)
    ),
    st.integers(192, 210),
    st.integers(0, 31),
    st.lists(_WORDS, max_size=16),
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=120), st.lists(_PARTS, max_size=4).map(b"".join)))
def test_any_octets_are_dropped_or_a_compound_of_our_own_stream(data: bytes) -> None:
    written = KNOWN.translate(data)
    if written is None:
        return
    parts = rtcp.split(written)
    assert parts is not None
    assert {struct.unpack_from("!I", part, 4)[0] for part in parts} == {KNOWN.sent.ssrc}
