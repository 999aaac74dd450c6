"""The report of a soak: a page of Markdown and a plot beside it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from html import escape

from bench.soak.judge import Finding, Outcome, Sample

PLOT = "soak.svg"
ROWS = 12
"""Of the table: the samples are thinned out to that many."""
_WIDTH, _HEIGHT, _LEFT, _GAP, _HEAD = 860, 150, 70, 40, 34
_COLOURS = ("#1f6f8b", "#c0562f")
_WORDS = {True: "yes", False: "**NO**", None: "not judged"}

Series = tuple[str, Callable[[Sample], float]]
PANELS: tuple[tuple[str, tuple[Series, ...]], ...] = (
    (
        "private memory, MB",
        (
            ("gateway", lambda s: s.gateway_kilobytes / 1024),
            ("relay worker", lambda s: s.worker_kilobytes / 1024),
        ),
    ),
    ("delay, ms", (("p50", lambda s: s.p50), ("p99", lambda s: s.p99))),
    ("packets that did not arrive within the interval, %", (("lost or late", lambda s: 100 * share_missing(s)),)),
    ("calls", (("calls", lambda s: float(s.calls)),)),
    ("cores in use", (("gateway", lambda s: s.gateway_busy), ("relay worker", lambda s: s.worker_busy))),
)


def share_missing(sample: Sample) -> float:
    """Of the packets of an interval, those that had not arrived at its end."""
    return max(0.0, 1 - sample.arrived / sample.sent) if sample.sent else 0.0


def page(
    title: str, samples: Sequence[Sample], findings: Sequence[Finding], outcome: Outcome, notes: Sequence[str]
) -> str:
    """The report."""
    failed = [finding for finding in findings if finding.holds is False]
    lines = [f"# {title}", "", "Failed." if failed else "Passed.", "", *notes, "", "| To be shown | Seen | Holds |"]
    lines += ["|---|---|---|", *(f"| {f.what} | {f.value} | {_WORDS[f.holds]} |" for f in findings), ""]
    lines += [f"![memory, delay, loss, calls and CPU over time]({PLOT})", "", *_table(samples)]
    for failure in sorted(set(outcome.failures))[:10]:
        lines += ["", f"- `{failure}`"]
    return "\n".join(lines) + "\n"


def _table(samples: Sequence[Sample]) -> list[str]:
    lines = [
        "| Time | Calls | Gateway | Worker | Delay p50 / p99 / worst | Cores gateway / worker | Load late p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    step = max(1, -(-len(samples) // ROWS))
    for sample in samples[step - 1 :: step]:
        lines.append(
            f"| {sample.at / 60:.1f} min | {sample.calls} | {sample.gateway_kilobytes / 1024:.1f} MB"
            f" | {sample.worker_kilobytes / 1024:.1f} MB | {sample.p50:.2f} / {sample.p99:.2f} / {sample.worst:.1f} ms"
            f" | {sample.gateway_busy:.2f} / {sample.worker_busy:.2f} | {sample.late:.1f} ms |"
        )
    return lines


def plot(title: str, samples: Sequence[Sample]) -> str:
    """The samples over time, a panel for each thing, as SVG."""
    height = _HEAD + len(PANELS) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + _LEFT + 20}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    for number, (name, series) in enumerate(PANELS):
        parts += _panel(name, series, samples, _HEAD + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(name: str, series: Sequence[Series], samples: Sequence[Sample], top: int) -> list[str]:
    values = [[of(sample) for sample in samples] for _, of in series]
    # One outlier must not flatten everything else; it is drawn at the edge.
    flat = sorted(value for line in values for value in line)
    most = max(flat[min(int(len(flat) * 0.99), len(flat) - 1)] * 1.15, 1e-9) if flat else 1.0
    last = max((sample.at for sample in samples), default=1.0)
    floor = top + 18 + _HEIGHT - 18
    parts = [
        f'<text x="{_LEFT}" y="{top + 12}">{escape(name)}</text>',
        f'<line x1="{_LEFT}" y1="{floor}" x2="{_LEFT + _WIDTH}" y2="{floor}" stroke="#999"/>',
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{_LEFT - 6}" y="{top + 24}" text-anchor="end">{most:.3g}</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{floor + 15}" text-anchor="end">{last / 60:.1f} min</text>',
    ]
    for index, ((label, _), line) in enumerate(zip(series, values, strict=True)):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + sample.at / last * _WIDTH:.1f},{floor - min(value / most, 1.0) * (_HEIGHT - 24):.1f}"
            for sample, value in zip(samples, line, strict=True)
        )
        said = f"{label}, median {statistics.median(line):.3g}" if line else label
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{_LEFT + _WIDTH - 200 * (len(series) - index) + 20}" y="{top + 12}" fill="{colour}">'
            f"{escape(said)}</text>",
        ]
    return parts
