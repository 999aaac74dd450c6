"""Feedback that asks something of a source: in the numbers of the source, or not at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker.feedback import IntraRequests, mapped
from gateway.media.worker.rtcp import PSFB, RTPFB
from gateway.media.worker.stream import Payload, Stream
from tests.effort import examples
from tests.media import packets

SOURCE, OTHER, SENDER = 0x2222, 0x3333, 0x4444
"""Of what the asking peer hears; of nothing it hears; of what we send to the source."""


class Asking:
    """A peer that hears packets 65530.. of a source; its numbers wrap."""

    def __init__(self) -> None:
        self.heard = Stream()
        places = [self.heard.place((65530 + n) & 0xFFFF, 160 * n, SOURCE, Payload(0), n * 0.02) for n in range(20)]
        assert places[0] is not None
        self.base = places[0][0]
        """Our number of the source's 65530."""
        self.asked, self.asking = IntraRequests(), IntraRequests()

    def mapped(self, part: bytes) -> bytes | None:
        return mapped(part, self.heard, SENDER, self.asked, self.asking)


@pytest.fixture
def peer() -> Asking:
    return Asking()


def test_a_nack_asks_for_the_numbers_of_the_source(peer: Asking) -> None:
    lost = struct.pack("!HHHH", (peer.base + 7) & 0xFFFF, 0b101, (peer.base + 9) & 0xFFFF, 0)
    assert peer.mapped(packets.feedback(RTPFB, 1, peer.heard.ssrc, lost)) == packets.feedback(
        RTPFB, 1, SOURCE, struct.pack("!HHHH", 1, 0b101, 3, 0), ssrc=SENDER
    )


def test_a_nack_for_what_was_never_sent_asks_for_nothing(peer: Asking) -> None:
    lost = struct.pack("!HH", (peer.base - 5) & 0xFFFF, 0)
    assert peer.mapped(packets.feedback(RTPFB, 1, peer.heard.ssrc, lost)) is None
    assert peer.mapped(packets.feedback(RTPFB, 1, peer.heard.ssrc)) is None


def test_a_picture_loss_is_told_to_the_source(peer: Asking) -> None:
    assert peer.mapped(packets.feedback(PSFB, 1, peer.heard.ssrc)) == packets.feedback(PSFB, 1, SOURCE, ssrc=SENDER)


def test_a_limit_of_the_bit_rate_is_told_to_the_source(peer: Asking) -> None:
    entries = struct.pack("!IIII", OTHER, 1, peer.heard.ssrc, 0x12345678)
    assert peer.mapped(packets.feedback(RTPFB, 3, 0, entries)) == packets.feedback(
        RTPFB, 3, 0, struct.pack("!II", SOURCE, 0x12345678), ssrc=SENDER
    )


def test_an_intra_request_is_counted_anew_and_one_that_is_repeated_is_the_same(peer: Asking) -> None:
    def number(theirs: int) -> int:
        request = packets.feedback(PSFB, 4, 0, struct.pack("!II", peer.heard.ssrc, theirs << 24))
        written = peer.mapped(request)
        assert written is not None
        assert written[:-4] == packets.feedback(PSFB, 4, 0, struct.pack("!II", SOURCE, 0), ssrc=SENDER)[:-4]
        return written[-4]

    assert [number(n) for n in (200, 200, 201, 7)] == [1, 1, 2, 3]


def test_what_nobody_on_the_other_side_could_do_anything_about_stays(peer: Asking) -> None:
    ours = peer.heard.ssrc
    lost = struct.pack("!HH", peer.base & 0xFFFF, 0)
    for part in (
        packets.feedback(RTPFB, 1, OTHER, lost),
        packets.feedback(RTPFB, 15, ours, bytes(8)),
        packets.feedback(RTPFB, 4, ours, struct.pack("!II", ours, 0)),
        packets.feedback(RTPFB, 3, ours, struct.pack("!II", OTHER, 0)),
        packets.feedback(PSFB, 15, ours, b"REMB" + bytes(8)),
        packets.feedback(PSFB, 2, ours, bytes(4)),
        packets.feedback(PSFB, 1, OTHER),
        packets.feedback(PSFB, 4, 0, struct.pack("!II", OTHER, 0)),
        packets.feedback(PSFB, 4, ours),
    ):
        assert peer.mapped(part) is None
    assert mapped(packets.feedback(PSFB, 1, ours), Stream(), SENDER, peer.asked, peer.asking) is None, "nobody is heard"


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from([RTPFB, PSFB]), st.integers(0, 31), st.booleans(), st.binary(max_size=48))
def test_any_feedback_is_dropped_or_about_the_source_alone(kind: int, form: int, ours: bool, control: bytes) -> None:
    peer = Asking()
    control = control[: len(control) // 4 * 4]
    written = peer.mapped(packets.feedback(kind, form, peer.heard.ssrc if ours else OTHER, control))
    if written is not None:
        assert len(written) == 4 * (int.from_bytes(written[2:4]) + 1)
        assert written[4:8] == struct.pack("!I", SENDER)
        assert int.from_bytes(written[8:12]) in (0, SOURCE)
