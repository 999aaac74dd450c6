"""A trace as a ladder: one lane for each leg, the gateway between them, an arrow for each message.

+0.000  alice            gateway            pbx
+0.000    |---- INVITE sdp ---->|              |
+0.004    |<--- 100 Trying -----|              |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

LANE = 30
"""Columns between two lanes: room for `401 Unauthorized`."""
INDENT = 10
"""Columns before the first lane, for the time."""
MAX_LANES = 6
"""Lanes that are drawn; of a call that rings more phones the others share the last one."""

Row = Mapping[str, Any]


@dataclass
class Ladder:
    """Draws the messages of one call as they come. The caller is on the left, whoever is called on the right."""

    _lanes: list[int] = field(default_factory=list)
    """Legs that have a lane, beside the gateway's; the caller's first."""
    _names: dict[int, str] = field(default_factory=dict)

    def lines(self, row: Row) -> Iterator[Text]:
        """What one message adds: a new head where a leg is seen for the first time, and its arrow."""
        leg = int(row.get("leg", 0))
        if leg not in self._names:
            self._names[leg] = str(row.get("name") or row.get("kind") or "?")
            if len(self._lanes) < MAX_LANES:
                self._lanes.append(leg)
                self._lanes.sort()
            yield self._head()
        yield self._arrow(row, leg)

    @property
    def _caller_is_left(self) -> bool:
        return 1 in self._lanes

    def _columns(self) -> list[int]:
        """The legs from left to right, with 0 (never a leg that was found) standing for the gateway."""
        if self._caller_is_left:
            return [1, -1, *(leg for leg in self._lanes if leg != 1)]
        return [-1, *self._lanes]

    def _place(self, leg: int) -> int:
        columns = self._columns()
        return columns.index(leg) if leg in columns else len(columns) - 1

    def _head(self) -> Text:
        names = ["gateway" if leg == -1 else f"{self._names[leg]} ({leg})" for leg in self._columns()]
        cells = "".join(name[: LANE - 1].ljust(LANE) for name in names)
        return Text(" " * INDENT + cells.rstrip(), "bold")

    def _arrow(self, row: Row, leg: int) -> Text:
        gateway, place = self._place(-1), self._place(leg)
        left, right = sorted((gateway, place))
        to_the_right = (row.get("direction") == "sent") == (place > gateway)
        words = str(row.get("summary", "")) + (" sdp" if row.get("description") else "")
        columns = len(self._columns())
        text = Text(f"+{float(row.get('at', 0.0)):.3f}".ljust(INDENT), "dim")
        for lane in range(columns):
            text.append("|")
            if lane == columns - 1:
                break
            inside = left <= lane < right
            text.append(_shaft(words, lane == left, lane == right - 1, to_the_right) if inside else " " * (LANE - 1))
        text.stylize(_style(words), INDENT)
        return text


def _shaft(words: str, first: bool, last: bool, to_the_right: bool) -> str:
    """The part of an arrow between two lanes; the words are in the first one."""
    shown = f" {words[: LANE - 7]} " if first else ""
    drawn = shown.center(LANE - 3, "-")
    head = ">" if to_the_right and last else "-"
    tail = "<" if not to_the_right and first else "-"
    return f"{tail}{drawn}{head}"


def _style(words: str) -> str:
    """Failures are red, answers green, all else plain."""
    status = words.split(" ", 1)[0]
    if not (len(status) == 3 and status.isdigit()):
        return ""
    return "green" if status[0] == "2" else "red" if status[0] in "456" else ""
