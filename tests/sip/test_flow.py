"""Flows: what a transport promises."""

from __future__ import annotations

import pytest

from gateway.base.values import HostPort
from gateway.sip.flow import Flow, TransportName

LOCAL, REMOTE = HostPort("127.0.0.1", 5060), HostPort("192.0.2.1", 40000)


@pytest.mark.parametrize(
    ("transport", "reliable", "secure"),
    [("udp", False, False), ("tcp", True, False), ("tls", True, True), ("ws", True, False), ("wss", True, True)],
)
def test_reliability_and_encryption_follow_from_the_transport(
    transport: TransportName, reliable: bool, secure: bool
) -> None:
    flow = Flow(7, transport, LOCAL, REMOTE)
    assert (flow.is_reliable, flow.is_secure) == (reliable, secure)
    assert str(flow) == f"{transport}:192.0.2.1:40000#7"


def test_two_connections_from_one_address_are_two_flows() -> None:
    assert Flow(1, "wss", LOCAL, REMOTE) != Flow(2, "wss", LOCAL, REMOTE)
    assert len({Flow(1, "udp", LOCAL, REMOTE), Flow(1, "udp", LOCAL, REMOTE)}) == 1
