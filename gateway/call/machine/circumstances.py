"""What the policy of a leg is decided by: who asks for it, over which connection, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from gateway.call.legs.leg import Leg
from gateway.call.machine.state import CallState
from gateway.policy.facts import Direction, Facts, address_of
from gateway.policy.pins import NO_PINS, Pins
from gateway.sip.flow import Flow
from gateway.site import Site


def asked_by_user(site: Site, user: str, flow: Flow, at: datetime, pins: Pins = NO_PINS) -> Facts:
    """A user of ours asks for a leg to a trunk."""
    numbers = site.person(user).numbers
    return Facts(
        direction=Direction.OUT,
        at=at,
        user=user,
        groups=site.dialplan.groups_of(user),
        caller=numbers[0] if numbers else user,
        source=address_of(flow.remote.host),
        transport=flow.transport,
        pins=pins,
    )


def asked_by_trunk(
    site: Site, trunk: str, flow: Flow, at: datetime, calling: str, dialled: str = "", pins: Pins = NO_PINS
) -> Facts:
    """A trunk calls; `calling` and `dialled` are numbers as it writes them."""
    plan = site.dialplan
    return Facts(
        direction=Direction.IN,
        at=at,
        trunk=trunk,
        caller=plan.read_from(trunk, calling),
        dialled=plan.read_from(trunk, dialled),
        source=address_of(flow.remote.host),
        transport=flow.transport,
        pins=pins,
    )


def for_user(facts: Facts, site: Site, user: str) -> Facts:
    """The same call, as one of the user it is for."""
    return replace(facts, user=user, groups=site.dialplan.groups_of(user))


def as_caller(call: CallState, leg: Leg, number: str) -> Facts:
    """The peer of a leg, as if it had called this number itself."""
    asked = replace(of_leg(call, leg, "INVITE"), emergency=call.policy.emergency)
    if leg.habits.is_person:
        return replace(asked, direction=Direction.INTERNAL, dialled=number)
    return replace(asked, dialled=call.site.dialplan.read_from(leg.trunk_name, number))


def of_leg(call: CallState, leg: Leg, method: str) -> Facts:
    """The peer of a leg asks for another one, by a request that has just come over its connection."""
    if leg.habits.is_person:
        asked = asked_by_user(call.site, leg.number, leg.flow, call.wall)
    else:
        calling = call.facts.calling_number if leg is call.caller else leg.number
        asked = asked_by_trunk(call.site, leg.trunk_name, leg.flow, call.wall, calling)
    return replace(asked, method=method, pins=call.context.pins)
