"""Which records are asked for, and whether all that were numbered are there."""

from __future__ import annotations

import json

import pytest

from gateway.audit.facts import short_id
from gateway.audit.query import Gap, Numbering, Wanted, gaps_by_place
from gateway.audit.severity import Severity

UID = "81f00d2a90c4"
FINAL: dict[str, object] = {
    "type": "call.final",
    "seq": 7,
    "ts": "2030-01-02T10:30:00.123456Z",
    "call_uid": UID,
    "sip_call_id": {"browser": "one@browser", "trunk": "two@gateway"},
    "user": "alice",
    "trunk": "pbx",
    "answered": True,
    "grade_worst": "KEY_EXPOSED",
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), True),
        (Wanted(call=short_id(UID)), True),
        (Wanted(call=UID), True),
        (Wanted(call="81f0"), True),
        (Wanted(call="two@gateway"), True),
        (Wanted(call="c-nobody"), False),
        (Wanted(user="ALICE"), True),
        (Wanted(user="bob"), False),
        (Wanted(trunk="pbx"), True),
        (Wanted(trunk="PBX2"), False),
        (Wanted(since="2030-01-02T10"), True),
        (Wanted(since="2030-01-02T10:30:00.2"), False),
        (Wanted(least=Severity.MEDIUM), True),
        (Wanted(least=Severity.HIGH), False),
        (Wanted(user="alice", trunk="old"), False),
    ],
)
def test_a_record_is_found_by_call_user_trunk_time_and_severity(wanted: Wanted, found: bool) -> None:
    assert wanted.matches(FINAL) is found


def test_a_call_between_two_users_is_a_record_of_both() -> None:
    internal = {**FINAL, "dir": "internal", "to": "bob", "sip_call_id": {"browser": "one", "trunk": "", "peer": "two"}}
    assert Wanted(user="alice").matches(internal)
    assert Wanted(user="Bob").matches(internal)
    assert not Wanted(user="carol").matches(internal)
    assert Wanted(call="two").matches(internal)
    assert not Wanted(user="bob").matches({**internal, "dir": "out"})


def test_a_record_without_a_call_is_of_no_call() -> None:
    assert not Wanted(call="c-").matches({"type": "admin.start"})


@pytest.mark.parametrize("call", ["c-81f00d2a", "81f0", "two@gateway", 'a"\\b', "\u00e4", "nobody"])
def test_a_line_is_left_unread_only_if_its_record_is_of_another_call(call: str) -> None:
    record = {**FINAL, "sip_call_id": {"browser": 'a"\\b', "trunk": "two@gateway", "peer": "\u00e4"}}
    line = json.dumps(record).encode()
    assert Wanted(call=call).may_match(line) is (call != "nobody" or b"\\u00" in line)
    assert Wanted(call=call).may_match(line) or not Wanted(call=call).matches(record)
    assert Wanted(user="bob").may_match(line)
    assert not Wanted(call="nobody").may_match(json.dumps(FINAL).encode())
    assert Wanted(call=UID).may_match(json.dumps(FINAL).replace("81f0", "\\u0038\\u0031f0").encode())


def gaps(*records: int | dict[str, object]) -> tuple[Gap, ...]:
    numbering = Numbering()
    for record in records:
        numbering.take({"seq": record} if isinstance(record, int) else record)
    return numbering.gaps


def dropped(seq: int, first: int, last: int) -> dict[str, object]:
    return {"type": "log.dropped", "seq": seq, "first_seq": first, "last_seq": last}


def test_numbers_that_go_on_have_no_gap_wherever_they_begin() -> None:
    assert gaps(5, 6, 7) == ()
    assert gaps() == ()


def test_a_line_that_was_removed_leaves_a_gap_nobody_accounts_for() -> None:
    assert gaps(1, 2, 5, 6) == (Gap(3, 4, accounted=False),)
    assert "no record says why" in gaps(1, 3)[0].words


def test_a_gap_that_log_dropped_tells_of_is_accounted_for_also_when_it_tells_later() -> None:
    assert gaps(1, 4, dropped(5, 2, 3)) == (Gap(2, 3, accounted=True),)
    assert "log.dropped" in gaps(1, 4, dropped(5, 2, 3))[0].words


def test_what_goes_beyond_the_dropped_records_was_removed() -> None:
    assert gaps(1, 9, dropped(10, 3, 5)) == (
        Gap(2, 2, accounted=False),
        Gap(3, 5, accounted=True),
        Gap(6, 8, accounted=False),
    )


def test_a_removed_log_dropped_record_does_not_hide_its_gap() -> None:
    assert gaps(1, 4, 6) == (Gap(2, 3, accounted=False), Gap(5, 5, accounted=False))


@pytest.mark.parametrize("first", ["2", None, True, -1, 0])
def test_a_forged_span_accounts_for_nothing(first: object) -> None:
    forged: dict[str, object] = {"type": "log.dropped", "seq": 5, "first_seq": first, "last_seq": 3}
    assert not any(gap.accounted for gap in gaps(1, 4, forged) if first is not True)


def test_numbers_that_come_twice_or_go_back_make_no_new_gap() -> None:
    assert gaps(1, 2, 2, 1, 3) == ()


def test_a_gap_is_told_before_the_record_behind_its_hole() -> None:
    assert gaps_by_place(gaps(1, 9, dropped(10, 3, 5))).keys() == {9}
    assert {place: [gap.first for gap in found] for place, found in gaps_by_place(gaps(1, 3, 6)).items()} == {
        3: [2],
        6: [4],
    }
