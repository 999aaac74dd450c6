"""The state tables in docs/architecture.md, drawn from the code: `make docs`, or `python -m gateway.cli.pictures FILE`.

A picture stands between `<!-- table: NAME -->` and `<!-- end -->`; whatever was there is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.base.table import A, E, S, Table
from gateway.call.legs.invite_state import CALLEE, CALLER
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


def pictures() -> Mapping[str, str]:
    """Every picture by the name of its table."""
    return {
        OFFER_ANSWER.name: picture(OFFER_ANSWER),
        CALLEE.name: picture(CALLEE),
        CALLER.name: picture(CALLER),
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
