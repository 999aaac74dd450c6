"""Host names where a trunk's media should be: what waits for DNS, and what it may lead to (RFC 8866 5.7).

A name is a wish of the peer's, so nothing is sent where it leads unless that lies in the networks the administrator
gave the trunk. Looking it up is an effect; what needs it waits in order, and the first address is kept for the call.
"""

from __future__ import annotations

from gateway.call.legs.leg import Leg
from gateway.call.machine import locate
from gateway.call.machine.effects import ResolveNames
from gateway.call.machine.events import AckIn, Event, NamesFound, RequestIn, ResponseIn
from gateway.call.machine.state import CallState

MAX_WAITING = 16
"""Messages of a trunk that wait for one lookup, which takes seconds at most; what is more is taken as it is."""


def start(call: CallState) -> None:
    """Begin the call, once the names in its offer are known."""
    names = call.caller.unknown_names(call.caller.invite.body if call.caller.invite else b"")
    if names:
        call.waiting.start = True
        call.emit(ResolveNames(names))
    else:
        locate.start(call)


def must_wait(call: CallState, event: Event) -> bool:
    """Whether an event stays behind for a lookup: its own, or that of an earlier message."""
    waiting = call.waiting.events
    found = _description(call, event)
    if found is None or len(waiting) >= MAX_WAITING:
        return False
    leg, body = found
    names = () if waiting else leg.unknown_names(body)
    if not names and not waiting:
        return False
    waiting.append(event)
    if names:
        call.emit(ResolveNames(names))
    return True


def found(call: CallState, event: NamesFound) -> list[Event]:
    """Keep what DNS said; returns the events that have waited."""
    for leg in call.legs.values():
        leg.learn_names(event.addresses)
    if call.waiting.start:
        call.waiting.start = False
        locate.start(call)
    waited, call.waiting.events = call.waiting.events, []
    return waited


def _description(call: CallState, event: Event) -> tuple[Leg, bytes] | None:
    """The description in a message of a trunk, perhaps an empty one; None: the event never waits."""
    match event:
        case RequestIn() if event.request.method != "BYE":
            leg, body = call.legs.get(event.leg), event.request.body
        case ResponseIn():
            ask = call.asks.find(event.ask)
            leg, body = call.legs.get(ask.leg) if ask is not None else None, event.response.body
        case AckIn():
            leg, body = call.acknowledged_by(event.key), event.request.body
        case _:
            return None
    return (leg, body) if leg is not None and leg.habits.names_hosts else None
