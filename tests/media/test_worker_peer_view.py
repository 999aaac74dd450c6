"""What the peer of a leg says of the stream it receives: loss on its own way, jitter, the round trip, how it sounds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.relay_quality import Reception, VoipMetrics
from gateway.media.worker import extended, rtcp
from gateway.media.worker.peer_view import MAX_JITTER, MAX_OWN, PeerView
from gateway.media.worker.stream import Payload, Stream
from tests.effort import examples
from tests.media import packets


class Listening:
    """A stream of a source that sends each 20 ms, and what the peer says of it."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.view = PeerView(self.stream)
        self.number = 0

    def send(self, count: int, *, lost: int = 0) -> None:
        """Relay so many packets, after the source has lost some."""
        self.number += lost
        for _ in range(count):
            now = 100 + self.number * 0.02
            assert self.stream.place(self.number & 0xFFFF, 160 * self.number, 7, Payload(0), now) is not None
            self.stream.packets += 1
            self.number += 1

    def reports(self, now: float = 200.0, *, back: int = 0, ssrc: int | None = None, **numbers: int) -> None:
        """The peer reports up to the last packet, or `back` before it."""
        highest = self.stream.high + self.stream.shift - back
        about = self.stream.ssrc if ssrc is None else ssrc
        self.view.read([packets.receiver_report(1, packets.block(about, highest & 0xFFFFFFFF, **numbers))], now)

    @property
    def counted(self) -> tuple[int, int]:
        assert self.view.sent is not None
        return self.view.sent.expected, self.view.sent.lost


def test_before_the_peer_reports_nothing_is_known() -> None:
    peer = Listening()
    peer.reports()
    assert (peer.view.sent, peer.view.rtt) == (None, None), "there is nothing yet it could have received"
    peer.send(10)
    peer.reports(ssrc=peer.stream.ssrc ^ 1)
    assert peer.view.sent is None, "of another stream"


def test_loss_and_jitter_are_those_of_its_report() -> None:
    peer = Listening()
    peer.send(100)
    peer.reports(lost=7, jitter=80)
    peer.reports(lost=7, jitter=40)
    assert peer.view.sent == Reception(100, 7, 0.005, 0.01)


def test_packets_still_on_their_way_are_not_expected() -> None:
    peer = Listening()
    peer.send(100)
    peer.reports(back=3)
    assert peer.counted == (97, 0)


def test_what_was_lost_before_it_came_to_us_is_not_lost_on_this_way() -> None:
    peer = Listening()
    peer.send(50)
    peer.send(50, lost=10)
    peer.reports(lost=12)
    assert peer.counted == (100, 2)
    peer.reports(lost=4)
    assert peer.counted == (100, 0), "a report from before the loss"


def test_a_report_after_the_numbers_wrapped_counts_on() -> None:
    peer = Listening()
    peer.send(70_000)
    peer.reports(lost=1)
    assert peer.counted == (70_000, 1)


def test_under_another_ssrc_what_was_reported_before_is_kept() -> None:
    peer = Listening()
    peer.send(100)
    peer.reports(lost=5)
    peer.stream.renew()
    peer.send(20)
    assert peer.counted == (100, 5)
    peer.reports(lost=1)
    assert peer.counted == (120, 6)


def test_more_that_came_twice_than_was_lost_is_no_loss() -> None:
    peer = Listening()
    peer.send(100)
    peer.reports(lost=-3)
    assert peer.counted == (100, 0)


def test_the_round_trip_is_that_since_our_report_less_what_the_peer_waited() -> None:
    peer = Listening()
    peer.send(1)
    peer.view.reported(0xAABBCCDD, 100.0)
    peer.view.reported(0x11223344, 105.0)
    peer.reports(101.25, last=0xAABBCCDD, delay=round(1.2 * 65536))
    assert peer.view.rtt == pytest.approx(0.05, abs=0.001)
    peer.reports(105.4, last=0x11223344, delay=0)
    assert peer.view.rtt == pytest.approx(0.4)


@pytest.mark.parametrize(("last", "delay"), [(0, 0), (0x12345678, 0), (0xAABBCCDD, 200 * 65536)])
def test_a_report_that_cannot_be_tells_no_round_trip(last: int, delay: int) -> None:
    peer = Listening()
    peer.send(1)
    peer.view.reported(0xAABBCCDD, 100.0)
    peer.reports(101.0, last=last, delay=delay)
    assert peer.view.rtt is None


def test_only_the_latest_reports_of_ours_are_remembered() -> None:
    peer = Listening()
    peer.send(1)
    for n in range(1, MAX_OWN + 2):
        peer.view.reported(n, 100.0)
    peer.reports(101.0, last=1)
    assert peer.view.rtt is None
    peer.reports(101.0, last=2)
    assert peer.view.rtt == pytest.approx(1.0)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.integers(-0x800000, 0x7FFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
)
def test_whatever_a_peer_says_its_numbers_are_possible_ones(lost: int, highest: int, jitter: int, delay: int) -> None:
    peer = Listening()
    peer.send(30)
    peer.view.reported(7, 100.0)
    report = packets.block(peer.stream.ssrc, highest, lost=lost, jitter=jitter, last=7, delay=delay)
    peer.view.read([packets.sender_report(1, report)], 101.0)
    sent = peer.view.sent
    assert sent is not None
    assert 0 <= sent.lost <= sent.expected <= 30
    assert sent.jitter is not None
    assert 0 <= sent.jitter <= MAX_JITTER
    assert peer.view.rtt is None or 0 <= peer.view.rtt <= 1.0


def voip(ssrc: int, *, r: int = 93, mos: int = 41) -> bytes:
    head = struct.pack("!BBHI", 7, 0, 8, ssrc)
    return head + struct.pack(
        "!4B4H8B2BHHH", 64, 32, 128, 8, 500, 9000, 60, 40, 0, 0, 0, 16, r, 127, mos, mos, 0, 0, 60, 80, 200
    )


def test_how_it_sounds_is_what_an_extended_report_says_of_our_stream() -> None:
    peer = Listening()
    peer.send(1)
    peer.view.read([packets.extended(voip(peer.stream.ssrc ^ 1))], 1.0)
    assert not peer.view.metrics
    peer.view.read([packets.extended(voip(peer.stream.ssrc))], 1.0)
    known = VoipMetrics(0.25, 0.125, 0.5, 0.03125, 0.5, 9.0, 0.04, 93, 4.1, 4.1, 0.06, 0.08)
    assert told(peer) == known
    peer.view.read([packets.receiver_report()], 2.0)
    assert told(peer) == known
    peer.view.read([packets.extended(voip(peer.stream.ssrc, r=127, mos=127))], 3.0)
    assert (told(peer).r_factor, told(peer).mos_lq, told(peer).mos_cq) == (None, None, None)


def told(peer: Listening) -> VoipMetrics:
    metrics = peer.view.metrics
    assert metrics is not None
    return metrics


def test_a_reference_time_is_echoed_with_the_time_since() -> None:
    assert extended.reference_time(packets.extended(struct.pack("!BBHQ", 4, 0, 2, 0x1122334455667788))) == 0x33445566
    assert extended.reference_time(packets.extended(struct.pack("!BBHQI", 4, 0, 3, 1, 1))) is None
    echo = extended.since_reference_time(9, 7, 0x33445566, 0.5)
    assert echo == packets.extended(struct.pack("!BBHIII", 5, 0, 3, 7, 0x33445566, 0x8000), ssrc=9)


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=80))
def test_any_extended_report_is_read_as_far_as_it_goes(body: bytes) -> None:
    part = packets.extended(body[: len(body) // 4 * 4])
    assert rtcp.read(part) == [part]
    extended.reference_time(part)
    extended.voip_metrics(part, int.from_bytes(body[4:8]))
