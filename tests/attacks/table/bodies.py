"""Session descriptions that cost or aim at something (RFC 8866, RFC 4568, RFC 8839); bob is there to be called."""

from __future__ import annotations

from collections.abc import Sequence

from tests.attacks.table.case import ENDINGS, Case, Expect, message
from tests.rig.gateway import REALM

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
PRINT = ":".join(["AB"] * 32)
HEAD = ("v=0", "o=- 1 1 IN IP4 127.0.3.1", "s=-", "c=IN IP4 127.0.3.1", "t=0 0")
TRUNK_AUDIO = ("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000")
BROWSER_AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "a=rtcp-mux",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789abcdefghijklmn",
    f"a=fingerprint:sha-256 {PRINT}",
    "a=setup:actpass",
)


def offer(*lines: str, head: Sequence[str] = HEAD, audio: Sequence[str] = TRUNK_AUDIO) -> bytes:
    return ("\r\n".join((*head, *audio, *lines)) + "\r\n").encode("utf-8", "surrogateescape")


def bomb(name: str, body: bytes, status: int = 488, **on: Expect) -> Case:
    data = message(uri=f"sip:{{callee}}@{REALM}", extra=("Content-Type: application/sdp",), body=body)
    return Case(name, data, Expect(status), {"open": Expect(401)} | on, ENDINGS)


def both(name: str, *lines: str) -> list[Case]:
    """The same lines behind a trunk's and behind a browser's audio."""
    return [bomb(name, offer(*lines)), bomb(f"{name}, WebRTC", offer(*lines, audio=BROWSER_AUDIO))]


SIZES = [
    *both("1000 m-lines", *["m=audio 9 RTP/AVP 0"] * 1000),
    *both("10,000 attributes", *["a=x"] * 10000),
    *both("10,000 bandwidths", *["b=AS:1"] * 7000),
    *both("129 formats on one line", f"m=audio 9 RTP/AVP {' '.join(str(n % 128) for n in range(129))}"),
    bomb("60 kB in one line", offer("a=" + "x" * 60000, head=HEAD[:1])),
    bomb("20,000 empty lines inside", offer("\r\n" * 20000, "a=x")),
]

SHAPES = [
    bomb("no line of its own", b"\xff" * 100),
    bomb("no v= line", offer(head=HEAD[1:])),
    bomb("no m= line", offer(audio=())),
    bomb("NUL", offer("a=x\0y")),
    bomb("bare CR", offer("a=x\ry")),
    bomb("unknown line type", offer("q=1")),
    bomb("port 65536", offer(audio=("m=audio 65536 RTP/AVP 0",))),
    bomb("port 0", offer(audio=("m=audio 0 RTP/AVP 0",))),
    bomb("negative port", offer(audio=("m=audio -1 RTP/AVP 0",))),
    bomb("port in Arabic digits", offer(audio=("m=audio \u0664\u0660\u0660\u0660 RTP/AVP 0",))),
    bomb("payload type 128", offer(audio=("m=audio 4000 RTP/AVP 128",))),
    bomb("video only", offer(audio=("m=video 4000 RTP/AVP 96", "a=rtpmap:96 VP8/90000"))),
    Case(
        "SDES from a browser",
        bomb("", offer(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")).data,
        Expect(488),
        {"open": Expect(401)},
        ENDINGS,
        without=("udp", "tcp", "tls"),  # a trunk may, and bob's phone rings
    ),
]

AIMS = [
    bomb(f"media to {address}", offer(head=(*HEAD[:3], f"c=IN {kind} {address}", HEAD[4])))
    for kind, address in (
        ("IP4", "224.2.1.1/127/3"),
        ("IP4", "255.255.255.255"),
        ("IP4", "240.0.0.1"),
        ("IP4", "evil.test"),
        ("IP4", "0x7f.1"),
        ("IP6", "ff02::1"),
        ("IP6", "fe80::1%lo"),
        ("IP4", "169.254.169.254"),
    )
]

CASES = [*SIZES, *SHAPES, *AIMS]
"""What a trunk sends is refused for what it says; the same from a browser is refused for not being WebRTC as well."""
