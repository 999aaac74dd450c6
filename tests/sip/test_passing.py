"""Header fields that may be passed on: named ones that decide nothing, few, short, and plain."""

from __future__ import annotations

import pytest

from gateway.sip.headers import COMPACT, Headers
from gateway.sip.passing import MAX_PASSED, MAX_VALUE, NEVER, may_pass, passed_on, shared


@pytest.mark.parametrize("name", ["User-to-User", "X-Account", "Alert-Tone", "Subject", "Priority", "P-Early-Media"])
def test_a_header_that_decides_nothing_may_be_named(name: str) -> None:
    assert may_pass(name)


@pytest.mark.parametrize(
    "name",
    [
        "Via",
        "via",
        "VIA",
        "Contact",
        "Call-Security",
        "Authorization",
        "Proxy-Authorization",
        "From",
        "To",
        "Call-ID",
        "Route",
        "Record-Route",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Privacy",
        "Identity",
        "Diversion",
        "History-Info",
        "Gateway-Hop",
        "Content-Type",
        "Content-Length",
        "Require",
        "Replaces",
        "User-Agent",
        "Server",
        "Session-ID",
        *COMPACT,
        "x",
        "",
        "X Account",
        "X-Account:",
        "X-\r\nVia",
    ],
)
def test_what_identity_routing_authentication_or_protection_rest_on_is_never_passed(name: str) -> None:
    assert not may_pass(name)
    assert passed_on(Headers.received([(name, "1")]) if name else Headers(), [name]) == ()


def test_every_long_name_of_a_compact_form_we_read_is_judged_by_its_long_name() -> None:
    assert {long for long in COMPACT.values() if long != "subject"} <= NEVER | {"subject"}


def test_named_fields_pass_as_often_as_they_stand_there_whatever_case_they_are_in() -> None:
    headers = Headers.received([("x-one", "1"), ("Via", "v"), ("X-ONE", "2"), ("X-Two", "3")])
    assert passed_on(headers, ["X-One"]) == (("X-One", "1"), ("X-One", "2"))


@pytest.mark.parametrize("value", ["", "a\x00b", "a\tb", "a\u202eb", "x" * (MAX_VALUE + 1)])
def test_a_value_that_is_not_plain_is_left_out(value: str) -> None:
    assert passed_on(Headers.received([("X-One", value)]), ["X-One"]) == ()


def test_few_are_passed() -> None:
    headers = Headers.received([("X-One", str(n)) for n in range(100)])
    assert len(passed_on(headers, ["X-One"])) == MAX_PASSED


def test_names_both_sides_have_are_shared() -> None:
    assert shared(["X-One", "X-Two"], ["x-two", "X-Three"]) == ("X-Two",)


def test_no_name_in_the_list_is_torn_in_two() -> None:
    assert not [name for name in NEVER if name.startswith("-") or name.endswith("-")]
    assert {"www-authenticate", "proxy-authenticate", "security-server", "request-disposition"} <= NEVER
