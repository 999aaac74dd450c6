"""Media that cannot be passed on is named: once per leg and cause."""

from __future__ import annotations

import socket

import pytest

from gateway.media.relay_commands import RelayPlan, Route
from gateway.media.relay_events import MediaUnsent
from gateway.media.worker.libsrtp import MAX_PACKET
from gateway.media.worker.port_pair import PortPair
from gateway.media.worker.reports import MIN_UNSENT
from tests.media.listener import SAME, TRUNK, ListenerRig, ListenerSocket, rig, voice
from tests.media.local import BROWSER, LocalCall
from tests.media.local import TRUNK as TRUNK_LEG
from tests.media.peers import KINDS


def unsent(made: ListenerRig) -> list[tuple[str, str]]:
    return [(KINDS[event.leg].value, event.cause) for event in made.events if isinstance(event, MediaUnsent)]


def test_a_payload_type_nobody_agreed_to_is_named_once_for_each_leg() -> None:
    with rig() as made:
        for n in range(3 * MIN_UNSENT):
            assert len(unsent(made)) == (0 if n < MIN_UNSENT else 2), "a few packets are no news"
            assert not made.from_trunk(voice(n, 160 * n, kind=8))
            assert not made.from_browser(voice(n, 160 * n, kind=8))
        assert unsent(made) == [("browser", "unmapped_dropped"), ("trunk", "unmapped_dropped")]
        assert made.call.counters.unmapped_dropped == 6 * MIN_UNSENT


@pytest.mark.parametrize("kind", [13, 19])
def test_comfort_noise_nobody_agreed_to_is_no_sound_that_is_lost(kind: int) -> None:
    with rig() as made:
        for n in range(3 * MIN_UNSENT):
            assert not made.from_trunk(voice(n, 160 * n, kind=kind))
        assert unsent(made) == []
        assert made.call.counters.unmapped_dropped == 3 * MIN_UNSENT


def test_what_comes_before_anything_was_agreed_is_early_and_not_lost() -> None:
    with rig() as made:
        made.call.call.obey(Route(TRUNK_LEG, BROWSER, RelayPlan()), made.now)
        for n in range(3 * MIN_UNSENT):
            assert not made.from_trunk(voice(n, 160 * n))
        assert unsent(made) == []
        made.call.payloads(SAME, SAME, made.now)
        assert made.from_trunk(voice(n + 1, 160 * (n + 1)))


@pytest.mark.parametrize("keyed", [False, True], ids=["plain trunk", "keyed trunk"])
def test_a_packet_too_long_to_be_protected_is_named_and_does_not_move_the_stream(keyed: bool) -> None:
    with rig(keyed=keyed) as made:
        assert made.from_trunk(voice(1, 160))
        for n in range(2, 2 + MIN_UNSENT):
            long = voice(n, 160 * n) + bytes(MAX_PACKET)
            if not keyed:  # the library protects none of that length for the trunk of this test either
                assert not made.from_trunk(long[: MAX_PACKET + 1])
        made.now += 0.02 * (n)
        assert made.from_trunk(voice(n + 1, 160 * (n + 1)))
        assert made.browser.numbers[-1] - made.browser.numbers[0] == n
        assert unsent(made) == ([] if keyed else [("browser", "srtp_unsendable")])


def test_twenty_minutes_of_packets_too_long_does_not_silence_what_follows() -> None:
    """More numbers than an SRTP context can guess: they must not be used up by what never leaves."""
    with rig() as made:
        assert made.from_trunk(voice(0, 0))
        for n in range(1, 65_400):
            made.now += 0.02
            made.call.trunk.receive(voice(n, 160 * n) + bytes(MAX_PACKET - 171), TRUNK, made.now)
        made.now += 0.02
        assert made.from_trunk(voice(n + 1, 160 * (n + 1)))


def test_a_plain_trunk_is_sent_whatever_fits_a_datagram() -> None:
    with rig() as made:
        assert made.from_browser(voice(1, 160) + bytes(MAX_PACKET - 172))
        assert unsent(made) == []


class Full(ListenerSocket):
    def sendto(self, data: bytes, *_: object) -> int:  # type: ignore[override]
        raise BlockingIOError


def test_what_the_system_does_not_take_is_named() -> None:
    with rig() as made:
        full = Full()
        made.call.browser.paths.confirm((full, ("127.0.0.8", 1)), True, made.now)
        made.call.trunk.sockets.close()
        made.call.trunk.sockets = PortPair(full, full, 20000)
        for n in range(MIN_UNSENT + 3):
            made.from_trunk(voice(n, 160 * n))
            made.from_browser(voice(n, 160 * n))
        assert unsent(made) == [("browser", "unsent"), ("trunk", "unsent")]
        assert made.call.counters.unsent == 2 * (MIN_UNSENT + 3)
        full.close()


def test_a_trunk_on_hold_by_address_wants_nothing_and_nothing_is_lost() -> None:
    with rig() as made:
        made.call.peer(("0.0.0.0", 4000), made.now)
        for n in range(3 * MIN_UNSENT):
            assert not made.from_browser(voice(n, 160 * n))
        assert unsent(made) == []


def test_a_browser_that_was_not_reached_yet_loses_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        made = LocalCall(PortPair(own, own, 1))
        made.peer(TRUNK, 0.0)
        made.payloads(SAME, SAME, 0.0)
        for n in range(3 * MIN_UNSENT):
            made.trunk.receive(voice(n, 160 * n), TRUNK, 0.02 * n)
        assert made.counters.unsent == 3 * MIN_UNSENT
    assert not any(isinstance(event, MediaUnsent) for event in made.events)
