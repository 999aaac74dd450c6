"""What of one side's INVITE, of its answer or of its BYE is told to the other besides what this gateway says itself.

Who called or was called before, by the policy of each trunk; and header fields an administrator has named. Nothing else
of a message ever reaches the other side.
"""

from __future__ import annotations

from gateway.call.legs import earlier, party
from gateway.call.legs.earlier import Addressing
from gateway.call.legs.identity import Fields, Origin, tell
from gateway.call.legs.leg import Leg
from gateway.call.machine.hunt import Goal
from gateway.call.machine.state import CallState
from gateway.sip.message import Message
from gateway.sip.passing import passed_on, shared
from gateway.trunks.identity import Asserts, Passing, PrivacyMode


def invited(call: CallState, leg: Leg) -> Fields:
    """What the INVITE to this leg takes over from the caller's; one that is handed over is a call of its own."""
    invite = call.caller.invite
    if invite is None or call.hunt.goal is not Goal.CALL:
        return ()
    return (*_earlier(call, leg, invite), *_named(call, call.caller, leg, invite))


def answered(call: CallState) -> Fields:
    """What an answer to the caller takes over from the callee's, and who it is, where the caller's trunk wants that."""
    callee = call.callee
    if callee is None or callee.said is None or call.hunt.goal is not Goal.CALL:
        return ()
    return (*_who_answered(call, callee, callee.said), *_named(call, callee, call.caller, callee.said))


def refused(call: CallState, leg: Leg, response: Message) -> Fields:
    """What a refusal to the caller takes over from a callee's."""
    return _named(call, leg, call.caller, response) if call.hunt.goal is Goal.CALL else ()


def ended(call: CallState, leg: Leg) -> Fields:
    """What the end of the call on this leg takes over from the BYE that ended it on another one."""
    end = call.end
    if end.said is None or end.by is None or end.by == leg.id:
        return ()
    return _named(call, call.legs[end.by], leg, end.said)


def _named(call: CallState, source: Leg, sink: Leg, message: Message) -> Fields:
    """Header fields the trunks on the way let through."""
    lists = [call.site.trunk(leg.trunk_name).pass_headers for leg in (source, sink) if not leg.habits.is_person]
    if not lists:
        return ()
    return passed_on(message.headers, lists[0] if len(lists) == 1 else shared(*lists))


def _earlier(call: CallState, leg: Leg, invite: Message) -> Fields:
    """Who was called before, of a call that a trunk brings; a browser's word for it counts nothing."""
    caller = call.caller
    if caller.habits.is_person:
        return ()
    source, side = call.site.trunk(caller.trunk_name).identity, _addressing(call, leg)
    reading, private = call.context.make.reading(caller.trunk_name), bool(earlier.ALL_PRIVATE & party.privacy(invite))
    sink = None if leg.habits.is_person else call.site.trunk(leg.trunk_name).identity
    found: Fields = ()
    if source.diversion is Passing.ON and (sink is None or sink.diversion is Passing.ON):
        found += earlier.write_diversions(earlier.diversions(invite, reading, private=private), side)
    if source.history is Passing.ON and (sink is None or sink.history is Passing.ON):
        found += earlier.write_history(earlier.history(invite, reading, private=private), side)
    return found


def _addressing(call: CallState, leg: Leg) -> Addressing:
    if leg.habits.is_person:
        return Addressing(call.site.realm, trusted=False)
    trunk = call.site.trunk(leg.trunk_name)
    voice = call.context.make.voice(trunk)
    return Addressing(voice.host, trunk.identity.privacy is PrivacyMode.ON, voice.write)


def _who_answered(call: CallState, callee: Leg, said: Message) -> Fields:
    """The user of ours who answers, for a trunk that believes us (RFC 3325 9.1)."""
    caller = call.caller
    if caller.habits.is_person or not callee.habits.is_person:
        return ()
    trunk = call.site.trunk(caller.trunk_name)
    if trunk.identity.asserts is not Asserts.ASSERTED:
        return ()
    who = Origin.of(callee.number, call.site.person(callee.number)).wishing(party.privacy(said))
    return tell(who, call.context.make.voice(trunk)).fields
