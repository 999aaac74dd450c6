"""What each user may see of the calls she takes part in now: the last report on every leg of hers, and who looks on.

Calls put their reports up, event sockets read them. A user's board shows that user's legs and nobody else's: who may
look at it is the business of `listening`. PURE.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.values import LegId
from gateway.call.run.edge import attempt
from gateway.policy.header import Report
from gateway.quality.told import CallQuality

log = logging.getLogger(__name__)

Place = tuple[str, LegId]
"""A leg: the audit name of its call, and its number there."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The report on one leg of a user."""

    report: Report
    sip_call_id: str
    """Of the leg's own dialog: what the page knows its call by."""
    answered: bool

    def as_dict(self) -> dict[str, object]:
        """As an object of JSON: the report, and whose it is."""
        return self.report.as_dict() | {"sip_call_id": self.sip_call_id, "answered": self.answered}


@dataclass(frozen=True, slots=True)
class Over:
    """A leg is no call of its user any more: it ended, or another call has it now."""

    call_id: str
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Sounds:
    """How the call of one leg of a user sounds."""

    call_id: str
    """Name of the call in the log."""
    sip_call_id: str
    """Of the leg's own dialog."""
    quality: CallQuality

    def as_dict(self) -> dict[str, object]:
        """As an object of JSON."""
        return {"call_id": self.call_id, "sip_call_id": self.sip_call_id, **self.quality.as_dict()}


News = Shown | Sounds | Over
"""What changes on a board."""
Listener = Callable[[News], None]


class Bulletin:
    """The boards of all users. Holds one report for each leg of a living call, so it is bounded as calls are."""

    def __init__(self) -> None:
        self._boards: dict[str, dict[Place, Shown]] = {}
        self._whose: dict[Place, str] = {}
        self._of_call: dict[str, set[Place]] = {}
        self._sounds: dict[Place, Sounds] = {}
        """Of places on some board only."""
        self._listeners: dict[str, dict[Listener, None]] = {}

    def __len__(self) -> int:
        """Reports on show."""
        return len(self._whose)

    def show(self, user: str, place: Place, shown: Shown) -> None:
        """Put up the report on a leg of this user, in the place of the one before."""
        name = user.lower()
        self._whose[place] = name
        self._of_call.setdefault(place[0], set()).add(place)
        self._boards.setdefault(name, {})[place] = shown
        self._tell(name, shown)

    def show_quality(self, place: Place, sounds: Sounds) -> None:
        """Put up how a call sounds beside the report on it; without one there is nobody who sees the call."""
        name = self._whose.get(place)
        if name is not None:
            self._sounds[place] = sounds
            self._tell(name, sounds)

    def take_down(self, place: Place) -> None:
        """A leg is part of its call no longer."""
        name = self._whose.pop(place, None)
        if name is None:
            return
        self._of_call[place[0]].discard(place)
        if not self._of_call[place[0]]:
            del self._of_call[place[0]]
        self._sounds.pop(place, None)
        last = self._boards[name].pop(place)
        if not self._boards[name]:
            del self._boards[name]
        self._tell(name, Over(last.report.call_id, last.sip_call_id))

    def forget(self, call_uid: str) -> None:
        """A call is gone, whatever it left behind."""
        for place in tuple(self._of_call.get(call_uid, ())):
            self.take_down(place)

    def shown_to(self, user: str) -> tuple[Shown, ...]:
        """All there is to see for this user."""
        return tuple(self._boards.get(user.lower(), {}).values())

    def sounds_to(self, user: str) -> tuple[Sounds, ...]:
        """How the calls of this user sound, as far as that is known."""
        return tuple(found for place in self._boards.get(user.lower(), {}) if (found := self._sounds.get(place)))

    def listen(self, user: str, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of everything that changes on this user's board; gives what ends that."""
        name = user.lower()
        self._listeners.setdefault(name, {})[listener] = None
        return lambda: self._leave(name, listener)

    def _leave(self, name: str, listener: Listener) -> None:
        listeners = self._listeners.get(name, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(name, None)

    def _tell(self, name: str, news: News) -> None:
        for listener in tuple(self._listeners.get(name, ())):
            error = attempt(lambda listener=listener: listener(news))  # type: ignore[misc]
            if error is not None:
                log.error("user=%s cannot be told of a call: %s", name, error, exc_info=error)
