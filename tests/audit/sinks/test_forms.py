"""What a record looks like outside: nothing a caller wrote can end a field, a message or an event."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, sealed
from gateway.audit.line import LineFormat
from gateway.audit.sinks.cef import cef, extension_value, header_value, milliseconds
from gateway.audit.sinks.item import Item, item_of
from gateway.audit.sinks.plan import Form, Records, SyslogPlan
from gateway.audit.sinks.queue import VITAL_ROOM, SinkQueue
from gateway.audit.sinks.rfc5424 import MAX_PARAMETER, framed, message, parameter, structured
from tests.audit.sinks.receivers import MESSAGE
from tests.effort import examples

PLAN = SyslogPlan(host="logs.example.com", port=6514)
CEF = SyslogPlan(host="logs.example.com", port=6514, form=Form.CEF)


def item(seq: int = 7, /, **record: Any) -> Item:
    """As the log writes it."""
    draft = LineFormat(lambda: 1893553445.25, lambda: 5).draft({"type": "leg.downgraded", **record}, seq)
    found = item_of(sealed(draft.text, GENESIS)[0])
    assert found is not None
    return found


@given(st.text(max_size=300))
@settings(max_examples=examples(200))
def test_a_parameter_is_read_back_as_it_was_and_cannot_end_its_quotes(value: str) -> None:
    written = parameter(value)
    assert re.fullmatch(r'(?:[^"\\\]]|\\["\\\]])*', written, re.DOTALL)
    read = re.sub(r'\\(["\\\]])', r"\1", written)
    assert value.encode("utf-8", errors="replace").decode().startswith(read)
    assert len(read.encode()) <= MAX_PARAMETER


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=examples(200))
def test_whatever_a_record_says_its_message_is_one_message(node: str, code: str, kind: str, more: str) -> None:
    record = item(type=kind or "x", codes=[code, more], grade_after=more, call_uid=code)
    for plan in (PLAN, CEF):
        found = MESSAGE.fullmatch(message(record, plan, pid=1))
        assert found is not None
    framing = framed(message(record, PLAN, pid=1))
    length, _, text = framing.partition(b" ")
    assert int(length) == len(text)


@pytest.mark.parametrize(
    ("value", "written"),
    [('a"b', 'a\\"b'), ("a\\b", "a\\\\b"), ("a]b", "a\\]b"), ("a[b=c", "a[b=c"), ("\u20ac", "\u20ac"), ("", "")],
)
def test_quotes_backslashes_and_brackets_are_escaped_and_nothing_else(value: str, written: str) -> None:
    assert parameter(value) == written


def test_structured_data_is_short_and_names_grade_codes_and_call() -> None:
    record = {"grade_after": "CLEARTEXT", "codes": ["media.plain_rtp", "tls.old"], "call_uid": "y26y61m4abcdefgh"}
    expected = '[callsec@4711 grade="CLEARTEXT" codes="media.plain_rtp,tls.old" call="c-y26y61m4"]'
    assert structured(record, 4711) == expected
    assert structured({}, 4711) == "-"
    longest = structured({"grade_after": '"' * 999, "codes": ["]" * 999], "call_uid": "\\" * 999}, 2**32 - 1)
    assert len(longest) < 1024


@pytest.mark.parametrize(
    ("record", "priority", "level"),
    [
        ({"type": "leg.violation"}, 106, 8),
        ({"codes": ["pin.bid_down"], "grade_after": "CLEARTEXT"}, 106, 8),
        ({"type": "leg.secured", "codes": ["dtls.fp_mismatch"]}, 106, 8),
        ({"grade_after": "KEY_EXPOSED"}, 108, 5),
        ({"grade_after": "CLEARTEXT"}, 109, 3),
        ({"type": "call.start"}, 110, 1),
        ({"type": "leg.secured"}, 110, 0),
    ],
)
def test_what_deserves_attention_says_so(record: dict[str, Any], priority: int, level: int) -> None:
    assert message(item(**record), PLAN, pid=1).startswith(b"<%d>1 2030-01-02T03:04:05.250000Z " % priority)
    assert cef(item(**record)).split("|")[6] == str(level)


@pytest.mark.parametrize(
    ("value", "header", "extended"),
    [
        ("a|b", "a\\|b", "a|b"),
        ("a=b", "a=b", "a\\=b"),
        ("a\\b", "a\\\\b", "a\\\\b"),
        ("a\nb\rc", "a b c", "a\\nb\\rc"),
        ("a\\|b", "a\\\\\\|b", "a\\\\|b"),
        ("a\u2028b\x00c", "a?b?c", "a?b?c"),
    ],
)
def test_cef_escapes_what_has_a_meaning_there(value: str, header: str, extended: str) -> None:
    assert header_value(value) == header
    assert extension_value(value) == extended


def test_an_event_has_the_seven_fields_of_a_header_and_known_names() -> None:
    event = cef(item(type="leg.violation", trunk="carrier|x", user="p-1=2", codes=["tls.old"], grade_after="PARTIAL"))
    assert event.startswith("CEF:0|sip-gateway|sip-gateway|2|leg.violation|Leg refused|8|externalId=7 ")
    assert " rt=1893553445250 " in event
    assert "suser=p-1\\=2" in event
    assert "cs4=carrier|x cs4Label=trunk" in event
    assert milliseconds("never") == ""


@given(st.dictionaries(st.sampled_from(["user", "to", "trunk", "decision", "rule_id"]), st.text(max_size=40)))
@settings(max_examples=examples(200))
def test_no_text_of_a_record_can_make_a_field_of_an_event(record: dict[str, str]) -> None:
    event = cef(item(**record))
    assert event.isprintable()
    names = re.findall(r"(?:^|(?<= ))([A-Za-z0-9.]+)(?<!\\)=", event.split("|", 7)[7])
    assert set(names) <= {"externalId", "rt", "dvchost", "suser", "duser", "act", "outcome"} | {
        f"cs{number}{label}" for number in range(1, 7) for label in ("", "Label")
    }


def test_an_event_of_a_checkpoint_has_all_that_is_signed() -> None:
    said = {"head": "a" * 64, "log_id": "b" * 64, "prev_checkpoint": "c" * 64, "size": 9, "signature": "QUJD=="}
    event = cef(item(type="log.checkpoint", **said))
    assert f"ad.head={'a' * 64}" in event
    assert "ad.signature=QUJD\\=\\=" in event
    assert "ad.size=9 ad.ts=2030-01-02T03:04:05.250000Z" in event


@pytest.mark.parametrize(
    ("kind", "of_checkpoints", "of_downgrades"),
    [
        ("log.checkpoint", True, True),
        ("log.sink_dropped", True, True),
        ("leg.downgraded", False, True),
        ("leg.violation", False, True),
        ("leg.secured", False, False),
        ("call.start", False, False),
    ],
)
def test_a_filter_lets_through_what_it_says(kind: str, of_checkpoints: bool, of_downgrades: bool) -> None:
    assert item(type=kind).is_for(Records.ALL)
    assert item(type=kind).is_for(Records.CHECKPOINTS) is of_checkpoints
    assert item(type=kind).is_for(Records.DOWNGRADES) is of_downgrades


def test_a_host_named_like_a_field_is_no_field() -> None:
    line = b'{"v":2,"seq":3,"ts":"t","mono_ns":1,"boot_id":"","node":"\\",\\"type\\":\\"log.checkpoint","type":"x"}\n'
    found = item_of(line)
    assert found is not None
    assert (found.seq, found.kind) == (3, "x")
    assert item_of(b"torn") is None


def test_records_do_not_crowd_checkpoints_out() -> None:
    queue = SinkQueue(100)
    assert [queue.put(item(number)) for number in range(101, 203)] == [True] * 100 + [False] * 2
    assert all(queue.put(item(300 + number, type="log.checkpoint")) for number in range(VITAL_ROOM))
    assert not queue.put(item(9999, type="log.checkpoint"))
    queue.take(1)
    assert queue.put(item(10000))
    older = [item(number) for number in range(1, 4)]
    assert queue.put_first(older) == older, "there is no room before them either"
