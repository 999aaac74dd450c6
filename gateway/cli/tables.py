"""What a running gateway shows, as tables for people. PURE but for rich: rows of JSON in, tables out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from gateway.base.grades import Grade

Row = Mapping[str, Any]
Cell = Callable[[Row], Text | str]

STYLES = {
    "up": "green",
    "down": "bold red",
    "registered": "green",
    "connected": "yellow",
    "doubtful": "yellow",
    "held": "green",
    "expired": "yellow",
    "shut": "red",
    "refused": "bold red",
    "unreachable": "bold red",
    "established": "green",
    "running": "green",
    "draining": "yellow",
    "silent": "bold red",
    "restarting": "red",
}
"""Colours of states; a state that is not here has none."""


def grade(name: str | None) -> Text:
    """A grade in its colour; one that is not known is as bad as the worst."""
    return Text(name, colour(Grade.__members__.get(name, Grade.CLEARTEXT))) if name else Text("-", "dim")


def colour(found: Grade) -> str:
    """The colours of the softphone: green from hop by hop on, red where anyone can listen."""
    if found >= Grade.HOP_BY_HOP:
        return "green"
    return "yellow" if found >= Grade.PARTIAL else "red"


def state(word: str) -> Text:
    return Text(word, STYLES.get(word, ""))


def age(seconds: float | None) -> str:
    """`12s`, `4m05s`, `3h07m`, `2d04h`; `-` for never."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def _text(name: str) -> Cell:
    return lambda row: Text("-" if row.get(name) in (None, "") else str(row[name]))


def _age(name: str) -> Cell:
    return lambda row: age(row.get(name))


def _state(row: Row) -> Text:
    return state(str(row.get("state", "")))


def _verified(row: Row) -> Text:
    name = str(row.get("verified_name", ""))
    return Text(name, "green") if name else Text("-", "dim")


def _legs(row: Row) -> Text:
    """Of each leg a line who is there, how well it is protected and by what, and one of how it sounds."""
    lines = [line for leg in row.get("legs", ()) for line in (_leg(leg), _sound(leg)) if line is not None]
    return Text("\n").join(lines)


def _leg(leg: Row) -> Text:
    codes = " ".join(leg.get("codes", ()))
    where = f"{leg['leg']} {leg['kind']} {leg['state']} "
    return Text.assemble(where, grade(leg.get("grade")), " ", str(leg.get("protection", "")), (f" {codes}", "dim"))


def _sound(leg: Row) -> Text | None:
    """`  in 1500 out 1498 loss 0.1/0.4% jitter 4.1/6.0 ms RTT 31.0 ms MOS 4.31`; None before anything was counted."""
    packets, figures = leg.get("packets"), leg.get("sound") or {}
    if not packets:
        return None
    words = f"  in {packets.get('received')} out {packets.get('sent')}"
    for name, word, unit in (("loss_percent", "loss", "%"), ("jitter_ms", "jitter", " ms")):
        values = [(figures.get(way) or {}).get(name) for way in ("heard", "sent")]
        if any(value is not None for value in values):
            words += f" {word} {'/'.join('?' if value is None else str(value) for value in values)}{unit}"
    words += f" RTT {figures['rtt_ms']} ms" if figures.get("rtt_ms") is not None else ""
    mos = leg.get("mos_now") or figures.get("mos")
    opinion = Text(f" MOS {mos}", "bold red" if leg.get("quality") == "bad" else "green") if mos else ""
    return Text.assemble((words, "dim"), opinion)


def _places(row: Row) -> Text:
    """Where the trunk is: its targets, and under them the places DNS made of them when there are several."""
    targets = row.get("targets") or [row.get("target", "")]
    lines = [Text(str(target)) for target in targets]
    places = row.get("places") or ()
    if len(places) > 1 or any(place.get("state") != "up" for place in places):
        lines += [Text.assemble(f"  {place.get('place')} ", state(str(place.get("state")))) for place in places]
    return Text("\n").join(lines)


def _registered(row: Row) -> Text:
    """What is registered at the trunk in our name: each that is not says why."""
    lines = []
    for one in row.get("registrations") or ():
        word, why = str(one.get("state")), str(one.get("why") or "")
        told = f" {why}" if why and word != "registered" else ""
        lines.append(Text.assemble(f"{one.get('aor')} ", state(word), told))
    return Text("\n").join(lines) if lines else Text("-", "dim")


TRUNKS: tuple[tuple[str, Cell], ...] = (
    ("Trunk", _text("trunk")),
    ("State", _state),
    ("Since", _age("since")),
    ("Heard", _age("heard")),
    ("Target", _places),
    ("Registered", _registered),
    ("Verified", _verified),
    ("Security", _text("security")),
    ("Calls", lambda row: f"{row.get('calls_live', 0)} of {row.get('calls_total', 0)}"),
)
USERS: tuple[tuple[str, Cell], ...] = (
    ("User", _text("user")),
    ("State", _state),
    ("Bindings", _text("bindings")),
    ("Connections", _text("connections")),
    ("Calls", _text("calls_live")),
)
REGISTRATIONS: tuple[tuple[str, Cell], ...] = (
    ("User", _text("user")),
    ("From", lambda row: f"{row.get('transport', '')} {row.get('remote', '')}"),
    ("Flow", _age("flow_age")),
    ("Expires", _age("expires")),
    ("User agent", _text("user_agent")),
    ("Instance", _text("instance")),
    ("Contact", _text("contact")),
)
PINS: tuple[tuple[str, Cell], ...] = (
    ("Trunk or user", _text("peer")),
    ("State", _state),
    ("Seen", _age("seen_ago")),
    ("Until", _text("until")),
)
WORKERS: tuple[tuple[str, Cell], ...] = (
    ("Worker", _text("worker")),
    ("PID", _text("pid")),
    ("State", _state),
    ("Calls", _text("calls_live")),
    ("Age", _age("age")),
    ("Version", _text("version")),
    ("Ends calls in", _age("left")),
)
CALLS: tuple[tuple[str, Cell], ...] = (
    ("Call", _text("id")),
    ("State", _state),
    ("Age", _age("age")),
    ("Talking", _age("talking")),
    ("From", _text("from")),
    ("To", _text("to")),
    ("Trunk", _text("trunk")),
    ("Grade", lambda row: grade(row.get("grade"))),
    ("Legs", _legs),
)


def table(columns: Iterable[tuple[str, Cell]], rows: Iterable[Row]) -> Table:
    """The rows under these columns."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    chosen = list(columns)
    for name, _ in chosen:
        made.add_column(name, overflow="fold", min_width=len(name))
    for row in rows:
        made.add_row(*(cell(row) for _, cell in chosen))
    return made
