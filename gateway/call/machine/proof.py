"""What the packets of a leg prove of its description: leg.verified when they keep it, a D4 record when they break it.

The relay drops what does not authenticate, so a contradiction lets nothing through; it is recorded, shown and counted
under every profile, under `strict` as a violation, and it ends no call (POLICY A2): the packets may be a stranger's.
When a packet authenticates after all, the leg is again what it was agreed to be.
"""

from __future__ import annotations

from gateway.audit import record
from gateway.audit.facts import Checkpoint
from gateway.base.codes import known_codes
from gateway.call.legs.leg import Leg
from gateway.call.machine import security
from gateway.call.machine.effects import Pin, WriteAudit
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.media.relay_events import LegVerified, MediaMismatch, MediaStarted
from gateway.policy import pins
from gateway.policy.catalogue import CONTRADICTED

KEYED = ("sdes", "dtls")


def found(call: CallState, event: LegVerified | MediaMismatch | MediaStarted) -> None:
    """The relay has seen something of a leg's packets."""
    leg = call.legs.get(event.leg)
    if leg is None:
        return
    if leg not in call.pair:
        return
    match event:
        case MediaStarted():
            _started(call, leg)
        case MediaMismatch():
            leg.mismatch |= known_codes([event.code]) & CONTRADICTED
            settle(call)
        case LegVerified() if leg.vector.keying in KEYED:
            verified = record.leg_verified(
                security.info(call, leg),
                policy_of(call, leg),
                leg.vector,
                leg_id=leg.id,
                confirmed=event.confirmed,
            )
            call.emit(WriteAudit(verified), *_proved(call, leg))
        case _:
            pass


def _proved(call: CallState, leg: Leg) -> list[Pin]:
    """Who is held to encryption because of this leg, if anybody is."""
    peer = pins.of_user(leg.number) if leg.habits.is_person else leg.trunk_name
    known = peer and peer not in call.context.pins.pinning.off
    return [Pin(peer)] if known and (not leg.habits.is_person or leg.number) and pins.proves(leg.vector) else []


def settle(call: CallState) -> None:
    """Record what contradicts the legs of a call that stands; before that a leg may still become another."""
    if call.phase is not Phase.ESTABLISHED:
        return
    for leg in call.pair:
        if leg.mismatch:
            codes, leg.mismatch = leg.mismatch, frozenset()
            if leg.vector.keying.keyed:
                security.posture_changed(call, leg, found=codes, kind="D4", where=Checkpoint.PACKETS)


def _started(call: CallState, leg: Leg) -> None:
    """The first packet that counts as the peer's, under these keys."""
    leg.mismatch = frozenset()
    if leg.history & CONTRADICTED:
        security.posture_changed(call, leg, gone=CONTRADICTED, where=Checkpoint.PACKETS)
    else:
        security.posture_changed(call, leg)
