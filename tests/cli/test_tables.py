"""Tables of a running gateway: ages a person reads at a glance, grades in the colour of what they mean."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.cli import tables


def printed(columns: tuple[tuple[str, tables.Cell], ...], *rows: tables.Row, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(tables.table(columns, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0, "0s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90000, "1d01h")],
)
def test_an_age_in_two_units(seconds: float | None, words: str) -> None:
    assert tables.age(seconds) == words


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("END_TO_END", "green"),
        ("HOP_BY_HOP", "green"),
        ("UNAUTHENTICATED", "yellow"),
        ("PARTIAL", "yellow"),
        ("KEY_EXPOSED", "red"),
        ("CLEARTEXT", "red"),
        ("SOMETHING_NEW", "red"),
        (None, "dim"),
    ],
)
def test_a_grade_is_green_only_where_nobody_else_can_listen(name: str | None, style: str) -> None:
    assert str(tables.grade(name).style) == style


def test_a_name_of_a_column_stays_whole_on_a_narrow_terminal() -> None:
    row = {"trunk": "callback", "state": "unheard", "target": "sip:127.0.0.11:5070;transport=udp", "security": "legacy"}
    heads = printed(tables.TRUNKS, row, width=80).splitlines()[0].split()
    assert heads == [name for name, _ in tables.TRUNKS]


def test_what_is_missing_is_a_dash_and_nothing_is_a_number() -> None:
    line = printed(tables.USERS, {"user": "alice", "state": "away", "bindings": 0}).splitlines()[1]
    assert line.split() == ["alice", "away", "0", "-", "-"]


def test_a_trunk_shows_where_it_is_and_why_nothing_is_registered_there() -> None:
    places = [{"place": "udp:192.0.2.5:5060", "state": "up"}, {"place": "udp:192.0.2.6:5060", "state": "doubtful"}]
    refused = {"aor": "sip:acme@pbx", "state": "refused", "why": "403 Forbidden"}
    text = printed(
        tables.TRUNKS, {"trunk": "pbx", "targets": ["sip:pbx"], "places": places, "registrations": [refused]}
    )
    assert "udp:192.0.2.6:5060 doubtful" in text
    assert "sip:acme@pbx refused 403 Forbidden" in text


def test_one_place_that_answers_is_not_told_of_beside_its_target() -> None:
    places = [{"place": "udp:192.0.2.5:5060", "state": "up"}]
    assert "udp:" not in printed(tables.TRUNKS, {"trunk": "pbx", "targets": ["sip:pbx"], "places": places})


def test_each_leg_of_a_call_has_its_line_with_grade_and_codes() -> None:
    leg = {"kind": "trunk", "state": "confirmed", "grade": "CLEARTEXT", "codes": ["media.plain_rtp"]}
    row = {"id": "c-1", "state": "established", "legs": [{**leg, "leg": 1}, {**leg, "leg": 2, "grade": None}]}
    text = printed(tables.CALLS, row)
    assert "1 trunk confirmed CLEARTEXT  media.plain_rtp" in text
    assert "2 trunk confirmed -" in text


def test_each_leg_of_a_call_has_a_line_of_how_it_sounds() -> None:
    heard, sent = {"loss_percent": 0.1, "jitter_ms": 4.1}, {"loss_percent": 0.4, "jitter_ms": 6.0}
    sound = {"mos": 4.31, "rtt_ms": 31.0, "heard": heard, "sent": sent}
    leg = {"leg": 1, "kind": "trunk", "state": "confirmed", "packets": {"received": 1500, "sent": 1498}}
    row = {"id": "c-1", "state": "established", "legs": [{**leg, "sound": sound, "quality": "good", "mos_now": 4.2}]}
    text = printed(tables.CALLS, row)
    assert "in 1500 out 1498 loss 0.1/0.4% jitter 4.1/6.0 ms RTT 31.0 ms MOS 4.2" in text
    silent = {**leg, "sound": {"mos": None, "rtt_ms": None, "heard": None, "sent": None}}
    assert printed(tables.CALLS, {**row, "legs": [silent]}).rstrip().endswith("in 1500 out 1498")
    half = {**leg, "sound": {**sound, "sent": None}}
    assert "loss 0.1/?% jitter 4.1/? ms RTT 31.0 ms MOS 4.31" in printed(tables.CALLS, {**row, "legs": [half]})


def test_a_leg_that_sounds_bad_is_red() -> None:
    leg = {"packets": {"received": 1, "sent": 1}, "sound": {"mos": 2.2}, "mos_now": 2.0}
    for quality, style in (("bad", "bold red"), ("good", "green"), (None, "green")):
        line = tables._sound({**leg, "quality": quality})
        assert line is not None
        assert [span.style for span in line.spans][-1] == style


def test_markup_in_a_name_means_nothing() -> None:
    assert "[red]x[/red]" in printed(tables.USERS, {"user": "[red]x[/red]", "state": ""})
