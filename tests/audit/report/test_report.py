"""The monthly report: what is counted, and that nothing in a log can become more than text on its page."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.archive import parsed
from gateway.audit.pick import Record
from gateway.audit.reading import log_files, read_lines
from gateway.audit.report.counting import MAX_LISTED, MAX_NAMES, OTHERS, Month
from gateway.audit.report.markup import Html, escaped, table, tag
from gateway.audit.report.page import Made, page
from gateway.audit.report.plots import percent
from gateway.audit.verify import Verified, Verifier
from tests.audit.history import History
from tests.audit.test_clean import ANY_TEXT, ANYTHING
from tests.effort import examples

MADE = Made(datetime(2026, 12, 1, 6, tzinfo=UTC), "0.1.0", "/var/log/sip-gateway", 1)
TAGS = set(
    "html head meta title style body main header section h1 h2 p dl div dt dd span small strong ul li figure "
    "figcaption svg defs pattern rect path line text desc table caption thead tbody tr th td code br footer".split()
)


class Reader(html.parser.HTMLParser):
    """What a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [], "every element is closed"
    return reader


def counted(records: Iterable[Record], month: str = "2026-11") -> Month:
    made = Month(month)
    for record in records:
        made.take(record)
    return made


def shown(month: Month, verified: Verified | None = None) -> str:
    return page(month, verified or Verified(records=1, last_seq=1), MADE)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def records(history: History) -> list[Record]:
    return [parsed(line.octets) for line in read_lines(log_files(history.bench.directory))]


# --- counting


def test_calls_are_counted_by_their_worst_grade_their_day_and_their_trunk(history: History) -> None:
    history.some_calls(7)
    history.until(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    history.secured(20, trunk="pbx")
    month = counted(records(history))
    assert dict(month.all.grades) == {"HOP_BY_HOP": 3, "CLEARTEXT": 2, "KEY_EXPOSED": 1}
    assert (month.all.answered, month.all.protected, month.all.refused, month.all.unanswered) == (6, 3, 1, 1)
    assert [tally.total for tally in month.days] == [7, *[0] * 28, 1]
    assert (month.trunks["pbx"].answered, month.trunks["carrier"].answered) == (3, 3)
    assert month.trunks["carrier"].refused == 1
    assert sum(month.all.seconds.values()) == 30 + 20 + 10 + 40 + 40 + 20


def test_a_call_belongs_to_the_month_in_which_it_ended(history: History) -> None:
    history.until(datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC))
    history.secured(30)
    assert counted(records(history)).all.total == 0
    assert counted(records(history), "2026-12").days[0].answered == 1


def test_what_was_spoken_under_a_grade_is_not_all_of_a_call_that_once_had_it() -> None:
    final = {"type": "call.final", "call_uid": "a", "ts": "2026-11-03T08:00:00Z", "answered": True, "duration": 60.0}
    told = {**final, "grade_worst": "CLEARTEXT", "seconds_per_grade": {"HOP_BY_HOP": 40.0, "CLEARTEXT": 20.0, "x": 9}}
    month = counted([told, {**final, "call_uid": "b", "grade_worst": "CLEARTEXT"}])
    assert month.all.seconds == {"HOP_BY_HOP": 40, "CLEARTEXT": 80}
    assert month.all.grades == {"CLEARTEXT": 2}


def test_reasons_are_counted_once_for_each_call(history: History) -> None:
    history.removed()
    history.plain()
    reasons = counted(records(history)).reasons
    assert reasons == {"media.plain_rtp": 2, "media.savp_retry": 1, "mid.crypto_removed": 1}


def test_violations_and_broken_pins_are_listed_with_what_was_done(history: History) -> None:
    call = history.held_fast()
    month = counted([*records(history), {**records(history)[-3], "codes": ["pin.bid_down"], "type": "leg.downgraded"}])
    (event,) = month.violations.events
    assert (event.call, event.what) == (f"c-{call[:8]}", "refused with 488")
    assert event.codes == ("media.plain_rtp", "mid.crypto_removed")
    assert [pin.codes for pin in month.pins.events] == [("pin.bid_down",)]


def test_exceptions_are_told_with_whoever_answers_for_them() -> None:
    used = {"exception_id": "e1", "call_uid": "a" * 16, "ts": "2026-11-03T08:00:00Z"}
    told = {
        **used,
        "type": "policy.exception_used",
        "owner": "it-sec",
        "reason": "SRTP is due",
        "expires": "2027-03-31",
    }
    month = counted([told, {**used, "type": "leg.secured"}, {**used, "type": "call.final", "answered": True}])
    use = month.exceptions["e1"]
    assert (use.owner, use.reason, use.expires, use.calls) == ("it-sec", "SRTP is due", "2027-03-31", 1)
    words = read(shown(month)).words
    assert {"e1", "it-sec", "SRTP is due", "2027-03-31"} <= set(words)


def test_what_is_kept_of_a_month_is_bounded() -> None:
    month = Month("2026-11")
    for number in range(MAX_NAMES * 2):
        final = {"type": "call.final", "call_uid": f"{number:08}", "ts": "2026-11-03T08:00:00Z", "answered": True}
        month.take({**final, "type": "leg.violation", "trunk": f"t{number}", "codes": [f"c{number}"]})
        month.take({**final, "trunk": f"t{number}", "exception_id": f"e{number}"})
        month.take({"type": "auth.fail", "source": f"192.0.2.{number}", "ts": "2026-11-03T08:00:00Z"})
    for names in (month.trunks, month.reasons, month.exceptions, month.failed_sign_ins):
        assert len(names) == MAX_NAMES + 1
        assert OTHERS in names
    assert month.all.answered == MAX_NAMES * 2, "all are counted all the same"
    assert len(month.violations.events) == MAX_LISTED
    assert month.violations.count == MAX_NAMES * 2


@pytest.mark.parametrize(
    ("count", "of", "words"),
    [
        (0, 0, "\u2013"),
        (0, 7, "0 %"),
        (7, 7, "100 %"),
        (1, 3, "33.3 %"),
        (1, 9999, "< 0.1 %"),
        (9998, 9999, "> 99.9 %"),
    ],
)
def test_only_all_is_a_hundred_percent_and_only_none_is_zero(count: int, of: int, words: str) -> None:
    assert percent(count, of) == words


# --- the page


def test_the_page_says_first_how_many_calls_were_protected_and_whether_the_log_holds(history: History) -> None:
    history.some_calls(7)
    verifier = Verifier()
    for line in history.bench.lines:
        verifier.take(line, "audit.jsonl:1")
    words = " ".join(read(shown(counted(records(history)), verifier.end())).words)
    assert "Call security, November 2026" in words
    assert "40 %" in words.split("day by day")[0]
    assert "verified" in words.split("day by day")[0]
    assert "In November 2026 7 calls ended, of which 5 had been answered." in words
    assert "Yes: every record is as it was written" in words


def test_a_bad_record_is_on_the_page_in_the_first_place_and_in_words(history: History) -> None:
    history.some_calls(3)
    lines = history.bench.lines
    verifier = Verifier()
    for number, line in enumerate([*lines[:4], *lines[5:]], start=1):
        verifier.take(line, f"audit.jsonl:{number}")
    words = " ".join(read(shown(counted(records(history)), verifier.end())).words)
    assert "NOT intact" in words.split("day by day")[0]
    assert "No. The first bad record: audit.jsonl:5: record 6" in words
    assert "record 5 is missing" in words


def test_a_month_without_calls_is_a_page_too() -> None:
    words = " ".join(read(shown(Month("2026-02"))).words)
    assert "No call ended in February 2026." in words
    assert "there is nothing to be drawn" in words


def test_the_page_stands_for_itself(history: History) -> None:
    history.some_calls(7)
    text = shown(counted(records(history)))
    reader = read(text)
    assert reader.tags <= TAGS
    assert not {"src", "href", "action", "onload", "onclick"} & reader.attributes
    assert not re.search(r"https?:|//|@import|expression\(", text.replace("</", "")), "nothing is fetched"
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text


def test_drawings_say_in_words_what_they_show(history: History) -> None:
    history.some_calls(7)
    text = shown(counted(records(history)))
    assert text.count('role="img"') >= 3
    assert "1 November 2026, CLEARTEXT: 2 of 5 calls (40 %)" in text
    assert 'scope="col"' in text
    assert 'scope="row"' in text
    assert "<caption>" in text


HOSTILE = "<script>alert(1)</script>\"'><svg onload=x>&\x1b[31m\u202e"


def test_names_from_the_log_are_text_wherever_they_stand() -> None:
    facts: dict[str, Any] = {
        "ts": "2026-11-03T08:00:00Z",
        "call_uid": HOSTILE,
        "trunk": HOSTILE,
        "node": HOSTILE,
        "source": HOSTILE,
        "codes": [HOSTILE, "pin.bid_down"],
        "exception_id": HOSTILE,
        "owner": HOSTILE,
        "reason": HOSTILE,
        "expires": HOSTILE,
        "answered": True,
        "policies": [{"trunk": HOSTILE, "profile": HOSTILE}],
        "difference": HOSTILE,
    }
    kinds = ("leg.violation", "policy.exception_used", "policy.loaded", "auth.fail", "log.dropped", "call.final")
    month = counted({**facts, "type": kind} for kind in kinds)
    verifier = Verifier()
    verifier.take(HOSTILE.encode(errors="replace"), HOSTILE)
    text = shown(month, verifier.end())
    reader = read(text)
    assert reader.tags <= TAGS
    assert "onload" not in reader.attributes
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script" not in text


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.builds(
            lambda facts, kind: {"ts": "2026-11-03T08:00:00Z", **facts, "type": kind},
            st.dictionaries(
                st.sampled_from(
                    "call_uid trunk codes answered duration grade_worst termination exception_id owner policies "
                    "count dropped seconds open_calls cause source node decision sip_sent ts".split()
                ),
                ANYTHING | st.integers() | st.floats() | st.text(max_size=9),
            ),
            st.sampled_from("call.start call.final leg.violation policy.loaded auth.fail log.recovered".split())
            | ANY_TEXT,
        ),
        max_size=8,
    )
)
def test_whatever_stands_in_the_records_the_page_is_well_formed(found: list[dict[str, Any]]) -> None:
    reader = read(shown(counted(found)))
    assert reader.tags <= TAGS


@given(st.text(max_size=40))
def test_markup_is_only_what_was_made_here(text: str) -> None:
    reader = read(str(tag("p", text, title=text)))
    assert reader.tags == {"p"}
    assert reader.attributes == {"title"}
    assert escaped(Html("<br>")) == "<br>"
    assert "<b>" not in table("<b>", ["<b>"], [["<b>", "<b>"]])
