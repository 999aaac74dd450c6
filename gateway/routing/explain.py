"""Why a call goes where it goes, step by step: the dialplan itself tells what it looks at, so nothing is told twice."""

from __future__ import annotations

from gateway.routing.dialplan import BY_NAME, EMERGENCY_RULE, Dialplan, InboundRoute, OutboundRoute
from gateway.routing.groups import Group, Ring
from gateway.routing.trace import Step, Trace

NOWHERE = "no route: the call is refused with 404"
FORBIDDEN = "the call is refused with 403: this caller may not call this number"


def explain_outbound(plan: Dialplan, dialled: str, user: str = "", *, typed: str = "") -> Trace:
    """The way of a call from a browser.

    Args:
        dialled: the normalised number or name.
        user: who calls; without one, rules for everybody are looked at alone.
        typed: the number as it was written.
    """
    steps: list[Step] = []
    number = plan.read(dialled)
    emergency = plan.is_emergency(number)
    if emergency:
        steps.append(Step("emergency", "emergency", number, True, verdict="the call always connects"))
    route = plan.route_outbound(dialled, steps.append)
    if route is not None and route.rule_id == EMERGENCY_RULE:
        steps = [step for step in steps if step.kind == "emergency"]  # no rule decides about it
    allowed = route is not None and plan.permits(user, route, steps.append)
    end = FORBIDDEN if route and not allowed else _leads(plan, route) if route else _nowhere(plan, number, steps)
    return Trace(typed or dialled, number, tuple(steps), end, _outbound_outcome(route, allowed))


def explain_inbound(plan: Dialplan, trunk: str, dialled: str, *, typed: str = "") -> Trace:
    """The way of a call that comes from a trunk."""
    steps: list[Step] = []
    route = plan.route_inbound(trunk, dialled, steps.append)
    end = _rings(plan, route) if route is not None else NOWHERE
    return Trace(typed or dialled, plan.read_from(trunk, dialled), tuple(steps), end, _inbound_outcome(route))


def _leads(plan: Dialplan, route: OutboundRoute) -> str:
    if route.is_group:
        return _group(plan.groups.get(route.group), route.group)
    if route.user:
        return f"user {route.user} rings" + (", whose name it is" if route.rule_id == BY_NAME else "")
    head = "emergency_trunks: " if route.rule_id == EMERGENCY_RULE else ""
    later = "".join(f", then {name} {_gets(route, name)}" for name in route.alternatives)
    return f"{head}trunk {route.trunk} gets {route.number}{later}"


def _gets(route: OutboundRoute, trunk: str) -> str:
    """What comes of a further trunk; the number only where it is another one there."""
    number = route.number_for(trunk)
    return "is tried" if number == route.number else f"is tried with {number}"


def _rings(plan: Dialplan, route: InboundRoute) -> str:
    if route.group:
        return _group(plan.groups.get(route.group), route.group)
    return f"trunk {route.trunk} gets {route.number}" if route.trunk else f"user {route.user} rings"


def _group(group: Group | None, name: str) -> str:
    if group is None:
        return f"group {name} rings"
    if group.ring is Ring.IN_TURN:
        return f"group {name} rings, {group.seconds:g} seconds each: {', then '.join(group.members)}"
    return f"group {name} rings, all at once: {', '.join(group.members)}"


def _nowhere(plan: Dialplan, number: str, steps: list[Step]) -> str:
    if not number:
        return f"{NOWHERE}, for it is no telephone number though it begins like one"
    rules = [step for step in steps if step.kind == "rule" and step.matched]
    if rules:
        rule = next(rule for rule in plan.outbound if rule.id == rules[-1].id)
        return (
            f"{NOWHERE}, for there is no such user"
            if rule.user is not None
            else f"{NOWHERE}, for nothing is left of it"
        )
    unknown = plan.users is None and not plan.is_emergency(number)
    return f"{NOWHERE}, unless it is the name of a user" if unknown else NOWHERE


def _outbound_outcome(route: OutboundRoute | None, allowed: bool) -> dict[str, object]:
    if route is None:
        return {"outcome": "no-route", "status": 404}
    found: dict[str, object] = {"outcome": "route" if allowed else "not-permitted", "rule": route.rule_id}
    if not allowed:
        found["status"] = 403
    if route.trunk:
        names = (route.trunk, *route.alternatives)
        found |= {"trunks": list(names), "sent": route.number, "emergency": route.emergency}
        found["numbers"] = {name: route.number_for(name) for name in names}
    else:
        found |= {"group": route.group} if route.is_group else {"user": route.user}
    return found


def _inbound_outcome(route: InboundRoute | None) -> dict[str, object]:
    if route is None:
        return {"outcome": "no-route", "status": 404}
    found: dict[str, object] = {"outcome": "route", "rule": route.rule_id}
    if route.trunk:
        return found | {"trunks": [route.trunk], "sent": route.number}
    return found | ({"group": route.group} if route.group else {"user": route.user})
