"""Session timers: what an interval means to either side (RFC 4028)."""

from __future__ import annotations

import pytest

from gateway.sip import session_timer
from gateway.sip.message import Headers, Request, Response
from gateway.sip.session_timer import MAX_INTERVAL, Timing


def request(*fields: tuple[str, str], method: str = "INVITE") -> Request:
    return Request(method, "sip:x@y", Headers([("CSeq", f"1 {method}"), *fields]))


def response(*fields: tuple[str, str], method: str = "INVITE", status: int = 200) -> Response:
    return Response(status, "", Headers([("CSeq", f"1 {method}"), *fields]))


KNOWS = ("Supported", "timer")


@pytest.mark.parametrize(
    ("fields", "timing"),
    [
        ((KNOWS, ("Session-Expires", "600")), Timing(600, is_ours=False)),
        ((KNOWS, ("Session-Expires", "600;refresher=uac")), Timing(600, is_ours=False)),
        ((KNOWS, ("Session-Expires", "600;refresher=uas")), Timing(600, is_ours=True)),
        ((KNOWS, ("x", "600 ; refresher=UAS")), Timing(600, is_ours=True)),
        ((("Session-Expires", "600"),), Timing(600, is_ours=True)),
        ((("Session-Expires", "600;refresher=uas"),), Timing(600, is_ours=True)),
        ((("Session-Expires", "600;refresher=uac"),), None),
        ((KNOWS,), Timing(1800, is_ours=True)),
        ((), None),
        ((("Session-Expires", "89"),), None),
        ((KNOWS, ("Session-Expires", "x")), Timing(1800, is_ours=True)),
        ((KNOWS, ("Session-Expires", "999999999")), Timing(MAX_INTERVAL, is_ours=False)),
    ],
)
def test_a_request_is_answered_by_the_table_of_rfc_4028_9(
    fields: tuple[tuple[str, str], ...], timing: Timing | None
) -> None:
    assert session_timer.agreement(request(*fields), own=1800) == timing


def test_nothing_is_asked_for_where_we_want_nothing() -> None:
    assert session_timer.agreement(request(KNOWS), own=0) is None


def test_other_methods_have_no_timer() -> None:
    assert session_timer.agreement(request(KNOWS, ("Session-Expires", "600"), method="BYE"), own=0) is None


def test_who_is_to_refresh_and_knows_timers_is_told_that_it_must() -> None:
    asked = request(KNOWS, ("Session-Expires", "600"))
    headers = dict(session_timer.answer_headers(Timing(600, is_ours=False), asked))
    assert headers == {"Require": "timer", "Supported": "timer", "Session-Expires": "600;refresher=uac"}


def test_who_knows_no_timers_is_not_required_to() -> None:
    asked = request(("Session-Expires", "600"))
    headers = dict(session_timer.answer_headers(Timing(600, is_ours=True), asked))
    assert headers == {"Supported": "timer", "Session-Expires": "600;refresher=uas"}


def test_the_interval_goes_back_as_it_was_asked() -> None:
    asked = request(KNOWS, ("Session-Expires", "999999"))
    timing = session_timer.agreement(asked, own=0)
    assert ("Session-Expires", "999999;refresher=uac") in session_timer.answer_headers(timing, asked)


def test_our_request_names_the_refresher_and_a_least_interval_only_where_one_was_wanted() -> None:
    assert session_timer.request_headers(Timing(1800, is_ours=True)) == (("Session-Expires", "1800;refresher=uac"),)
    assert session_timer.request_headers(Timing(1800, is_ours=False), 3600) == (
        ("Session-Expires", "3600;refresher=uas"),
        ("Min-SE", "3600"),
    )


@pytest.mark.parametrize(
    ("value", "timing"),
    [
        ("1800;refresher=uac", Timing(1800, is_ours=True)),
        ("1800;refresher=uas", Timing(1800, is_ours=False)),
        ("1800", Timing(1800, is_ours=True)),
        ("1;refresher=uac", Timing(90, is_ours=True)),
        ("0", Timing(90, is_ours=True)),
        ("99999999999;refresher=uas", Timing(MAX_INTERVAL, is_ours=False)),
        ("soon", None),
        ("-5", None),
    ],
)
def test_a_2xx_says_who_refreshes_and_never_makes_us_refresh_without_end(value: str, timing: Timing | None) -> None:
    assert session_timer.agreed(response(("Session-Expires", value))) == timing


def test_a_2xx_without_a_word_has_no_timer() -> None:
    assert session_timer.agreed(response()) is None


@pytest.mark.parametrize(
    ("timing", "wait", "lasts"),
    [
        (Timing(1800, is_ours=True), 900, 1800),
        (Timing(1800, is_ours=False), 1768, 1768),
        (Timing(90, is_ours=True), 45, 90),
        (Timing(90, is_ours=False), 60, 60),
    ],
)
def test_ours_is_due_half_way_and_theirs_over_a_little_before_the_end(
    timing: Timing, wait: float, lasts: float
) -> None:
    """RFC 4028 10: 32 s before, at most a third of the interval."""
    assert (timing.wait, timing.lasts) == (wait, lasts)


@pytest.mark.parametrize(
    ("fields", "least"),
    [
        ((("Min-SE", "3600"),), 3600),
        ((("Min-SE", "3600;x=y"),), 3600),
        ((("Min-SE", "90"),), None),
        ((("Min-SE", "0"),), None),
        ((("Min-SE", "x"),), None),
        ((("Min-SE", "99999999"),), None),
        ((), None),
    ],
)
def test_a_422_is_heard_when_it_wants_more_and_not_too_much(
    fields: tuple[tuple[str, str], ...], least: int | None
) -> None:
    assert session_timer.least_interval(response(*fields, status=422)) == least
