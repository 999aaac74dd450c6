"""The ICE names a leg answers to: one, and during a restart the next one beside it (RFC 8839 4.4). Pure."""

from __future__ import annotations

MAX_NAMES = 2
"""The name in use and the one a restart brings; a browser that restarts again before has given that one up."""


class Credentials:
    """User name fragments of one leg with their passwords, the one in use first."""

    def __init__(self, ufrag: str, password: bytes) -> None:
        self._passwords = {ufrag: password}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._passwords)

    def password(self, ufrag: str) -> bytes:
        """The password that goes with one of `names`."""
        return self._passwords[ufrag]

    def restart(self, ufrag: str, password: bytes) -> list[str]:
        """Answer to this name too; returns the names that had to make room."""
        dropped = list(self._passwords)[MAX_NAMES - 1 :]
        self._drop(dropped)
        self._passwords[ufrag] = password
        return dropped

    def start_over(self, ufrag: str, password: bytes) -> list[str]:
        """Answer to this name only; returns the names that went."""
        dropped = list(self._passwords)
        self._drop(dropped)
        self._passwords[ufrag] = password
        return dropped

    def nominated(self, ufrag: str) -> list[str]:
        """The browser chose a path under this name: it is the one in use. Returns the names that went with that."""
        if ufrag == next(iter(self._passwords)):
            return []  # the old name may nominate as long as the new one has not
        dropped = [name for name in self._passwords if name != ufrag]
        self._drop(dropped)
        return dropped

    def _drop(self, names: list[str]) -> None:
        for name in names:
            del self._passwords[name]
