"""The drawings of the report, as SVG inside the page: no script, no font, nothing from anywhere else. PURE.

Every weak grade has a hatching as well as a colour, so that the drawings read in black and white, and every bar has its
numbers as a title. The tables below the drawings say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.audit.report.counting import GRADES, Tally
from gateway.audit.report.markup import Html, joined, tag

WIDTH = 760
_LEFT, _RIGHT = 44, 8
_TOP, _SHARES, _BETWEEN, _COUNTS, _FOOT = 10, 200, 26, 46, 24

_TEXTURES = {
    "CLEARTEXT": "M0 8L8 0M-2 2L2 -2M6 10L10 6",
    "KEY_EXPOSED": "M0 0L8 8M-2 6L2 10M6 -2L10 2",
    "PARTIAL": "M0 4H8",
    "UNAUTHENTICATED": "M4 0V8",
}
"""Paths within a square of 8."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar."""

    grade: str
    count: int
    of: int

    @property
    def words(self) -> str:
        return f"{self.grade}: {self.count} of {self.of} calls ({percent(self.count, self.of)})"


def percent(count: int, of: int) -> str:
    """A share for people; only all is 100 % and only none is 0 %."""
    if not of:
        return "\N{EN DASH}"
    share = 100 * count / of
    if count and share < 0.1:
        return "< 0.1 %"
    if count != of and share > 99.9:
        return "> 99.9 %"
    return f"{share:.0f} %" if share == round(share) else f"{share:.1f} %"


def textures() -> Html:
    """The hatchings that all drawings share."""
    made = [
        tag(
            "pattern",
            tag("rect", width=8, height=8, class_=f"g {name}"),
            tag("path", d=path, class_="hatch"),
            id=f"t-{name}",
            width=8,
            height=8,
            patternUnits="userSpaceOnUse",
        )
        for name, path in _TEXTURES.items()
    ]
    return tag("svg", tag("defs", *made), class_="defs", width=0, height=0, aria_hidden="true", focusable="false")


def swatch(grade: str) -> Html:
    """A small square in the colour of a grade."""
    return tag(
        "svg",
        tag("rect", x=0.5, y=0.5, width=13, height=13, rx=2, **_fill(grade)),
        class_="swatch",
        width=14,
        height=14,
        viewBox="0 0 14 14",
        aria_hidden="true",
    )


def days(found: Sequence[Tally], month: str) -> Html:
    """For each day the share of its answered calls by grade, and below how many calls that were."""
    step = (WIDTH - _LEFT - _RIGHT) / len(found)
    most = max((tally.answered for tally in found), default=0)
    base = _TOP + _SHARES + _BETWEEN + _COUNTS
    drawn: list[Html] = [*_grid(), *_count_axis(most)]
    for at, tally in enumerate(found):
        left = _LEFT + at * step + step * 0.12
        drawn += _day(tally, f"{at + 1} {month}", left, step * 0.76, most)
        if at == 0 or (at + 1) % 5 == 0:
            middle = left + step * 0.38
            drawn.append(tag("text", at + 1, x=_n(middle), y=base + 16, class_="tick middle"))
    return _svg(
        base + _FOOT,
        f"Share of calls per grade, day by day in {month}",
        "One bar for each day. The table after the drawing has the numbers of the whole month.",
        drawn,
    )


def shares(tally: Tally, width: int = 320, height: int = 16) -> Html:
    """One bar across: all answered calls of something by grade."""
    at, drawn = 0.0, []
    for piece in _pieces(tally):
        wide = width * piece.count / piece.of
        drawn.append(_rect(at, 0, wide, height, piece.grade, piece.words))
        at += wide
    return tag(
        "svg",
        *drawn,
        class_="bar",
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        role="img",
        aria_label="; ".join(piece.words for piece in _pieces(tally)) or "no answered calls",
    )


def amount(count: int, most: int, width: int = 160, height: int = 12) -> Html:
    """One bar whose length is a number."""
    wide = width * count / most if most else 0
    return tag(
        "svg",
        tag("rect", x=0, y=0, width=_n(wide), height=height, class_="amount"),
        class_="bar short",
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _pieces(tally: Tally) -> Iterator[Piece]:
    for grade in GRADES:
        if tally.grades[grade]:
            yield Piece(grade, tally.grades[grade], tally.answered)


def _grid() -> Iterator[Html]:
    for share in (0, 25, 50, 75, 100):
        y = _TOP + _SHARES * (100 - share) / 100
        yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_n(y), y2=_n(y), class_="grid")
        yield tag("text", f"{share} %", x=_LEFT - 6, y=_n(y + 4), class_="tick end")


def _count_axis(most: int) -> Iterator[Html]:
    top, base = _TOP + _SHARES + _BETWEEN, _TOP + _SHARES + _BETWEEN + _COUNTS
    yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=base, y2=base, class_="grid")
    yield tag("text", f"{most:,}", x=_LEFT - 6, y=top + 8, class_="tick end")
    yield tag("text", "calls", x=_LEFT - 6, y=base, class_="tick end")


def _day(tally: Tally, name: str, left: float, wide: float, most: int) -> Iterator[Html]:
    bottom = float(_TOP + _SHARES)
    for piece in _pieces(tally):
        high = _SHARES * piece.count / piece.of
        bottom -= high
        yield _rect(left, bottom, wide, high, piece.grade, f"{name}, {piece.words}")
    if tally.answered:
        high = _COUNTS * tally.answered / most
        base = _TOP + _SHARES + _BETWEEN + _COUNTS
        title = tag("title", f"{name}: {tally.answered:,} answered calls")
        yield tag("rect", title, x=_n(left), y=_n(base - high), width=_n(wide), height=_n(high), class_="amount")


def _rect(x: float, y: float, wide: float, high: float, grade: str, words: str) -> Html:
    return tag("rect", tag("title", words), x=_n(x), y=_n(y), width=_n(wide), height=_n(high), **_fill(grade))


def _fill(grade: str) -> dict[str, object]:
    """The colour of a grade by its class, and its hatching where it has one."""
    if grade in _TEXTURES:
        return {"class_": f"g {grade}", "style": f"fill:url(#t-{grade})"}
    return {"class_": f"g {grade}"}


def _svg(height: int, title: str, description: str, drawn: Sequence[Html]) -> Html:
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        joined(drawn),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=title,
        class_="plot",
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
