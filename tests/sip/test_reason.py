"""The Reason header field as peers write it (RFC 3326), and as we write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.headers import Headers
from gateway.sip.reason import (
    MAX_LINES,
    MAX_TEXT,
    Q850,
    SIP,
    Reason,
    in_request,
    in_response,
    read_reasons,
)


def read(*lines: str) -> tuple[Reason, ...]:
    return read_reasons(Headers.received([("Reason", line) for line in lines]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('Q.850;cause=16;text="Normal call clearing"', Reason(Q850, 16, "Normal call clearing")),
        ('SIP ;cause=200 ;text="Call completed elsewhere"', Reason(SIP, 200, "Call completed elsewhere")),
        ("q.850 ; CAUSE = 34", Reason(Q850, 34)),
        ("Q850;cause=17", Reason(Q850, 17)),
        ('Q.850;cause="19";text=No answer', Reason(Q850, 19, "No answer")),
        ('Q.850;text="a;b, c \\"d\\"";cause=21', Reason(Q850, 21, 'a;b, c "d"')),
        ('Q.850;cause=028;location=LN;text=""', Reason(Q850, 28)),
        ('Q.850;cause=17;text="never closed', Reason(Q850, 17, "never closed")),
        ("Q.850;cause=17;cause=16", Reason(Q850, 17)),
        ("sip;cause=603;text=<b>", Reason(SIP, 603, "<b>")),
    ],
)
def test_a_reason_is_read_however_it_is_spelt(line: str, expected: Reason) -> None:
    assert read(line) == (expected,)


@pytest.mark.parametrize(
    "line",
    [
        "",
        ";",
        "Q.850",
        "Q.850;cause=",
        "Q.850;cause=0",
        "Q.850;cause=128",
        "SIP;cause=99",
        "SIP;cause=1000",
        "Q.850;cause=-1",
        "Q.850;cause=\u0661\u0666",
        "Q.850;cause=1x",
        "FreeSWITCH;cause=16",
        "cause=16",
        ",,,",
        '"',
    ],
)
def test_what_says_nothing_is_no_reason(line: str) -> None:
    assert read(line) == ()


@pytest.mark.parametrize(
    "lines",
    [
        ('SIP;cause=480;text="a"', "Q.850;cause=20"),
        ('SIP;cause=480;text="a", Q.850;cause=20, Q.850;cause=34',),
        ("Preemption;cause=1", 'SIP;cause=480;text="a"', "Q.850;cause=20"),
    ],
)
def test_several_headers_and_values_are_one_reason_of_each_protocol(lines: tuple[str, ...]) -> None:
    assert read(*lines) == (Reason(SIP, 480, "a"), Reason(Q850, 20))


def test_only_so_many_lines_are_looked_at() -> None:
    assert read(*["X;cause=1"] * MAX_LINES, "Q.850;cause=16") == ()


def test_text_is_printable_and_cut() -> None:
    (found,) = read('Q.850;cause=16;text="a\u202eb\x07c\u2028d' + "x" * 500 + '"')
    assert found.text.startswith("a b c d")
    assert len(found.text) == MAX_TEXT
    assert found.text.isprintable()


def test_the_peers_words_do_not_travel() -> None:
    said = (Reason(Q850, 34, "call 0900 now"), Reason(SIP, 503, "x"), Reason(Q850, 99, "evil"))
    assert in_request(said) == (
        ("Reason", 'Q.850;cause=34;text="No circuit or channel available"'),
        ("Reason", 'SIP;cause=503;text="Service Unavailable"'),
        ("Reason", "Q.850;cause=99"),
    )
    assert in_response(said)[0] == ("Reason", 'Q.850;cause=34;text="No circuit or channel available"')
    assert [value for _, value in in_response(said) if value.startswith("SIP")] == []


@given(st.lists(st.text(max_size=200), max_size=12))
def test_whatever_is_written_is_read_without_an_error_and_can_be_written(lines: list[str]) -> None:
    for _, value in in_request(read(*lines)):
        Headers([("Reason", value)])
