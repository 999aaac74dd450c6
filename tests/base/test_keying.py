from __future__ import annotations

import pytest

from gateway.base.keying import Keying, Proto, is_protected
from gateway.base.signalling import Signalling, TlsInfo

VERIFIED = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=pbx", "00", True, "pbx.example.com", "")
STRANGER = TlsInfo("TLSv1.2", "", "", "", False, "", "the certificate is for another name")


@pytest.mark.parametrize("keying", Keying)
def test_only_an_agreed_key_makes_a_leg_keyed(keying: Keying) -> None:
    assert keying.keyed is (keying in (Keying.SDES, Keying.DTLS))


@pytest.mark.parametrize("proto", Proto)
def test_each_profile_says_whether_it_demands_srtp_and_where_its_keys_come_from(proto: Proto) -> None:
    assert proto.keyed is proto.value.endswith(("/SAVP", "/SAVPF"))
    assert proto.dtls is proto.value.startswith(("UDP/TLS/", "TCP/DTLS/"))
    assert proto.keyed or not proto.dtls
    assert proto.without_feedback.value == proto.value.removesuffix("F")


@pytest.mark.parametrize(
    ("transport", "protected"),
    [
        *((proto.value, proto.keyed) for proto in Proto),
        ("udp/tls/rtp/savpf", True),
        ("UDP/TLS/UDPTL", True),
        ("TCP/TLS/BFCP", True),
        ("UDP/DTLS/SCTP", True),
        ("udptl", False),
        ("TCP/MSRP", False),
        ("RTP/SAVPX", False),
        ("", False),
    ],
)
def test_of_lines_that_are_not_ours_too_it_is_known_whether_they_go_in_the_clear(
    transport: str, protected: bool
) -> None:
    assert is_protected(transport) is protected


@pytest.mark.parametrize(
    ("transport", "tls", "expected"),
    [
        ("udp", None, Signalling("udp")),
        ("ws", None, Signalling("ws")),
        ("tls", VERIFIED, Signalling("tls", "TLSv1.3", True)),
        ("tls", STRANGER, Signalling("tls", "TLSv1.2", False)),
        ("tls", None, Signalling("tls")),
        ("wss", None, Signalling("wss", "", True)),
        ("wss", STRANGER, Signalling("wss", "TLSv1.2", True)),
    ],
)
def test_a_connection_counts_as_verified_when_its_peer_was_or_when_a_browser_verified_us(
    transport: str, tls: TlsInfo | None, expected: Signalling
) -> None:
    assert Signalling.of(expected.transport, tls) == expected
    assert expected.transport == transport
