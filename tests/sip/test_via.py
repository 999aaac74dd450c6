"""Via: loose in its spacing (RFC 4475 wsinv), exact in what it says."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.via import MAGIC_COOKIE, Via


@pytest.mark.parametrize(
    "text",
    [
        "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa;rport",
        "SIP/2.0/WSS kc4auqavthah.invalid;branch=z9hG4bK1305614",
        "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKb;received=2001:db8::2;rport=1234",
        "SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~",
    ],
)
def test_a_via_is_written_as_it_was_read(text: str) -> None:
    assert str(Via.parse(text)) == text


def test_white_space_is_allowed_around_slashes_colon_and_parameters() -> None:
    via = Via.parse("SIP / 2.0 / UDP   first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch = z9hG4bKa7c6a8dlze.1")
    assert (via.transport, via.host, via.port) == ("UDP", "first.example.com", 4000)
    assert via.branch == MAGIC_COOKIE + "a7c6a8dlze.1"
    assert via.sent_by == "first.example.com:4000"


def test_a_tab_separates_transport_and_host() -> None:
    assert Via.parse("sip/2.0/udp\t10.0.0.1").transport == "UDP"


@pytest.mark.parametrize("value", ["2001:db8::1", "[2001:db8::1]"])
def test_an_ipv6_received_is_read_with_and_without_brackets(value: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP [::1];branch=z9hG4bKx;received={value}")
    assert via.received == "2001:db8::1"
    assert str(via).endswith(f";received={value}")


def test_received_and_rport_overwrite_what_the_sender_claimed() -> None:
    via = Via.parse("SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;rport=1;branch=z9hG4bKx").with_received("192.0.2.1", 4321)
    assert str(via) == "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1;rport=4321;branch=z9hG4bKx"
    assert (via.received, via.rport) == ("192.0.2.1", 4321)


def test_the_port_is_told_only_when_rport_asked_for_it() -> None:
    via = Via.parse("SIP/2.0/TCP h;branch=z9hG4bKx").with_received("2001:db8::9", 4321)
    assert str(via) == "SIP/2.0/TCP h;branch=z9hG4bKx;received=2001:db8::9"
    assert via.rport is None


def test_a_missing_branch_is_empty() -> None:
    via = Via.parse("SIP/2.0/UDP iftgw.example.com")
    assert (via.branch, via.received, via.rport) == ("", None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/7.0/UDP h",
        "HTTP/2.0/UDP h",
        "\u017fIP/2.0/UDP h",
        "SIP/2.0/U(P h",
        "SIP/2.0/UDP h h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;branch=a",
        "SIP/2.0/UDP h;branch=a;branch=b",
        "SIP/2.0/UDP h;branch=a b",
        "SIP/2.0/UDP <h>",
    ],
)
def test_bad_vias_are_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        Via.parse(text)
    assert caught.value.status == 400
