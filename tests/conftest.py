"""Settings for every test: generated cases are few and the same each time, unless a run is meant to look elsewhere.

`FUZZ_SECONDS` (set by `make fuzz`) makes hypothesis random and thorough and keeps its examples; otherwise a red test is
red again.
"""

from __future__ import annotations

from hypothesis import settings

from tests.effort import SEARCHING, examples

settings.register_profile("repeatable", max_examples=examples(100), derandomize=True, database=None, deadline=None)
settings.register_profile("searching", derandomize=False, deadline=None)
settings.load_profile("searching" if SEARCHING else "repeatable")
