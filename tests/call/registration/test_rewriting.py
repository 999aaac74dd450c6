"""A REGISTER on its way to the registrar and its answer on the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import HostPort, Secret
from gateway.call.registration.rewriting import (
    MAX_GRANTED,
    Place,
    granted,
    keeps_path,
    leaving,
    named,
    number,
    place_name,
    removed,
    to_browser,
    to_registrar,
)
from gateway.location.contacts import Wanted
from gateway.sip.address import NameAddr
from gateway.sip.digest_relay import Given
from gateway.sip.flow import Flow
from gateway.sip.grammar import quote
from gateway.sip.message import Headers, Request, Response, parse_message
from gateway.site import RegistrationRelay
from tests import effort

SETTINGS = RegistrationRelay(trunk="pbx", address=HostPort("gw.test", 5061))
PATH = replace(SETTINGS, path=True)
KEY = Secret(b"k" * 32)
GIVEN = Given((("Authorization", "Digest x"),), "alice")


def flow(identity: int = 1) -> Flow:
    return Flow(identity, "wss", HostPort("127.0.0.1", 443), HostPort("192.0.2.1", 1000))


def place(text: str = "<sip:a@p.invalid;transport=ws>", expires: int = 600, name: str = "gw-a") -> Place:
    return Place(name, Wanted(NameAddr.parse(text), text, expires))


def register(**fields: str) -> Request:
    headers = [
        ("Via", "SIP/2.0/WSS p.invalid;branch=z9hG4bK1"),
        ("From", '"A, B" <sip:alice@example.test>;tag=f'),
        ("To", "<sip:alice@example.test>"),
        ("Call-ID", "id%1"),
        ("CSeq", "7 REGISTER"),
        *fields.items(),
    ]
    return Request("REGISTER", "sip:Example.TEST;x=1", Headers(headers))


def listing(*contacts: str, **fields: str) -> Response:
    headers = [("Contact", contact) for contact in contacts] + [("CSeq", "7 REGISTER")] + list(fields.items())
    return Response(200, "OK", Headers(headers))


def test_uri_from_to_call_id_and_cseq_are_the_browsers_octet_for_octet() -> None:
    sent = to_registrar(register(), [place()], GIVEN, SETTINGS, "tls", 600)
    assert sent.uri == "sip:Example.TEST;x=1"
    assert sent.headers.get("From") == '"A, B" <sip:alice@example.test>;tag=f'
    assert (sent.headers.get("Call-ID"), sent.headers.get("CSeq")) == ("id%1", "7 REGISTER")
    assert sent.headers.get("Authorization") == "Digest x"


@pytest.mark.parametrize(("transport", "written"), [("udp", "<sip:gw-a@gw.test:5061>"), ("tcp", ";transport=tcp>")])
def test_our_contact_names_the_place_and_the_transport(transport: str, written: str) -> None:
    sent = to_registrar(register(), [place()], GIVEN, SETTINGS, transport, 600)  # type: ignore[arg-type]
    contact = sent.headers.get("Contact") or ""
    assert written in contact
    assert "invalid" not in contact


def test_our_contact_keeps_device_and_preference_and_nothing_else() -> None:
    text = '<sip:a@p.invalid>;+sip.instance="<urn:uuid:1>";q=0.5;reg-id=1;methods="INVITE";+sip.ice'
    sent = to_registrar(register(), [place(text)], GIVEN, SETTINGS, "tls", 600)
    assert {name for name, _ in sent.contacts[0].params} == {"+sip.instance", "q", "expires"}


def test_along_a_path_the_contact_stays_and_leads_back_over_us() -> None:
    text = '<sip:a@p.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";reg-id=1'
    sent = to_registrar(register(), [place(text)], GIVEN, PATH, "tls", 300)
    assert sent.headers.get("Contact") == text + ";expires=300"
    assert sent.headers.get("Path") == "<sip:gw-a@gw.test:5061;transport=tls;lr;ob>"
    plain = to_registrar(register(), [place()], GIVEN, PATH, "udp", 300)
    assert plain.headers.get("Path") == "<sip:gw-a@gw.test:5061;lr>"
    assert plain.headers.get("Supported") == "path"


def test_a_star_and_a_query_go_through() -> None:
    star = to_registrar(register(Contact="*", Expires="0"), [], GIVEN, PATH, "tls", 600)
    assert (star.headers.get("Contact"), star.headers.get("Expires")) == ("*", "0")
    assert "Contact" not in to_registrar(register(), [], GIVEN, SETTINGS, "tls", 600).headers


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (listing("<sip:other@desk>;expires=9", "<sip:gw-a@gw.test:5061>;expires=120"), 120),
        (listing("<sip:gw-a@gw.test:5061>", Expires="90"), 90),
        (listing("<sip:gw-a@gw.test:5061>"), 300),
        (listing("<sip:gw-a@gw.test:5061>;expires=7200"), 7200),
        (listing("<sip:gw-a@gw.test:5061>;expires=99999999"), MAX_GRANTED),
        (listing("<sip:gw-a@gw.test:5061>;expires=junk"), 300),
        (listing("<sip:gw-a@gw.test:5061>;expires=0"), 0),
        (listing("<sip:other@desk>;expires=9"), 300),
        (listing(), 300),
    ],
)
def test_the_time_is_the_registrars(response: Response, seconds: int) -> None:
    (found,) = granted(response, [place()], SETTINGS, 300)
    assert found.seconds == seconds


def test_what_was_to_be_removed_is_not_bound_whatever_the_registrar_lists() -> None:
    (found,) = granted(listing("<sip:gw-a@gw.test:5061>;expires=120"), [place(expires=0)], SETTINGS, 300)
    assert found.seconds == 0


def test_along_a_path_a_contact_is_known_by_its_uri() -> None:
    response = listing("<sip:b@p.invalid>;expires=1", "<sip:a@p.invalid;transport=ws>;expires=120")
    assert granted(response, [place()], PATH, 300)[0].seconds == 120


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("<sip:gw-a@gw.test:5061;lr>", True),
        ("<sip:edge.test;lr>, <sip:gw-a@gw.test:5061;lr>", True),
        ("<sip:gw-b@gw.test:5061;lr>", False),
        ("<sip:gw-a.evil.test;lr>", False),
        ("", False),
    ],
)
def test_a_path_is_kept_when_it_comes_back(path: str, kept: bool) -> None:
    response = listing(**({"Path": path} if path else {}))
    assert keeps_path(response, [place()]) is kept


def test_the_browser_reads_its_contact_byte_for_byte_where_the_time_is_what_it_asked() -> None:
    texts = {"a": ("<sip:a@p.invalid;x=Y>;expires=600;+sip.ice", 600), "b": ("<sip:b@p.invalid>;expires=600", 60)}
    told = to_browser(register(), listing("<sip:desk@10.0.0.1>"), texts)
    assert told.headers.get_all("Contact") == [
        "<sip:a@p.invalid;x=Y>;expires=600;+sip.ice",
        "<sip:b@p.invalid>;expires=60",
    ]


def test_a_device_has_one_name_wherever_it_connects_and_each_user_another() -> None:
    device = NameAddr.parse('<sip:a@p.invalid>;+sip.instance="<urn:uuid:1>"')
    name = place_name("pbx", "alice", device, flow(1), KEY)
    assert name == place_name("pbx", "alice", device, flow(2), Secret(b"another"))
    others = {
        place_name("pbx", "bob", device, flow(1), KEY),
        place_name("other", "alice", device, flow(1), KEY),
        place_name("pbx", "alice", NameAddr.parse(f"{device};reg-id=2"), flow(1), KEY),
    }
    assert len(others | {name}) == 4


def test_without_a_device_each_connection_and_contact_has_its_own_which_nobody_guesses() -> None:
    one, two = NameAddr.parse("<sip:a@p.invalid>"), NameAddr.parse("<sip:b@p.invalid>")
    names = {
        place_name("pbx", "alice", one, flow(1), KEY),
        place_name("pbx", "alice", two, flow(1), KEY),
        place_name("pbx", "alice", one, flow(2), KEY),
        place_name("pbx", "alice", one, flow(1), Secret(b"another")),
    }
    assert len(names) == 4


def test_a_removal_has_the_next_number_and_the_last_credentials() -> None:
    sent = to_registrar(register(), [place()], GIVEN, PATH, "tls", 600)
    gone = leaving(sent, removed(sent.headers.get("Contact") or ""), GIVEN, 8)
    assert gone.headers.get("CSeq") == "8 REGISTER"
    assert (gone.contacts[0].params.get("expires"), gone.headers.get("Expires")) == ("0", "0")
    assert gone.headers.get("Path") == sent.headers.get("Path")
    assert gone.headers.get("Authorization") == "Digest x"


def invite(uri: str, route: str = "") -> Request:
    return Request("INVITE", uri, Headers([("Route", route)] if route else []))


def test_a_call_names_its_place_in_the_request_uri_or_in_its_route() -> None:
    assert named(invite("sip:gw-a@gw.test"), SETTINGS) == "gw-a"
    assert named(invite("sip:100@gw.test"), SETTINGS) == ""
    assert named(invite("sip:a@p.invalid", "<sip:gw-a@gw.test;lr>"), PATH) == "gw-a"
    assert named(invite("sip:100@gw.test"), PATH) == ""
    assert named(invite("tel:+49301"), SETTINGS) == ""
    assert named(invite("junk"), SETTINGS) == ""


@pytest.mark.parametrize(
    ("text", "found"), [("60", 60), (" 60 ", 60), ("", None), (None, None), ("-1", None), ("9" * 20, None)]
)
def test_seconds_are_digits(text: str | None, found: int | None) -> None:
    assert number(text) == found


@settings(max_examples=effort.examples(200))
@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=40))
def test_whatever_a_device_is_called_its_name_is_a_user_part_that_comes_back_as_it_was(instance: str) -> None:
    text = f"<sip:a@p.invalid>;+sip.instance={quote(instance)}"
    made = place(text, name=place_name("pbx", "alice", NameAddr.parse(text), flow(), KEY))
    sent = to_registrar(register(), [made], Given(), SETTINGS, "tls", 600)
    read = parse_message(bytes(sent.with_added([("Via", "SIP/2.0/TLS gw.test;branch=z9hG4bK1")])), stream=False)
    assert isinstance(read, Request)
    assert read.contacts[0].uri.user == made.name
    assert named(Request("INVITE", str(read.contacts[0].uri)), SETTINGS) == made.name
