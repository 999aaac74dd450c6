"""SIP messages and SIP streams from a peer that means no good (RFC 3261 7 and 18.3)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gateway.audit.redaction import redacted
from gateway.base.errors import SipError
from gateway.sip.framing import PING, StreamFramer
from gateway.sip.head import MAX_MESSAGE
from gateway.sip.message import Message, Request, Response, create_response, parse_message, salvage_error_response
from tests.fuzz.mutate import SEED, TIMEOUT, Mutator, run
from tests.sip.torture import TORTURE

pytestmark = pytest.mark.timeout(TIMEOUT)


INVITE = (
    b"INVITE sip:+4930123@gw.example.com;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/WSS x7.invalid;branch=z9hG4bK776;rport\r\n"
    b"Via: SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK1;received=192.0.2.1\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "A \\"quoted\\" name" <sip:alice@pbx.example.com>;tag=1928301774\r\n'
    b"To: <sip:+4930123@gw.example.com>\r\n"
    b"Call-ID: a84b4c76e66710@x7.invalid\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b'Contact: <sip:alice@x7.invalid;transport=ws;ob>;+sip.instance="<urn:uuid:1>";reg-id=1, <sip:b@c>\r\n'
    b"Record-Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\r\n"
    b"Route: <sip:p3.example.com;lr>\r\n"
    b"Supported: replaces, outbound\r\n"
    b'Authorization: Digest username="alice", realm="pbx", nonce="x", uri="sip:a", response="0", qop=auth, nc=1\r\n'
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 4\r\n\r\nv=0\n"
)
OK = (
    b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\n"
    b"i: 1\r\nCSeq: 1 INVITE\r\nm: *\r\nExpires: 60\r\nl: 0\r\n\r\n"
)
WORDS = (
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"Content-Length: 10\r\n",
    b"l: 0\r\n",
    b'"',
    b'\\"',
    b"<sip:a@b>",
    b"sips:",
    b"tel:+1;phone-context=x",
    b"%0d%0a",
    b"%00",
    b"%zz",
    b";lr",
    b";tag=",
    b",",
    b"[::1]",
    b"SIP/2.0",
    b"SIP/3.0",
    b"CSeq: 99999999999 INVITE\r\n",
    b"\xe2\x80\xae",
    b"\xff\xfe",
    b"Content-Type: multipart/mixed;boundary=b\r\n",
    b"Content-Disposition: session;handling<=required\r\n",
    b"--b\r\n",
)
PROPERTIES = (
    "via",
    "vias",
    "from_",
    "to",
    "call_id",
    "cseq",
    "contact",
    "contacts",
    "max_forwards",
    "content_type",
    "route",
    "record_route",
)


def seeds() -> list[bytes]:
    return [INVITE, OK, *(message.data for message in TORTURE.values())]


def look_at_everything(message: Message) -> None:
    for name in PROPERTIES:
        read(lambda name=name: getattr(message, name))  # type: ignore[misc]
    read(lambda: message.tokens("Supported"))
    assert redacted(message).replace("\n", "").isprintable()
    if isinstance(message, Request):
        read(lambda: message.request_uri)


def read(look: Callable[[], object]) -> None:
    """Lazily parsed values may be refused, with a status to answer."""
    try:
        look()
    except SipError as error:
        check_status(error)


def check_status(error: SipError) -> None:
    assert 400 <= error.status < 700


def answer(request: Request) -> None:
    try:
        parsed = parse_message(bytes(create_response(request, 486, to_tag="gw")), stream=True)
    except SipError:
        return
    assert isinstance(parsed, Response)
    assert parsed.status == 486


def refuse(data: bytes, error: SipError) -> None:
    check_status(error)
    salvaged = salvage_error_response(data, error)
    if salvaged is not None:
        # It repeats what the peer wrote, so it need not parse; it must be one message, and hardly longer.
        assert salvaged.startswith(b"SIP/2.0 %d " % error.status)
        assert salvaged.index(b"\r\n\r\n") == len(salvaged) - 4
        assert len(salvaged) < 1.5 * len(data) + 300
        assert salvaged.count(b"\n") == salvaged.count(b"\r") == salvaged.count(b"\r\n")


def parse(data: bytes, *, stream: bool) -> None:
    try:
        message = parse_message(data, stream=stream)
    except SipError as error:
        refuse(data, error)
        return
    look_at_everything(message)
    again = parse_message(bytes(message), stream=True)
    assert again.headers.get("Call-ID") == message.headers.get("Call-ID")
    assert again.body == message.body
    if isinstance(message, Request):
        answer(message)


@pytest.mark.parametrize("stream", [False, True], ids=["datagram", "stream"])
def test_any_octets_are_a_message_or_a_sip_error(stream: bool) -> None:
    assert run(lambda data: parse(data, stream=stream), seeds(), WORDS) > 100


def frame(data: bytes, cuts: list[int]) -> tuple[list[bytes], bool]:
    """The messages of a stream, and whether it was lost behind them."""
    framer = StreamFramer()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        try:
            found += framer.feed(data[start:end], 0.0)
        except SipError:
            break
    return [f for f in found if f != PING], framer.failure is not None


def test_a_stream_is_cut_into_the_same_messages_however_it_arrives() -> None:
    numbers = random.Random(SEED)

    def feed(data: bytes) -> None:
        whole = frame(data, [])
        assert frame(data, sorted(numbers.randrange(len(data) + 1) for _ in range(numbers.randint(1, 8)))) == whole
        assert all(len(m) <= MAX_MESSAGE for m in whole[0])

    streams = [a + b for a in (INVITE, OK, b"\r\n\r\n") for b in (INVITE, OK, b"\r\n\r\n")]
    assert run(feed, streams, WORDS) > 100


def test_the_same_seed_gives_the_same_inputs() -> None:
    one, other = (Mutator([INVITE, OK], WORDS, 7).inputs() for _ in range(2))
    assert [next(one) for _ in range(200)] == [next(other) for _ in range(200)]
