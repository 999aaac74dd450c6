"""The figures of the relay as a picture: SVG, written by hand, so that nothing need be installed for it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

BAR, GAP, GROUP_GAP, HEIGHT, TOP, LEFT, SPACE = 22, 3, 26, 150, 64, 52, 76
OURS, THEIRS, INK, LINE = "#2f6f8f", "#b9a27a", "#333333", "#dddddd"


class Bars(NamedTuple):
    """One thing that was measured: this worker's and rtpengine's."""

    name: str
    ours: float
    theirs: float


class Panel(NamedTuple):
    """Things that are measured in the same unit."""

    title: str
    unit: str
    bars: Sequence[Bars]


def svg(title: str, panels: Sequence[Panel]) -> str:
    """The picture."""
    width = LEFT + max(len(panel.bars) for panel in panels) * (2 * BAR + GAP + GROUP_GAP) + 20
    height = TOP + len(panels) * (HEIGHT + SPACE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{INK}"><rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
        *_key(LEFT, 34, OURS, "this worker"),
        *_key(LEFT + 110, 34, THEIRS, "rtpengine"),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (HEIGHT + SPACE) + 18, width)
    return "\n".join((*parts, "</svg>", ""))


def _key(x: int, y: int, colour: str, name: str) -> list[str]:
    return [
        f'<rect x="{x}" y="{y}" width="11" height="11" fill="{colour}"/>',
        f'<text x="{x + 16}" y="{y + 10}">{name}</text>',
    ]


def _panel(panel: Panel, top: int, width: int) -> list[str]:
    most = max(max(bars.ours, bars.theirs) for bars in panel.bars) or 1.0
    bottom = top + HEIGHT
    parts = [f'<text x="{LEFT}" y="{top - 8}" font-size="12">{escape(panel.title)}, {escape(panel.unit)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * HEIGHT
        parts.append(f'<line x1="{LEFT}" x2="{width - 10}" y1="{y}" y2="{y}" stroke="{LINE}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{share * most:.3g}</text>')
    for place, bars in enumerate(panel.bars):
        x = LEFT + 8 + place * (2 * BAR + GAP + GROUP_GAP)
        for at, value, colour in ((x, bars.ours, OURS), (x + BAR + GAP, bars.theirs, THEIRS)):
            high = value / most * HEIGHT
            parts.append(f'<rect x="{at}" y="{bottom - high:.1f}" width="{BAR}" height="{high:.1f}" fill="{colour}"/>')
            middle, above = at + BAR / 2, bottom - high - 3
            parts.append(f'<text x="{middle}" y="{above:.1f}" text-anchor="middle" font-size="9">{value:.3g}</text>')
        for line, text in enumerate(bars.name.split(", ")):
            y = bottom + 14 + 12 * line
            parts.append(f'<text x="{x + BAR}" y="{y}" text-anchor="middle" font-size="10">{escape(text)}</text>')
    return parts
