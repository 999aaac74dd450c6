"""Records become numbers as they get into the file, by what they say, with labels that nobody outside can make up."""

from __future__ import annotations

import json
from collections import Counter as Tally
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.place import AuditPlace
from gateway.audit.sound_tally import KINDS, NONE, OTHER
from gateway.audit.tally import GRADES, MAX_TRUNKS, MAX_TYPES, Countable, RecordTally, countable
from gateway.base.counters import Counter, Counters

DOWNGRADED: dict[str, object] = {
    "type": "leg.downgraded",
    "trunk": "pbx",
    "decision": "allowed",
    "codes": ["media.plain_rtp"],
}


def counted(*records: Mapping[str, object]) -> RecordTally:
    tally = RecordTally(Counters())
    for record in records:
        tally.count(countable(record))
    return tally


def test_a_downgrade_is_counted_by_trunk_code_and_decision() -> None:
    violation: dict[str, object] = {
        "type": "leg.violation",
        "trunk": "pbx",
        "decision": "refused",
        "codes": ["pin.bid_down", "tls.old"],
    }
    tally = counted(DOWNGRADED, DOWNGRADED, violation)
    assert tally.downgrades == {
        ("pbx", "media.plain_rtp", "allowed"): 2,
        ("pbx", "pin.bid_down", "refused"): 1,
        ("pbx", "tls.old", "refused"): 1,
    }
    assert (tally.violations, tally.pins_broken) == (1, 1)
    assert tally.records == {"leg.downgraded": 2, "leg.violation": 1}


def test_each_leg_of_a_call_is_counted_once_when_the_call_is_over() -> None:
    legs = {"browser": "HOP_BY_HOP", "trunk": "CLEARTEXT", "trunk-3": "pending"}
    tally = counted({"type": "leg.secured", "trunk": "pbx"}, {"type": "call.final", "legs": legs})
    found = {labels: number for labels, number in tally.legs.items() if number}
    assert found == {("browser", "HOP_BY_HOP"): 1, ("trunk", "CLEARTEXT"): 1, ("trunk", "pending"): 1}
    assert set(tally.legs) == {(kind, grade) for kind in KINDS for grade in GRADES}  # each is there before it happens


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": None},
        {"type": "leg.downgraded", "codes": "media.plain_rtp", "trunk": None},
        {"type": "leg.violation", "codes": [7, None], "decision": 3},
        {"type": "call.final", "legs": ["browser"]},
        {"type": "call.final", "legs": {"a\nb": {"x": 1}}},
    ],
)
def test_a_record_of_any_shape_is_counted_with_labels_of_ours(record: dict[str, object]) -> None:
    tally = counted(record)
    assert tally.records.total() == 1
    assert {label for labels in tally.downgrades for label in labels[:2]} <= {NONE, OTHER}
    assert {label for labels in tally.legs for label in labels} <= {*KINDS, *GRADES, OTHER}


def test_labels_are_bounded_whatever_is_loaded_in_the_life_of_a_process() -> None:
    tally = RecordTally(Counters())
    for number in range(MAX_TRUNKS + 50):
        tally.count(countable({**DOWNGRADED, "trunk": f"trunk{number}"}))
    assert len({labels[0] for labels in tally.downgrades}) == MAX_TRUNKS + 1
    for number in range(MAX_TYPES + 50):
        tally.count(Countable(f"type{number}"))
    assert len(tally.records) <= MAX_TYPES + 1


def test_what_is_counted_is_what_is_in_the_file_and_what_is_lost_is_counted_as_lost(tmp_path: Path) -> None:
    counters = Counters()
    waiting: list[object] = []
    place = AuditPlace(tmp_path, buffer_octets=4000)
    log = AuditLog(place, counters, deliver=waiting.append)
    log.open()
    for _ in range(100):
        log.write(DOWNGRADED)  # the writer is never told of: the memory runs full
    assert log.tally.records == {}
    assert log.lag_seconds > 0
    assert counters[Counter.AUDIT_DROPPED] > 0
    while waiting or log._waiting:
        while waiting:
            waiting.pop(0)()  # type: ignore[operator]
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert log.tally.records == Tally(line["type"] for line in lines)
    assert log.tally.downgrades["pbx", "media.plain_rtp", "allowed"] == counters[Counter.LEGS_DOWNGRADED]
    assert counters[Counter.LEGS_DOWNGRADED] == sum(line["type"] == "leg.downgraded" for line in lines)
    assert log.lag_seconds == 0
