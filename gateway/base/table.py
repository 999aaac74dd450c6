"""State machines as tables: (state, event) -> (next state, what is to be done).

A row that is missing is an outcome with a name and a counter, never silence: whoever takes a step must say what becomes
of an event that nobody expects there. The documents draw the tables from here, see `gateway.cli.pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from gateway.base.counters import Counter

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)
A = TypeVar("A", bound=Enum)


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An event that its state has no row for. Nothing has changed."""

    table: str
    state: str
    event: str
    counter: Counter

    def __str__(self) -> str:
        return f"{self.table}: {self.event} in {self.state}"


@dataclass(frozen=True, slots=True)
class Table(Generic[S, E, A]):
    """One state machine. The value of each enum member is its meaning in words, for whoever reads the documents."""

    name: str
    first: S
    """Where it begins."""
    rows: Mapping[tuple[S, E], tuple[S, A]]
    counter: Counter
    """Counts the events that no row expects."""

    def step(self, state: S, event: E) -> tuple[S, A] | Unexpected:
        """Look up what follows."""
        return self.rows.get((state, event)) or Unexpected(self.name, state.name, event.name, self.counter)

    def expects(self, state: S, event: E) -> bool:
        """Whether there is such a row."""
        return (state, event) in self.rows
