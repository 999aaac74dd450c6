"""Flows: what a transport promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.sip.flow import Flow, objection, shortfall
from tests.sip.fake_wire import stream, tls_flow, udp

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


PBX = "pbx.example"
OWN = tls_flow(1, PBX, initiated=True)
TCP = replace(stream(number=1), trunk="pbx")
UDP = udp(number=1, trunk="pbx")


@pytest.mark.parametrize(
    ("first", "came", "lack"),
    [
        (OWN, tls_flow(2, PBX), ""),
        (tls_flow(1, PBX), tls_flow(2, PBX, initiated=True), ""),
        (OWN, tls_flow(2, "PBX.example"), ""),
        (tls_flow(1, PBX, version="TLSv1.2"), tls_flow(2, PBX), ""),
        (tls_flow(1, ""), tls_flow(2, ""), ""),
        (tls_flow(1, ""), tls_flow(2, "any.example"), ""),
        (TCP, tls_flow(2, ""), ""),
        (TCP, replace(TCP, id=2), ""),
        (UDP, TCP, ""),
        (UDP, OWN, ""),
        (OWN, UDP, "udp instead of tls"),
        (OWN, TCP, "tcp instead of tls"),
        (tls_flow(1, ""), TCP, "tcp instead of tls"),
        (TCP, UDP, "udp instead of tcp"),
        (OWN, tls_flow(2, PBX, version="TLSv1.2"), "TLSv1.2 instead of TLSv1.3"),
        (OWN, tls_flow(2, PBX, version="TLSv1"), "TLSv1 instead of TLSv1.3"),
        (OWN, tls_flow(2, PBX, version=""), " instead of TLSv1.3"),
        (tls_flow(1, PBX, version="TLSv1.2"), tls_flow(2, PBX, version="TLSv9"), "TLSv9 instead of TLSv1.2"),
        (OWN, replace(OWN, id=2, tls=None), "no TLS instead of TLSv1.3"),
        (OWN, tls_flow(2, ""), "not verified: the peer sent no certificate"),
        (OWN, tls_flow(2, "evil.example"), "verified as evil.example"),
    ],
)
def test_a_flow_proves_as_much_when_transport_version_and_name_are_no_less(first: Flow, came: Flow, lack: str) -> None:
    assert shortfall(came, first) == lack
    assert objection(came, first) == lack


def test_a_name_on_an_unverified_certificate_proves_nothing() -> None:
    assert OWN.tls is not None
    unverified = replace(OWN, id=2, tls=replace(OWN.tls, verified=False, reason="the certificate is for another name"))
    assert unverified.verified_name == ""
    assert shortfall(unverified, OWN) == "not verified: the certificate is for another name"


@pytest.mark.parametrize(
    ("first", "came", "why"),
    [
        (OWN, tls_flow(2, PBX, trunk="carrier"), "from elsewhere"),
        (OWN, replace(tls_flow(2, PBX, trunk="carrier"), also=frozenset({"pbx"})), ""),
        (UDP, replace(UDP, id=2, remote=HostPort("192.0.2.7", 5060)), ""),
        (UDP, replace(UDP, id=2, trunk=None), "from elsewhere"),
        (stream("wss", number=1), stream("wss", number=1), ""),
        (stream("wss", number=1), stream("wss", number=2), "another connection"),
        (stream("wss", number=1), OWN, "another connection"),
        (udp(number=1), udp(number=2, remote=HostPort("192.0.2.1", 9999)), ""),
        (udp(number=1), udp(number=2, remote=HostPort("192.0.2.66", 5060)), "another connection"),
    ],
)
def test_what_began_on_a_flow_goes_on_with_the_same_peer_only(first: Flow, came: Flow, why: str) -> None:
    assert objection(came, first) == why
