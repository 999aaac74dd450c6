"""From the caller's INVITE to somebody to call: the offer is read and judged, then the targets are tried in turn.

Policy comes before every step, the record before every action. The way is the same for every kind of caller and
callee; what differs is inside the legs. It goes on in `invite`.
"""

from __future__ import annotations

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import NO_LEG, LegId
from gateway.call.legs.identity import Origin
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.legs.party import HIDDEN, Party
from gateway.call.legs.places import termination_of
from gateway.call.legs.targets import GroupTarget, TrunkTarget, UserTarget
from gateway.call.machine import elsewhere, ending, flows, invite, security
from gateway.call.machine.effects import ClearTimer, ConnectTrunk, Locate, Timer
from gateway.call.machine.events import Located, Place, TrunkConnected, TrunkFailed
from gateway.call.machine.hunt import Goal, Refused, Stage
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.policy.offering import Refusal
from gateway.sdp.session import Description, Way

MAX_PLACES = 10
"""Places of one user that are called at once; the registrar keeps no more (`location`)."""
MAX_RINGING = 40
"""Places of a whole group that are called at once: each is a leg with its ports, for one call that one will answer."""


def start(call: CallState) -> None:
    """The INVITE is in and routed: read its offer, then find the other side."""
    if not _read_offer(call) or security.is_hopeless(call, call.caller):
        return
    if not next_target(call):
        ending.terminate(call, Termination.NO_ROUTE)


def _read_offer(call: CallState) -> bool:
    """Checkpoint P0; without an offer, what we would offer is judged."""
    caller = call.caller
    body = caller.invite.body if caller.invite else b""
    if caller.invite is not None:
        flows.note_target(call, caller, caller.invite, caller.flow)
    call.count(caller.talk.hear(Way.INVITE, call.context.tokens, offers=bool(body), carrier=caller.invite_key))
    policy = policy_of(call, caller)
    try:
        return _take_offer(call, caller, body) if body else _may_go_on(call, caller, caller.plan_late_offer(policy))
    except KeyingError as error:
        security.violation(call, caller, error.codes, error.termination)
        ending.terminate(call, error.termination)
    except SdpError as error:
        ending.terminate(call, termination_of(error))
    return False


def _take_offer(call: CallState, caller: Leg, body: bytes) -> bool:
    agreed = caller.read_offer(body)
    if not _may_go_on(call, caller, caller.refusal_of(agreed, policy_of(call, caller))):
        return False
    caller.talk.consider(Description(agreed, body))
    return True


def _may_go_on(call: CallState, leg: Leg, refusal: Refusal | None) -> bool:
    if refusal is None:
        return True
    security.refused_offer(call, leg, refusal)
    ending.terminate(call, refusal.termination)
    return False


def next_target(call: CallState) -> bool:
    """Go on with the next of those the call may be for; False: none is left."""
    if not call.hunt.targets:
        return False
    hunt = call.hunt
    hunt.stage = Stage.LOOKING
    if hunt.goal is Goal.CALL:
        call.phase = Phase.PREPARING
    call.emit(ClearTimer(Timer.RING))
    if not hunt.group:
        hunt.refusals.clear()
    target = hunt.targets.pop(0)
    if not isinstance(target, TrunkTarget):
        hunt.at = target.at if isinstance(target, UserTarget) else None
        _look_for(call, target)
        return True
    hunt.group, hunt.seconds = "", 0.0
    hunt.tried, hunt.instead_of = (), NO_LEG
    leg = call.next_leg()
    hunt.connecting[leg] = target
    if hunt.goal is Goal.CALL:
        call.trunk_id, call.policy = target.trunk.name, target.policy
    security.exception_used(call, target.policy)
    call.emit(ConnectTrunk(leg, target.trunk.name, urgent=call.policy.emergency))
    return True


def _look_for(call: CallState, target: UserTarget | GroupTarget) -> None:
    """Find one user, or all of a group at once."""
    hunt = call.hunt
    users = target.users if isinstance(target, GroupTarget) else (target.user,)
    hunt.group, hunt.seconds = target.group, target.seconds if isinstance(target, UserTarget) else 0.0
    hunt.locating.update(users)
    call.emit(*(Locate(user) for user in users))


def located(call: CallState, event: Located) -> None:
    """Where the user is signed in: every place rings, but those that are in the call already.

    Who dials her own name, or hands a call over to it, means her other places.
    """
    if event.user not in call.hunt.locating:
        return
    call.hunt.locating.discard(event.user)
    if event.refused is not None:
        invite.not_found(call, Refused(0, event.refused))
        return
    shown = _shown(call.asker).address(call.site.realm)
    taken = {leg.flow.id for leg in call.pair}
    room = min(MAX_PLACES, MAX_RINGING - len(call.hunt.ringing))
    found = (Place(*call.hunt.at),) if call.hunt.at is not None and event.places else event.places
    places = [place for place in found if place.flow.id not in taken][: max(0, room)]
    legs = [
        call.context.make.called_browser(call.next_leg(), place.flow, shown, event.user, place.uri) for place in places
    ]
    if not legs:
        why = Termination.USER_BUSY if event.places else Termination.USER_NOT_REGISTERED
        invite.not_found(call, Refused(0, why))
        return
    for leg in legs:
        invite.add(call, leg)
    invite.begin(call, legs)


def _shown(asker: Leg) -> Party:
    """Who calls, as a browser is told it: who is there as far as that is known, or who was called there."""
    dialled = Party("", asker.number) if asker.number and not asker.is_caller else HIDDEN
    return asker.party or dialled


def trunk_connected(call: CallState, event: TrunkConnected) -> None:
    """The trunk can be reached; what it may be offered depends on how well it proved itself."""
    target = _awaited(call, event.leg)
    if target is None:
        return
    leg = call.context.make.called_trunk(event.leg, event.flow, target, _on_behalf_of(call), event.found_for)
    elsewhere.takes_over(call, leg)
    leg.was_down, leg.has_alternatives = event.down, event.more
    call.hunt.called[leg.id] = target
    invite.add(call, leg)
    invite.begin(call, [leg])


def _on_behalf_of(call: CallState) -> Origin:
    """Whose call it is to a trunk: who calls; of one handed over, the user of ours who does that, or who stays."""
    hunt, origin = call.hunt, call.facts.origin
    if hunt.goal is not Goal.TRANSFER:
        return origin
    users = [leg.number for leg in (call.legs.get(hunt.by), call.asker) if leg is not None and leg.habits.is_person]
    user = next(iter(users), "")
    return origin if not user or user == origin.user else Origin.of(user, call.site.person(user))


def trunk_failed(call: CallState, event: TrunkFailed) -> None:
    """No flow to the trunk. The next target is tried; it never falls back from TLS to clear."""
    target = _awaited(call, event.leg)
    if target is None:
        return
    if event.verification:
        call.emit(security.unverified_record(call, target, event))
    why = Termination.TRUNK_UNVERIFIED if event.verification else event.told
    invite.nobody_there(call, Refused(0, why))


def _awaited(call: CallState, leg: LegId) -> TrunkTarget | None:
    target = call.hunt.connecting.pop(leg, None)
    return target if call.hunt.stage is Stage.LOOKING else None
