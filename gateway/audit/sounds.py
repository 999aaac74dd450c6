"""How calls sounded, read from records that anybody may have changed: figures of known names, and their words. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.audit.pick import Record, part, text

MAX_LEGS = 32
"""Legs of one record that are looked at."""
MAX_NUMBER = 1e12
"""No figure gets there."""

OF_A_LEG: Final = ("mos", "mos_lowest", "rtt_ms", "bad_seconds")
OF_A_WAY: Final = (
    "mos",
    "packets",
    "lost",
    "loss_percent",
    "burst_loss_percent",
    "bursts",
    "burst_lost",
    "jitter_ms",
    "jitter_max_ms",
    "delay_ms",
    "discard_percent",
    "buffer_ms",
    "told_mos",
)
WAYS: Final = ("heard", "sent")
CAUSES: Final = {"loss": "packets are lost", "delay": "it comes late", "jitter": "packets come at uneven times"}
"""What weighs most, in words."""

Figures = dict[str, object]


def figures(final: Record) -> dict[str, Figures]:
    """The quality of each leg as `call.final` has it; only numbers, and null for what is none."""
    found = list(part(final, "quality").items())[:MAX_LEGS]
    return {str(label): leg_figures(facts) for label, facts in found if isinstance(facts, dict)}


def leg_figures(facts: Record) -> Figures:
    """Those of one leg."""
    ways = {way: _numbers(part(facts, way), OF_A_WAY) if part(facts, way) else None for way in WAYS}
    return {**_numbers(facts, OF_A_LEG), **ways}


def lowest_opinion(found: dict[str, Figures]) -> float | None:
    """MOS of the worst leg: the call was no better than that."""
    return min((mos for leg in found.values() if isinstance(mos := leg["mos"], int | float)), default=None)


def words(facts: Record) -> str:
    """`MOS 4.31, loss 0.1% / 0.4%, jitter 4.1 / 6 ms, RTT 31 ms`: what was heard, what the peer says it heard."""
    found = leg_figures(facts)
    parts = (
        f"MOS {found['mos']}" if found["mos"] is not None else "",
        f"loss {loss}%" if (loss := _both(found, "loss_percent", "%")) else "",
        f"jitter {jitter} ms" if (jitter := _both(found, "jitter_ms")) else "",
        f"RTT {found['rtt_ms']} ms" if found["rtt_ms"] is not None else "",
    )
    return ", ".join(word for word in parts if word)


def happened(record: Record, side: str) -> str:
    """`leg.quality` as a sentence."""
    facts, way = words(record), text(record, "way")
    which = {"heard": "what comes from there", "sent": "what goes there"}.get(way, "the sound")
    if text(record, "quality") != "bad":
        return f"{side}: it sounds good again ({facts})."
    cause = CAUSES.get(text(record, "cause"), "for reasons unknown")
    return f"{side}: {which} has begun to sound bad, because {cause} ({facts})."


def _both(found: Figures, name: str, unit: str = "") -> str:
    values = list(_of_ways(found, name))
    if all(value is None for value in values):
        return ""
    return f"{unit} / ".join("?" if value is None else str(value) for value in values)


def _of_ways(found: Figures, name: str) -> Iterator[object]:
    for way in WAYS:
        facts = found[way]
        yield facts.get(name) if isinstance(facts, dict) else None


def _numbers(facts: Record, names: tuple[str, ...]) -> Figures:
    return {name: _number(facts.get(name)) for name in names}


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= MAX_NUMBER else None
