"""Call detail records: who, when, how long, with what every leg was; and no cell that a spreadsheet computes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.archive import parsed
from gateway.audit.cdr import COLUMNS, cdr, csv_lines
from gateway.audit.joining import FOR_ENCRYPTION, MAX_OPEN, Call, Calls
from gateway.base.termination import Termination
from tests.audit.history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def calls(history: History) -> dict[str, Call]:
    joined = Calls()
    ended = (joined.take(parsed(line)) for line in history.bench.lines)
    return {call.uid: call for call in ended if call is not None}


def rows(found: list[Call]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_lines(found)), newline="")))


def test_a_row_tells_times_parties_grades_and_the_suites_of_every_leg(history: History) -> None:
    call = history.secured(30, user="bob", caller="bob")
    (row,) = rows(list(calls(history).values()))
    assert row["call"] == f"c-{call[:8]}"
    assert (row["from"], row["to"], row["trunk"], row["direction"]) == ("bob", "'+493*****56", "pbx", "out")
    assert (row["began"], row["answered_at"], row["ended"]) == (
        "2026-11-01T08:00:00.250Z",
        "2026-11-01T08:00:03.250Z",
        "2026-11-01T08:00:33.250Z",
    )
    assert (row["answered"], row["ringing_seconds"], row["talking_seconds"]) == ("yes", "3.0", "30.0")
    assert (row["termination"], row["ended_by"], row["sip_status"]) == ("hangup-browser", "caller", "200")
    assert row["grade_worst"] == row["grade_at_answer"] == row["grade_at_end"] == "HOP_BY_HOP"
    assert row["suites"] == "browser: AEAD_AES_256_GCM; trunk: AEAD_AES_256_GCM"
    assert "trunk: sdes AEAD_AES_256_GCM tls TLSv1.2 verified HOP_BY_HOP" in row["legs"]


def test_a_refused_call_has_its_reason_and_no_duration(history: History) -> None:
    history.refused()
    (row,) = rows(list(calls(history).values()))
    assert (row["answered"], row["talking_seconds"], row["answered_at"]) == ("no", "", "")
    assert (row["codes"], row["grade_refused"]) == ("key.sdes_cleartext", "KEY_EXPOSED")
    assert row["termination_words"] == "Policy requires encryption this trunk's signalling cannot protect"


def test_a_call_whose_end_died_with_the_gateway_has_nulls_and_no_guesses() -> None:
    crashed = {"type": "call.final", "call_uid": "a", "answered": None, "duration": None, "termination": "crash"}
    row = cdr(Call("a", final=crashed))
    assert (row["answered"], row["talking_seconds"], row["began"], row["grade_worst"]) == (None, None, None, None)


def test_json_has_the_same_names_and_all_of_every_leg(history: History) -> None:
    history.plain(20, trunk="carrier")
    (call,) = calls(history).values()
    row = json.loads(json.dumps(cdr(call)))
    assert tuple(row) == COLUMNS
    assert [(leg["leg"], leg["keying"], leg["grade"]) for leg in row["legs"]] == [
        ("browser", "dtls", "HOP_BY_HOP"),
        ("trunk", "plain", "CLEARTEXT"),
    ]
    assert row["codes"] == ["media.plain_rtp", "media.savp_retry"]


def test_how_long_a_call_had_each_grade_is_told_best_first_and_nothing_but_grades() -> None:
    told = {"CLEARTEXT": 20.0, "HOP_BY_HOP": 12.5, "=1+1": 3.0, "PARTIAL": "x"}
    final = {"type": "call.final", "call_uid": "a", "answered": True, "duration": 32.5, "seconds_per_grade": told}
    call = Call("a", final=final)
    assert cdr(call)["seconds_per_grade"] == {"HOP_BY_HOP": 12.5, "CLEARTEXT": 20.0}
    assert rows([call])[0]["seconds_per_grade"] == "HOP_BY_HOP: 12.5; CLEARTEXT: 20.0"
    assert cdr(Call("a", final={**final, "seconds_per_grade": [1]}))["seconds_per_grade"] == {}


def test_every_ended_call_has_one_row(history: History) -> None:
    made = history.some_calls(14)
    history.left_open()
    assert list(calls(history)) == made


FORMULAS = ["=cmd|'/c calc'!A1", "+1+1", "-2", "@SUM(A1)", "\t=1", "  =1", "\uff1d1", "\r=1"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_begins_as_a_formula_does(formula: str) -> None:
    names = ("trunk", "user", "from", "to", "termination", "codec", "profile", "dir", "grade_worst", "rule_id")
    final: dict[str, Any] = dict.fromkeys(names, formula) | {"call_uid": formula, "codes": [formula]}
    call = Call(formula, final=final, exceptions={formula})
    (row,) = rows([call])
    for cell in row.values():
        assert cell.lstrip()[:1] not in tuple("=+-@\t\r\uff1d")


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_comes_back_as_one_row(one: str, other: str) -> None:
    final = {"type": "call.final", "call_uid": "a", "from": one, "to": other, "trunk": one}
    text = "".join(csv_lines([Call("a", final=final)]))
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [len(row) for row in found] == [len(COLUMNS)] * 2
    assert "\x1b" not in text


def test_calls_that_never_end_are_kept_within_a_limit() -> None:
    joined = Calls()
    for number in range(MAX_OPEN + 10):
        joined.take({"type": "call.start", "call_uid": str(number)})
    assert joined.let_go == 10
    assert len(list(joined.still_open())) == MAX_OPEN


def test_every_end_the_log_marks_as_refused_for_encryption_counts_as_one() -> None:
    assert {Termination.SUITE_DENIED.slug, Termination.BROWSER_SUITE_UNKNOWN.slug} <= FOR_ENCRYPTION
