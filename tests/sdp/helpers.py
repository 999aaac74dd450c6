"""Descriptions and keys the SDP tests share."""

from __future__ import annotations

import base64
from pathlib import Path

from gateway.base.crypto_suite import BY_NAME
from gateway.base.keying import Proto, Setup
from gateway.base.values import HostPort, Secret
from gateway.sdp.codecs import Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute, Fingerprint
from gateway.sdp.media import LocalAudio, RemoteAudio, read_audio

VECTORS = Path(__file__).parent.parent / "vectors" / "sdp"
CAPTURES = sorted(VECTORS.glob("*.sdp"))
BROWSER_OFFERS = ("chromium_offer", "chromium_offer_mdns", "firefox_offer")

GCM_256, GCM_128, CM_80 = "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"
OPUS = Codec(111, "opus", 48000, 2, "minptime=10;useinbandfec=1")
G722, PCMU, PCMA = Codec(9, "G722", 8000), Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000)
CN = Codec(13, "CN", 8000)
DTMF_8, DTMF_48 = Codec(101, "telephone-event", 8000), Codec(110, "telephone-event", 48000)
FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))


def capture(name: str) -> SessionDescription:
    """A real peer's description."""
    return SessionDescription.parse((VECTORS / f"{name}.sdp").read_bytes())


def key_bytes(suite: str, fill: int) -> bytes:
    """Key and salt of the right length, told apart by `fill`."""
    return bytes((fill + i) % 256 for i in range(BY_NAME[suite].master_length))


def key_text(suite: str, fill: int) -> str:
    return base64.b64encode(key_bytes(suite, fill)).decode()


def crypto(tag: int, suite: str = CM_80, fill: int = 1) -> CryptoAttribute:
    return CryptoAttribute(tag, suite, Secret(key_bytes(suite, fill)))


ALL_SUITES = (crypto(1, GCM_256, 1), crypto(2, GCM_128, 101), crypto(3, CM_80, 201))


def describe(*lines: str, proto: str = "RTP/AVP", port: int = 4000, formats: str = "0 101") -> SessionDescription:
    """A small trunk description with these lines in its audio section."""
    head = [
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.9",
        "s=-",
        "c=IN IP4 192.0.2.9",
        "t=0 0",
        f"m=audio {port} {proto} {formats}",
    ]
    return parse_lines(*head, *lines)


def parse_lines(*lines: str) -> SessionDescription:
    return SessionDescription.parse("".join(line + "\r\n" for line in lines).encode())


def remote(*lines: str, proto: str = "RTP/AVP", port: int = 4000, formats: str = "0 101") -> RemoteAudio:
    return read_audio(describe(*lines, proto=proto, port=port, formats=formats), index=0)


def trunk_audio(proto: Proto = Proto.AVP, cryptos: tuple[CryptoAttribute, ...] = (), mux: bool = False) -> LocalAudio:
    codecs = (OPUS, G722, PCMU, PCMA, DTMF_8)
    return LocalAudio(proto, "198.51.100.7", 20000, 20001, mux, codecs, cryptos=cryptos)


def browser_audio(setup: Setup = Setup.PASSIVE, mid: str | None = "0") -> LocalAudio:
    return LocalAudio(
        Proto.DTLS_SAVPF,
        "203.0.113.10",
        10000,
        10000,
        True,
        (OPUS, PCMU, PCMA, DTMF_48, Codec(126, "telephone-event", 8000)),
        fingerprint=FINGERPRINT,
        setup=setup,
        ice_ufrag="gwufrag1",
        ice_pwd="gatewaypassword1234567890",
        candidates=(HostPort("203.0.113.10", 10000), HostPort("2001:db8::10", 10000)),
        mid=mid,
    )
