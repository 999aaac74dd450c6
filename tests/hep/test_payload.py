"""A SIP message as it is exported: one that others can read, with nothing in it that opens a door."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.hep.packet import MAX_PACKET
from gateway.hep.payload import sip_payload
from gateway.sip.message import Message, Request, create_response, parse_message
from tests.audit.test_redaction import DIGIT_BODIES, DIGITS, KEY, OFFER, request
from tests.effort import examples

NAMES = ("Alice", "alice", "Bob", "600", "493012345", "nickname")


def exported(message: Message, room: int = MAX_PACKET, **options: object) -> Message:
    """The message as its collector reads it, over UDP and over a stream alike."""
    payload = sip_payload(message, room, **options)  # type: ignore[arg-type]
    assert len(payload) <= room
    read = parse_message(payload, stream=True)
    assert bytes(read) == payload
    return read


def test_an_exported_message_is_a_message_with_the_length_of_the_body_that_is_left() -> None:
    sent = request('Authorization: Digest username="alice", response="' + KEY + '"', body=OFFER, kind="application/sdp")
    read = exported(sent)
    assert isinstance(read, Request)
    assert (read.method, read.uri, read.call_id, read.cseq) == (sent.method, sent.uri, sent.call_id, sent.cseq)
    assert (read.from_, read.to, read.via) == (sent.from_, sent.to, sent.via)
    assert int(read.headers.get("Content-Length") or "") == len(read.body)
    assert b"m=audio 4000 RTP/SAVP 0 101\r\n" in read.body
    assert KEY.encode() not in bytes(read)
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\n" in read.body


def test_a_response_is_exported_likewise() -> None:
    read = exported(create_response(request(), 180, to_tag="x"))
    assert (read.status, read.reason, read.body) == (180, "Ringing", b"")  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [*DIGIT_BODIES, "application/kpml-response+xml", "text/plain", "message/sipfrag"])
def test_digits_are_never_exported(kind: str) -> None:
    read = exported(request(body=f"Signal={DIGITS}\r\nDuration=160\r\n".encode(), kind=kind))
    assert DIGITS.encode() not in bytes(read)


def test_digits_that_are_dialled_after_the_answer_are_not_exported_either() -> None:
    for uri in (f"sip:600@pbx;postd=pp{DIGITS}", f"tel:600;postd={DIGITS}"):
        assert DIGITS.encode() not in sip_payload(request(f"Refer-To: <{uri}>", uri=uri), MAX_PACKET)


def test_a_message_that_is_too_long_keeps_what_every_message_must_have() -> None:
    extra = [f"X-{number}: {'x' * 300}" for number in range(60)] + [f"Record-Route: <sip:h{'x' * 200};lr>"] * 30
    body = b"v=0\r\n" + b"a=rtpmap:0 PCMU/8000\r\n" * 190
    sent = request(*extra, body=body, kind="application/sdp")
    for room in (4000, 2500, 1500):
        read = exported(sent, room)
        assert (read.call_id, read.from_, read.to, read.cseq, read.via) == (
            sent.call_id, sent.from_, sent.to, sent.cseq, sent.via,
        )  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(
    names=st.lists(
        st.sampled_from(["Subject", "X-Any", "User-Agent", "Reason", "Contact", "Via2", "l", "k"]), max_size=8
    ),
    value=st.text(st.characters(exclude_characters="\r\n\0"), max_size=900),
    body=st.binary(max_size=3000) | st.just(OFFER),
    kind=st.sampled_from(["application/sdp", "text/plain", "multipart/mixed;boundary=b", ""]),
    hidden=st.booleans(),
)
def test_whatever_a_peer_writes_one_message_stays_one_message(
    names: list[str], value: str, body: bytes, kind: str, hidden: bool
) -> None:
    try:
        sent = request(*(f"{name}: {value}" for name in names if name not in "lk"), body=body, kind=kind)
    except SipError:
        return
    payload = sip_payload(sent, MAX_PACKET, (lambda _name: "p-0") if hidden else None)
    head, _, rest = payload.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    assert lengths == [f"Content-Length: {len(rest)}".encode()]
    assert all(b":" in line for line in head.split(b"\r\n")[1:])
    assert not set(head.replace(b"\r\n", b"")) & set(range(0x20))
