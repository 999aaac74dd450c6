"""One registration: what is sent, what each answer means, and when it is sent again (RFC 3261 10.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sip.address import NameAddr
from gateway.sip.message import Response, create_response
from gateway.trunks.registration import (
    FIRST_PAUSE,
    JITTER,
    LONGEST,
    LONGEST_PAUSE,
    LONGEST_REFUSED,
    LONGEST_RETRY_AFTER,
    REFUSED_PAUSE,
    SHORTEST,
    Registration,
    RegistrationPlan,
    Standing,
)
from tests.effort import examples

PLAN = RegistrationPlan("carrier", "acme", "carrier.example", 600, None)
CONTACT = NameAddr.parse("<sip:acme@192.0.2.1:5060;transport=tls>")
NOW = 1000.0


def made() -> Registration:
    return Registration(PLAN, lambda length: "t" * length)


def answer(registration: Registration, status: int, *headers: tuple[str, str], lot: float = 0.5) -> float:
    request = registration.request(CONTACT)
    response = create_response(request, status, to_tag="r", headers=headers)
    return registration.answered(response, CONTACT, NOW, lot)


def test_a_register_names_the_domain_the_address_and_where_to_call() -> None:
    request = made().request(CONTACT)
    assert (request.method, request.uri) == ("REGISTER", "sip:carrier.example")
    assert str(request.to.uri) == str(request.from_.uri) == "sip:acme@carrier.example"
    assert request.contact is not None
    assert str(request.contact.uri) == str(CONTACT.uri)
    assert request.expires == 600


def test_call_id_and_tag_stay_and_the_number_counts() -> None:
    """RFC 3261 10.2.4: the registrar tells an old REGISTER from a new one by these."""
    registration = made()
    first, second = registration.request(CONTACT), registration.request(CONTACT)
    assert (first.call_id, first.from_.tag) == (second.call_id, second.from_.tag)
    assert second.cseq.number == first.cseq.number + 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("Contact", f"{CONTACT};expires=300"),), 300),
        ((("Contact", f"{CONTACT}"), ("Expires", "200")), 200),
        ((("Expires", "120"),), 120),
        ((("Contact", "<sip:other@198.51.100.1>;expires=10"), ("Contact", f"{CONTACT};expires=500")), 500),
        ((("Contact", "<sip:acme@203.0.113.9:4711>;expires=400"),), 400),
        ((), 600),
        ((("Contact", f"{CONTACT};expires=99999999"),), LONGEST),
    ],
    ids=["of the Contact", "of Expires", "no Contact", "ours among others", "rewritten by NAT", "as asked", "absurd"],
)
def test_a_binding_lasts_as_long_as_the_registrar_says(headers: tuple[tuple[str, str], ...], seconds: int) -> None:
    registration = made()
    again = answer(registration, 200, *headers)
    assert registration.is_bound
    assert registration.until == NOW + seconds
    assert seconds * 0.6 < again < seconds * 0.85


@pytest.mark.parametrize(
    "headers", [(("Contact", "<sip:other@198.51.100.1>"),), (("Contact", f"{CONTACT};expires=0"),)]
)
def test_a_200_without_our_contact_has_not_registered_us(headers: tuple[tuple[str, str], ...]) -> None:
    registration = made()
    answer(registration, 200, *headers)
    assert registration.standing is Standing.UNREACHABLE


def test_a_registrar_that_binds_for_a_second_is_not_asked_every_second() -> None:
    assert answer(made(), 200, ("Contact", f"{CONTACT};expires=1")) >= SHORTEST * 0.6


def test_who_wants_longer_is_followed_at_once_and_once() -> None:
    """RFC 3261 10.2.8."""
    registration = made()
    assert answer(registration, 423, ("Min-Expires", "1800")) == 0
    assert registration.request(CONTACT).expires == 1800
    assert answer(registration, 423, ("Min-Expires", "1800")) >= REFUSED_PAUSE * (1 - JITTER)


def test_who_wants_longer_each_time_is_not_followed_for_ever() -> None:
    registration = made()
    assert answer(registration, 423, ("Min-Expires", "1800")) == 0
    assert answer(registration, 423, ("Min-Expires", "1801")) >= REFUSED_PAUSE * (1 - JITTER)
    assert answer(registration, 200) > 0
    assert answer(registration, 423, ("Min-Expires", "2400")) == 0, "after a good answer it may want something new"


@pytest.mark.parametrize("value", ["60", "999999999", "x", "-1", ""])
def test_a_423_that_cannot_be_followed_is_a_refusal(value: str) -> None:
    registration = made()
    assert answer(registration, 423, ("Min-Expires", value)) >= REFUSED_PAUSE * (1 - JITTER)
    assert registration.standing is Standing.REFUSED


@pytest.mark.parametrize("status", [401, 403, 404, 407, 410, 420, 301, 600, 603])
def test_a_refusal_is_asked_again_slowly_and_said(status: int) -> None:
    registration = made()
    pauses = [answer(registration, status) for _ in range(12)]
    assert pauses[0] == REFUSED_PAUSE
    assert pauses[-1] == LONGEST_REFUSED
    assert registration.standing is Standing.REFUSED
    assert registration.why.startswith(str(status))


@pytest.mark.parametrize("status", [408, 480, 500, 503, 504])
def test_trouble_is_asked_again_with_growing_pauses(status: int) -> None:
    registration = made()
    pauses = [answer(registration, status) for _ in range(12)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30), ("120 (maintenance);duration=60", 120), ("999999", LONGEST_RETRY_AFTER)]
)
def test_a_registrar_says_when_to_come_back(value: str, seconds: int) -> None:
    """RFC 3261 20.33."""
    assert answer(made(), 503, ("Retry-After", value)) == seconds


def test_a_good_answer_forgets_the_bad_ones() -> None:
    registration = made()
    for _ in range(5):
        registration.unanswered("no answer", 0.5)
    answer(registration, 200)
    assert registration.unanswered("no answer", 0.5) == FIRST_PAUSE


@given(st.floats(0, 1), st.integers(0, 40))
@settings(max_examples=examples(100))
def test_pauses_stay_between_their_ends(lot: float, failures: int) -> None:
    registration = made()
    for _ in range(failures):
        registration.unanswered("no answer", lot)
    pause = registration.unanswered("no answer", lot)
    assert FIRST_PAUSE * (1 - JITTER) <= pause <= LONGEST_PAUSE * (1 + JITTER)


def test_leaving_asks_for_nothing_but_an_end() -> None:
    request = made().request(CONTACT, leave=True)
    assert request.expires == 0


def test_what_a_trunk_writes_as_reason_is_cut() -> None:
    registration = made()
    response = create_response(registration.request(CONTACT), 403, "x" * 5000, to_tag="r")
    registration.answered(response, CONTACT, NOW, 0.5)
    assert len(registration.why) < 100


def test_an_unreadable_contact_counts_as_none() -> None:
    registration = made()
    request = registration.request(CONTACT)
    response: Response = create_response(request, 200, to_tag="r", headers=[("Contact", "<<<"), ("Expires", "90")])
    registration.answered(response, CONTACT, NOW, 0.5)
    assert registration.until == NOW + 90
