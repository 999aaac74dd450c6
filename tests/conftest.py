"""Settings for every test: generated cases are few and the same each time, unless a run is meant to look elsewhere;
gateways have their admin sockets in a directory of this run.

`FUZZ_SECONDS` (set by `make fuzz`) makes hypothesis random and thorough and keeps its examples; otherwise a red test is
red again.

Files that start real peers come first, those that mostly wait between those that mostly work, and the short ones last:
processes side by side are then busy to the end (`.ci/test`).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from itertools import chain, zip_longest

import pytest
from hypothesis import settings

from tests.effort import SEARCHING, examples

BUSY = frozenset({"interop", "web", "demo"})
"""Folders whose tests keep browsers and phones at work."""
PATIENT = frozenset({"attacks"})
"""Folders whose tests mostly wait for what a running gateway does."""

settings.register_profile("repeatable", max_examples=examples(100), derandomize=True, database=None, deadline=None)
settings.register_profile("searching", derandomize=False, deadline=None)
settings.load_profile("searching" if SEARCHING else "repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files, busy and patient ones in turn, then everything else."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    busy = [tests for name, tests in files.items() if _folder(name) in BUSY]
    patient = [tests for name, tests in files.items() if _folder(name) in PATIENT]
    rest = [tests for name, tests in files.items() if _folder(name) not in BUSY | PATIENT]
    in_turn = chain.from_iterable(zip_longest(busy, patient, fillvalue=list[pytest.Item]()))
    items[:] = chain.from_iterable(chain(in_turn, rest))


def _folder(name: str) -> str:
    """tests/FOLDER/... -> FOLDER."""
    return name.split("/")[1]


if "RUNTIME_DIRECTORY" not in os.environ:
    os.environ["RUNTIME_DIRECTORY"] = tempfile.mkdtemp(prefix="gateways-")
    atexit.register(shutil.rmtree, os.environ["RUNTIME_DIRECTORY"], ignore_errors=True)
