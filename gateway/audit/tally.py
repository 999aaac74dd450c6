"""What is counted of audit records: the one place where a record becomes a number at `/metrics`. PURE.

A record is counted when it is in the file, by what it says itself, so that numbers and log cannot disagree. Labels are
words of ours: kinds of legs, grades, codes of the catalogue, trunks of the configuration. Nobody who calls is in one.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.audit.checkpoint import TYPE as CHECKPOINT
from gateway.audit.facts import UNPROVED, Checkpoint
from gateway.audit.sound_tally import KINDS, NONE, OTHER, Sounded, SoundTally, sounded, turn_of
from gateway.base.codes import Code
from gateway.base.counters import Counter, Counters
from gateway.base.grades import Grade

MAX_TRUNKS = 1024
"""Names of trunks that are told apart: those of one configuration, and of many that were loaded after it."""
MAX_TYPES = 64
"""Types of records; there are half as many."""
GRADES = (*(grade.name for grade in Grade), UNPROVED)
_CODES = frozenset(str(code) for code in Code)
_DOWNGRADES = frozenset({"leg.downgraded", "leg.violation"})
_COUNTERS = {
    "leg.secured": Counter.LEGS_SECURED,
    "leg.downgraded": Counter.LEGS_DOWNGRADED,
    "leg.violation": Counter.LEGS_REFUSED,
    "leg.verified": Counter.LEGS_VERIFIED,
}


class Countable(NamedTuple):
    """What of a record is counted."""

    kind: str
    trunk: str = ""
    decision: str = ""
    codes: tuple[str, ...] = ()
    legs: tuple[tuple[str, str], ...] = ()
    """Of a call that has ended: kind and last grade of each leg."""
    contradicts: bool = False
    """Packets say something else than the description."""
    sounds: tuple[Sounded, ...] = ()
    """The same legs, as they sounded."""
    turn: tuple[str, str] = ("", "")
    """Kind of a leg, and what it turned."""


UNCOUNTED = Countable(CHECKPOINT)
"""A record that is made by whoever writes it."""


def countable(record: Mapping[str, object]) -> Countable:
    """Read a record, whoever made it."""
    kind = str(record.get("type", ""))
    if kind in _DOWNGRADES:
        codes = record.get("codes")
        found = tuple(code if code in _CODES else OTHER for code in codes) if isinstance(codes, list | tuple) else ()
        contradicts = record.get("checkpoint") == Checkpoint.PACKETS and record.get("kind") == "D4"
        decision = NONE if record.get("decision") is None else str(record["decision"])
        return Countable(kind, str(record.get("trunk") or ""), decision, found, contradicts=contradicts)
    if kind == "call.final":
        legs = record.get("legs")
        found_legs = tuple(_legs(legs)) if isinstance(legs, Mapping) else ()
        return Countable(kind, str(record.get("trunk") or ""), legs=found_legs, sounds=tuple(sounded(record)))
    if kind == "leg.quality":
        return Countable(kind, str(record.get("trunk") or ""), turn=turn_of(record))
    return Countable(kind)


def _legs(legs: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The legs of a final record, which are called by their kind, further ones with a number."""
    for label, grade in legs.items():
        kind, word = str(label).partition("-")[0], str(grade)
        yield (kind if kind in KINDS else OTHER), (word if word in GRADES else OTHER)


class RecordTally:
    """Counts records that are in the log.

    Args:
        counters: those among the fixed counters that stand for a type of record.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.records: Tally[str] = Tally()
        """By type."""
        self.legs: Tally[tuple[str, ...]] = Tally({(kind, grade): 0 for kind in KINDS for grade in GRADES})
        """Legs of calls that have ended, by kind and by the grade they had last."""
        self.downgrades: Tally[tuple[str, ...]] = Tally()
        """By trunk, code, and what was decided."""
        self.violations = 0
        self.pins_broken = 0
        self.sounds = SoundTally()
        self._trunks: set[str] = set()

    def count(self, *records: Countable) -> None:
        """These are in the log now."""
        for found in records:
            self._count(found)

    def _count(self, found: Countable) -> None:
        kind = found.kind if found.kind in self.records or len(self.records) < MAX_TYPES else OTHER
        self.records[kind] += 1
        if found.kind in _COUNTERS:
            self._counters.add(_COUNTERS[found.kind])
        if found.kind in _DOWNGRADES:
            self._downgraded(found)
        for leg in found.legs:
            self.legs[leg] += 1
        self._sounded(found)

    def _sounded(self, found: Countable) -> None:
        if found.sounds or found.kind == "leg.quality":
            trunk = self._trunk(found.trunk)
            for sounds in found.sounds:
                self.sounds.count(sounds, trunk)
            if found.kind == "leg.quality":
                self.sounds.turned(found.turn[0], trunk, found.turn[1])

    def _downgraded(self, found: Countable) -> None:
        trunk = self._trunk(found.trunk)
        for code in found.codes or (NONE,):
            self.downgrades[trunk, code, found.decision] += 1
        self.violations += found.kind == "leg.violation"
        self.pins_broken += str(Code.PIN_BID_DOWN) in found.codes
        if found.contradicts:
            self._counters.add(Counter.LEGS_CONTRADICTED)

    def _trunk(self, name: str) -> str:
        if not name or name == "-":
            return NONE
        if name not in self._trunks and len(self._trunks) >= MAX_TRUNKS:
            return OTHER
        self._trunks.add(name)
        return name
