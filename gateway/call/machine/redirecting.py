"""A trunk that answers our INVITE by 3xx sends it on: followed inside the trunk, or not at all (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from dataclasses import replace

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.legs.redirects import contacts, host_of, is_as_secure, place_of
from gateway.call.legs.targets import TrunkTarget
from gateway.call.machine import elsewhere, invite, routes, security
from gateway.call.machine.circumstances import of_leg
from gateway.call.machine.effects import ReachTrunk
from gateway.call.machine.events import TrunkReached
from gateway.call.machine.hunt import Goal, Refused
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.policy.model import EffectivePolicy, at_least
from gateway.sip.flow import Flow, objection
from gateway.sip.message import Response
from gateway.sip.uri import SipUri


def followed(call: CallState, leg: Leg, response: Response, *, is_spoken: bool) -> bool:
    """Whether a refusal has been dealt with: by going where it points, or where an earlier 3xx pointed too.

    Args:
        is_spoken: a person said so, who would say it there too.
    """
    if leg.relayed is not None:  # credentials of a browser are for one URI
        return False
    sent = leg.redirects
    if 300 <= response.status < 400:
        sent.tried.add(str(leg.target_uri))
        sent.left = [uri for uri in contacts(response) if _may_go(call, leg, uri)]
    uri = None if is_spoken or response.status >= invite.GLOBAL_FAILURE else sent.next()
    if uri is None:
        return False
    invite.forget_offer(call, leg)
    _go(call, leg, uri)
    return True


def _may_go(call: CallState, leg: Leg, uri: SipUri) -> bool:
    is_own = leg.is_own_host(uri.host) and leg.is_own_host(host_of(uri))
    return is_own and is_as_secure(uri, leg.founding) and _policy_there(call, leg, uri) is not None


def _policy_there(call: CallState, leg: Leg, uri: SipUri) -> EffectivePolicy | None:
    """What must be met there; None: it may not go there.

    It may to the same number at another place, or to another one that the user who calls could have dialled over this
    trunk. Then that number's policy holds too, and never less than the one the call was made under.
    """
    try:
        number = routes.dialled(uri, call.site.realm)
    except SipError:
        return None
    policy = policy_of(call, leg)
    if number == leg.number:
        return policy
    if not call.facts.outbound or call.hunt.goal is not Goal.CALL:
        return None
    route = routes.from_user(call.site, of_leg(call, call.caller, "INVITE"), number, uri)
    for target in route.targets if route is not None and route.refused is None else ():
        if isinstance(target, TrunkTarget) and target.trunk.name == leg.trunk_name:
            return policy if policy.emergency else at_least(policy, target.policy)
    return None


def _go(call: CallState, leg: Leg, uri: SipUri) -> None:
    """Send the INVITE there: over what we have if that leads there, else over what can be had."""
    leg.redirects.tried.add(str(uri))
    policy = _policy_there(call, leg, uri)
    if policy is None:  # what was allowed when the 3xx came is not any more
        _elsewhere(call, leg)
        return
    if policy != policy_of(call, leg):
        leg.policy = policy
        security.exception_used(call, policy)
        if not invite.is_worth_calling(call, leg):
            return
    leg.request_uri, place = uri, place_of(uri, leg.flow)
    if leg.is_named(place.host) or place == leg.flow.remote:
        invite.send(call, leg)
    elif leg.flow.is_reliable:
        leg.redirects.going = place
        call.emit(ReachTrunk(leg.id, leg.trunk_name, leg.flow, place))
    else:
        _send_over(call, leg, replace(leg.flow, remote=place))


def reached(call: CallState, event: TrunkReached) -> None:
    """There is a connection to where the trunk has sent us, or there is none."""
    leg = call.legs.get(event.leg)
    if leg is None or leg.redirects.going != event.place:
        return
    leg.redirects.going = None
    if not call.live or leg.id not in call.hunt.ringing:
        return
    if event.flow is None:
        _elsewhere(call, leg)
    elif event.flow.remote.host != event.place.host or objection(event.flow, leg.founding):
        _elsewhere(call, leg)  # it leads somewhere else, or proves less than the trunk did
    else:
        _send_over(call, leg, event.flow)


def _elsewhere(call: CallState, leg: Leg) -> None:
    uri = leg.redirects.next()
    if uri is not None:
        _go(call, leg, uri)
    elif not elsewhere.tried(call, leg, Refused(0, Termination.TRUNK_UNREACHABLE)):
        invite.lose(call, leg, Refused(0, Termination.TRUNK_UNREACHABLE))


def _send_over(call: CallState, leg: Leg, flow: Flow) -> None:
    leg.flow = flow
    invite.send(call, leg)
