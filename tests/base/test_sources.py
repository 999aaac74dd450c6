"""Sources: an IPv6 network is one, however many addresses it has."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.sources import site_of, source_of


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.2", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_an_ipv4_address_is_a_source_and_an_ipv6_network_of_64_bits_is_one(host: str, source: str) -> None:
    assert source_of(host) == source


def test_the_networks_of_one_site_are_one_site() -> None:
    assert site_of("2001:db8:1:2::1") == site_of("2001:db8:1:ffff::1") == "2001:db8:1::/48"
    assert site_of("2001:db8:2::1") != site_of("2001:db8:1::1")
    assert site_of("192.0.2.1") == "192.0.2.1"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_no_choice_of_the_last_64_bits_makes_another_source(network: int, one: int, other: int) -> None:
    addresses = [str(ipaddress.IPv6Address((network << 64) | rest)) for rest in (one, other)]
    if network:
        assert source_of(addresses[0]) == source_of(addresses[1])
