"""How the legs of a call that stands sound: looked at every few seconds, recorded when it turns, told to its browsers.

The relay counts, `gateway.quality` judges. A leg that has turned bad is on record, and one that is good again; between
them it stays what it is (`quality.watch`). Legs that wait for somebody, and legs of calls that still ring, are not
looked at.
"""

from __future__ import annotations

from gateway.audit.record import leg_quality
from gateway.call.legs.leg import Leg
from gateway.call.machine import bridge, security
from gateway.call.machine.effects import Measure, SetTimer, ShowQuality, Timer, WriteAudit
from gateway.call.machine.events import Measured
from gateway.call.machine.state import CallState, Phase
from gateway.quality.told import CallQuality, Side
from gateway.quality.watch import Turn

MAX_RECORDS = 16
"""Turns of one leg that have a record each: a network that comes and goes all day does not fill the disk."""


def settle(call: CallState) -> None:
    """From when the call stands on it is looked at."""
    if call.phase is Phase.ESTABLISHED and not call.is_measured:
        call.is_measured = True
        call.emit(SetTimer(Timer.MEASURE, call.site.quality.seconds))


def due(call: CallState) -> None:
    """It is time to look."""
    if call.live:
        call.emit(Measure(), SetTimer(Timer.MEASURE, call.site.quality.seconds))


def measured(call: CallState, event: Measured) -> None:
    """What the relay has counted."""
    codec = bridge.codec_in_use(call)
    for leg in call.pair:
        found = event.quality.get(leg.id)
        if found is None:
            continue
        turn = leg.sound.look(found, codec, call.now, call.site.quality)
        if turn is not None:
            _turned(call, leg, turn)
    for leg in call.pair:
        if leg.id in call.shown:
            _show(call, leg)


def bad_legs(call: CallState) -> int:
    """How many of its legs sound bad now."""
    return sum(leg.sound.is_bad for leg in call.pair) if call.live else 0


def _turned(call: CallState, leg: Leg, turn: Turn) -> None:
    if leg.sound.turns <= MAX_RECORDS:
        call.emit(WriteAudit(leg_quality(security.info(call, leg), turn, leg=leg.kind.value, leg_id=leg.id)))


def _show(call: CallState, leg: Leg) -> None:
    """Tell the user of a leg that sees the call, if it is news to her."""
    sides = [Side("browser", leg.sound.is_bad, leg.sound.latest)] if leg.sound.latest is not None else []
    far = call.other(leg)
    if far is not None and far.sound.latest is not None:
        sides.append(Side("trunk", far.sound.is_bad, far.sound.latest))
    quality = CallQuality(tuple(sides))
    if sides and quality.is_news(leg.sound_told):
        leg.sound_told = quality
        call.emit(ShowQuality(leg.id, leg.number, leg.call_id, quality))
