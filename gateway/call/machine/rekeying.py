"""The lifetime of a leg's keys nears its end: a new one is offered before, and what came of it is recorded.

SDES has one way to change a key, another offer (RFC 4568 5.1.4, 7.1.4). Ours brings a new key of ours; whoever answers
it is asked thereby for one of its own, and nothing makes it give one. A key that is over all the same is a violation
where policy requires encryption, for then it protects nobody any more (RFC 3711 9.2). DTLS keys outlive every call.
"""

from __future__ import annotations

from gateway.audit.facts import Checkpoint
from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import change, ending, security
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.media.relay_events import KeysWorn

WORN = frozenset({Code.KEY_LIFETIME})


def noticed(call: CallState, event: KeysWorn) -> None:
    """The relay has counted what the keys of a leg protected."""
    leg = call.legs.get(event.leg)
    if leg is None or leg not in call.pair or not call.live or not leg.vector.keying.keyed:
        return
    if event.spent and _ends_the_call(call, leg):
        security.violation(call, leg, (Code.KEY_LIFETIME,), Termination.KEY_SPENT, where=Checkpoint.PACKETS)
        ending.terminate(call, Termination.KEY_SPENT)
        return
    security.posture_changed(call, leg, found=WORN, where=Checkpoint.PACKETS)
    if leg.wear_out():
        change.follow(call, leg)


def _ends_the_call(call: CallState, leg: Leg) -> bool:
    policy = policy_of(call, leg)
    return not policy.emergency and (policy.demands_protection or Code.KEY_LIFETIME in policy.rules.deny)
