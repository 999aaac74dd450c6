"""What a call hands over of itself: the leg beyond the one that another call names, as it is (RFC 5589 7).

Two calls of one peer are joined when it wants to leave both: the far leg of one moves into the other with its dialog,
media and keys, and the call it leaves ends. Only a leg that is at rest moves: nothing we sent is unanswered, and
neither side is changing anything.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import replace

from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.legs.keypad import Keypad
from gateway.call.legs.leg import Leg
from gateway.call.legs.party import Party
from gateway.call.machine import ending
from gateway.call.machine.events import Handed, HandedOver
from gateway.call.machine.hunt import Stage
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.policy.model import at_least
from gateway.quality.watch import QualityWatch
from gateway.sdp.offer_answer import State
from gateway.sip.replaces import Named, Replaces, answer_to
from gateway.sip.subscription import Subscriptions
from gateway.site import Site

PENDING = 491
"""Something is under way there: it may be tried again."""


def is_same_peer(site: Site, one: Leg, other: Leg) -> bool:
    """Whether two legs are of one user, or of one trunk: each has a say in dialogs of its own, and in no others."""
    if one.kind is not other.kind:
        return False
    if one.habits.is_person:
        return bool(one.number) and site.is_same_user(one.number, other.number)
    return bool(one.trunk_name) and one.trunk_name == other.trunk_name


def hand_out(call: CallState, named: LegId, replaces: Replaces) -> Handed | int:
    """The leg that hears the named one, or the status by which it cannot be had; nothing changes."""
    leg = call.legs.get(named)
    if leg is None or leg.gone:
        return answer_to(Named.UNKNOWN, replaces)
    if not call.live:
        return answer_to(Named.ENDED, replaces)
    other = call.other(leg) if leg in call.pair else None
    if other is None or not _is_at_rest(call, other):
        return PENDING
    if replaces.early_only:
        return answer_to(Named.CONFIRMED, replaces)
    floor = at_least(policy_of(call, other), at_least(policy_of(call, leg), call.policy))
    return Handed(_likeness(other), floor)


def _is_at_rest(call: CallState, leg: Leg) -> bool:
    is_settled = call.phase is Phase.ESTABLISHED and call.hunt.stage is Stage.OVER and not call.waiting.events
    is_told = not leg.notices and not len(leg.subscriptions) and not call.asks.is_open(leg.id)
    is_there = not leg.is_away and not leg.is_unheard
    return (
        is_there
        and is_settled
        and not leg.awaits_keys
        and is_told
        and leg.invitation.is_open
        and leg.talk.state is State.STABLE
    )


def _likeness(leg: Leg) -> Leg:
    """The leg as the other call takes it in. What may still come to its INVITE stays with the call it leaves."""
    found = copy.copy(leg)
    found.dialog = replace(leg.dialog) if leg.dialog is not None else None
    found.talk, found.invitation, found.told = copy.copy(leg.talk), copy.copy(leg.invitation), copy.copy(leg.told)
    if found.told is not None:
        found.told.forget()
        found.told.waits = False
    found.dialogs, found.invite_key, found.invite_ask, found.forks_until = None, "", 0, 0.0
    found.subscriptions, found.notices, found.keypad = Subscriptions(), {}, Keypad()
    found.party = leg.party or Party("", leg.number)
    found.recorded, found.judged = None, False
    found.sound, found.sound_told = QualityWatch(last=leg.sound.last), None
    return found


def given_away(call: CallState, event: HandedOver) -> None:
    """Another call has the leg: this one is over, and only the one who left both is told."""
    leg = call.legs[event.leg]
    leg.gone = True
    call.step(leg, leg.bye_event)  # it is nobody's to hang up on here
    ending.terminate(call, Termination.TRANSFERRED)


def takes_part(call: CallState) -> frozenset[Hashable]:
    """Who takes part in a call: calls that share somebody may have to be joined one day."""
    facts = call.facts
    users = {leg.number.lower() for leg in call.legs.values() if leg.habits.is_person}
    far = facts.number if facts.outbound else facts.calling_number
    return frozenset({*users, facts.user.lower(), (call.trunk_id, far)} - {""})
