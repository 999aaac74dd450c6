"""What a peer that means no good writes into REFER, Replaces and the body of a NOTIFY (RFC 3515, 3891, 3420)."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.grammar import is_token
from gateway.sip.message import Request, parse_message
from gateway.sip.refer import MAX_EMBEDDED, UNREADABLE, Referral, ReferTo
from gateway.sip.replaces import Replaces, read_replaces
from gateway.sip.sipfrag import CONTENT_TYPE, read_sipfrag
from gateway.sip.subscription import EXPIRES, Subscriptions
from tests.fuzz.mutate import TIMEOUT, run

pytestmark = pytest.mark.timeout(TIMEOUT)

HEAD = (
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
    b"Call-ID: 1@x\r\nContact: <sip:a@192.0.2.1>\r\n"
)
REFER = (
    b"REFER sip:b@example.com SIP/2.0\r\n" + HEAD + b"CSeq: 93809823 REFER\r\n"
    b"Refer-To: <sip:dave@denver.example.org;user=phone?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345"
    b"%3Bfrom-tag%3D5FFE-3994&Require=replaces&body=v%3D0>;x=y\r\n"
    b'Referred-By: "R" <sip:r@referrer.example>;cid="2039@referrer.example"\r\nRefer-Sub: false;x=y\r\n\r\n'
)
INVITE = (
    b"INVITE sip:b@example.com SIP/2.0\r\n" + HEAD + b"CSeq: 1 INVITE\r\nRequire: replaces\r\n"
    b"Replaces: 425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only\r\n\r\n"
)
SUBSCRIBE = (
    b"SUBSCRIBE sip:b@example.com SIP/2.0\r\n" + HEAD + b"CSeq: 9 SUBSCRIBE\r\n"
    b"Event: refer;id=93809823\r\nExpires: 60\r\n\r\n"
)
FRAGMENT = b"SIP/2.0 200 OK\r\nTo: <sip:b@192.0.2.2>\r\n"
WORDS = (
    b"Refer-To: ",
    b"Replaces: ",
    b"Join: a;to-tag=1;from-tag=2\r\n",
    b"Replaces=",
    b"%52eplaces=",
    b"&",
    b"?",
    b"%3B",
    b"%0d%0aRoute:%20%3Csip:evil%3E",
    b"%00",
    b"%zz",
    b";method=BYE",
    b";to-tag=",
    b";from-tag=0",
    b";early-only",
    b"tel:",
    b"http:",
    b"<",
    b">",
    b'"',
    b",",
    b"\xe2\x80\xae",
    b"\xff",
)


def look_at(message: Request) -> None:
    """Each reading gives a value that can be written again, or a status to answer with."""
    referral = Referral.read(message)
    target = referral.refer_to
    assert ReferTo.parse(f"<{target.uri}>").uri == target.uri
    assert len(target.ignored) <= MAX_EMBEDDED
    assert all(name == UNREADABLE or is_token(name) for name in target.ignored)
    assert referral.claimed.isprintable()
    if target.replaces is not None:
        assert Replaces.parse(str(target.replaces)) == target.replaces


def replaces(message: Request) -> None:
    found = read_replaces(message)
    assert found is None or Replaces.parse(str(found)) == found


def subscribe(message: Request) -> None:
    subscriptions = Subscriptions()
    subscriptions.open(93809823, 0.0)
    seconds, _ = subscriptions.asked(message, 1.0)
    assert 0 <= seconds <= EXPIRES


def read(data: bytes) -> None:
    status = read_sipfrag(CONTENT_TYPE, data)
    assert status is None or 100 <= status <= 699
    for look in (look_at, replaces, subscribe):
        try:
            message = parse_message(data, stream=True)
            if isinstance(message, Request):
                look(message)
        except SipError as error:
            check_status(error)


def check_status(error: SipError) -> None:
    assert error.status in (400, 411, 413, 416, 481, 489, 501, 505, 513)


def test_whatever_a_transfer_is_asked_for_with_is_read_or_refused() -> None:
    assert run(read, [REFER, INVITE, SUBSCRIBE, FRAGMENT], WORDS) > 100
