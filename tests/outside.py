"""Test data that lies beside the project where somebody put it there, and is not part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def outside(*parts: str) -> Path | None:
    """The directory `shared/...` beside the project (or beside its worktrees), None where there is none."""
    places = (parent.joinpath("shared", *parts) for parent in ROOT.parents[:2])
    return next((place for place in places if place.is_dir()), None)


def outside_or_skip(*parts: str) -> Path:
    """The same; without it the test says why it is skipped."""
    found = outside(*parts)
    if found is None:
        pytest.skip(f"messages that others collected are no part of the project: no shared/{'/'.join(parts)} beside it")
    return found
