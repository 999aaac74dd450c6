"""A trunk that answers our INVITE by 3xx sends it on: followed inside the trunk, or not at all (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from dataclasses import replace

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.legs.redirects import contacts, host_of, is_as_secure, place_of
from gateway.call.legs.targets import TrunkTarget
from gateway.call.machine import elsewhere, invite, routes
from gateway.call.machine.effects import ReachTrunk
from gateway.call.machine.events import TrunkReached
from gateway.call.machine.hunt import Goal, Refused
from gateway.call.machine.state import CallState
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
    return is_own and is_as_secure(uri, leg.founding) and _may_dial(call, leg, uri)


def _may_dial(call: CallState, leg: Leg, uri: SipUri) -> bool:
    """The same number at another place; or another one that the user who calls could have dialled over this trunk."""
    try:
        number = routes.dialled(uri, call.site.realm)
    except SipError:
        return False
    if number == leg.number:
        return True
    if not call.facts.outbound or call.hunt.goal is not Goal.CALL:
        return False
    route = routes.from_user(call.site, call.facts.user, number, uri)
    targets = route.targets if route is not None and route.refused is None else ()
    return any(isinstance(target, TrunkTarget) and target.trunk.name == leg.trunk_name for target in targets)


def _go(call: CallState, leg: Leg, uri: SipUri) -> None:
    """Send the INVITE there: over what we have if that leads there, else over what can be had."""
    leg.redirects.tried.add(str(uri))
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
