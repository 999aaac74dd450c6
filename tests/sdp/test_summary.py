"""What the audit log repeats of a description: names of what protects, never a key."""

from __future__ import annotations

import json

import pytest

from gateway.sdp.description import SessionDescription
from gateway.sdp.media import RemoteAudio, audio_lines
from gateway.sdp.summary import MAX_NAMES, protection, stream

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def described(*lines: str) -> RemoteAudio:
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    return audio_lines(SessionDescription.parse("\r\n".join([*head, *lines, ""]).encode()))[0]


def test_suites_and_parameters_are_named_in_their_order_and_keys_are_not() -> None:
    audio = described(
        "m=audio 4000 RTP/SAVP 0",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=64",
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY[:-4]}AAAA",
        f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        "a=sendonly",
    )
    assert protection(audio).as_dict() == {
        "proto": "RTP/SAVP",
        "direction": "sendonly",
        "suites": ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"],
        "parameters": ["WSH=64"],
        "unusable": ["suite.unencrypted_srtp"],
    }
    assert stream(audio) == "audio RTP/SAVP sendonly"


def test_a_stream_without_protection_says_so_by_having_none() -> None:
    assert protection(described("m=audio 4000 RTP/AVP 0")).as_dict() == {"proto": "RTP/AVP", "direction": "sendrecv"}
    assert stream(described("m=audio 0 RTP/AVP 0")) == "audio RTP/AVP refused"


def test_the_fingerprint_of_a_browser_is_named_by_its_algorithm() -> None:
    audio = described(
        f"a=fingerprint:sha-256 {'AB:' * 31}AB", "m=audio 1 UDP/TLS/RTP/SAVPF 0", "a=setup:actpass", "a=rtcp-mux"
    )
    assert (protection(audio).fingerprints, protection(audio).setup) == (("sha-256",), "actpass")


@pytest.mark.parametrize(
    "line",
    [
        f"a=crypto:1 {KEY} inline:{KEY}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} {KEY}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_KEY=inline:{KEY}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4",
        f"a=crypto:{KEY}",
    ],
)
def test_a_key_is_repeated_from_no_place(line: str) -> None:
    assert KEY not in json.dumps(protection(described("m=audio 4000 RTP/SAVP 0", line)).as_dict())


def test_what_is_repeated_has_a_limit() -> None:
    crypto = [f"a=crypto:{n} AES_CM_128_HMAC_SHA1_80 inline:{KEY}" for n in range(1, 50)]
    assert len(protection(described("m=audio 4000 RTP/SAVP 0", *crypto)).suites) == MAX_NAMES
