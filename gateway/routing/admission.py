"""How many calls may live at the same time, in all and for one user."""

from __future__ import annotations

MAX_CALLS_PER_USER = 8
"""Calls one browser user may hold at once: a person has two ears, a fraudster dials in parallel."""


class CallCaps:
    """Counts live calls in total and per user."""

    def __init__(self, total: int, *, per_user: int = MAX_CALLS_PER_USER) -> None:
        self._total = total
        self._per_user = per_user
        self._by_user: dict[str, int] = {}
        self._live = 0

    @property
    def live(self) -> int:
        return self._live

    def take(self, user: str, *, emergency: bool = False) -> bool:
        """Count one more call of this user; False when a cap is reached. An emergency call is never refused."""
        held = self._by_user.get(user, 0)
        if not emergency and (self._live >= self._total or held >= self._per_user):
            return False
        self._by_user[user] = held + 1
        self._live += 1
        return True

    def release(self, user: str) -> None:
        """One call of this user has ended. A release without a take changes nothing."""
        held = self._by_user.get(user, 0)
        if held == 0:
            return
        self._live -= 1
        if held == 1:
            del self._by_user[user]
        else:
            self._by_user[user] = held - 1
