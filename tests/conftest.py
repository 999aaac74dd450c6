"""Settings for every test: generated cases are the same each time, unless a run is meant to look elsewhere.

`FUZZ_SECONDS` (set by `make fuzz`) makes hypothesis random and keeps its examples; otherwise a red test is red again.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("searching", derandomize=False, deadline=None)
settings.load_profile("searching" if "FUZZ_SECONDS" in os.environ else "repeatable")
