"""What a REFER asks for (RFC 3515, 3892, 4488, 5589); the values are those of the RFCs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.grammar import is_token
from gateway.sip.message import Headers, Request
from gateway.sip.refer import MAX_EMBEDDED, MAX_NAME, MAX_REFER_TO, MAX_REFERRED_BY, UNREADABLE, Referral, ReferTo
from gateway.sip.replaces import Replaces
from tests.effort import examples
from tests.sip.samples import raw, request, status_of


def refer(*lines: str, number: int = 93809823) -> bytes:
    start = "REFER sip:b@atlanta.example.com SIP/2.0"
    return raw(start, extra="\r\n".join(lines), CSeq=f"{number} REFER", To="<sip:b@atlanta.example.com>;tag=4992881234")


def read(*lines: str) -> Referral:
    return Referral.read(request(refer(*lines)))


def refused(value: str) -> int:
    with pytest.raises(SipError) as caught:
        ReferTo.parse(value)
    return caught.value.status


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("sip:alice@atlanta.example.com", "sip:alice@atlanta.example.com"),
        ("<sip:refertarget@target.example.com>", "sip:refertarget@target.example.com"),
        ('"Carol, of course" <sips:carol@cleveland.example.org>;isfocus', "sips:carol@cleveland.example.org"),
        ("sip:transfertarget@chicago.example.com;x=y", "sip:transfertarget@chicago.example.com"),
        ("<sip:+4930123@pbx;user=phone;method=INVITE>", "sip:+4930123@pbx;user=phone"),
        ("<sip:a@b;method=%49NVITE>", "sip:a@b"),
        ("<tel:+1-212-555-2368>", "tel:+1-212-555-2368"),
        ("tel:110", "tel:110"),
    ],
)
def test_who_is_to_be_called_is_an_address_in_either_form(value: str, uri: str) -> None:
    assert ReferTo.parse(value) == ReferTo(ReferTo.parse(f"<{uri}>").uri)
    assert str(ReferTo.parse(value).uri) == uri


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "<sip:dave@denver.example.org?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>",
            Replaces("12345@192.168.118.3", "12345", "5FFE-3994"),
        ),
        (
            "<sips:a8342043f@atlanta.example.com?Replaces=12345601%40atlanta.example.com"
            "%3Bfrom-tag%3D314159%3Bto-tag%3D1234567>",
            Replaces("12345601@atlanta.example.com", "1234567", "314159"),
        ),
        (
            "<sip:482n4z24kdg@chicago.example.com;gr=8594958?Replaces=090459243588173445%3Bto-tag%3D9m2n3wq"
            "%3Bfrom-tag%3D763231>",
            Replaces("090459243588173445", "9m2n3wq", "763231"),
        ),
        ("<sip:a@b?%52EPLACES=c%3bto-tag%3d1%3bfrom-tag%3d2%3bearly-only>", Replaces("c", "1", "2", True)),
    ],
)
def test_a_dialog_to_be_taken_over_is_named_in_the_uri(value: str, expected: Replaces) -> None:
    found = ReferTo.parse(value)
    assert found.replaces == expected
    assert found.ignored == ()
    assert "?" not in str(found.uri)


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (
            "Accept-Contact=sip:bobsdesk.biloxi.example.net&Call-ID%3D55432%40alicepc.example.com",
            ("accept-contact", "?"),
        ),
        ("Route=%3Csip:evil.example%3Blr%3E&From=%3Csip:boss%40example.com%3E", ("route", "from")),
        ("Require=replaces&require=100rel&body=v%3D0%0D%0Ao", ("require", "body")),
        ("Subject=a%0d%0aVia:%20SIP/2.0/UDP%20evil&%0d%0aX=1&=2&&x", ("subject", UNREADABLE, "x")),
        ("P-Asserted-Identity=%3Csip:boss%40example.com%3E", ("p-asserted-identity",)),
        ("x" * 100 + "=1", ("x" * MAX_NAME,)),
    ],
)
def test_no_other_header_of_the_uri_is_used_and_each_is_named(headers: str, names: tuple[str, ...]) -> None:
    found = ReferTo.parse(f"<sip:bob@biloxi.example.net?{headers}>")
    assert found == ReferTo(ReferTo.parse("<sip:bob@biloxi.example.net>").uri, ignored=names)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("<sip:carol@cleveland.example.org;method=SUBSCRIBE>", 501),
        ("<sip:carol@cleveland.example.org;method=BYE>", 501),
        ("<sip:carol@cleveland.example.org;method>", 501),
        ("<sip:a@b;method=INVITE;method=BYE>", 400),
        ("http://www.ietf.org", 416),
        ("<mailto:a@b>", 416),
        ("", 400),
        ("*", 400),
        ("bob", 400),
        ("sip:", 400),
        ("<sip:a@b", 400),
        ("sip:a@b?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2", 400),
        ("sip:a@b, sip:c@d", 400),
        ("<sip:a@b>, <sip:c@d>", 400),
        ("<sip:a@b>;x=1, <sip:c@d>", 400),
        ("<sip:a@b><sip:c@d>", 400),
        ("<sip:a@b@c>", 400),
        ("<sip:a%0@b>", 400),
        ("<sip:a@b?Replaces=c%zz>", 400),
        ("<sip:a@b?>", 400),
        ("<sip:a@b?From=sip:boss@example.com>", 400),
        ("<sip:a@b?Replaces=>", 400),
        ("<sip:a@b?Replaces=c%3Bto-tag%3D1>", 400),
        ("<sip:a@b?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("<sip:a@b?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2&REPLACE%53=d>", 400),
        ("<sip:a@b?Replaces=c%3Bto-tag%3D1%0D%0ARoute:evil%3Bfrom-tag%3D2>", 400),
        ("<sip:a@b?Replaces=c%00%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("<sip:a@b?Replaces=%ff%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("<sip:a@b?Replaces=c%253B;to-tag=1;from-tag=2,d>", 400),
        ("<sip:a@b?" + "&".join(["x=1"] * (MAX_EMBEDDED + 1)) + ">", 400),
        ("<sip:" + "a" * MAX_REFER_TO + "@b>", 400),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_status(value: str, status: int) -> None:
    assert refused(value) == status


def test_escapes_are_resolved_once() -> None:
    """What stays escaped after that is a name with a percent sign in it."""
    found = ReferTo.parse("<sip:a@b?Replaces=c%253Bx%3Bto-tag%3D1%3Bfrom-tag%3D2>").replaces
    assert found == Replaces("c%3Bx", "1", "2")


def test_a_refer_has_exactly_one_refer_to() -> None:
    with pytest.raises(SipError) as caught:
        read("Subject: none")
    assert caught.value.status == 400
    assert status_of(refer("Refer-To: <sip:a@b>", "r: <sip:c@d>")) == 400
    two = Request(
        "REFER", "sip:b", Headers([("Refer-To", "<sip:a@b>"), ("Refer-To", "<sip:a@b>"), ("CSeq", "1 REFER")])
    )
    with pytest.raises(SipError, match="Exactly one") as caught:
        Referral.read(two)
    assert caught.value.status == 400


def test_a_refer_is_known_by_its_number_and_read_under_compact_names() -> None:
    found = read("r: <sip:a@b>", 'b: <sip:referrer@referrer.example>;cid="20398823.2UWQFN309shb3@referrer.example"')
    assert found == Referral(93809823, ReferTo.parse("<sip:a@b>"), True, "sip:referrer@referrer.example")


@pytest.mark.parametrize(
    ("line", "subscribes"),
    [
        ("Refer-Sub: false", False),
        ("Refer-Sub: FALSE ;x=y", False),
        ("Refer-Sub: true", True),
        ("Refer-Sub:", True),
        ("Refer-Sub: no", True),
        ("Refer-Sub: fal\u017fe", True),
        ("Supported: norefersub", True),
    ],
)
def test_who_wants_no_notify_says_so_and_is_told_that_none_will_come(line: str, subscribes: bool) -> None:
    found = read("Refer-To: <sip:a@b>", line)
    assert found.subscribes is subscribes
    assert found.agreement == (() if subscribes else (("Refer-Sub", "false"),))


@pytest.mark.parametrize(
    ("lines", "claimed"),
    [
        ((), ""),
        (('Referred-By: "The Boss" <sip:boss@example.com>',), "sip:boss@example.com"),
        (("Referred-By: <sip:a@b",), ""),
        (("Referred-By: <sip:a@b>", "b: <sip:c@d>"), ""),
        (("Referred-By: <x:\u202eevil>",), ""),
        (("Referred-By: <sip:" + "a" * 500 + "@b>",), ("sip:" + "a" * 500)[:MAX_REFERRED_BY]),
    ],
)
def test_who_claims_to_have_sent_it_is_kept_for_the_record_only(lines: tuple[str, ...], claimed: str) -> None:
    assert read("Refer-To: <sip:a@b>", *lines).claimed == claimed


def outcome(value: str) -> ReferTo | int:
    try:
        return ReferTo.parse(value)
    except SipError as error:
        return error.status


PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "sip:", "tel:", "a@b", "?", "&", "=", ";", "%3B", "%0d%0a", "%", '"', "Replaces", ",", "method"]
    )
    | st.text(max_size=4),
    max_size=14,
).map("".join)


@settings(max_examples=examples(500), deadline=None)
@given(PIECES | PIECES.map(lambda text: f"<sip:a@b?{text}>"))
def test_any_value_is_somebody_to_call_or_a_declared_refusal(value: str) -> None:
    found = outcome(value)
    if not isinstance(found, ReferTo):
        assert found in (400, 416, 501, 513)
        return
    assert ReferTo.parse(f"<{found.uri}>").uri == found.uri
    assert all(name == UNREADABLE or is_token(name) for name in found.ignored)
    assert len(found.ignored) <= MAX_EMBEDDED
