"""What this machine and this gateway are reached by, as found at start."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from gateway.net.interfaces import interfaces
from gateway.reload.parts import own_places
from tests.call.office import site


def test_every_machine_has_loopback_and_each_address_has_its_network() -> None:
    found = interfaces()
    assert ipaddress.ip_interface("127.0.0.1/8") in found
    assert all(interface.ip in interface.network for interface in found)


@pytest.mark.parametrize(
    ("address", "port"),
    [("127.0.0.1", port) for port in (8443, 5060, 10000, 10001, 20000, 20099)]
    + [("203.0.113.9", port) for port in (20000, 8443, 5060, 10000)],
)
def test_each_listener_and_each_media_port_is_ours(tmp_path: Path, address: str, port: int) -> None:
    elsewhere = {"bind": "127.0.0.7", "advertise": "203.0.113.9"}
    own = own_places(site(tmp_path, trunks={"old": {"target": "sip:127.0.0.3", "media": elsewhere}}))
    assert own.is_ours(ipaddress.ip_address(address), port)
    assert own.is_ours(ipaddress.ip_address("127.0.0.7"), 20001)


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 20100), ("127.0.0.2", 20000), ("127.0.0.1", 4000)])
def test_what_is_not_listened_on_is_not_ours(tmp_path: Path, address: str, port: int) -> None:
    assert not own_places(site(tmp_path)).is_ours(ipaddress.ip_address(address), port)
