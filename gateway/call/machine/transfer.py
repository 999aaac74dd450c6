"""Transfer: a peer asks by REFER that the other one be joined with somebody else (RFC 3515, 5589, 7647).

The gateway calls the target itself, under a policy never below that of the call. The new leg is bridged before the old
one is let go, so the one who stays hears no gap; who asked is told by NOTIFY how it goes, and hung up on when it knows.
Until somebody answers nothing changes, and when nobody does the call goes on as it was.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.audit import record
from gateway.base.codes import Code
from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act
from gateway.call.legs.leg import Leg
from gateway.call.legs.party import Party
from gateway.call.legs.targets import Target, TrunkTarget
from gateway.call.legs.user_agent import warning
from gateway.call.machine import bridge, change, ending, invite, judging, locate, routes, security
from gateway.call.machine.circumstances import as_caller, of_leg
from gateway.call.machine.effects import ClearTimer, Purpose, Relay, Respond, SetTimer, Timer, WriteAudit
from gateway.call.machine.events import RequestIn, ResponseIn
from gateway.call.machine.hunt import Goal, Hunt, Refused, Stage
from gateway.call.machine.judging import policy_of
from gateway.call.machine.routes import Route
from gateway.call.machine.state import Bridge, CallState, Phase
from gateway.media.relay_commands import CloseLeg, Unroute
from gateway.policy.evaluate import judge
from gateway.policy.model import EffectivePolicy, at_least
from gateway.sip.refer import Referral
from gateway.sip.subscription import Notice
from gateway.sip.uri import SipUri

NOBODY = 404
FORBIDDEN = 403
ACCEPTED = 202
PENDING = 491
UNANSWERED = 408
OVER = 481
MAX_REFUSED = 16
"""Refused transfers of one call that leave a record: more is somebody trying, and must not fill the disk."""
MAX_LEGS = 64
"""Legs of one call in its life: each is remembered until the call ends, and nobody hands a call over that often."""


def refer(call: CallState, leg: Leg, event: RequestIn, referral: Referral) -> None:
    """A REFER inside a dialog of the call that names a number.

    Raises:
        SipError: the number is none, or this is not the time.
    """
    number = routes.dialled(referral.refer_to.uri, call.site.realm)
    stays = who_stays(call, leg)
    route = _route(call, leg, number, referral.refer_to.uri)
    floor = _needed(call, stays, number, route.targets) if route is not None else None
    if route is None or (floor is not None and _is_too_weak(call, stays, floor)):
        refuse(call, leg, event, referral, number, FORBIDDEN)
    else:
        begin(call, leg, stays, event, referral, route)
        call.hunt.floor = floor


def _needed(call: CallState, stays: Leg, number: str, targets: tuple[Target, ...]) -> EffectivePolicy | None:
    """What floors ask of the one who stays, for users of ours it would be joined with; None: nothing."""
    if call.policy.emergency or all(isinstance(target, TrunkTarget) for target in targets):
        return None
    found = routes.called_by(call.site, as_caller(call, stays, number), targets)
    return found if found.floors or found.reject else None


def _is_too_weak(call: CallState, stays: Leg, floor: EffectivePolicy) -> bool:
    """Whether the one who stays may not be joined with them: refused by a rule, or protected too little."""
    verdict = judge(at_least(policy_of(call, stays), floor), stays.vector)
    if not verdict.allowed:
        codes = (*verdict.codes, Code.MID_TRANSFER_WEAKER)
        security.violation(call, stays, codes, verdict.termination or Termination.ENCRYPTION_REQUIRED)
    return bool(floor.reject) or not verdict.allowed


def who_stays(call: CallState, leg: Leg) -> Leg:
    """The one whom this leg may hand over now.

    Raises:
        SipError: 491, there is nobody, or something else is under way; 481, the call is over.
    """
    if not call.live:
        raise SipError("The call is over", OVER)
    other = call.other(leg)
    if other is None or _is_busy(call, leg):
        raise SipError("Something else is under way", PENDING)
    return other


def _is_busy(call: CallState, leg: Leg) -> bool:
    """One thing at a time: no transfer before the call stands, or beside another one.

    A change that is under way is no hindrance: a page puts the call on hold and asks at once, and the other side may
    take long to agree to that. Who stays is offered anew when it has answered (`change.follow`).
    """
    return call.phase is not Phase.ESTABLISHED or call.hunt.stage is not Stage.OVER or leg.subscriptions.is_full


def _route(call: CallState, leg: Leg, number: str, uri: SipUri) -> Route | None:
    """Where the one who asks may send the other: a user where she may dial, a trunk to our users or back to itself."""
    if call.last_leg >= MAX_LEGS:
        return None
    who = of_leg(call, leg, "REFER")
    if leg.habits.is_person:
        found = routes.from_user(call.site, who, number, uri, routes.lots(call.context.tokens))
        return found if found is not None and found.refused is None else None
    route = routes.from_trunk(call.site, who, number)
    return route if route.refused is None else None


def begin(call: CallState, leg: Leg, stays: Leg, event: RequestIn, referral: Referral, route: Route) -> None:
    """Look for the target."""
    targets = [_as_safe(call, leg, target) for target in route.targets]
    call.hunt = Hunt(targets=targets, asker=stays.id, goal=Goal.TRANSFER, by=leg.id, referral=referral)
    accept(call, leg, event, referral, route.number)
    locate.next_target(call)


def accept(call: CallState, leg: Leg, event: RequestIn, referral: Referral, number: str) -> None:
    """The REFER is answered: what comes of it is told by NOTIFY."""
    _record(call, leg, referral, number, ACCEPTED)
    call.emit(Respond(event.key, leg.respond(event.request, ACCEPTED, headers=referral.agreement)))
    if referral.subscribes and not leg.invitation.is_over:
        _send(call, leg, leg.subscriptions.open(referral.number, call.now))


def turn_down(call: CallState, leg: Leg, event: RequestIn, referral: Referral, number: str, status: int) -> None:
    """It comes to nothing, and that is told as an outcome: 481 to the REFER itself would end the dialog it came in.

    (RFC 3261 12.2.1.2; who wants no NOTIFY gets 404 then.)
    """
    if not referral.subscribes or leg.invitation.is_over:
        refuse(call, leg, event, referral, number, NOBODY if status == OVER else status)
        return
    _record_refused(call, leg, referral, number, status)
    call.emit(Respond(event.key, leg.respond(event.request, ACCEPTED)))
    _send(call, leg, leg.subscriptions.open(referral.number, call.now))
    _send(call, leg, leg.subscriptions.progress(referral.number, status, call.now))


def refuse(call: CallState, leg: Leg, event: RequestIn, referral: Referral, number: str, status: int) -> None:
    """It is refused."""
    _record_refused(call, leg, referral, number, status)
    call.emit(Respond(event.key, leg.respond(event.request, status)))


def _as_safe(call: CallState, leg: Leg, target: Target) -> Target:
    """The target under a policy that is not below the one the call was made under (POLICY A2 mid.transfer_weaker)."""
    if not isinstance(target, TrunkTarget) or call.policy.emergency or target.policy.emergency:
        return target
    floor = at_least(call.policy, policy_of(call, leg))
    return replace(target, policy=at_least(target.policy, floor))


def _record_refused(call: CallState, leg: Leg, referral: Referral, number: str, status: int) -> None:
    """Who asks too often is refused without a further record."""
    if call.transfers_refused < MAX_REFUSED:
        call.transfers_refused += 1
        _record(call, leg, referral, number, status)


def _record(call: CallState, leg: Leg, referral: Referral, number: str, status: int) -> None:
    call.emit(
        WriteAudit(
            record.call_transfer(
                security.info(call, leg),
                call.policy,
                leg=leg.kind.value,
                leg_id=leg.id,
                target=number,
                claimed=referral.claimed,
                sip_status=status,
            )
        )
    )


def ringing(call: CallState, status: int) -> None:
    """The target rings: who asked may know."""
    _tell(call, status)


def failed(call: CallState, why: Refused) -> None:
    """Nobody answered, or policy refuses who did: the call goes on, unless the one who asked has left it."""
    hunt = call.hunt
    for leg in list(call.ringing()):
        invite.stop(call, leg, why.reasons)
    hunt.stage = Stage.OVER
    call.emit(ClearTimer(Timer.RING))
    hunt.failure = why.termination
    _tell(call, why.told)
    if call.legs[hunt.by].gone:
        ending.terminate(call, why.termination, status=why.status, reasons=why.reasons)


def answered(call: CallState, leg: Leg) -> None:
    """The target answered and policy accepts it. An emergency call stays one, whoever is joined with it."""
    call.policy = call.policy if call.policy.emergency else leg.policy or call.policy
    if call.hunt.floor is not None:
        for side in (call.asker, leg):
            side.policy = at_least(policy_of(call, side), call.hunt.floor)
    joined(call, leg)


def joined(call: CallState, leg: Leg) -> None:
    """A leg takes the place of the one who asked."""
    leaves, stays = call.legs[call.hunt.by], call.asker
    call.trunk_id = leg.trunk_name or stays.trunk_name or "-"
    leg.party = leg.party or Party("", leg.number)
    join(call, stays, leg)
    _leave(call, leaves)
    _tell(call, 200)
    if not leaves.notices:
        hang_up(call, leaves)
    change.follow(call, stays)


def join(call: CallState, stays: Leg, leg: Leg) -> None:
    """Both hear each other from now on, and nobody else."""
    weaker = judging.weakens(call, leg.vector)
    call.bridge = Bridge(stays.id, leg.id)
    for joined in call.pair:
        found = frozenset({Code.MID_TRANSFER_WEAKER}) if weaker and joined is leg else frozenset[Code]()
        security.posture_changed(call, joined, found=found)
        if joined.awaits_keys:
            call.emit(SetTimer(Timer.KEYED, bridge.KEYED_SECONDS, joined.id))
    bridge.connect(call)


def _leave(call: CallState, leaves: Leg) -> None:
    """Nobody hears this leg any more, nor does it hear anybody; what is under way with it is void."""
    if leaves.gone:
        return
    leaves.gone = True
    call.posture.drop(leaves.id)
    call.emit(*(ClearTimer(name, leaves.id) for name in ending.OF_A_LEG if name is not Timer.REFERRAL))
    call.emit(Relay(Unroute(leaves.id)))


def hang_up(call: CallState, leaves: Leg) -> None:
    """The one who asked knows all there is to know: goodbye."""
    if call.step(leaves, leaves.end_event) is not Act.BYE:
        return
    ending.bye(call, leaves, Termination.TRANSFERRED)
    _is_away(call, leaves)


def _is_away(call: CallState, leaves: Leg) -> None:
    call.emit(ClearTimer(Timer.REFERRAL, leaves.id), Relay(CloseLeg(leaves.id)))


def lets_go(call: CallState, leg: Leg) -> bool:
    """Whether the end of a leg is that of one who has asked for a transfer, and not of the call: the search goes on."""
    if not call.live:
        return False
    if not leg.gone and not steps_aside(call, leg):
        return False
    _is_away(call, leg)
    return True


def is_cut_off(call: CallState, leg: Leg, *, knows: bool) -> bool:
    """The same of one that cannot be spoken with any more, though it did not hang up.

    Args:
        knows: it has said so itself, or its connection is gone; else it still gets a BYE.
    """
    if leg.gone or not steps_aside(call, leg):
        return False
    if knows:
        call.step(leg, leg.bye_event)
        _is_away(call, leg)
    else:
        hang_up(call, leg)
    return True


def steps_aside(call: CallState, leg: Leg) -> bool:
    """Whether the call can do without this leg, for it has asked for a transfer: who stays waits alone from now on."""
    hunt = call.hunt
    if hunt.goal is not Goal.TRANSFER or hunt.stage is Stage.OVER or hunt.by != leg.id:
        return False
    stays = call.asker
    call.bridge = Bridge(stays.id, None)
    _leave(call, leg)
    call.emit(Relay(Unroute(stays.id)))
    return True


# Telling the one who asked.


def _tell(call: CallState, status: int) -> None:
    hunt = call.hunt
    leg = call.legs[hunt.by]
    if hunt.referral is not None and not leg.invitation.is_over:
        _send(call, leg, leg.subscriptions.progress(hunt.referral.number, status, call.now))


def _send(call: CallState, leg: Leg, notice: Notice | None) -> None:
    if notice is None or leg.invitation.is_over:
        return
    try:
        request = notice.write(leg.in_dialog("NOTIFY"))
    except SipError:
        return
    failure = call.hunt.failure
    if failure is not None and notice.last and call.hunt.referral and call.hunt.referral.number == notice.number:
        request = request.with_added(warning(failure))
    ask = call.send(leg, request, leg.next_hop(), Purpose.NOTIFY)
    leg.notices[ask] = notice.number
    _set_clock(call, leg)


def notified(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """The answer to a NOTIFY."""
    if event.response.status >= 200:
        call.asks.answered(event.ask)
        _heard(call, leg, event.ask, event.response.status)


def unnotified(call: CallState, leg: Leg, ask: int) -> None:
    """A NOTIFY got no answer, or could not be sent."""
    _heard(call, leg, ask, UNANSWERED)


def _heard(call: CallState, leg: Leg, ask: int, status: int) -> None:
    number = leg.notices.pop(ask, None)
    if number is None or not call.live:
        return
    _send(call, leg, leg.subscriptions.answered(number, status, call.now))
    _set_clock(call, leg)
    if leg.gone and not leg.notices:
        hang_up(call, leg)


def subscribed(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A SUBSCRIBE refreshes or ends what a REFER began (RFC 3515 2.4.4)."""
    try:
        if not call.live:
            raise SipError("The call is over", OVER)
        seconds, notice = leg.subscriptions.asked(event.request, call.now)
    except SipError as error:
        call.emit(Respond(event.key, leg.respond(event.request, error.status)))
        return
    call.emit(Respond(event.key, leg.respond(event.request, 200, headers=(("Expires", str(seconds)),))))
    _send(call, leg, notice)
    _set_clock(call, leg)


def expired(call: CallState, leg: Leg) -> None:
    """Subscriptions nobody refreshed come to their end."""
    for notice in leg.subscriptions.due(call.now):
        _send(call, leg, notice)
    _set_clock(call, leg)


def _set_clock(call: CallState, leg: Leg) -> None:
    if leg.invitation.is_over:
        return
    deadline = leg.subscriptions.next_deadline
    if deadline is None:
        call.emit(ClearTimer(Timer.REFERRAL, leg.id))
    else:
        call.emit(SetTimer(Timer.REFERRAL, max(0.0, deadline - call.now), leg.id))
