"""Where a message ends: Content-Length, line ends, sizes (RFC 3261 7.3, 7.5, 18.3)."""

from __future__ import annotations

from tests.attacks.table.case import (
    ENDINGS,
    OVERSIZE,
    Case,
    Expect,
    closed,
    good,
    lost,
    malformed,
    message,
)

GOOD = message()
BARE_LF = GOOD.replace(b"\r\n", b"\n") + b"\r\n\r\n"


def with_length(*values: str) -> bytes:
    return message(length=None, extra=tuple(f"Content-Length: {value}" for value in values))


def within(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new)


LENGTHS = [
    Case(
        "no Content-Length: needed on a stream, the frame says it elsewhere",
        message(length=None),
        Expect(404),
        {"tcp": closed(400), "tls": closed(400), "open": Expect(401)},
    ),
    lost("Content-Length negative", with_length("-1"), 400),
    lost("Content-Length with a plus", with_length("+0"), 400),
    lost("Content-Length of 20 digits", with_length("99999999999999999999"), 400),
    lost("Content-Length as a float", with_length("0e0"), 400),
    lost("Content-Length in hexadecimal", with_length("0x0"), 400),
    lost("Content-Length in Arabic digits", with_length("\u0660"), 400),
    lost("Content-Length empty", with_length(""), 400),
    lost("Content-Length twice in one line", with_length("0, 0"), 400),
    lost("Content-Length with a blank inside", with_length("0 0"), 400),
    lost("Content-Length of 1 GB", with_length("1073741824"), 400),
    lost("two equal Content-Lengths", with_length("0", "0"), 400),
    lost("two different Content-Lengths", with_length("0", "100"), 400),
    lost("Content-Length and its compact form differ", message(extra=("l: 100",)), 400),
    Case(
        "Content-Length beyond the largest message",
        with_length("100000"),
        Expect(400),
        {"tcp": closed(413), "tls": closed(413)},
    ),
    Case(
        "Content-Length beyond the datagram or frame",
        with_length("500"),
        Expect(400),
        counter="sip_malformed",
        without=("tcp", "tls"),  # a stream waits for the rest: see the slow attacks
    ),
    Case(
        "Content-Length short of the datagram or frame: the rest is dropped",
        message(body=b"BYE sip:x SIP/2.0\r\n\r\n", length="0"),
        Expect(404),
        {"open": Expect(401)},
        ENDINGS,
        without=("tcp", "tls"),  # the rest is the next message there
    ),
    good("Content-Length with leading zeros", with_length("0000000")),
    good("Content-Length folded", with_length("\r\n 0")),
    good("blank before the colon", within(b"Content-Length:", b"Content-Length \t :")),
]

LINES = [
    good("empty lines before the request", b"\r\n\r\n\r\n" + GOOD),
    lost("bare LF line ends", BARE_LF),
    lost("bare CR in a header", within(b"Max-Forwards: 70", b"Max-Forwards: 70\rX: 1")),
    lost("bare LF in a header", within(b"Max-Forwards: 70", b"Max-Forwards: 70\nX: 1")),
    lost("bare LF hides a second Content-Length", within(b"Max-Forwards: 70", b"X: 1\nContent-Length: 99")),
    lost("NUL in a header", within(b"Max-Forwards: 70", b"Max-Forwards: 70\0")),
    lost("NUL in the request line", within(b" SIP/2.0\r\nVia", b"\0 SIP/2.0\r\nVia")),
    lost("folded request line", within(b" SIP/2.0\r\nVia", b"\r\n SIP/2.0\r\nVia")),
    good("folded From", within(b"From: ", b"From:\r\n\t ")),
    good("200 folds in one header", message(extra=("X-Long: 1" + "\r\n  2" * 200,))),
    malformed("all line ends folded away", within(b"\r\nTo", b"\r\n To")),
    malformed("a line that is no header", message(extra=("this is no header",))),
    malformed("a header name with a blank", message(extra=("X Y: 1",))),
    malformed("a header without a name", message(extra=(": 1",))),
    malformed("a header name with a quote", message(extra=('X"Y: 1',))),
    malformed("a header name beyond ASCII", message(extra=("X\u00e4: 1",))),
]

NOISE = [
    lost("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n"),
    lost("an HTTP request", b"GET /metrics HTTP/1.1\r\nHost: gw\r\n\r\n"),
    lost("octets 0 to 255", bytes(range(256)) + b"\r\n\r\n"),
    lost("60 kB of one letter", b"A" * 60000, counter=OVERSIZE),
    lost("30 kB of quotes", b'INVITE sip:a SIP/2.0\r\nFrom: "' + b'\\"' * 15000 + b"\r\n\r\n", counter=OVERSIZE),
    lost("a STUN request", b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12),
]

SIZES = [
    lost("a header line of 9 kB", message(extra=("Subject: " + "x" * 9000,)), 513),
    lost("a folded header of 9 kB", message(extra=("Subject: " + "xxxxxxxx\r\n " * 1000 + "x",)), 513),
    lost("a request line of 9 kB", message(uri=f"sip:{'9' * 9000}@demo.test", change={"To": "<sip:a@b>"}), 513),
    lost("300 headers", message(extra=tuple(f"X-{n}: 1" for n in range(300))), 513),
    lost("a head of 40 kB", message(extra=("Subject: " + "x" * 8000,) * 1 + ("X: " + "y" * 8000,) * 4), 513),
    lost("10,000 headers", message(extra=("a:",) * 10000), 513),
    malformed(
        "200 Vias in one line",
        message(Via="{via};branch={branch};rport" + ", SIP/2.0/UDP a;branch=z9hG4bKx" * 199),
        513,
    ),
    malformed("100 parameters", message(From="<sip:a@b>;tag=1" + "".join(f";p{n}" for n in range(100))), 513),
    malformed("200 Contacts", message(Contact=", ".join(["<sip:a@b>"] * 200)), 513),
    Case(
        "a body that fills the largest datagram",
        message(body=b"x" * 64000, extra=("Content-Type: application/sdp",)),
        Expect(404),
        {"open": Expect(401)},
        ENDINGS,
    ),
    Case(
        "a message of 65 kB and more",
        message(body=b"x" * 66000, extra=("Content-Type: application/sdp",)),
        closed(413),
        {"wss": Expect(closes=True), "open": Expect(closes=True)},
        "sip_oversize",
        without=("udp",),
    ),
]

CASES = [*LENGTHS, *LINES, *NOISE, *SIZES]
