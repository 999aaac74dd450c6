"""How well a call is protected, in one ordered word: who can hear it."""

from __future__ import annotations

from enum import IntEnum


class Grade(IntEnum):
    """Who can hear the call, ordered; the names are what headers, records and the page show."""

    CLEARTEXT = 0
    """Anyone on the path."""
    KEY_EXPOSED = 1
    """Anyone who saw signalling and media."""
    PARTIAL = 2
    """Parts of it, or forgers."""
    UNAUTHENTICATED = 3
    """Nobody who only listens; an active man in the middle can."""
    HOP_BY_HOP = 4
    """This gateway, and each provider beyond the next hop."""
    END_TO_END = 5
    """Not even this gateway; never produced while it terminates the media."""
