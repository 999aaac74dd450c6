"""The NOTIFY that says a Contact is gone, as RFC 3680 writes it."""

from __future__ import annotations

import pytest

from gateway.location.binding import Binding
from gateway.location.reginfo import notify
from gateway.location.standing import Gone, News
from gateway.sip.message import Request
from tests.location.pages import NAMESPACE, connection, document
from tests.location.test_binding import binding

AOR = "sip:alice@example.test"


def told(gone: Gone | None = Gone.LOST, *bindings: Binding, uri: str = "sip:a@x.invalid") -> Request:
    news = News(connection(1), uri, 2, gone, bindings)
    return notify(news, AOR, contact="<sip:gateway@example.test>", call_id="c1", tag="t1")


def test_it_is_a_request_of_its_own_to_the_contact_that_was_registered() -> None:
    request = told()
    assert (request.uri, request.to.tag, request.from_.tag) == ("sip:a@x.invalid", None, "t1")
    assert request.to.uri == request.from_.uri
    assert (request.cseq.number, request.cseq.method) == (3, "NOTIFY")
    assert request.headers.get("Event") == "reg"
    assert request.headers.get("Subscription-State") == "terminated"
    assert request.headers.get("Content-Type") == "application/reginfo+xml"
    assert request.contact is not None


@pytest.mark.parametrize("gone", list(Gone))
def test_the_document_lists_what_is_bound_and_last_what_is_gone_and_why(gone: Gone) -> None:
    root = document(told(gone, binding("b"), binding("c")))
    assert (root.tag, root.get("version"), root.get("state")) == (f"{NAMESPACE}reginfo", "2", "full")
    registration = root.find(f"{NAMESPACE}registration")
    assert registration is not None
    assert (registration.get("aor"), registration.get("state")) == (AOR, "active")
    contacts = registration.findall(f"{NAMESPACE}contact")
    assert [(c.findtext(f"{NAMESPACE}uri"), c.get("state"), c.get("event")) for c in contacts] == [
        ("sip:b@x.invalid", "active", "registered"),
        ("sip:c@x.invalid", "active", "registered"),
        ("sip:a@x.invalid", "terminated", gone.value),
    ]
    assert len({contact.get("id") for contact in contacts}) == 3


def test_who_is_bound_again_finds_its_contact_among_those_that_are() -> None:
    contacts = list(document(told(None, binding("a"))).iter(f"{NAMESPACE}contact"))
    assert [(c.findtext(f"{NAMESPACE}uri"), c.get("state")) for c in contacts] == [("sip:a@x.invalid", "active")]


def test_a_registration_of_which_nothing_is_left_is_terminated() -> None:
    registration = document(told()).find(f"{NAMESPACE}registration")
    assert registration is not None
    assert registration.get("state") == "terminated"


def test_a_contact_with_characters_that_mean_something_in_xml_stands_in_it_as_it_is() -> None:
    root = document(told(Gone.REMOVED, binding("b&'c"), uri="sip:a&b'@x.invalid"))
    assert [e.text for e in root.iter(f"{NAMESPACE}uri")] == ["sip:b&'c@x.invalid", "sip:a&b'@x.invalid"]
