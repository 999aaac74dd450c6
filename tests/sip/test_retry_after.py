"""Retry-After (RFC 3261 20.33), as peers write it."""

from __future__ import annotations

import pytest

from gateway.sip.message import Response
from gateway.sip.retry_after import retry_after


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 30),
        ("30 (maintenance);duration=10", 30),
        ("18000;duration=3600", 18000),
        ("120 (I'm in a meeting)", 120),
        (" 5 ", 5),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("30 s", None),
        ("9" * 11, None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ],
)
def test_the_seconds_are_read_and_what_is_no_number_says_nothing(written: str, seconds: int | None) -> None:
    assert retry_after(Response(503, "Service Unavailable").with_header("Retry-After", written)) == seconds
