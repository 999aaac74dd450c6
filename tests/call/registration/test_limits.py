"""How many REGISTERs go on to a registrar, on passed-in time."""

from __future__ import annotations

import pytest

from gateway.base.values import HostPort
from gateway.call.registration.limits import MAX_OPEN_SOURCE, MAX_OPEN_STRANGERS, SOURCE, STRANGERS, USER, Limits
from gateway.sip.flow import Flow


def flow(number: int, host: str = "192.0.2.1") -> Flow:
    return Flow(number, "wss", HostPort("127.0.0.1", 443), HostPort(host, 1000))


def test_an_office_that_starts_at_nine_is_let_through_and_a_flood_from_one_place_is_not() -> None:
    limits = Limits()
    passed = sum(limits.admits(flow(number), 0.0, signed_in=False) for number in range(2000))
    assert passed == pytest.approx(SOURCE.burst, abs=1)
    assert limits.admits(flow(1, "192.0.2.2"), 0.0, signed_in=False)
    assert limits.admits(flow(1), 1.0, signed_in=False)


def test_strangers_of_many_places_together_have_a_share_and_users_feel_nothing() -> None:
    limits = Limits()
    passed = sum(limits.admits(flow(n, f"10.0.{n >> 8}.{n & 255}"), 0.0, signed_in=False) for n in range(5000))
    assert passed == pytest.approx(STRANGERS.burst, abs=1)
    assert all(limits.admits(flow(n), 0.0, signed_in=True) for n in range(500))


def test_an_ipv6_network_is_one_place() -> None:
    limits = Limits()
    passed = sum(limits.admits(flow(n, f"2001:db8::{n:x}"), 0.0, signed_in=False) for n in range(1, 1000))
    assert passed == pytest.approx(SOURCE.burst, abs=1)


def test_one_connection_that_is_signed_in_has_its_own_share() -> None:
    limits = Limits()
    assert sum(limits.admits(flow(1), 0.0, signed_in=True) for _ in range(100)) == pytest.approx(USER.burst, abs=1)
    assert limits.admits(flow(2), 0.0, signed_in=True)


def test_a_registrar_that_hangs_does_not_gather_strangers_nor_those_of_one_place() -> None:
    limits = Limits()
    waiting = [limits.waiting(flow(n), signed_in=False) for n in range(MAX_OPEN_SOURCE)]
    for one in waiting:
        one.__enter__()
    assert not limits.admits(flow(1), 0.0, signed_in=False)
    assert limits.admits(flow(1), 0.0, signed_in=True)
    others = [limits.waiting(flow(n, f"10.0.0.{n}"), signed_in=False) for n in range(MAX_OPEN_STRANGERS - len(waiting))]
    for one in others:
        one.__enter__()
    assert not limits.admits(flow(1, "198.51.100.1"), 0.0, signed_in=False)
    for one in (*waiting, *others):
        one.__exit__(None, None, None)
    assert limits.open == 0
    assert limits.admits(flow(1), 0.0, signed_in=False)
