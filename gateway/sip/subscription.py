"""The implicit subscription of a REFER as a table: how the one who asked is told how it goes (RFC 3515, 6665, 7647).

We are the notifier, never the subscriber: a REFER that comes to the gateway ends here, and the gateway calls.

    (state, event) -> (next state, whether a NOTIFY goes out)

A NOTIFY carries the newest status there is, so of several that come while one is unanswered only the last is told:
two NOTIFYs on their way could overtake each other. The first goes out at once, and the last says that it is the last.
Whatever becomes of the subscription, the call goes on. The dialog is the caller's: this gives header fields and body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from gateway.base.errors import SipError
from gateway.sip.body import Value
from gateway.sip.cseq import MAX_CSEQ
from gateway.sip.grammar import parse_uint
from gateway.sip.message import Request
from gateway.sip.model import MAX_EXPIRES
from gateway.sip.sipfrag import CONTENT_TYPE, build_sipfrag

EVENT = "refer"
"""The event package (RFC 3515 3.1)."""
TRYING = 100
"""What the first NOTIFY tells when nothing has happened yet (RFC 3515 2.4.5)."""
EXPIRES = 240
"""Seconds a subscription lives unless it is refreshed: longer than anything rings."""
MAX_SUBSCRIPTIONS = 4
"""Subscriptions of one leg at a time: a second transfer after one that failed, and what of the first is untold yet."""
ENDS_USAGE = frozenset((404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 502, 604))
"""Answers to a NOTIFY after which there is nobody to notify (RFC 5057 5.1); after others only that news is lost."""


class State(Enum):
    """Where a subscription stands."""

    TELLING = auto()
    """A NOTIFY is out."""
    BEHIND = auto()
    """A NOTIFY is out, and there is something newer."""
    SETTLED = auto()
    """All is told."""
    LAST_WAITS = auto()
    """A NOTIFY is out, and the last one follows it."""
    CLOSING = auto()
    """The last NOTIFY is out."""
    ENDED = auto()
    """Nobody is told anything any more."""


class Event(Enum):
    """What happens to a subscription."""

    NEWS = auto()
    """The call that was asked for got on, or the subscriber asks again."""
    END = auto()
    """The call was answered or failed, the time is up, or the subscriber wants no more."""
    ANSWERED = auto()
    """The NOTIFY that is out got its answer, whatever that means for the news."""
    GONE = auto()
    """The NOTIFY that is out was answered as by one who knows of no subscription, or not at all."""


TABLE: Mapping[tuple[State, Event], tuple[State, bool]] = {
    (State.TELLING, Event.NEWS): (State.BEHIND, False),
    (State.TELLING, Event.END): (State.LAST_WAITS, False),
    (State.TELLING, Event.ANSWERED): (State.SETTLED, False),
    (State.TELLING, Event.GONE): (State.ENDED, False),
    (State.BEHIND, Event.NEWS): (State.BEHIND, False),
    (State.BEHIND, Event.END): (State.LAST_WAITS, False),
    (State.BEHIND, Event.ANSWERED): (State.TELLING, True),
    (State.BEHIND, Event.GONE): (State.ENDED, False),
    (State.SETTLED, Event.NEWS): (State.TELLING, True),
    (State.SETTLED, Event.END): (State.CLOSING, True),
    (State.LAST_WAITS, Event.NEWS): (State.LAST_WAITS, False),
    (State.LAST_WAITS, Event.END): (State.LAST_WAITS, False),
    (State.LAST_WAITS, Event.ANSWERED): (State.CLOSING, True),
    (State.LAST_WAITS, Event.GONE): (State.ENDED, False),
    (State.CLOSING, Event.NEWS): (State.CLOSING, False),
    (State.CLOSING, Event.END): (State.CLOSING, False),
    (State.CLOSING, Event.ANSWERED): (State.ENDED, False),
    (State.CLOSING, Event.GONE): (State.ENDED, False),
}
"""A pair that is missing changes nothing: an answer when no NOTIFY is out, and all that comes after the end."""

OPEN = frozenset((State.TELLING, State.BEHIND, State.SETTLED))
"""States in which a subscription can be refreshed and runs out."""


class Ending(Enum):
    """Why a subscription is over, as its last NOTIFY says (RFC 6665 4.1.3)."""

    NORESOURCE = "noresource"
    """The call that was asked for has come to its end: there is nothing left to tell (RFC 3515 2.4.7)."""
    TIMEOUT = "timeout"
    """Not refreshed, or ended by the subscriber."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one NOTIFY says; the dialog of the leg makes the request around it."""

    number: int
    """Which subscription it belongs to, for `Subscriptions.answered`."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    last: bool

    def write(self, request: Request) -> Request:
        """The NOTIFY, from what `Dialog.new_request("NOTIFY", contact)` gave."""
        return request.with_added(self.headers).with_body(self.body)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription; every step gives a new one."""

    number: int
    """The CSeq number of its REFER."""
    state: State
    status: int
    """The newest status of the call that was asked for."""
    expires_at: float
    ending: Ending = Ending.NORESOURCE

    @property
    def event(self) -> str:
        """The value of the Event header field; the number may be left out for the first REFER only (RFC 3515 2.4.6)."""
        return f"{EVENT};id={self.number}"

    def step(self, event: Event, now: float) -> tuple[Subscription, Notice | None]:
        """The subscription after an event, and the NOTIFY that is due."""
        state, tells = TABLE.get((self.state, event), (self.state, False))
        after = replace(self, state=state)
        return after, after.notice(now) if tells else None

    def notice(self, now: float) -> Notice:
        """What there is to tell now."""
        last = self.state not in OPEN
        left = max(1, int(self.expires_at - now))
        state = f"terminated;reason={self.ending.value}" if last else f"active;expires={left}"
        headers = (("Event", self.event), ("Subscription-State", state), ("Content-Type", CONTENT_TYPE))
        return Notice(self.number, headers, build_sipfrag(self.status), last)


class Subscriptions:
    """The subscriptions of one leg, by the CSeq number of their REFER. Those that have ended are forgotten."""

    def __init__(self) -> None:
        self._by_number: dict[int, Subscription] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def next_deadline(self) -> float | None:
        """When `due` has something to do."""
        return min((s.expires_at for s in self._by_number.values() if s.state in OPEN), default=None)

    def open(self, number: int, now: float) -> Notice:
        """Begin one, after the 202 to its REFER; the NOTIFY goes out at once (RFC 3515 2.4.4).

        Raises:
            SipError: 491, too many of them; to be asked before the REFER is answered, see `is_full`.
        """
        if self.is_full:
            raise SipError("Too many transfers at once", 491)
        new = Subscription(number, State.TELLING, TRYING, now + EXPIRES)
        self._by_number[number] = new
        return new.notice(now)

    @property
    def is_full(self) -> bool:
        """Whether a further REFER gets 491."""
        return len(self._by_number) >= MAX_SUBSCRIPTIONS

    def progress(self, number: int, status: int, now: float) -> Notice | None:
        """The call that was asked for got a response: below 200 it goes on, else this is the last word.

        The same provisional status once more is no news. A subscription that is gone is told nothing.
        """
        found = self._by_number.get(number)
        if found is None or found.state not in OPEN or (status < 200 and status == found.status):
            return None
        return self._step(replace(found, status=status), Event.NEWS if status < 200 else Event.END, now)

    def answered(self, number: int, status: int, now: float) -> Notice | None:
        """The NOTIFY that was out has its final response; 408 when none came."""
        found = self._by_number.get(number)
        if found is None:
            return None
        return self._step(found, Event.GONE if status in ENDS_USAGE else Event.ANSWERED, now)

    def asked(self, request: Request, now: float) -> tuple[int, Notice | None]:
        """A SUBSCRIBE in the dialog: the seconds granted, for Expires of the 200, and a NOTIFY that is due.

        Raises:
            SipError: 489 for another event package, 481 for a subscription there is none of, 400 when malformed.
        """
        found = self._find(request.headers.get("Event"))
        seconds = min(_expires(request), EXPIRES)
        if seconds == 0:
            return 0, self._step(replace(found, ending=Ending.TIMEOUT), Event.END, now)
        return seconds, self._step(replace(found, expires_at=now + seconds), Event.NEWS, now)

    def due(self, now: float) -> list[Notice]:
        """End those whose time is up."""
        late = [s for s in self._by_number.values() if s.state in OPEN and s.expires_at <= now]
        steps = (self._step(replace(s, ending=Ending.TIMEOUT), Event.END, now) for s in late)
        return [notice for notice in steps if notice is not None]

    def _find(self, event: str | None) -> Subscription:
        value = Value.parse(event or "")
        if value.word != EVENT:
            raise SipError("Bad Event", 489)
        number = value.params.get("id")
        found = self._oldest if number is None else self._by_number.get(parse_uint(number, "Event", MAX_CSEQ))
        if found is None or found.state not in OPEN:
            raise SipError("No such subscription", 481)
        return found

    @property
    def _oldest(self) -> Subscription | None:
        """Which one is meant where none is named (RFC 3515 2.4.6)."""
        return next(iter(self._by_number.values()), None)

    def _step(self, subscription: Subscription, event: Event, now: float) -> Notice | None:
        after, notice = subscription.step(event, now)
        if after.state is State.ENDED:
            del self._by_number[after.number]
        else:
            self._by_number[after.number] = after
        return notice


def _expires(request: Request) -> int:
    """Seconds asked for; without a word, as long as may be (RFC 6665 4.2.1.1)."""
    value = request.headers.get("Expires")
    return EXPIRES if value is None else parse_uint(value, "Expires", MAX_EXPIRES)
