"""Header fields of reliable provisional responses (RFC 3262 7)."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip import reliable
from gateway.sip.message import Headers, Request, Response
from gateway.sip.reliable import MAX_FIRST, MAX_RSEQ, RAck

FIELDS = (("Require", "100rel"), ("RSeq", "7"))


def response(*fields: tuple[str, str], status: int = 180) -> Response:
    return Response(status, "", Headers(fields or FIELDS))


@pytest.mark.parametrize("status", [101, 180, 183, 199])
def test_a_response_with_require_and_rseq_is_to_be_acknowledged(status: int) -> None:
    assert reliable.number_of(response(status=status)) == 7


@pytest.mark.parametrize("status", [100, 200, 300])
def test_100_and_final_responses_never_are(status: int) -> None:
    assert reliable.number_of(response(status=status)) is None


@pytest.mark.parametrize("value", ["", "-1", "x", "7.5", "7 8", "0", str(MAX_RSEQ + 1), "9" * 40, "\u0667"])
def test_a_number_nobody_can_read_makes_an_ordinary_response(value: str) -> None:
    assert reliable.number_of(response(("Require", "100rel"), ("RSeq", value))) is None


@pytest.mark.parametrize(
    "fields", [(("RSeq", "7"),), (("Supported", "100rel"), ("RSeq", "7")), (("Require", "100rel"),)]
)
def test_one_half_of_it_makes_an_ordinary_response(fields: tuple[tuple[str, str], ...]) -> None:
    assert reliable.number_of(response(*fields)) is None


def test_rack_names_the_response_and_the_request() -> None:
    assert RAck.parse("776656 1 INVITE") == RAck(776656, 1, "INVITE")
    assert RAck.parse(" 776656\t1   INVITE ") == RAck(776656, 1, "INVITE")
    assert str(RAck(776656, 1, "INVITE")) == "776656 1 INVITE"


@pytest.mark.parametrize("value", ["", "1", "1 1", "1 1 INVITE x", "x 1 INVITE", "1 x INVITE", "1 1 IN@ITE", "-1 1 A"])
def test_a_rack_that_cannot_be_read_is_400(value: str) -> None:
    with pytest.raises(SipError) as refused:
        reliable.acknowledged(Request("PRACK", "sip:x@y", Headers([("RAck", value)])))
    assert refused.value.status == 400


def test_a_prack_without_rack_is_400() -> None:
    with pytest.raises(SipError):
        reliable.acknowledged(Request("PRACK", "sip:x@y"))


def test_who_insists_also_supports() -> None:
    insisting = Request("INVITE", "sip:x@y", Headers([("k", "replaces"), ("Require", "Timer, 100REL")]))
    able = Request("INVITE", "sip:x@y", Headers([("k", "100rel")]))
    assert reliable.insists(insisting)
    assert reliable.supports(insisting)
    assert reliable.supports(able)
    assert not reliable.insists(able)


@pytest.mark.parametrize("lot", ["0" * 8, "z" * 8, "1a2b3c4d"])
def test_the_first_number_leaves_room_for_more(lot: str) -> None:
    assert 1 <= reliable.first_number(lambda _length: lot) <= MAX_FIRST
