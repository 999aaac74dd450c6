"""The sides of a call as its records tell of them: each leg with its last protection. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.audit.pick import Record, number, part, text
from gateway.audit.words import grade_of
from gateway.base.grades import Grade

MAX_SIDES = 32
"""Legs followed in one call: forks and transfers make some, no call has more."""

JUDGED = frozenset({"leg.secured", "leg.downgraded", "leg.violation", "leg.pending"})
"""Records that say how a leg is protected."""


@dataclass(slots=True)
class SideFacts:
    """One leg of a call."""

    number: int
    kind: str
    label: str
    """As posture and `call.final` call it: `trunk`, `browser-2`."""
    place: str
    """Between whom it was, for people."""
    grade: Grade | None = None
    keying: str = ""
    suite: str = ""
    transport: str = ""
    tls_version: str = ""
    verified: bool = False
    proved: bool = False
    """Packets of it authenticated."""
    lost: bool = False
    """Another telephone answered."""

    @property
    def keyed(self) -> bool:
        """There were keys."""
        return self.keying in ("sdes", "dtls")

    def as_dict(self) -> dict[str, object]:
        """For other programs."""
        return {
            "leg": self.label,
            "grade": self.grade.name if self.grade is not None else None,
            "keying": self.keying,
            "suite": self.suite,
            "signalling": self.transport,
            "tls_version": self.tls_version,
            "verified": self.verified,
            "packets_authenticated": self.proved,
            "lost": self.lost,
        }


class Sides:
    """Follows the legs of one call."""

    def __init__(self) -> None:
        self._found: dict[int, SideFacts] = {}

    def take(self, record: Record) -> None:
        """The next record of the call."""
        kind = text(record, "type")
        if kind in JUDGED and is_in_force(record):
            side = self._side(record)
            if side is not None:
                _describe(side, record)
        elif kind in ("leg.verified", "leg.lost"):
            side = self._side(record)
            if side is not None:
                _describe(side, record)
                side.proved = side.proved or kind == "leg.verified"
                side.lost = side.lost or kind == "leg.lost"

    def all(self) -> list[SideFacts]:
        """Every leg, the caller's first."""
        return [self._found[number_] for number_ in sorted(self._found)]

    def _side(self, record: Record) -> SideFacts | None:
        at = number(record, "leg_id")
        if at not in self._found and len(self._found) < MAX_SIDES:
            kind = text(record, "leg") or "?"
            taken = {side.label for side in self._found.values()}
            label = kind if kind not in taken else f"{kind}-{at}"
            self._found[at] = SideFacts(at, kind, label, place_of(record))
        return self._found.get(at)


def sides_of(records: Iterable[Record]) -> list[SideFacts]:
    """The legs that these records of one call tell of."""
    sides = Sides()
    for record in records:
        sides.take(record)
    return sides.all()


def is_in_force(record: Record) -> bool:
    """What the record describes came to be: not a change that was refused, nor an offer that is yet to be made."""
    return record.get("decision") == "allowed" and bool(part(record, "vector_after"))


def place_of(record: Record) -> str:
    """Between whom a leg is."""
    if text(record, "leg") == "trunk":
        return f"between this gateway and the trunk {text(record, 'trunk') or 'unknown'}"
    if text(record, "dir") == "internal":
        which = "caller's" if number(record, "leg_id") == 1 else "called person's"
        return f"between the {which} browser and this gateway"
    return "between the browser and this gateway"


def _describe(side: SideFacts, record: Record) -> None:
    vector = part(record, "vector_after")
    if not vector:
        return
    side.grade = grade_of(record.get("grade_after")) if record.get("type") != "leg.pending" else None
    side.keying, side.suite = text(vector, "keying"), text(vector, "suite")
    side.transport, side.tls_version = text(vector, "sig_transport"), text(vector, "sig_tls_version")
    side.verified = vector.get("sig_verified") is True
