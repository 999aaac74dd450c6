"""How calls sounded, as records tell it, whoever has made them: figures, words, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import sounds
from gateway.audit.cdr import cdr, csv_lines
from gateway.audit.facts import CallInfo
from gateway.audit.happened import happened
from gateway.audit.joining import Call
from gateway.audit.record import leg_quality
from gateway.audit.render import render
from gateway.audit.severity import Severity, severity
from gateway.audit.tally import RecordTally, countable
from gateway.base.counters import Counters
from gateway.quality.leg import score
from gateway.quality.watch import Turn
from tests.effort import examples
from tests.quality.measures import after

CALL = CallInfo(call_uid="u" * 26, direction="out", trunk="pbx", user="alice", caller="alice", called="+4930123456")
TRUNK: dict[str, Any] = {
    "mos": 3.1,
    "mos_lowest": 2.2,
    "rtt_ms": 80.0,
    "bad_seconds": 30.0,
    "heard": {
        "mos": 3.1,
        "packets": 500,
        "lost": 50,
        "loss_percent": 10.0,
        "burst_loss_percent": 8.0,
        "jitter_ms": 4.1,
    },
    "sent": None,
}
BROWSER: dict[str, Any] = {
    "mos": 4.4,
    "rtt_ms": 12.0,
    "heard": {"mos": 4.4, "loss_percent": 0.0, "jitter_ms": 1.5},
    "sent": {"mos": 4.41, "loss_percent": 0.2, "jitter_ms": 2.0},
}
FINAL: dict[str, Any] = {
    "type": "call.final",
    "call_uid": "a",
    "trunk": "pbx",
    "answered": True,
    "duration": 32.5,
    "quality": {"browser": BROWSER, "trunk": TRUNK},
}


def turned(*, bad: bool) -> dict[str, object]:
    turn = Turn(bad, score(after(10, 0.3 if bad else 0.0, sent_loss=0.01), None, "opus"), 30.0)
    return leg_quality(CALL, turn, leg="trunk", leg_id=2)


def test_the_words_are_what_was_heard_and_what_the_peer_says_it_heard() -> None:
    assert sounds.words(BROWSER) == "MOS 4.4, loss 0.0% / 0.2%, jitter 1.5 / 2.0 ms, RTT 12.0 ms"
    assert sounds.words(TRUNK) == "MOS 3.1, loss 10.0% / ?%, jitter 4.1 / ? ms, RTT 80.0 ms"
    assert sounds.words({}) == ""


def test_a_turn_is_recorded_with_its_figures_and_nobody_is_named_in_them() -> None:
    record = turned(bad=True)
    assert (record["type"], record["quality"], record["way"], record["cause"]) == (
        "leg.quality",
        "bad",
        "heard",
        "loss",
    )
    assert (record["leg"], record["leg_id"], record["trunk"], record["lasted"]) == ("trunk", 2, "pbx", 30.0)
    assert record["to"] == "+493*****56"
    assert (severity(record), severity(turned(bad=False))) == (Severity.LOW, Severity.INFO)


def test_a_turn_is_one_line_and_one_sentence() -> None:
    record = {"ts": "2030-01-02T03:04:05.678901Z", **turned(bad=True)}
    assert "LOW     leg.quality     c-uuuuuuuu  trunk leg turned bad (heard, loss), MOS " in render(record)
    assert happened(record).startswith(
        "Between this gateway and the trunk pbx: what comes from there has begun to sound bad, because packets are lost"
    )
    good = turned(bad=False)
    assert "trunk leg is good again, MOS 4." in render(good)
    assert "it sounds good again (MOS 4." in happened(good)


def test_the_end_of_a_call_tells_what_its_worst_leg_was_like() -> None:
    assert happened(FINAL).endswith("it sounded like 3.1 of 4.5 (MOS).")
    assert "MOS" not in happened({**FINAL, "quality": {}})


def test_the_line_of_an_ended_call_has_the_lowest_opinion() -> None:
    assert ", PCMU/8000 MOS 3.1, " in render({**FINAL, "codec": "PCMU/8000", "termination": "hangup-trunk"})
    assert "MOS" not in render({**FINAL, "answered": False})


def test_a_call_record_has_the_figures_of_each_leg_and_the_lowest_opinion() -> None:
    row = cdr(Call("a", final=FINAL))
    assert row["mos"] == 3.1
    assert row["quality"]["trunk"]["heard"]["lost"] == 50  # type: ignore[index]
    assert row["quality"]["trunk"]["sent"] is None  # type: ignore[index]
    cells = "".join(csv_lines([Call("a", final=FINAL)]))
    assert "browser: MOS 4.4, loss 0.0% / 0.2%, jitter 1.5 / 2.0 ms, RTT 12.0 ms; trunk: MOS 3.1" in cells
    empty = cdr(Call("a", final={"type": "call.final"}))
    assert (empty["mos"], empty["quality"]) == (None, {})


def test_legs_are_counted_by_kind_trunk_and_way() -> None:
    tally = RecordTally(Counters())
    tally.count(
        countable(FINAL), countable(turned(bad=True)), countable(turned(bad=False)), countable(turned(bad=True))
    )
    mos = {labels: dict(buckets) for labels, buckets, _ in tally.sounds.mos.rows()}
    assert mos["trunk", "pbx"] | {"2.6": 0, "3.1": 1, "+Inf": 1} == mos["trunk", "pbx"]
    assert mos["browser", "none"] | {"4.3": 0, "+Inf": 1} == mos["browser", "none"]
    loss = {labels: (dict(buckets)["0.1"], total) for labels, buckets, total in tally.sounds.loss.rows()}
    assert loss["trunk", "pbx", "heard"] == pytest.approx((1, 0.1))
    assert loss["browser", "none", "sent"] == pytest.approx((1, 0.002))
    assert ("trunk", "pbx", "sent") not in loss
    trips = {labels: total for labels, _, total in tally.sounds.round_trip.rows()}
    assert trips["trunk", "pbx"] == pytest.approx(0.08)
    turns = {labels: number for labels, number in tally.sounds.turns.items() if number}
    assert turns == {("trunk", "pbx", "bad"): 2, ("trunk", "pbx", "good"): 1}


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*sounds.OF_A_LEG, *sounds.OF_A_WAY, *sounds.WAYS]), st.text(max_size=4)),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=examples(400))
@given(JSON, JSON)
def test_a_record_of_any_shape_is_shown_and_counted_with_labels_of_ours(quality: object, more: object) -> None:
    final = {**FINAL, "quality": quality, "leg": more, "way": more, "cause": more, "heard": more, "mos": more}
    assert "\x1b" not in render({**final, "type": "leg.quality"})
    happened({**final, "type": "leg.quality"})
    happened(final)
    cdr(Call("a", final=final))
    tally = RecordTally(Counters())
    tally.count(countable(final), countable({**final, "type": "leg.quality"}))
    assert {labels[0] for labels, _, _ in tally.sounds.mos.rows()} <= {"browser", "trunk", "other"}


def test_a_record_with_many_legs_is_read_to_a_limit() -> None:
    quality = {f"trunk-{number}": TRUNK for number in range(1000)}
    assert len(sounds.figures({"quality": quality})) == sounds.MAX_LEGS
