"""Severity in colour."""

from __future__ import annotations

import json

from gateway.audit.coloured import coloured


def test_records_have_the_colour_of_their_severity() -> None:
    record = {"type": "leg.downgraded", "leg": "trunk", "codes": ["key.sdes_cleartext"], "grade_after": "KEY_EXPOSED"}
    assert coloured(json.dumps(record).encode()).style == "dark_orange"


def test_what_is_no_record_stands_out() -> None:
    assert coloured(b"not a record").style == "bold red"
