"""The last look at the program's own log before it is written: no key leaves in it (POLICY A2 gw.key_leak).

Nothing here writes keys on purpose, and `Secret` cannot be printed. This is for the mistake nobody has found yet: a
description that gets into a log line or a traceback as it came.
"""

from __future__ import annotations

import logging
import re
from collections import Counter

MARK = "inline:"
"""How a key begins in a description (RFC 4568 6.1)."""
WITHHELD = "***"
TOLD_SECONDS = 60.0
"""A mistake that is made with every message is told once a minute."""
MAX_LOGGERS = 8
"""Loggers that are told of at once."""
_KEY = re.compile(r"inline:\s*[A-Za-z0-9+/=|:^]{16,}")
_FORMATTER = logging.Formatter()


def without_keys(text: str) -> str:
    """The text with `***` for each key in it."""
    return _KEY.sub(f"{MARK}{WITHHELD}", text) if MARK in text else text


class KeyGuard(logging.Filter):
    """Of the handlers of a process: what they write has no keys in it. May be asked by any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._withheld: Counter[str] = Counter()
        self._told_at: float | None = None

    def take(self, now: float) -> list[tuple[str, int]]:
        """Loggers that were about to write a key, and how often, since this was told: at once, then each minute."""
        if not self._withheld or (self._told_at is not None and now - self._told_at < TOLD_SECONDS):
            return []
        found, self._withheld, self._told_at = self._withheld, Counter(), now
        return found.most_common(MAX_LOGGERS)

    def look(self, where: str, text: str) -> str:
        """A text that leaves on another way than in a log line, without keys; those are told of likewise."""
        kept = without_keys(text)
        if kept != text:
            self._withheld[where] += 1
        return kept

    def filter(self, record: logging.LogRecord) -> bool:
        found = self._message(record) | self._traceback(record)
        if found:
            self._withheld[record.name] += 1
        return True

    def _message(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        kept = without_keys(text)
        if kept is text:
            return False
        record.msg, record.args = kept, ()
        return True

    def _traceback(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return False
        text = record.exc_text or _FORMATTER.formatException(record.exc_info)
        kept = without_keys(text)
        record.exc_text = kept
        return kept != text


def guard(guarding: KeyGuard, logger: logging.Logger | None = None) -> None:
    """Have every handler of a logger, of the root one by default, look through it."""
    for handler in (logger or logging.getLogger()).handlers:
        handler.addFilter(guarding)
