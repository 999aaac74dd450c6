"""The trunk ports of a worker and their quarantine."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import MediaError
from gateway.media.relay_events import FailureReason
from gateway.media.worker.port_pair import open_pair, open_udp
from gateway.media.worker.ports import PortPool, even_ports
from tests.media.peers import LOOPBACK, free_pair


def left(pool: PortPool, now: float) -> int:
    """How many pairs could be had now; they are taken."""
    return len(list(iter(lambda: pool.acquire(now), None)))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(20000, 20003, [20000, 20002]), (20001, 20005, [20002, 20004]), (20000, 20002, [20000]), (20001, 20002, [])],
)
def test_rtp_ports_are_even_and_their_rtcp_port_is_in_the_range(first: int, last: int, expected: list[int]) -> None:
    assert even_ports(first, last) == expected


def test_a_released_port_rests_in_quarantine() -> None:
    pool = PortPool([20000], 5.0)
    assert pool.acquire(0.0) == 20000
    assert pool.acquire(0.0) is None
    pool.release(20000, 10.0)
    assert pool.acquire(14.9) is None
    assert pool.acquire(15.0) == 20000


def test_the_port_longest_unused_is_given_first() -> None:
    pool = PortPool([20000, 20002, 20004], 0.0)
    first = pool.acquire(0.0)
    assert first is not None
    pool.release(first, 0.0)
    assert [pool.acquire(1.0) for _ in range(3)] == [20002, 20004, 20000]


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=80))
def test_no_port_is_given_twice_and_none_is_lost(steps: list[tuple[bool, float]]) -> None:
    ports = even_ports(20000, 20009)
    pool, held, now = PortPool(ports, 5.0), [], 0.0
    for take, pause in steps:
        now += pause
        if take:
            port = pool.acquire(now)
            assert port not in held
            held += [port] if port is not None else []
        elif held:
            pool.release(held.pop(0), now)
    for port in held:
        pool.release(port, now)
    assert left(pool, now + 5.0) == len(ports)


def test_a_port_another_program_holds_is_skipped_and_not_lost() -> None:
    taken, free = free_pair(), free_pair()
    pool = PortPool([taken, free], 0.0)
    with open_udp(LOOPBACK, taken + 1, 1000):
        pair = open_pair(LOOPBACK, pool, 0.0)
        assert pair.port == free
        assert pair.rtcp.getsockname()[1] == free + 1
        pair.close()
    assert left(pool, 0.0) == 1


def test_no_free_port_is_no_port() -> None:
    with pytest.raises(MediaError, match=FailureReason.NO_PORT):
        open_pair(LOOPBACK, PortPool([], 0.0), 0.0)


@pytest.mark.parametrize("bind", ["192.0.2.1", "pbx.example.com", ""])
def test_an_address_that_is_not_ours_is_a_bad_address_and_costs_no_port(bind: str) -> None:
    pool = PortPool([free_pair()], 0.0)
    with pytest.raises(MediaError, match=FailureReason.BAD_ADDRESS):
        open_pair(bind, pool, 0.0)
    assert left(pool, 0.0) == 1


def test_media_is_marked_as_voice() -> None:
    with open_udp(LOOPBACK, 0, 1000) as own:
        assert own.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xB8
        assert not own.getblocking()
