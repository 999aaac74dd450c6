"""Digits that are told by INFO, or are to be: from one leg to the other, each in the way the other side takes them.

In media they pass from leg to leg in the relay, and a call hears nothing of them. Here is what does not: INFO of a
browser becomes a telephone-event towards a trunk (`PlayDigit`), and a trunk that takes no events is told by INFO what
the relay heard (`DigitHeard`). Which digit it was stands in the message alone: no record, log line or count says it.
"""

from __future__ import annotations

from enum import Enum, auto

from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.dtmf import Way
from gateway.base.errors import SipError
from gateway.call.legs.leg import Leg
from gateway.call.machine import bridge, lost_dialog, security
from gateway.call.machine.effects import Count, Purpose, Relay, Respond
from gateway.call.machine.events import RequestIn, ResponseIn
from gateway.call.machine.state import CallState
from gateway.media.relay_commands import PlayDigit, Route
from gateway.media.relay_events import DigitHeard
from gateway.sip.info import METHOD, RELAY, InfoError, Pressed, read_info

NOBODY = 480
NOT_TAKEN = 488
TOO_MANY = 500

Headers = tuple[tuple[str, str], ...]


class _Onward(Enum):
    """How a digit leaves."""

    PLAYED = auto()
    TOLD = auto()


def info(call: CallState, leg: Leg, event: RequestIn) -> None:
    """An INFO of a peer."""
    status, headers = _answer(call, leg, event)
    call.emit(Respond(event.key, leg.respond(event.request, status, headers=headers)))


def _answer(call: CallState, leg: Leg, event: RequestIn) -> tuple[int, Headers]:
    if not call.live:
        return lost_dialog.UNKNOWN_DIALOG, ()
    try:
        pressed = read_info(event.request)
    except InfoError as error:
        return error.status, error.headers
    except SipError as error:
        return error.status, ()
    return (200, ()) if pressed is None else _pressed(call, leg, pressed)


def _pressed(call: CallState, leg: Leg, pressed: Pressed) -> tuple[int, Headers]:
    """Pass a digit on; what its sender is answered."""
    other = call.other(leg)
    if leg not in call.pair or other is None or not other.is_agreed:
        return NOBODY, ()
    onward = _onward(call, leg, other)
    if onward is None or not _may_be_read(call, leg) or (onward is _Onward.PLAYED and not _may_be_made(call, other)):
        return NOT_TAKEN, ()
    delay = leg.keypad.delay(pressed, call.now)
    if delay:
        return TOO_MANY, (("Retry-After", str(delay)),)
    if onward is _Onward.PLAYED:
        call.emit(Relay(PlayDigit(other.id, pressed.digit, pressed.milliseconds)))
    elif leg.keypad.once.is_news(pressed.digit.reveal(), Way.INFO, call.now):
        tell(call, other, pressed)
    return 200, ()


def _onward(call: CallState, leg: Leg, other: Leg) -> _Onward | None:
    """How a digit that came by INFO leaves: as the other side takes it, and to a browser as it came, if that can be."""
    stays_info = other.habits.is_person and (leg.habits.is_person or not bridge.event_formats(leg))
    if (other.digits_by_info or stays_info) and _can_be_told(other):
        return _Onward.TOLD
    route = call.relay_knows.get((Route, other.id))
    plays = isinstance(route, Route) and route.source == leg.id and bool(route.plan.events) and route.plan.is_open
    return _Onward.PLAYED if plays else None


def _can_be_told(leg: Leg) -> bool:
    """Whether INFO may leave now; a trunk is told what is configured, whatever it lists."""
    may = leg.takes_info or not leg.habits.is_person
    return may and leg.dialog is not None and leg.invitation.is_open


def heard(call: CallState, event: DigitHeard) -> None:
    """The relay heard a digit that the other side does not take as an event."""
    leg = call.legs.get(event.leg)
    other = call.other(leg) if leg is not None else None
    if leg is None or other is None or not other.digits_by_info or not _can_be_told(other):
        call.emit(Count(Counter.DIGITS_LOST))
    elif not _may_be_made(call, leg):
        call.emit(Count(Counter.DIGITS_LOST))
    elif leg.keypad.once.is_news(event.digit.reveal(), Way.EVENT, call.now):
        tell(call, other, Pressed(event.digit, event.milliseconds))


def tell(call: CallState, leg: Leg, pressed: Pressed) -> None:
    """Tell a digit by INFO, after those that wait: one at a time, so that none overtakes another."""
    if leg.keypad.wait(pressed):
        _tell_next(call, leg)
    else:
        call.emit(Count(Counter.DIGITS_LOST))


def _tell_next(call: CallState, leg: Leg) -> None:
    if not leg.keypad.due or call.asks.awaits(leg.id, Purpose.INFO):
        return
    if not (call.live and _can_be_told(leg) and _may_be_read(call, leg)):
        _forget(call, leg)
        return
    pressed = leg.keypad.due.popleft()
    request = leg.in_dialog(METHOD).with_header("Content-Type", RELAY).with_body(pressed.body)
    call.send(leg, request, leg.next_hop(), Purpose.INFO)


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """The answer to an INFO of ours; a digit that was refused is not told again."""
    status = event.response.status
    if status < 200:
        return
    call.asks.answered(event.ask)
    if status >= 300:
        call.emit(Count(Counter.DIGITS_LOST))
    lost_dialog.is_said(call, leg, status)
    _tell_next(call, leg)


def unanswered(call: CallState, leg: Leg) -> None:
    """Nobody answered: what waits would only come too late. Whether the peer is there is for others to find."""
    call.emit(Count(Counter.DIGITS_LOST))
    _forget(call, leg)


def _forget(call: CallState, leg: Leg) -> None:
    call.emit(*(Count(Counter.DIGITS_LOST) for _ in leg.keypad.due))
    leg.keypad.due.clear()


def _may_be_read(call: CallState, leg: Leg) -> bool:
    """Whether a digit may stand in a message that anybody on the way can read (POLICY A2 sig.dtmf_cleartext)."""
    return leg.flow.is_secure or security.noticed(call, leg, Code.SIG_DTMF_CLEARTEXT)


def _may_be_made(call: CallState, leg: Leg) -> bool:
    """Whether the gateway may read media of this leg for a digit, or make some (POLICY A2 gw.plain_access)."""
    return security.noticed(call, leg, Code.GW_PLAIN_ACCESS)
