"""What is known of the users of ours besides how they sign in: their numbers and names."""

from __future__ import annotations

from dataclasses import dataclass

MAX_NUMBERS = 32
"""Telephone numbers of one user: her own, and those of the desks she may show."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is configured of a user."""

    numbers: tuple[str, ...] = ()
    """Telephone numbers that are hers, as the dialplan knows them; the first is shown unless she wishes another."""
    name: str = ""
    """As people are told it."""
