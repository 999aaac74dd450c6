"""Session descriptions from a peer that means no good (RFC 8866, RFC 4568, RFC 8839)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Setup
from gateway.sdp.build import build_answer
from gateway.sdp.codecs import with_events
from gateway.sdp.description import SessionDescription
from gateway.sdp.media import LocalAudio, RemoteAudio, audio_lines, read_audio, strongest
from gateway.sdp.negotiation import check_trunk_answer
from tests.fuzz.mutate import TIMEOUT, run
from tests.sdp.helpers import FINGERPRINT, PCMU

pytestmark = pytest.mark.timeout(TIMEOUT)

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"

WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
    b"m=audio 4000 RTP/AVP 0 8\r\n",
    b"m=video 0 RTP/AVP 96\r\n",
    b"c=IN IP4 0.0.0.0\r\n",
    b"c=IN IP6 ::1\r\n",
    b"c=IN IP4 224.2.1.1/127/3\r\n",
    b"a=rtpmap:0 PCMU/8000\r\n",
    b"a=fmtp:0 0-16\r\n",
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4\r\n",
    b"a=crypto:2 AEAD_AES_256_GCM inline:AAAA UNENCRYPTED_SRTP\r\n",
    b"a=fingerprint:sha-256 00:11\r\n",
    b"a=setup:actpass\r\n",
    b"a=ice-ufrag:abcd\r\n",
    b"a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\n",
    b"a=group:BUNDLE 0 0 0\r\n",
    b"a=group:\r\n",
    b"a=group:LS\t0\r\n",
    b"a=mid:0\r\n",
    b"a=bundle-only\r\n",
    b"a=rtcp:65536 IN IP4 x\r\n",
    b"inline:",
    b"|",
    b"/",
    b" ",
    b"\x00",
    b"\xff",
)


OUR_FAULT = (500,)
"""What was made up here to answer with need not fit the offer."""


def check_status(error: SdpError, *others: int) -> None:
    assert error.status in (400, 488, *others)


def read_everything(data: bytes) -> None:
    try:
        description = SessionDescription.parse(data)
    except SdpError as error:
        check_status(error)
        return
    assert bytes(description) == data
    try:
        lines = audio_lines(description)
        read_audio(description)
        line = strongest(lines)
    except SdpError as error:
        check_status(error)
        return
    answer(description, line)


def answer(description: SessionDescription, line: RemoteAudio) -> None:
    """What can be agreed to is answered in a description with as many lines; what came may be an answer to ours."""
    ours = LocalAudio(line.proto, "192.0.2.1", 4000, 4001, line.rtcp_mux, with_events(line.codecs or (PCMU,)))
    for keys in ((), line.cryptos[:1]):
        try:
            written = build_answer(
                replace(ours, cryptos=keys), description, audio_index=line.index, session_id=1, version=1
            )
        except SdpError as error:
            check_status(error, *OUR_FAULT)
        else:
            assert len(SessionDescription.parse(written).media) == len(description.media)
        for offer in (replace(ours, cryptos=keys), replace(ours, fingerprint=FINGERPRINT, setup=Setup.ACTPASS)):
            try:
                agreement = check_trunk_answer(offer, line)
            except SdpError as error:
                check_status(error, *OUR_FAULT)
                continue
            assert agreement.problem is not None or agreement.remote is None or agreement.local is not None
            assert (agreement.association is not None) == (agreement.keying is Keying.DTLS)


def test_any_octets_are_a_description_or_an_sdp_error() -> None:
    seeds = [p.read_bytes() for p in sorted(VECTORS.rglob("*.sdp"))]
    assert len(seeds) > 10
    assert run(read_everything, seeds, WORDS) > 100
