"""One call's story: who could listen, from when to when, why, and how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.archive import parsed
from gateway.audit.hearing import stretches
from gateway.audit.pick import Record
from gateway.audit.query import Wanted
from gateway.audit.sides import MAX_SIDES, sides_of
from gateway.audit.story import story
from gateway.base.grades import Grade
from tests.audit.history import History
from tests.audit.test_clean import ANY_TEXT, ANYTHING
from tests.effort import examples


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def of(history: History, call: str) -> list[Record]:
    wanted = Wanted(call=call)
    records = [parsed(line) for line in history.path.read_bytes().splitlines(keepends=True)]
    return [record for record in records if wanted.matches(record)]


def told(history: History, call: str) -> str:
    return "\n".join(said.words for said in story(of(history, call)))


def test_a_call_whose_encryption_was_dropped_tells_who_could_listen_from_when_on(history: History) -> None:
    call = history.removed(40, trunk="carrier")
    found = stretches(of(history, call))
    grades = [(stretch.grade, stretch.answered) for stretch in found]
    assert grades == [(None, False), (Grade.HOP_BY_HOP, True), (Grade.CLEARTEXT, True)]
    assert [round((s.until - s.since).total_seconds()) for s in found] == [1, 20, 20]
    words = told(history, call)
    assert "08:00:03 to 08:00:23    nobody on the way" in words
    assert "08:00:23 to 08:00:43    anyone on the network" in words
    assert "between this gateway and the trunk carrier: the sound was not encrypted [media.plain_rtp]" in words
    assert "and the other side tried to drop the encryption in the middle of the call [mid.crypto_removed]" in words


def test_a_refused_change_opens_nothing_to_anybody(history: History) -> None:
    call = history.held_fast()
    assert [s.grade for s in stretches(of(history, call)) if s.answered] == [Grade.HOP_BY_HOP]
    words = told(history, call)
    assert "REFUSED by a change during the call (answered 488), for: the sound was not encrypted" in words
    assert "who could have listened then: anyone on the network" in words


def test_a_call_that_was_refused_tells_who_could_have_listened(history: History) -> None:
    words = told(history, history.refused())
    assert "It was not answered." in words
    assert "It was refused. Who could have listened: anyone who saw both the signalling and the sound" in words
    assert "Policy requires encryption this trunk's signalling cannot protect" in words
    assert "Who could listen\n" not in words, "there was nothing to hear"


def test_a_call_that_goes_on_is_told_as_such(history: History) -> None:
    words = told(history, history.left_open())
    assert "Its end is not in the log" in words
    assert "How it ended" not in words


def test_a_second_try_without_encryption_is_told_before_its_consequence(history: History) -> None:
    words = told(history, history.plain())
    retry = words.index("encryption was refused (it answered 488), and policy let it be tried again without")
    assert retry < words.index("not encrypted [CLEARTEXT] at the answer, which policy tolerated")


def test_each_side_is_told_with_its_cipher_its_keys_and_its_connection(history: History) -> None:
    words = told(history, history.secured())
    assert "AES with a 256-bit key, each packet sealed by 128 bits [AEAD_AES_256_GCM]" in words
    assert "signalling encrypted (TLS 1.2), the other end having proved its name" in words
    assert "the key was sent within the signalling (SDES); packets under that key really arrived" in words


def test_a_call_between_two_browsers_names_both_sides_apart() -> None:
    vector = {"keying": "dtls", "suite": "AEAD_AES_256_GCM", "sig_transport": "wss"}
    facts = {"type": "leg.secured", "decision": "allowed", "dir": "internal", "leg": "browser", "vector_after": vector}
    places = [side.place for side in sides_of([{**facts, "leg_id": 1}, {**facts, "leg_id": 2}])]
    assert places == [
        "between the caller's browser and this gateway",
        "between the called person's browser and this gateway",
    ]


def test_a_telephone_that_lost_the_race_counts_no_more(history: History) -> None:
    records = of(history, history.secured())
    at = next(n for n, r in enumerate(records) if r["type"] == "leg.verified")
    weak = {**records[1], "leg_id": 3, "grade_after": "CLEARTEXT", "type": "leg.downgraded"}
    lost = {**weak, "type": "leg.lost", "ts": records[at]["ts"]}
    assert Grade.CLEARTEXT in {s.grade for s in stretches([*records[:2], weak, *records[2:]])}
    found = stretches([*records[: at + 1], weak, lost, *records[at + 1 :]])
    assert {s.grade for s in found if s.answered} == {Grade.HOP_BY_HOP}


def test_sides_are_followed_within_a_limit() -> None:
    vector = {"keying": "sdes"}
    records: list[Record] = [
        {"type": "leg.secured", "decision": "allowed", "leg": "trunk", "leg_id": n, "vector_after": vector}
        for n in range(MAX_SIDES * 3)
    ]
    assert len(sides_of(records)) == MAX_SIDES


KINDS = st.sampled_from(["call.start", "leg.secured", "leg.violation", "leg.pending", "leg.lost", "call.final", "new"])
FIELDS = st.sampled_from(
    ["ts", "leg", "leg_id", "codes", "vector_after", "grade_after", "decision", "duration", "answered", "sip_sent"]
)
TIMES = st.sampled_from(
    ["2026-11-01T08:00:00.000001Z", "2026-02-31T08:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.dictionaries(
            FIELDS, ANYTHING | TIMES | st.sampled_from(["allowed", "trunk"]) | st.floats() | st.integers()
        ).flatmap(lambda facts: st.builds(lambda kind: {**facts, "type": kind}, KINDS | ANY_TEXT)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_stands_in_the_records_the_story_is_harmless_lines(records: list[dict[str, Any]]) -> None:
    for said in story(records):
        assert said.words.isprintable()
