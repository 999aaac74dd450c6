"""How hard generated cases try: `make test` looks at a few of each kind, the same ones each time; `make fuzz` at all.

Generated cases find what nobody thought of when they are fresh and many, as in `make fuzz` (`FUZZ_SECONDS` is set). Run
again and again with the same seed they only take time, so `make test` keeps enough of them to see that a property is
not plainly broken.
"""

from __future__ import annotations

import os

SEARCHING = "FUZZ_SECONDS" in os.environ
SHARE = 5
"""`make test` tries one case in so many."""
LEAST = 20
"""But not fewer than these."""


def examples(count: int) -> int:
    """How many of `count` generated cases this run tries."""
    return count if SEARCHING else min(count, max(LEAST, count // SHARE))
