"""Status lines as bodies (RFC 3420, RFC 3515 2.4.5)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.sipfrag import CONTENT_TYPE, MAX_STATUS_LINE, build_sipfrag, read_sipfrag
from tests.effort import examples


@pytest.mark.parametrize(
    ("status", "body", "length"),
    [
        (100, b"SIP/2.0 100 Trying\r\n", 20),
        (200, b"SIP/2.0 200 OK\r\n", 16),
        (503, b"SIP/2.0 503 Service Unavailable\r\n", 33),
        (299, b"SIP/2.0 299 Unknown\r\n", 21),
    ],
)
def test_a_piece_is_the_status_line_and_nothing_behind_it(status: int, body: bytes, length: int) -> None:
    """The lengths are those RFC 3515 4.1 gives."""
    assert build_sipfrag(status) == body
    assert len(body) == length
    assert read_sipfrag(CONTENT_TYPE, body) == status


@pytest.mark.parametrize("status", [-1, 0, 99, 700])
def test_a_status_there_is_none_of_is_not_written(status: int) -> None:
    with pytest.raises(SipError) as caught:
        build_sipfrag(status)
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("message/sipfrag", b"SIP/2.0 603 Declined", 603),
        ("Message/SipFrag ; version=2.0", b"SIP/2.0 180 Ringing\nContact: <sip:10.0.0.1>", 180),
        ("message/sipfrag;version=2.0", b"sip/2.0 486\r\n", 486),
        ("message/sipfrag", b"SIP/2.0 200 \xff\xfe\r\n", 200),
        ("message/sipfrag", b"SIP/2.0 200 " + b"x" * 5000, 200),
        ("message/sipfrag", b"INVITE sip:alice@atlanta.example.com SIP/2.0\r\nFrom: a", None),
        ("message/sipfrag", b"From: alice", None),
        ("message/sipfrag", b"", None),
        ("message/sipfrag", b"\r\nSIP/2.0 200 OK", None),
        ("message/sipfrag", b"SIP/3.0 200 OK", None),
        ("message/sipfrag", b"SIP/2.0  200 OK", None),
        ("message/sipfrag", b"SIP/2.0 20 OK", None),
        ("message/sipfrag", b"SIP/2.0 099 OK", None),
        ("message/sipfrag", b"SIP/2.0 700 OK", None),
        ("message/sipfrag", b"SIP/2.0 2000 OK", None),
        ("message/sipfrag", "SIP/2.0 \u0662\u0660\u0660 OK".encode(), None),
        ("message/sipfrag", b" " * MAX_STATUS_LINE + b"SIP/2.0 200 OK", None),
        ("application/sdp", b"SIP/2.0 200 OK", None),
        ("message/sip", b"SIP/2.0 200 OK", None),
        ("", b"SIP/2.0 200 OK", None),
        ('message/sipfrag;x="', b"SIP/2.0 200 OK", None),
    ],
)
def test_of_a_peers_piece_the_status_is_read(content_type: str, body: bytes, expected: int | None) -> None:
    assert read_sipfrag(content_type, body) == expected


@settings(max_examples=examples(500), deadline=None)
@given(st.text(max_size=40), st.binary(max_size=80) | st.binary(max_size=20).map(lambda tail: b"SIP/2.0 " + tail))
def test_any_octets_are_a_status_or_nothing(content_type: str, body: bytes) -> None:
    read_sipfrag(content_type, body)
    found = read_sipfrag(CONTENT_TYPE, body)
    assert found is None or 100 <= found <= 699
