"""The short way of packets: who takes it, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import CloseLeg, SetIce, SetPeer, Unroute
from gateway.media.worker import mmsg_build
from gateway.media.worker.batch import Destination, Inbox, Outbox
from gateway.media.worker.packet import Packet
from tests.media import packets
from tests.media.dtls_trunk import nominating_check
from tests.media.lanes import FAMILIES, PAIRS, STAND_IN_HOST, LaneRig, lane_rig, udp
from tests.media.peers import BROWSER, TRUNK

CM = AES_CM_128_HMAC_SHA1_80


@pytest.fixture(params=PAIRS)
def made(request: pytest.FixtureRequest) -> Iterator[LaneRig]:
    with lane_rig(*PAIRS[request.param]) as rig:
        yield rig


def voice(rig: LaneRig, sequence: int, ssrc: int = 0x1111) -> bytes:
    """A packet of this moment."""
    return packets.rtp(sequence, timestamp=round(rig.now * 8000), ssrc=ssrc)


def talk(rig: LaneRig, number: LegId, first: int, count: int = 3) -> list[bytes]:
    """Packets of 20 ms each from the peer of a leg; what the other side hears."""
    found = []
    for sequence in range(first, first + count):
        rig.now += 0.02
        rig.send(number, rig.sealed(number, voice(rig, sequence)))
        rig.serve()
        found += rig.heard(rig.other(number))
    return found


def settled(rig: LaneRig) -> None:
    """Both ways run smoothly."""
    for number in (BROWSER, TRUNK):
        assert len(talk(rig, number, 10)) == 3
    assert rig.has_lane(BROWSER)
    assert rig.has_lane(TRUNK)


@pytest.mark.parametrize("family", FAMILIES)
def test_media_takes_the_short_way_by_either_protocol_and_between_them(family: str) -> None:
    with lane_rig(*PAIRS["keyed trunk"], hosts=FAMILIES[family]) as made:
        settled(made)
        gone: list[Packet] = []
        for number in (BROWSER, TRUNK):
            made.leg(number).accepted = lambda packet, now: gone.append(packet)  # type: ignore[method-assign]
        for number in (BROWSER, TRUNK):
            assert len(talk(made, number, 13, 20)) == 20
        assert gone == []
        counters = made.counters(BROWSER), made.counters(TRUNK)
        assert [(c.rtp_rx, c.rtp_tx) for c in counters] == [(23, 23), (23, 23)]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_arrives_from_both_at_once_is_told_apart(family: str) -> None:
    with lane_rig(*PAIRS["keyed trunk"], hosts=FAMILIES[family]) as made:
        settled(made)
        gone: list[Packet] = []
        made.leg(TRUNK).accepted = lambda packet, now: gone.append(packet)  # type: ignore[method-assign]
        made.leg(BROWSER).accepted = lambda packet, now: gone.append(packet)  # type: ignore[method-assign]
        made.now += 0.02
        for number in (BROWSER, TRUNK):
            made.send(number, made.sealed(number, voice(made, 13)))
        made.serve()
        for number in (BROWSER, TRUNK):
            assert len(made.heard(number)) == 1
        assert gone == []


@pytest.mark.parametrize("family", ["IPv6", "4 to 6"])
def test_another_port_of_an_ipv6_host_is_not_the_trunk(family: str) -> None:
    with lane_rig(*PAIRS["plain trunk"], hosts=FAMILIES[family]) as made:
        settled(made)
        made.send(TRUNK, voice(made, 13), made.stranger)
        made.serve()
        assert made.heard(BROWSER) == []
        assert made.counters(TRUNK).source_rejected == 1
        assert len(talk(made, TRUNK, 13)) == 3
        assert made.has_lane(TRUNK)


def test_many_datagrams_of_one_ipv6_port_leave_in_order() -> None:
    with lane_rig(*PAIRS["plain trunk"], hosts=FAMILIES["IPv6"]) as six:
        settled(six)
        for sequence in range(13, 23):
            six.send(TRUNK, voice(six, sequence))
        six.serve()
        assert [packets.rtp(n)[12:] for n in range(13, 23)] == [packet[12:] for packet in six.heard(BROWSER)]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_media_follows_a_nomination_at_once(family: str) -> None:
    with lane_rig(*PAIRS["keyed trunk"], hosts=FAMILIES[family]) as made:
        here, there = made.trunk, made.stranger
        made.obey(SetIce(TRUNK, "ufrag", Secret("p" * 24)))
        made.obey(SetPeer(TRUNK, True, HostPort(*here.getsockname()[:2]), None, True, ice=True))
        made.send(TRUNK, nominating_check("ufrag", "p" * 24))
        made.serve()
        assert here.recv(2048)
        settled(made)
        made.now += 0.02
        made.send(BROWSER, made.sealed(BROWSER, voice(made, 13)))
        made.send(TRUNK, nominating_check("ufrag", "p" * 24), there)
        made.serve()
        made.now += 0.02
        made.send(BROWSER, made.sealed(BROWSER, voice(made, 14)))
        made.serve()
        assert there.recv(2048)[:2] == b"\x01\x01"
        assert there.recv(2048)[0] == packets.rtp(0)[0]
        assert len(made.heard(TRUNK)) <= 1
        made.trunk, made.strangers[TRUNK] = there, here
        assert len(talk(made, TRUNK, 13)) == 3
        assert made.has_lane(TRUNK)


def test_the_second_packet_like_the_one_before_takes_the_short_way(made: LaneRig) -> None:
    settled(made)
    gone: list[int] = []
    made.loop._flat._go_the_long_way = lambda number, _: gone.append(number)  # type: ignore[method-assign,assignment]
    for number in (BROWSER, TRUNK):
        assert [packet[12:] for packet in talk(made, number, 13)] == [packets.rtp(n)[12:] for n in (13, 14, 15)]
    assert gone == []


@pytest.mark.parametrize("number", [BROWSER, TRUNK])
def test_a_command_ends_the_short_way_at_once(made: LaneRig, number: LegId) -> None:
    settled(made)
    made.routes(False, False)
    assert not made.has_lane(BROWSER)
    assert not made.has_lane(TRUNK)
    assert talk(made, number, 13) == []
    assert made.counters(made.other(number)).held_dropped == 3


def test_nothing_leaves_a_route_that_is_gone(made: LaneRig) -> None:
    settled(made)
    made.obey(Unroute(TRUNK))
    assert talk(made, BROWSER, 13) == []


def test_a_packet_read_before_its_leg_ended_goes_nowhere(made: LaneRig) -> None:
    settled(made)
    made.now += 0.02
    made.send(TRUNK, made.sealed(TRUNK, voice(made, 13)))
    (ready,) = [fd for fd, _ in made.loop._epoll.poll(1.0)]
    flat = made.loop._flat
    flat.receive_from_ports([ready], 0, made.now)
    made.loop._desk.close_leg(1, CloseLeg(BROWSER), made.now)
    flat.relay(made.now)
    assert [packet[1] for packet in made.heard(BROWSER)] == [200], "goodbye"


def test_a_packet_read_before_the_peer_moved_goes_where_the_peer_is(made: LaneRig) -> None:
    settled(made)
    made.now += 0.02
    made.send(BROWSER, made.sealed(BROWSER, voice(made, 13)))
    (ready,) = [fd for fd, _ in made.loop._epoll.poll(1.0)]
    made.loop._browser_ports[ready](made.now)
    made.obey(SetPeer(TRUNK, made.suites[TRUNK] is not None, HostPort(*made.stranger.getsockname()), None, True))
    made.loop._flat.relay(made.now)
    assert made.heard(TRUNK) == []
    assert made.stranger.recv(2048)


def test_a_forged_packet_does_not_open_and_disturbs_nothing(made: LaneRig) -> None:
    settled(made)
    forged = bytearray(made.sealed(BROWSER, voice(made, 13)))
    forged[-1] ^= 1
    made.send(BROWSER, bytes(forged))
    made.serve()
    assert made.heard(TRUNK) == []
    assert made.counters(BROWSER).srtp_auth_failed == 1
    assert made.has_lane(BROWSER)
    assert len(talk(made, BROWSER, 14)) == 3


def test_a_packet_that_comes_twice_is_heard_once(made: LaneRig) -> None:
    settled(made)
    made.now += 0.02
    packet = made.sealed(BROWSER, voice(made, 13))
    for _ in range(2):
        made.send(BROWSER, packet)
    made.serve()
    assert len(made.heard(TRUNK)) == 1
    assert made.counters(BROWSER).srtp_replayed == 1


def test_a_stranger_neither_is_heard_nor_ends_the_short_way(made: LaneRig) -> None:
    settled(made)
    for number in (BROWSER, TRUNK):
        made.send(number, packets.rtp(13), made.stranger)
    made.serve()
    assert made.heard(BROWSER) == made.heard(TRUNK) == []
    assert made.has_lane(BROWSER)
    assert made.has_lane(TRUNK)


def test_one_who_stands_in_for_a_silent_trunk_gets_its_lane_and_loses_it_when_the_trunk_speaks() -> None:
    with lane_rig(CM, None) as rig:
        address = HostPort(*rig.trunk.getsockname())
        rig.obey(SetPeer(TRUNK, False, address, None, True, (f"{STAND_IN_HOST}/32",)))
        settled(rig)
        rig.now += 5.0
        for sequence in range(100, 110):
            rig.now += 0.02
            rig.send(TRUNK, voice(rig, sequence, 7), rig.stranger)
            rig.serve()
        assert len(rig.heard(BROWSER)) == 8
        assert rig.has_lane(TRUNK)
        assert talk(rig, BROWSER, 13) == []
        assert len([rig.stranger.recv(2048) for _ in range(3)]) == 3
        assert talk(rig, TRUNK, 13)[0][12:] == packets.rtp(13)[12:]
        rig.send(TRUNK, voice(rig, 110, 7), rig.stranger)
        rig.serve()
        assert rig.heard(BROWSER) == []


def test_nobody_is_learned_while_the_trunk_speaks_in_its_lane() -> None:
    with lane_rig(CM, None) as rig:
        address = HostPort(*rig.trunk.getsockname())
        rig.obey(SetPeer(TRUNK, False, address, None, True, (f"{STAND_IN_HOST}/32",)))
        settled(rig)
        talk(rig, TRUNK, 13, 300)
        for sequence in range(100, 110):
            rig.send(TRUNK, voice(rig, sequence, 7), rig.stranger)
        rig.serve()
        assert rig.heard(BROWSER) == []


def test_what_came_first_leaves_first_whichever_way_it_goes(made: LaneRig) -> None:
    settled(made)
    for number in (BROWSER, TRUNK):
        for sequence, extension in ((13, None), (14, None), (15, bytes(4)), (16, None)):
            clear = packets.rtp(sequence, timestamp=round(made.now * 8000), extension=extension)
            made.send(number, made.sealed(number, clear))
        made.serve()
        found = made.heard(made.other(number))
        assert [packet[-4:] for packet in found] == [sequence.to_bytes(4) for sequence in (13, 14, 15, 16)]


def test_a_packet_under_the_key_before_is_heard_while_it_may_be_on_its_way(made: LaneRig) -> None:
    settled(made)
    before = made._sealers[BROWSER]
    made.rekey(BROWSER, 7)
    assert len(talk(made, BROWSER, 13)) == 3
    made.send(BROWSER, before.protect(voice(made, 16)))
    made.serve()
    assert len(made.heard(TRUNK)) == 1


def test_what_comes_late_now_and_then_has_not_lost_time() -> None:
    with lane_rig(CM, None) as rig:
        settled(rig)
        timestamp = round(rig.now * 8000)
        found = []
        for sequence, seconds in ((13, 0.075), (14, 0.01), (15, 0.02), (16, 0.02), (17, 0.02), (18, 0.03)):
            rig.now += seconds
            timestamp += 160
            rig.send(TRUNK, packets.rtp(sequence, timestamp=timestamp))
            rig.serve()
            found += rig.heard(BROWSER)
        assert [packet[1] & 0x80 for packet in found] == [0] * 6


def test_media_follows_a_peer_that_is_described_anew(made: LaneRig) -> None:
    settled(made)
    made.obey(SetPeer(TRUNK, made.suites[TRUNK] is not None, HostPort(*made.stranger.getsockname()), None, True))
    made.send(BROWSER, made.sealed(BROWSER, voice(made, 13)))
    made.serve()
    assert made.heard(TRUNK) == []
    assert made.stranger.recv(2048)


def test_what_the_system_does_not_take_is_counted_and_reported_as_unsent(made: LaneRig) -> None:
    settled(made)
    for number in (BROWSER, TRUNK):
        made.leg(number).way_out.descriptor = -1  # type: ignore[union-attr]
        assert talk(made, number, 13, 12) == []
        counted = made.counters(made.other(number))
        assert (counted.rtp_tx, counted.unsent) == (3, 12)
        assert made.leg(made.other(number)).stream.packets == 3


def test_the_description_of_the_systems_functions_is_the_one_that_is_built() -> None:
    assert mmsg_build.TARGET.read_text() == mmsg_build.written()


def test_of_a_batch_what_the_system_does_not_take_is_counted_and_the_rest_leaves() -> None:
    inbox, sender, taker = Inbox(4), udp(), udp()
    outbox = Outbox(inbox.places)
    taken, refused = Destination(taker.getsockname()), Destination(("127.0.0.1", 0))
    for number, to in enumerate((taken, refused, taken), 1):
        outbox.lengths[number], outbox.names[number] = number, to.place
    try:
        assert outbox.send(sender.fileno(), 1, 4) == [2]
        assert [len(taker.recv(10)) for _ in range(2)] == [1, 3]
    finally:
        sender.close()
        taker.close()
