"""The torture messages of RFC 4475 section 3, octet for octet: what parses, what is refused and how."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.message import Request, parse_message, salvage_error_response
from tests.outside import outside_or_skip
from tests.sip.samples import datagram, request, response, torture
from tests.sip.torture import TORTURE

VALID = (
    "wsinv", "intmeth", "esc01", "escnull", "esc02", "lwsdisp", "longreq", "dblreq", "semiuri", "transports", "mpart01",
    "unreason", "noreason",
)  # fmt: skip
"""3.1.1"""

REFUSED = {
    "badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": 400, "quotbal": 400, "lwsruri": 400,
    "lwsstart": 400, "trws": 400, "regbadct": 400, "badaspec": 400, "baddn": 400, "badvers": 505, "mismatch01": 400,
    "mismatch02": 400, "bigcode": 400, "insuf": 400, "multi01": 400, "mcl01": 400,
}  # fmt: skip
"""3.1.2, and of 3.3 the three that break the grammar"""

REFUSED_URI = {"ltgtruri": 400, "escruri": 400, "unkscm": 416, "novelsc": 416}
"""Refused by whoever reads the request URI, so that it is answered inside a transaction"""

APPLICATION = (
    "badbranch", "unksm2", "bext01", "invut", "regaut01", "bcast", "zeromf", "cparam01", "cparam02", "regescrt",
    "sdp01", "inv2543", "baddate",
)  # fmt: skip
"""3.2 to 3.4: well-formed. baddate is of 3.1.2, but a Date that is not used is not checked either"""

UNANSWERABLE = ("scalarlg", "bigcode")
"""Responses"""


def test_every_torture_message_is_accounted_for() -> None:
    assert sorted(TORTURE) == sorted([*VALID, *REFUSED, *REFUSED_URI, *APPLICATION])
    assert len(TORTURE) == 49


@pytest.mark.parametrize("name", TORTURE)
def test_a_torture_message_is_that_of_the_archive_octet_for_octet(name: str) -> None:
    archive = outside_or_skip("vectors", "rfc4475")
    assert (archive / f"{name}.dat").read_bytes() == TORTURE[name].data


@pytest.mark.parametrize("name", [*VALID, *APPLICATION])
def test_a_well_formed_message_round_trips(name: str) -> None:
    message = datagram(torture(name))
    written = bytes(message)
    again = parse_message(written, stream=True)
    assert bytes(again) == written
    assert again.headers.items()[: len(message.headers)] == message.headers.items()
    assert (again.via, again.from_, again.to, again.cseq) == (message.via, message.from_, message.to, message.cseq)
    assert again.body == message.body
    if isinstance(message, Request):
        assert str(message.request_uri) == message.uri


@pytest.mark.parametrize(("name", "status"), REFUSED.items())
def test_a_malformed_message_is_refused(name: str, status: int) -> None:
    with pytest.raises(SipError) as caught:
        datagram(torture(name))
    assert caught.value.status == status
    answer = salvage_error_response(torture(name), caught.value)
    assert (answer is None) == (name in UNANSWERABLE)
    assert answer is None or answer.startswith(f"SIP/2.0 {status} ".encode())


@pytest.mark.parametrize(("name", "status"), REFUSED_URI.items())
def test_a_request_uri_that_cannot_be_used_is_refused_when_read(name: str, status: int) -> None:
    message = request(torture(name))
    with pytest.raises(SipError) as caught:
        _ = message.request_uri
    assert caught.value.status == status


def test_wsinv_a_short_tortuous_invite() -> None:
    message = request(torture("wsinv"))
    assert (message.from_.display_name, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (str(message.to.uri), message.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert (message.max_forwards, str(message.cseq), message.headers.get("Subject")) == (68, "9 INVITE", "")
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.contact is not None
    assert message.contact.display_name == 'Quoted string ""'
    assert str(message.contact.params) == ";newparam=newvalue;secondparam;q=0.33"
    assert str(message.route[0].uri) == "sip:services.example.com;lr;unknownwith=value;unknown-no-value"


def test_intmeth_a_wide_range_of_valid_characters() -> None:
    message = request(torture("intmeth"))
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.request_uri.host == "example.com"
    assert message.request_uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.to.display_name == "BEL:\x07 NUL:\0 DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert (
        message.from_.params.get("fromParam''~+*_!.-%")
        == '"\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439"'
    )
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff\u5927\u505c\u96fb"


def test_esc01_and_escnull_escapes_are_kept_and_decoded_only_to_be_compared() -> None:
    message = request(torture("esc01"))
    assert message.request_uri.user_decoded == "sips:user@example.com"
    assert (message.to.uri.user, message.to.uri.user_decoded) == ("%75se%72", "user")
    assert message.from_.uri.user_decoded == "I have spaces"
    assert message.contact is not None
    assert str(message.contact.uri) == "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"
    assert [contact.uri.user_decoded for contact in request(torture("escnull")).contacts] == ["\0", "\0\0"]


def test_esc02_a_percent_sign_is_no_escape_outside_of_uris() -> None:
    message = request(torture("esc02"))
    assert (message.method, message.to.display_name) == ("RE%47IST%45R", "%Z%45")
    assert [contact.uri.user for contact in message.contacts] == ["alias1", "alias3"]
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_lwsdisp_no_space_is_needed_before_the_bracket() -> None:
    assert request(torture("lwsdisp")).from_.display_name == "caller"


def test_longreq_all_34_vias_are_seen() -> None:
    message = request(torture("longreq"))
    assert [via.host for via in message.vias] == [
        *(f"sip{n}.example.com" for n in range(33, 0, -1)),
        "host.example.com",
    ]


def test_dblreq_the_second_request_of_a_datagram_is_dropped() -> None:
    message = request(torture("dblreq"))
    assert (message.method, message.body) == ("REGISTER", b"")


def test_semiuri_a_semicolon_in_the_user_is_no_parameter() -> None:
    uri = request(torture("semiuri")).request_uri
    assert (uri.user_decoded, uri.host, len(uri.params)) == ("user;par=u@example.net", "example.com", 0)


def test_transports_unknown_ones_parse() -> None:
    assert [via.transport for via in request(torture("transports")).vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01_a_binary_body_is_kept() -> None:
    message = request(torture("mpart01"))
    assert b"\r\n\r\n\x30\x82\x01\x52" in message.body
    assert message.content_type == "multipart/mixed"


def test_unreason_and_noreason() -> None:
    assert response(torture("unreason")).reason.startswith("= 2**3 * 5**2 \u043d\u043e")
    assert (response(torture("noreason")).status, response(torture("noreason")).reason) == (100, "")


def test_the_application_cases_read_as_described() -> None:
    assert request(torture("badbranch")).via.branch == "z9hG4bK"
    assert str(request(torture("unksm2")).to.uri) == "isbn:2983792873"
    assert request(torture("bext01")).tokens("Require") == {"nothingsupportsthis", "nothingsupportsthiseither"}
    assert request(torture("invut")).content_type == "application/unknownformat"
    assert response(torture("bcast")).vias[1].host == "255.255.255.255"
    assert request(torture("zeromf")).max_forwards == 0
    assert request(torture("inv2543")).via.branch == ""
    assert request(torture("inv2543")).from_.tag is None
    one, two = request(torture("cparam01")).contact, request(torture("cparam02")).contact
    assert one is not None
    assert two is not None
    assert ("unknownparam" in one.params, "unknownparam" in one.uri.params) == (True, False)
    assert ("unknownparam" in two.params, "unknownparam" in two.uri.params) == (False, True)
    escaped = request(torture("regescrt")).contact
    assert escaped is not None
    assert escaped.uri.headers == "Route=%3Csip:sip.example.com%3E"
