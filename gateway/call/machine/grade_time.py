"""How long a call had which grade, from its answer on. PURE."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.grades import Grade


@dataclass(slots=True)
class GradeTime:
    """Adds up the seconds of each grade. It is told of time before anything happens that may change the grade."""

    _since: float | None = None
    _seconds: dict[Grade, float] = field(default_factory=dict)

    def passes(self, now: float, answered_at: float | None, grade: Grade) -> None:
        """Until now the call had this grade; before its answer none counts."""
        if answered_at is None:
            return
        since = answered_at if self._since is None else self._since
        self._seconds[grade] = self._seconds.get(grade, 0.0) + max(now - since, 0.0)
        self._since = now

    @property
    def by_name(self) -> dict[str, float]:
        """Seconds by grade, the weakest first; a grade it never had is left out."""
        return {grade.name: round(self._seconds[grade], 3) for grade in sorted(self._seconds)}
