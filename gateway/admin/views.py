"""What a running gateway shows of itself, as rows of plain values that become JSON. PURE: state in, rows out.

Nothing of it is a key, a password or a token. Numbers and names of people stand in it as they do in the audit log: only
who may read that log may ask. Ages are seconds. Text of peers is cleaned: it is shown in terminals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.audit.clean import cleaned_text
from gateway.base.values import LegId
from gateway.call.legs.leg import Leg
from gateway.call.machine import bridge, security
from gateway.call.machine.state import CallState
from gateway.location.binding import Binding
from gateway.media.relay_call import LegCounters
from gateway.media.relay_facts import WorkerFacts
from gateway.quality.leg import Measurement, score
from gateway.quality.told import BAD, GOOD, score_facts
from gateway.sip.flow import Flow
from gateway.trunks.health import Standing
from gateway.trunks.model import Trunk
from gateway.trunks.registering import Shown
from gateway.trunks.target import Spot, TrunkTarget

Row = dict[str, object]
"""One line of a table: names of columns and values of JSON."""


@dataclass(frozen=True, slots=True)
class TrunkFacts:
    """What is known of one trunk now. What else is learned of trunks becomes a field here and a column in `trunk`."""

    trunk: Trunk
    standing: Standing
    flows: Sequence[Flow]
    """Connections to it and from it; UDP has none that could be open."""
    live: int
    """Calls that go over it now."""
    total: int
    """Calls that went over it since the start, those of now included."""
    places: Sequence[tuple[Spot, TrunkTarget, str]] = ()
    """Where it was found last, what each place was found for, and how it fares."""
    registrations: Sequence[Shown] = ()
    """What is registered there in our name."""


def trunk(facts: TrunkFacts, now: float) -> Row:
    """One trunk: whether it answers, since when that is known, and over what it is reached."""
    standing, target = facts.standing, facts.trunk.target
    return {
        "trunk": facts.trunk.name,
        "state": standing.word,
        "since": _age(standing.since, now),
        "heard": _age(standing.heard_at, now),
        "target": str(target),
        "targets": [str(choice.target) for choice in facts.trunk.choices],
        "places": [{"place": str(spot), "target": str(found), "state": word} for spot, found, word in facts.places],
        "registrations": [_registration(shown) for shown in facts.registrations],
        "transport": target.transport,
        "security": facts.trunk.profile or facts.trunk.security.value,
        "connections": [_connection(flow) for flow in facts.flows],
        "verified_name": next((flow.verified_name for flow in facts.flows if flow.verified_name), ""),
        "calls_live": facts.live,
        "calls_total": facts.total,
    }


def _registration(shown: Shown) -> Row:
    return {"aor": shown.aor, "state": shown.standing.value, "why": shown.why, "expires": round(shown.left, 1)}


def _connection(flow: Flow) -> Row:
    return {
        "transport": flow.transport,
        "remote": str(flow.remote),
        "opened_by": "us" if flow.initiated else "them",
        "tls": flow.tls.version if flow.tls is not None else "",
        "verified_name": flow.verified_name,
    }


@dataclass(frozen=True, slots=True)
class UserFacts:
    """What is known of one user now."""

    name: str
    known: bool
    """Named in the users file: another way to sign in may bring users that are not."""
    bindings: Sequence[Binding] = ()
    flows: int = 0
    """Connections that proved to be this user."""
    live: int = 0
    """Calls with a leg of this user."""
    opened: Mapping[int, float] = field(default_factory=dict)
    """When the connections of this process were opened, by the number of their flow."""
    node: str = ""
    """This process, as bindings name it."""


def user(facts: UserFacts, _now: float) -> Row:
    """One user: whether a call would ring anywhere."""
    return {
        "user": cleaned_text(facts.name),
        "state": "registered" if facts.bindings else "connected" if facts.flows else "away",
        "bindings": len(facts.bindings),
        "connections": facts.flows,
        "calls_live": facts.live,
        "in_users_file": facts.known,
    }


def registrations(facts: UserFacts, now: float) -> Iterable[Row]:
    """The bindings of one user: one place where a call rings each."""
    for binding in facts.bindings:
        here = binding.node == facts.node
        yield {
            "user": cleaned_text(facts.name),
            "contact": cleaned_text(binding.contact_uri),
            "instance": cleaned_text(binding.instance.strip('"')),
            "user_agent": cleaned_text(binding.user_agent),
            "transport": binding.flow.transport,
            "remote": str(binding.flow.remote),
            "flow": binding.flow.id,
            "flow_age": _age(facts.opened.get(binding.flow.id), now) if here else None,
            "expires": round(binding.seconds, 1),
            "q": binding.q,
            "node": "this one" if here else binding.node,
        }


@dataclass(frozen=True, slots=True)
class CallNumbers:
    """What the relay has counted of a call, as far as it could be asked."""

    packets: LegCounters = field(default_factory=dict)
    quality: Mapping[LegId, Measurement] = field(default_factory=dict)


NOTHING = CallNumbers()


def call(state: CallState, now: float, numbers: CallNumbers = NOTHING) -> Row:
    """One call: who, over what, how far it is, and of each leg how well it is protected and how it sounds."""
    caller, called = security.parties(state)
    graded = bool(state.posture.legs())
    codec = bridge.codec_in_use(state)
    return {
        "id": state.facts.id,
        "uid": state.facts.uid,
        "direction": state.facts.way,
        "from": cleaned_text(caller),
        "to": cleaned_text(called),
        "user": cleaned_text(state.facts.user),
        "trunk": state.trunk_id,
        "state": state.phase.name.lower(),
        "age": _age(state.began_at, now),
        "talking": _age(state.answered_at, now),
        "emergency": state.policy.emergency,
        "grade": state.posture.current.name if graded else None,
        "worst": state.posture.worst.name if graded else None,
        "codec": codec,
        "legs": [leg(found, now) | sound(found, codec, numbers) for found in state.legs.values() if not found.gone],
    }


def sound(found: Leg, codec: str, numbers: CallNumbers) -> Row:
    """How a leg sounds: packets, and the figures of all its life; `quality` and `mos_now` are of the last seconds."""
    packets, measured = numbers.packets.get(found.id), numbers.quality.get(found.id)
    latest = found.sound.latest
    return {
        "packets": {"received": packets.rtp_rx, "sent": packets.rtp_tx} if packets is not None else None,
        "quality": (BAD if found.sound.is_bad else GOOD) if latest is not None else None,
        "mos_now": round(latest.mos, 2) if latest is not None and latest.mos is not None else None,
        "sound": score_facts(score(measured, None, codec)) if measured is not None else None,
    }


def leg(found: Leg, now: float) -> Row:
    """One leg. Before a description is agreed on there is nothing to grade, and no grade is shown."""
    vector = found.recorded or (found.vector if found.is_agreed else None)
    return {
        "leg": found.id,
        "kind": found.kind.value,
        "trunk": found.trunk_name,
        "transport": found.flow.transport,
        "remote": str(found.flow.remote),
        "verified_name": found.flow.verified_name,
        "call_id": cleaned_text(found.call_id),
        "state": found.invitation.state.name.lower(),
        "grade": vector.grade.name if vector is not None else None,
        "protection": vector.summary() if vector is not None else "",
        "codes": sorted(vector.codes) if vector is not None else [],
        "silent": _age(found.silent_since, now),
    }


def worker(facts: WorkerFacts) -> Row:
    """One relay worker: what it does, how many calls it has, and how long those may go on when it drains."""
    return {
        "worker": facts.port,
        "pid": facts.pid,
        "state": facts.state.value,
        "calls_live": facts.calls,
        "age": round(facts.age, 1),
        "version": cleaned_text(facts.version),
        "left": round(facts.left, 1) if facts.left is not None else None,
    }


def _age(since: float | None, now: float) -> float | None:
    """Seconds from then to now; None for what has not happened."""
    return None if since is None else round(max(0.0, now - since), 1)
