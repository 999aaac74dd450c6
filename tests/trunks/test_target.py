"""Trunk targets (RFC 3261 19.1.1, RFC 3263 4.1)."""

from __future__ import annotations

import pytest

from gateway.trunks.target import TrunkTarget


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("sip:pbx.example.com", ("pbx.example.com", 5060, "udp")),
        ("sip:pbx.example.com;transport=tcp", ("pbx.example.com", 5060, "tcp")),
        ("sip:pbx.example.com;transport=tls", ("pbx.example.com", 5061, "tls")),
        ("sip:pbx.example.com;transport=TLS", ("pbx.example.com", 5061, "tls")),
        ("sip:10.0.0.5:5070", ("10.0.0.5", 5070, "udp")),
        ("sip:[2001:db8::1]:5071;transport=tls", ("2001:db8::1", 5071, "tls")),
        ("sips:pbx.example.com", ("pbx.example.com", 5061, "tls")),
        ("sips:pbx.example.com;transport=tcp", ("pbx.example.com", 5061, "tls")),
    ],
)
def test_a_target_names_host_port_and_transport(target: str, expected: tuple[str, int, str]) -> None:
    assert TrunkTarget.parse(target)[:3] == expected


@pytest.mark.parametrize(
    ("target", "port", "transport"),
    [
        ("sip:pbx.example.com", False, False),
        ("sip:pbx.example.com:5060", True, False),
        ("sip:pbx.example.com;transport=udp", False, True),
        ("sips:pbx.example.com", False, False),
    ],
)
def test_a_target_knows_what_was_written_and_what_dns_may_say(target: str, port: bool, transport: bool) -> None:
    found = TrunkTarget.parse(target)
    assert (found.has_port, found.has_transport) == (port, transport)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "pbx.example.com",
        "tel:+4930123",
        "sip:user@pbx.example.com",
        "sip:pbx.example.com;transport=ws",
        "sip:pbx.example.com;transport=",
        "sip:pbx.example.com;transport",
        "sip:pbx.example.com;tranport=tls",
        "sip:pbx.example.com;transport=tls;lr",
        "sip:pbx.example.com?Subject=x",
        "sip:pbx.example.com:99999",
        "sips:pbx.example.com;transport=udp",
        "http://pbx.example.com",
    ],
)
def test_what_is_not_understood_is_refused_rather_than_sent_in_the_clear(target: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrunkTarget.parse(target)


@pytest.mark.parametrize("target", ["sip:pbx.example.com:5061;transport=tls", "sip:[2001:db8::1]:5060;transport=udp"])
def test_a_target_is_written_as_it_is_read(target: str) -> None:
    assert str(TrunkTarget.parse(target)) == target
