"""The ladder of a trace: the caller left, the gateway beside it, arrows that point where the message went."""

from __future__ import annotations

from typing import Any

from gateway.cli.ladder import MAX_LANES, Ladder


def row(leg: int, direction: str, summary: str, *, at: float = 0.0, name: str = "", description: bool = False) -> Any:
    named = name or {1: "alice", 2: "pbx"}.get(leg, f"phone{leg}")
    return {
        "leg": leg,
        "direction": direction,
        "summary": summary,
        "at": at,
        "name": named,
        "description": description,
    }


def drawn(*rows: Any) -> list[str]:
    ladder = Ladder()
    return [line.plain for one in rows for line in ladder.lines(one)]


def test_an_ordinary_call() -> None:
    assert drawn(
        row(1, "received", "INVITE", description=True),
        row(1, "sent", "100 Trying", at=0.0011),
        row(2, "sent", "INVITE", at=0.012, description=True),
        row(2, "received", "180 Ringing", at=0.5),
    ) == [
        "          alice (1)                     gateway",
        "+0.000    |--------- INVITE sdp ------->|",
        "+0.001    |<-------- 100 Trying --------|",
        "          alice (1)                     gateway                       pbx (2)",
        "+0.012    |                             |--------- INVITE sdp ------->|",
        "+0.500    |                             |<------- 180 Ringing --------|",
    ]


def test_an_arrow_to_the_second_phone_passes_the_lane_of_the_first() -> None:
    lines = drawn(row(1, "received", "INVITE"), row(2, "sent", "INVITE"), row(3, "sent", "CANCEL"))
    assert lines[-1].count("|") == 4
    assert lines[-1].endswith(">|")
    assert "CANCEL" in lines[-1]


def test_a_trace_that_begins_with_the_callee_keeps_the_caller_left_when_it_comes() -> None:
    lines = drawn(row(2, "received", "BYE"), row(1, "sent", "BYE"))
    assert lines[0].split() == ["gateway", "pbx", "(2)"]
    assert lines[1].split("|")[1].startswith("<")
    assert lines[2].split() == ["alice", "(1)", "gateway", "pbx", "(2)"]
    assert lines[3].split("|")[1].startswith("<")


def test_words_of_any_length_and_legs_of_any_number_are_drawn() -> None:
    lines = drawn(*(row(leg, "sent", "x" * 200) for leg in range(1, 3 * MAX_LANES)))
    assert max(map(len, lines)) < 10 + (MAX_LANES + 2) * 30


def test_failures_are_red_and_answers_green() -> None:
    styles = {}
    for words in ("200 OK", "486 Busy Here", "INVITE", "180 Ringing"):
        *_, arrow = Ladder().lines(row(1, "sent", words))
        styles[words] = {str(span.style) for span in arrow.spans} - {"dim", ""}
    assert styles == {"200 OK": {"green"}, "486 Busy Here": {"red"}, "INVITE": set(), "180 Ringing": set()}
