"""`sip-gateway policy explain`: what a call must meet, and why, decided as it is for a call that is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.base.errors import ConfigError, SipError
from gateway.base.keying import Keying
from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.call.machine.circumstances import asked_by_trunk, asked_by_user, for_user
from gateway.policy.facts import UNROUTED, Direction, Facts, address_of
from gateway.policy.model import DEFAULT_WAYS, EffectivePolicy, Fallback, OfferMode, strictest
from gateway.policy.offering import offered_ways, taken_ways
from gateway.policy.trace import Step
from gateway.routing.numbers import normalise
from gateway.sip.flow import Flow
from gateway.site import Site

HERE = HostPort("127.0.0.1", 0)
HOW = "numbers have digits, +, *, # and separators; names a-z 0-9 . _ -"

_OFFERS = {
    OfferMode.SAVP_ONLY: "RTP/SAVP with keys, or nothing",
    OfferMode.SAVP_FIRST: "RTP/SAVP with keys first",
    OfferMode.AVP_WITH_CRYPTO: "RTP/AVP with keys the other side may ignore",
    OfferMode.AVP: "RTP/AVP without keys",
}
_NAMES = {Keying.SDES: "SDES", Keying.DTLS: "DTLS"}
_FALLBACKS = {
    Fallback.NEVER: "",
    Fallback.RETRY: ", then RTP/AVP if that is refused",
    Fallback.ANSWER: "",
    Fallback.NONE_NEEDED: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that is not made."""

    user: str = ""
    """Who calls from a browser, or is called by a trunk."""
    to: str = ""
    trunk: str = ""
    """Empty: where the dialplan leads."""
    direction: Direction | None = None
    """None: out, where a user calls; else in."""
    source: str = ""
    transport: str = ""
    caller: str = ""
    method: str = "INVITE"
    at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """One leg of it: what it is taken for, what was looked at, and what came of it."""

    facts: Facts
    steps: tuple[Step, ...]
    policy: EffectivePolicy


def decide(site: Site, question: Question) -> tuple[Decided, ...]:
    """What each leg that could come of it must meet, in the order they are tried.

    Raises:
        ConfigError: it is no call: there is no such user or trunk, or nothing leads there.
    """
    _check_names(site, question)
    number = _number(question.to)
    direction = question.direction or (Direction.OUT if question.user or not question.trunk else Direction.IN)
    facts = (
        _inward(site, question, number) if direction is Direction.IN else _outward(site, question, number, direction)
    )
    return tuple(_decided(site, one) for one in facts)


def binding(decided: Sequence[Decided]) -> EffectivePolicy:
    """What the leg that is tried first must meet: all that is asked for it."""
    first = decided[0].facts.trunk
    return strictest(one.policy for one in decided if one.facts.trunk == first)


def _check_names(site: Site, question: Question) -> None:
    plan = site.dialplan
    if question.trunk and question.trunk not in site.trunks:
        known = ", ".join(site.trunks) or "none"
        raise ConfigError(f"there is no trunk {question.trunk!r}", remedy=f"trunks: {known}")
    if question.user and plan.users is not None and not plan.others and question.user not in plan.users:
        raise ConfigError(f"there is no user {question.user!r}", remedy="names are written as they sign in")
    if question.source and address_of(question.source) is None:
        raise ConfigError(f"--source {question.source!r} is no address", remedy="for example 192.0.2.7")


def _number(text: str) -> str:
    if not text:
        return ""
    try:
        return normalise(text)
    except SipError as error:
        raise ConfigError(error.why, remedy=HOW) from None


def _flow(question: Question, transport: TransportName) -> Flow:
    spoken = question.transport or transport
    return Flow(0, spoken, HERE, HostPort(question.source, 0))  # type: ignore[arg-type]


def _outward(site: Site, question: Question, number: str, direction: Direction) -> list[Facts]:
    plan = site.dialplan
    asked = asked_by_user(site, question.user, _flow(question, "wss"), question.at)
    asked = replace(asked, method=question.method, caller=question.caller or asked.caller)
    route = plan.route_outbound(number) if number else None
    emergency = plan.is_emergency(number)
    if direction is Direction.INTERNAL or (not question.trunk and route is not None and not route.trunk):
        name = route.number if route is not None else number
        return [replace(asked, direction=Direction.INTERNAL, dialled=name)]
    names = [question.trunk] if question.trunk else [route.trunk, *route.alternatives] if route is not None else []
    if not names:
        raise ConfigError("no rule of the dialplan leads there", remedy="add --trunk TRUNK")
    read = plan.read(number) if number else ""
    numbers = dict.fromkeys((read, *(route.asked if route is not None else ())))
    return [replace(asked, trunk=name, dialled=one, emergency=emergency) for name in names for one in numbers]


def _inward(site: Site, question: Question, number: str) -> list[Facts]:
    if not question.trunk:
        raise ConfigError("a call that comes in is from a trunk", remedy="add --trunk TRUNK")
    transport = site.trunk(question.trunk).target.transport
    flow = _flow(question, transport)
    asked = asked_by_trunk(site, question.trunk, flow, question.at, question.caller, number)
    asked = replace(asked, method=question.method)
    users = [question.user] if question.user else _called(site, question.trunk, number)
    return [for_user(asked, site, user) for user in users] or [asked]


def _called(site: Site, trunk: str, number: str) -> list[str]:
    """Who rings for a call of this trunk."""
    route = site.dialplan.route_inbound(trunk, number) if number else None
    if route is None:
        return []
    return list(site.dialplan.groups[route.group].members) if route.group else [route.user] if route.user else []


def _decided(site: Site, facts: Facts) -> Decided:
    steps: list[Step] = []
    policy = site.policies.decide(facts, steps.append)
    return Decided(facts, tuple(steps), policy)


def lines(decided: Sequence[Decided], zone: str) -> Iterator[str]:
    """Line by line, for people."""
    for number, one in enumerate(decided):
        if number:
            yield ""
        yield _asked(one.facts, zone)
        yield from (f"  {step}" for step in one.steps)
        yield from (f"  {words}" for words in _result(one.policy))


def as_dict(one: Decided) -> dict[str, object]:
    """For other programs."""
    facts, policy = one.facts, one.policy
    asked = {
        "direction": str(facts.direction),
        "trunk": facts.trunk,
        "user": facts.user,
        "groups": sorted(facts.groups),
        "caller": facts.caller,
        "dialled": facts.dialled,
        "source": str(facts.source) if facts.source is not None else "",
        "transport": facts.transport,
        "method": facts.method,
        "at": facts.at.astimezone(UTC).isoformat(),
    }
    return {"asked": asked, "steps": [step.as_dict() for step in one.steps], "policy": told(policy)}


def told(policy: EffectivePolicy) -> dict[str, object]:
    """What a call must meet, by the words of the policy file."""
    rules = policy.rules
    return {
        **policy.as_dict(),
        "reject": policy.reject,
        "require": rules.require.name,
        "prefer": rules.prefer.name,
        "deny": sorted(rules.deny),
        "suites": list(rules.suites),
        "offer": [str(way) for way in offered_ways(policy)] if rules.offer is not OfferMode.AVP else [],
        "answer": [str(way) for way in taken_ways(policy)],
        "min_key_bits": rules.min_key_bits,
        "min_tag_bits": rules.min_tag_bits,
        "srtcp": "require" if rules.srtcp_required else "allow",
    }


def _asked(facts: Facts, zone: str) -> str:
    over = "" if facts.trunk == UNROUTED else f" over {facts.trunk}"
    source = f" from {facts.source}" if facts.source is not None else ""
    called = facts.dialled or "any number"
    if facts.direction is Direction.IN:
        words = f"{facts.trunk} calls {called} ({facts.user or 'nobody of ours'}), caller {facts.caller or 'unknown'}"
    else:
        words = f"{facts.user or 'somebody'} calls {called}{over}"
    return f"{words}{source} by {facts.transport}, {facts.at:%a %Y-%m-%d %H:%M} {zone}"


def _result(policy: EffectivePolicy) -> Iterator[str]:
    rules = policy.rules
    if policy.reject:
        yield f"=> refused with {policy.reject} by rule {policy.rule_id}"
        return
    helped = ", never blocked" if policy.emergency else ""
    yield f"=> profile {policy.profile}: require {rules.require.name}, prefer {rules.prefer.name}{helped}"
    yield f"   offers {_OFFERS[rules.offer]}{_FALLBACKS[rules.fallback]}"
    if rules.offer is not OfferMode.AVP and offered_ways(policy) != DEFAULT_WAYS:
        yield f"   keys by {', '.join(_NAMES[way] for way in offered_ways(policy))}, in this order"
    if rules.answers:
        yield f"   takes keys by {', '.join(_NAMES.get(way, 'nothing') for way in rules.answers)} alone"
    if rules.deny:
        yield f"   denies {', '.join(sorted(rules.deny))}"
    if rules.suites:
        yield f"   suites {', '.join(rules.suites)}"
    if rules.min_key_bits or rules.min_tag_bits:
        yield f"   keys of {rules.min_key_bits} bits, tags of {rules.min_tag_bits} bits, or longer"
    if rules.srtcp_required:
        yield "   RTCP must be encrypted and there"
    yield f"   in records {policy.label}, {policy.sha256}"
