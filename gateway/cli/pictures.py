"""The tables in docs/architecture.md and docs/policy.md, drawn from the code: `make docs`, or
`python -m gateway.cli.pictures FILE`.

A picture stands between `<!-- table: NAME -->` and `<!-- end -->`; whatever was there is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.base.table import A, E, S, Table
from gateway.call.legs.invite_state import CALLEE, CALLER
from gateway.policy.catalogue import ROWS, Action, Row
from gateway.sdp.offer_answer import OFFER_ANSWER

PLACE = re.compile(r"(<!-- table: (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)
REMAINS = "KEEP"
"""The act of rows that do nothing; those that stay where they are are not drawn."""


def picture(table: Table[S, E, A]) -> str:
    """States, each with its meaning and the ways out of it, in the order they are declared in."""
    states: list[S] = list(type(table.first))
    ways = {state: _ways(table, state) for state in states}
    width = max(len(way[0]) for found in ways.values() for way in found)
    column = max(len(state.name) for state in states)
    lines: list[str] = []
    for state in states:
        lines.append(f"{state.name}: {state.value}")
        lines += [_drawn(way, state, width, column) for way in ways[state]]
    return "\n".join(("```", *lines, "```", ""))


def _drawn(way: tuple[str, S, A], state: S, width: int, column: int) -> str:
    text, target, act = way
    where = "" if target is state else f"-> {target.name}"
    what = "" if act.name == REMAINS else act.value
    return f"  {text:{width}}  {where:{column + 3}}  {what}".rstrip()


def _ways(table: Table[S, E, A], state: S) -> list[tuple[str, S, A]]:
    """The rows of a state that do something; events with one outcome share a line."""
    ways: dict[tuple[S, A], list[str]] = {}
    for (origin, event), (target, act) in table.rows.items():
        if origin is state and not (target is state and act.name == REMAINS):
            ways.setdefault((target, act), []).append(event.value)
    return [("; ".join(words), target, act) for (target, act), words in ways.items()]


def downgrades() -> str:
    """The catalogue of downgrades, a row for each way to be weak."""
    head = ("Code", "Weakness", "Found by", "Where protection is required", "Elsewhere", "Alert")
    rows = [head, ("---",) * len(head), *map(_cells, ROWS)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cells(row: Row) -> tuple[str, ...]:
    elsewhere = ", ".join(part for part in (_action(row, row.allow), row.note) if part)
    alert = " / ".join(dict.fromkeys(row.alerts))
    return f"`{row.code}`", row.words, str(row.teller), _action(row, row.require), elsewhere, alert


def _action(row: Row, action: Action) -> str:
    """What is done; of what is tolerated, the grade it leaves."""
    return row.cap.name if action is Action.TOLERATED and row.cap is not None else str(action)


def pictures() -> Mapping[str, str]:
    """Every picture by the name of its table."""
    return {
        OFFER_ANSWER.name: picture(OFFER_ANSWER),
        CALLEE.name: picture(CALLEE),
        CALLER.name: picture(CALLER),
        "downgrades": downgrades(),
    }


def redrawn(text: str) -> str:
    """The document with its pictures as the code is now.

    Raises:
        KeyError: it wants a table that there is not.
    """
    drawn = pictures()
    return PLACE.sub(lambda found: f"{found[1]}{drawn[found['name']]}{found[3]}", text)


def main() -> None:
    document = Path(sys.argv[1])
    document.write_text(redrawn(document.read_text()))


if __name__ == "__main__":
    main()
