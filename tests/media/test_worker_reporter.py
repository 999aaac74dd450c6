"""RTCP of our own on each leg: when it is sent, what it says, and that a peer's own ends where it comes to."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import Component, SetKeys, SetPeer, Unroute
from gateway.media.relay_events import LegVerified
from gateway.media.relay_protocol import REPORT_SECONDS
from gateway.media.worker import reporter, rtcp
from gateway.media.worker.leg import MAX_FEEDBACK_PER_SECOND, MAX_RTCP_PER_SECOND
from tests.media import packets
from tests.media.lanes import HOST, PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK

VOICE = {BROWSER: 0x5EED, TRUNK: 0xFACE}
"""What the peers send under."""
LEGS = [BROWSER, TRUNK]


class Talk:
    """A call in which both speak, at the pace of the test's clock."""

    def __init__(self, rig: LaneRig) -> None:
        self.rig = rig
        self.said = dict.fromkeys(LEGS, 0)
        rig.report()

    def speaks(self, number: LegId, count: int = 1, *, lost: int = 0) -> None:
        """One peer sends so many packets, after some that are lost."""
        for _ in range(count):
            self.said[number] += 1 + lost
            lost = 0
            self.rig.pass_time(0.02)
            self.rig.send(number, self.rig.sealed(number, packets.rtp(self.said[number], ssrc=VOICE[number])))
            self.rig.serve()

    def told(self, number: LegId) -> list[list[bytes]]:
        """The compounds that came to a peer."""
        return [_parts(packet) for packet in self.rig.heard(number) if 192 <= packet[1] <= 223]

    def next(self, number: LegId) -> list[bytes]:
        """The next compound that comes to a peer."""
        self.told(number)
        self.rig.pass_time(self.rig.leg(number).reporter.due - self.rig.now)
        (parts,) = self.told(number)
        return parts

    def tells(self, number: LegId, *parts: bytes) -> None:
        """A peer sends a compound."""
        self.rig.send(number, self.rig.sealed(number, b"".join(parts)))
        self.rig.serve()


def _parts(packet: bytes) -> list[bytes]:
    parts = rtcp.split(packet)
    assert parts is not None
    return parts


@pytest.fixture(params=PAIRS)
def talk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    monkeypatch.setattr(reporter, "chance", lambda: 0.5)
    with lane_rig(*PAIRS[request.param]) as rig:
        yield Talk(rig)


@pytest.mark.parametrize("number", LEGS)
def test_a_peer_that_speaks_and_listens_is_sent_our_sender_report(talk: Talk, number: LegId) -> None:
    talk.speaks(number, 40)
    talk.speaks(number, 10, lost=3)
    talk.speaks(talk.rig.other(number), 30)
    report, description = talk.next(number)
    stream = talk.rig.leg(number).stream
    _, ssrc, ntp, timestamp, count, octets = struct.unpack_from("!IIQIII", report)
    assert (report[1], ssrc, count, octets) == (rtcp.SR, stream.ssrc, 30, 30 * 160)
    assert ntp >> 32 > 3_900_000_000, "seconds since 1900"
    assert (timestamp - stream.timestamp - stream.timestamp_shift) & 0xFFFFFFFF < 8 * 8000
    (block,) = rtcp.blocks(report)
    assert (block.ssrc, block.fraction, block.lost, block.highest) == (VOICE[number], 3 * 256 // 53, 3, 53)
    assert (description[1], stream.cname in description) == (rtcp.SDES, True)


def test_the_name_of_a_leg_stays_and_no_two_legs_have_the_same(talk: Talk) -> None:
    names = [{talk.next(number)[1][8:] for _ in range(3)} for number in LEGS]
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]


def test_a_peer_that_hears_nothing_is_sent_receiver_reports(talk: Talk) -> None:
    talk.speaks(TRUNK, 10)
    report, _ = talk.next(TRUNK)
    assert report[1] == rtcp.RR
    assert [block.ssrc for block in rtcp.blocks(report)] == [VOICE[TRUNK]]


def test_two_reports_after_the_last_packet_we_are_no_sender_any_more_and_a_silent_source_is_not_reported_on(
    talk: Talk,
) -> None:
    talk.speaks(BROWSER, 10)
    talk.told(BROWSER)
    assert [talk.next(TRUNK)[0][1] for _ in range(4)] == [rtcp.SR, rtcp.SR, rtcp.RR, rtcp.RR]
    assert [len(list(rtcp.blocks(parts[0]))) for parts in talk.told(BROWSER)] == [1, 0, 0, 0]
    talk.speaks(BROWSER)
    assert talk.next(TRUNK)[0][1] == rtcp.SR
    assert [len(list(rtcp.blocks(parts[0]))) for parts in talk.told(BROWSER)] == [1]


def test_reports_go_on_in_a_hold_and_while_nobody_hears_the_peer(talk: Talk) -> None:
    talk.rig.routes(False, False)
    assert [talk.next(number)[0][1] for number in LEGS * 2] == [rtcp.RR] * 4
    talk.rig.obey(Unroute(TRUNK))
    talk.rig.obey(Unroute(BROWSER))
    talk.speaks(TRUNK, 2)
    assert [talk.next(number)[0][1] for number in LEGS * 2] == [rtcp.RR] * 4
    assert talk.rig.leg(TRUNK).quality.heard.expected == 2


def test_a_peer_on_hold_by_address_is_sent_nothing_until_it_can_be_reached_again(talk: Talk) -> None:
    keyed = talk.rig.suites[TRUNK] is not None
    talk.rig.obey(SetPeer(TRUNK, keyed, HostPort("0.0.0.0", 9), None, True))
    talk.rig.pass_time(20.0)
    assert talk.told(TRUNK) == []
    assert talk.rig.counters(TRUNK).unsent == 0
    talk.rig.obey(SetPeer(TRUNK, keyed, HostPort(*talk.rig.trunk.getsockname()), None, True))
    talk.rig.report()
    assert talk.next(TRUNK)[0][1] == rtcp.RR


def test_reports_come_at_random_moments_and_the_first_one_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3550 6.3.1: (0.5 to 1.5) times the interval, divided by e - 1.5; half of it to begin with."""
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        leg = rig.leg(TRUNK)
        for share, first, next_one in ((0.0, 1.026, 2.052), (1.0, 3.078, 6.156)):
            monkeypatch.setattr(reporter, "chance", lambda share=share: share)
            leg.reporter.due = float("inf")
            rig.report()
            assert leg.reporter.due - rig.now == pytest.approx(first, abs=0.01)
            rig.pass_time(first + 0.001)
            assert leg.reporter.due - rig.now == pytest.approx(next_one, abs=0.01)


def test_the_delay_since_the_peers_report_is_told_so_that_it_knows_the_round_trip(talk: Talk) -> None:
    talk.speaks(TRUNK, 5)
    talk.tells(TRUNK, packets.sender_report(VOICE[TRUNK], ntp=0x1122334455667788))
    at = talk.rig.now
    (block,) = rtcp.blocks(talk.next(TRUNK)[0])
    assert block.last_report == 0x33445566
    assert block.delay / 65536 == pytest.approx(talk.rig.now - at, abs=0.001)


@pytest.mark.parametrize("number", LEGS)
def test_what_the_peer_reports_is_the_quality_of_what_we_send(talk: Talk, number: LegId) -> None:
    talk.speaks(talk.rig.other(number), 50)
    report = talk.next(number)[0]
    stream = talk.rig.leg(number).stream
    block = packets.block(
        stream.ssrc, stream.high + stream.shift, lost=4, jitter=160, last=rtcp.sent_at(report), delay=0x8000
    )
    talk.rig.pass_time(0.75)
    talk.tells(number, packets.receiver_report(VOICE[number], block))
    quality = talk.rig.leg(number).quality
    assert quality.sent is not None
    assert (quality.sent.expected, quality.sent.lost, quality.sent.jitter) == (50, 4, 0.02)
    assert quality.rtt == pytest.approx(0.25, abs=0.001)


def test_a_peers_own_reports_names_and_byes_reach_nobody_else_and_end_nothing(talk: Talk) -> None:
    talk.speaks(TRUNK, 5)
    name = b"\x81\xca\x00\x04" + struct.pack("!I", VOICE[TRUNK]) + b"\x01\x05alice" + bytes(5)
    for own in (packets.sender_report(VOICE[TRUNK]), packets.receiver_report(VOICE[TRUNK])):
        talk.tells(TRUNK, own, name, packets.bye(VOICE[TRUNK]), packets.extended(struct.pack("!BBHI", 1, 0, 1, 7)))
    assert talk.told(BROWSER) == []
    assert talk.rig.counters(TRUNK).rtcp_rx == 2
    talk.speaks(TRUNK, 5)
    assert talk.rig.counters(BROWSER).rtp_tx == 10
    report, _ = talk.next(TRUNK)
    assert next(rtcp.blocks(report)).ssrc == VOICE[TRUNK]


def test_reports_do_not_take_the_media_beside_them_from_its_short_way(talk: Talk) -> None:
    talk.speaks(TRUNK, 5)
    assert talk.rig.has_lane(TRUNK)
    talk.tells(TRUNK, packets.sender_report(VOICE[TRUNK]))
    assert talk.rig.has_lane(TRUNK)


def test_a_report_is_a_sign_of_life_after_the_media_before_it() -> None:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        talk = Talk(rig)
        talk.speaks(TRUNK, 5)
        rig.pass_time(1.0)
        talk.tells(TRUNK, packets.receiver_report())
        rig.leg(TRUNK).catch_up()
        assert rig.leg(TRUNK).latch.quiet_since == rig.now  # type: ignore[attr-defined]


def test_a_request_is_asked_of_the_source_in_a_compound_of_its_own(talk: Talk) -> None:
    talk.speaks(BROWSER, 20)
    talk.told(BROWSER)
    stream = talk.rig.leg(TRUNK).stream
    lost = struct.pack("!HH", (stream.high + stream.shift - 3) & 0xFFFF, 0)
    talk.tells(TRUNK, packets.receiver_report(), packets.feedback(rtcp.RTPFB, 1, stream.ssrc, lost))
    ((report, description, request),) = talk.told(BROWSER)
    assert (report[1], description[1]) == (rtcp.RR, rtcp.SDES)
    ours = talk.rig.leg(BROWSER).stream.ssrc
    assert request == packets.feedback(rtcp.RTPFB, 1, VOICE[BROWSER], struct.pack("!HH", 17, 0), ssrc=ours)


def test_requests_are_capped_and_what_stays_here_is_counted(talk: Talk) -> None:
    talk.speaks(BROWSER, 5)
    talk.told(BROWSER)
    stream = talk.rig.leg(TRUNK).stream
    for _ in range(MAX_FEEDBACK_PER_SECOND + 5):
        talk.tells(TRUNK, packets.receiver_report(), packets.feedback(rtcp.PSFB, 1, stream.ssrc))
    assert len(talk.told(BROWSER)) == MAX_FEEDBACK_PER_SECOND
    assert talk.rig.counters(TRUNK).feedback_dropped == 5
    talk.rig.pass_time(1.1)
    talk.tells(TRUNK, packets.receiver_report(), packets.feedback(rtcp.RTPFB, 15, stream.ssrc, bytes(8)))
    assert talk.rig.counters(TRUNK).feedback_dropped == 6
    assert [parts for parts in talk.told(BROWSER) if len(parts) == 3] == []


def test_of_a_flood_of_reports_only_so_many_are_read(talk: Talk) -> None:
    for _ in range(MAX_RTCP_PER_SECOND + 20):
        talk.tells(TRUNK, packets.receiver_report())
    counters = talk.rig.counters(TRUNK)
    assert (counters.rtcp_rx, counters.rtcp_rejected) == (MAX_RTCP_PER_SECOND + 20, 20)


def test_a_reference_time_is_echoed_once(talk: Talk) -> None:
    talk.tells(TRUNK, packets.receiver_report(), packets.extended(struct.pack("!BBHQ", 4, 0, 2, 1 << 40), ssrc=77))
    report, _, echo = talk.next(TRUNK)
    assert (report[1], echo[1]) == (rtcp.RR, rtcp.XR)
    assert struct.unpack_from("!II", echo, 12) == (77, 1 << 24)
    assert len(talk.next(TRUNK)) == 2


def test_the_end_of_a_leg_is_told_with_its_last_numbers_and_a_leg_that_said_nothing_says_no_goodbye(
    talk: Talk,
) -> None:
    talk.speaks(BROWSER, 7)
    talk.told(TRUNK)
    ssrc = talk.rig.leg(TRUNK).stream.ssrc
    talk.rig.loop._desk.close_call(1, talk.rig.now)
    ((report, _, goodbye),) = talk.told(TRUNK)
    assert (report[1], struct.unpack_from("!I", report, 20)[0]) == (rtcp.SR, 7)
    assert goodbye == packets.bye(ssrc)
    assert talk.told(BROWSER) == []


def test_a_report_of_the_peer_on_our_stream_confirms_a_keyed_leg(talk: Talk) -> None:
    talk.speaks(TRUNK, 3)
    talk.speaks(BROWSER, 3)
    talk.tells(BROWSER, packets.receiver_report(VOICE[BROWSER], packets.block(talk.rig.leg(BROWSER).stream.ssrc)))
    assert any(LegVerified.__name__.encode() in event and b"true" in event for event in talk.rig.events())


def test_reports_leave_from_the_port_of_rtcp_to_the_port_of_rtcp_without_muxing() -> None:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        told = rig.stranger
        rig.obey(SetPeer(TRUNK, False, HostPort(*rig.trunk.getsockname()), HostPort(*told.getsockname()), False))
        rig.report()
        rig.pass_time(REPORT_SECONDS)
        datagram, source = told.recvfrom(2048)
        assert datagram[1] == rtcp.RR
        assert source == (HOST, rig.place[TRUNK][1] + 1)


def test_a_port_of_rtcp_waits_for_keys_of_its_own() -> None:
    with lane_rig(*PAIRS["keyed trunk"]) as rig:
        suite, told = rig.suites[TRUNK], rig.stranger
        assert suite is not None
        ours, theirs = (Secret(bytes([way]) * suite.master_length) for way in (1, 2))
        rig.obey(SetPeer(TRUNK, True, HostPort(*rig.trunk.getsockname()), HostPort(*told.getsockname()), False))
        rig.obey(SetKeys(TRUNK, suite.name, ours, theirs, component=Component.RTP))
        rig.report()
        rig.pass_time(2 * REPORT_SECONDS)
        assert rig.counters(TRUNK).unkeyed_dropped == 0
        rig.obey(SetKeys(TRUNK, suite.name, theirs, ours, component=Component.RTCP))
        rig.report()
        rig.pass_time(REPORT_SECONDS)
        assert told.recv(2048)[1] == rtcp.RR
