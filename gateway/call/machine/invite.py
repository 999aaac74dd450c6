"""Calling: legs are opened at the relay, get their INVITE, and leave the hunt when they cannot be the call any more.

Several legs may ring at once: all the places of a user. A leg that is too weak, refuses or fails never spoils the
others; when the last is gone the next target is tried, and when there is none the caller hears the best of the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.legs.invite_state import Act, CalleeEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import (
    delayed,
    direction,
    elsewhere,
    ending,
    locate,
    passing,
    replacing,
    report,
    security,
    transfer,
)
from gateway.call.machine.effects import CancelInvite, ClearTimer, ProbeTrunk, Purpose, Relay, SetTimer, Timer
from gateway.call.machine.hunt import Goal, Refused, Stage
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.media.relay_commands import CloseLeg, OpenLeg
from gateway.media.relay_events import LegFailed, LegOpened
from gateway.sdp.session import OurProposal, Way
from gateway.sip.dialog import InviteDialogs
from gateway.sip.reason import ANSWERED_ELSEWHERE, SIP, Reason, in_request
from gateway.trunks.health import SILENT_SECONDS, TRY_SECONDS

ELSEWHERE = Reason(SIP, ANSWERED_ELSEWHERE, "Call completed elsewhere")
"""Why a phone stops ringing that was not to blame (RFC 3326 3.1)."""
GLOBAL_FAILURE = 600
"""From here on a refusal is the last word of the person, wherever else it rings (RFC 3261 21.6)."""


def add(call: CallState, leg: Leg) -> None:
    """One more leg that may become the call."""
    call.legs[leg.id] = leg
    call.hunt.ringing.append(leg.id)
    if call.hunt.goal is Goal.CALL and call.bridge.b not in call.hunt.ringing:
        call.meet(leg)


def begin(call: CallState, legs: Sequence[Leg]) -> None:
    """Open a place at the relay for each leg whose answer policy could accept (checkpoint P1)."""
    for leg in legs:
        if call.live and is_worth_calling(call, leg):
            for opened in (call.asker, leg):
                _open(call, opened)
    _call_those_ready(call)  # the place of the asker may be there already


def is_worth_calling(call: CallState, leg: Leg) -> bool:
    """Plan the offer of a leg; one that could not be protected as its policy wants is lost here, and recorded."""
    refusal = leg.plan_offer(policy_of(call, leg))
    if refusal is not None:
        security.refused_offer(call, leg, refusal)
        lose(call, leg, Refused(0, refusal.termination))
        return False
    termination = security.weakness(call, leg)
    if termination is not None:
        lose(call, leg, Refused(0, termination))
    return termination is None


def _open(call: CallState, leg: Leg) -> None:
    if not leg.place_asked:
        leg.place_asked = True
        call.emit(Relay(OpenLeg(leg.id, leg.place)))


def leg_opened(call: CallState, event: LegOpened) -> None:
    """The relay has room: whoever only waited for that may be called."""
    leg = call.legs.get(event.leg)
    if leg is None or leg.is_open or not leg.place_asked:
        return
    leg.opened(event.rtp, event.rtcp)
    if _comes(call, leg):
        replacing.ready(call, leg)
    else:
        _call_those_ready(call)


def _comes(call: CallState, leg: Leg) -> bool:
    """Whether it is one that takes the place of another by itself."""
    return call.hunt.goal is Goal.REPLACE and call.hunt.stage is not Stage.OVER and call.hunt.comes == leg.id


def leg_failed(call: CallState, event: LegFailed) -> None:
    """The relay has no room for a leg."""
    leg = call.legs.get(event.leg)
    if leg is None or leg.is_open or not leg.place_asked:
        return
    leg.place_asked = False  # there is nothing to close
    if _comes(call, leg):
        replacing.failed(call, leg)
    elif leg is call.asker:
        ending.terminate(call, Termination.MEDIA_UNAVAILABLE)
    elif leg.id in call.hunt.ringing:
        lose(call, leg, Refused(0, Termination.MEDIA_UNAVAILABLE))


def _call_those_ready(call: CallState) -> None:
    if call.hunt.stage is Stage.OVER or not call.asker.is_open:
        return
    for leg in list(call.ringing()):
        if leg.is_open and leg.invite is None:
            _start_ringing(call)
            send(call, leg)


def _start_ringing(call: CallState) -> None:
    if call.hunt.stage is not Stage.LOOKING:
        return
    call.hunt.stage = Stage.RINGING
    if call.hunt.goal is Goal.CALL:
        call.phase = Phase.CALLING
    seconds = _ring_seconds(call)
    call.hunt.until = call.now + seconds
    call.emit(SetTimer(Timer.RING, seconds))


def _ring_seconds(call: CallState) -> float:
    """How long those who are called now may ring: their turn in a group, all turns together no longer than a call."""
    hunt, limit = call.hunt, call.site.limits.ring_seconds
    if not hunt.seconds:
        return limit
    hunt.last = hunt.last or call.now + limit
    return max(0.0, min(hunt.seconds, hunt.last - call.now))


def rung_out(call: CallState) -> None:
    """Nobody has answered for long enough: it is the next one's turn in a group, or the search is over."""
    hunt = call.hunt
    if hunt.stage is not Stage.RINGING:
        return
    why = hunt.objection or Termination.RING_TIMEOUT
    if not hunt.seconds or not hunt.targets or call.now >= hunt.last:
        over(call, Refused(0, why))
        return
    for leg in list(call.ringing()):
        stop(call, leg)
    nobody_there(call, Refused(0, why))


def send(call: CallState, leg: Leg) -> None:
    """Send a leg its INVITE; a retry keeps Call-ID and tag and counts CSeq up (RFC 3261 8.1.3.5)."""
    body = _offered(call, leg)
    if body is None:
        lose(call, leg, Refused(0, Termination.NO_COMMON_CODEC))
        return
    request = leg.initial_invite(body, call.context.hop_marks.new(), call.facts.max_forwards - 1)
    request = request.with_added((*report.announce(call, leg), *passing.invited(call, leg)))
    leg.invite = request
    call.step(leg, CalleeEvent.SEND)
    if leg.habits.is_asked:
        call.emit(SetTimer(Timer.SILENT, TRY_SECONDS if _is_only_tried(call, leg) else SILENT_SECONDS, leg.id))
    leg.dialogs, leg.done_with = InviteDialogs(request), frozenset()
    leg.invite_ask = call.send(leg, request, leg.flow, Purpose.INVITE)
    leg.talk.carry(leg.invite_ask)


def forget_offer(call: CallState, leg: Leg) -> None:
    """The INVITE came to nothing and another one follows: what an 18x made of its offer counts no more."""
    call.count(leg.talk.refused())
    call.posture.drop(leg.id)


def _offered(call: CallState, leg: Leg) -> bytes | None:
    """The description of our INVITE, empty where the callee makes the offer; None: there can be none."""
    if delayed.is_wanted(call, leg):
        call.count(leg.talk.invite_them())
        return b""
    try:
        made = leg.offer(Way.INVITE, direction.offer_terms(call.asked_codecs, call.asker))
    except SdpError:
        return None
    return made.offer.body if isinstance(made, OurProposal) else None


def lose(call: CallState, leg: Leg, refused: Refused, *, spoken: bool = False) -> None:
    """A leg cannot become the call any more: the others may, or the next target.

    Args:
        spoken: the person at the other end said so: another way would lead to the same one.
    """
    hunt = call.hunt
    others = [ringing for ringing in hunt.ringing if ringing != leg.id]
    if leg.habits.is_person and refused.status:
        hunt.objection = None  # what a person says tells more than what was wrong with another of her browsers
    if spoken and leg.habits.is_person and refused.status >= GLOBAL_FAILURE:
        others = _other_members(call, leg)
    may_go_on = not spoken or bool(hunt.group)
    if others or hunt.locating or (hunt.targets and may_go_on):
        stop(call, leg)
    nobody_there(call, refused, others=bool(others), may_go_on=may_go_on)


def _other_members(call: CallState, leg: Leg) -> list[LegId]:
    """Who rings on when a person wants no call: nobody, but the others of a group; her own browsers stop."""
    if not call.hunt.group:
        return []
    for other in list(call.ringing()):
        if other is not leg and other.number == leg.number:
            stop(call, other)
    return [ringing for ringing in call.hunt.ringing if ringing != leg.id]


def stop(call: CallState, leg: Leg, reasons: Sequence[Reason] = ()) -> None:
    """Take a leg out of the hunt: its INVITE is cancelled, its place at the relay closed."""
    hunt = call.hunt
    if leg.id not in hunt.ringing:
        return
    hunt.ringing.remove(leg.id)
    if call.bridge.b == leg.id and hunt.ringing:
        call.meet(call.legs[hunt.ringing[0]])
    if call.step(leg, CalleeEvent.END) is Act.CANCEL:
        call.emit(CancelInvite(leg.invite_ask, in_request(reasons)))
    if leg.habits.is_asked:
        call.emit(ClearTimer(Timer.SILENT, leg.id))
    if leg.place_asked:
        call.emit(Relay(CloseLeg(leg.id)))


def not_found(call: CallState, refused: Refused) -> None:
    """A user is nowhere, or may not be rung; others of her group may ring already."""
    nobody_there(call, refused, others=bool(call.hunt.ringing))


def nobody_there(call: CallState, refused: Refused, *, others: bool = False, may_go_on: bool = True) -> None:
    """One way led to nobody. While others are open the caller hears nothing of it; of the last, the best reason."""
    hunt = call.hunt
    hunt.refusals.append(refused)
    if others or hunt.connecting or hunt.locating or (may_go_on and locate.next_target(call)):
        return
    best = Refused(0, hunt.objection) if hunt.objection is not None else min(hunt.refusals, key=_rank)
    over(call, best)


def over(call: CallState, why: Refused) -> None:
    """The search has come to nothing."""
    call.hunt.locating.clear()
    if call.hunt.goal is Goal.TRANSFER:
        transfer.failed(call, why)
    else:
        ending.terminate(call, why.termination, status=why.status, reasons=why.reasons, headers=why.headers)


def _rank(refused: Refused) -> tuple[bool, int, bool]:
    """The order in which refusals are told (RFC 3261 16.7 step 6): a person's last word, then the lowest class.

    Of one class what somebody said goes before what we found ourselves, for example that a browser was too weak.
    """
    return refused.told < GLOBAL_FAILURE, refused.told // 100, not refused.status


def won(call: CallState, leg: Leg) -> None:
    """This leg is the one: the others stop ringing, and hear why."""
    for other in list(call.ringing()):
        if other is not leg:
            stop(call, other, (ELSEWHERE,))
    call.hunt.stage = Stage.OVER
    call.hunt.locating.clear()
    call.emit(ClearTimer(Timer.RING))


def unheard(call: CallState, leg: Leg) -> None:
    """The trunk has not even said 100: it is asked whether it is there, or not waited for any longer.

    Where it has other places nobody is asked: by now one that is well would have said 100 (RFC 3261 17.2.1).
    """
    if not _waits_for(call, leg):
        return
    if leg.has_alternatives or _is_only_tried(call, leg):
        silent(call, leg)
    else:
        call.emit(ProbeTrunk(leg.id, leg.trunk_name))


def silent(call: CallState, leg: Leg) -> None:
    """The trunk does not answer the question either: the next target is tried at once."""
    refused = Refused(0, Termination.TRUNK_SILENT)
    if _waits_for(call, leg) and not elsewhere.tried(call, leg, refused, unheard=True):
        lose(call, leg, refused)


def _waits_for(call: CallState, leg: Leg) -> bool:
    return call.hunt.stage is Stage.RINGING and leg.id in call.hunt.ringing and leg.invitation.is_unheard


def _is_only_tried(call: CallState, leg: Leg) -> bool:
    """A trunk that is down gets little time, but for the last one that an emergency call has."""
    return leg.was_down and (bool(call.hunt.targets) or not call.policy.emergency)
