"""The report a browser gets of its call's protection: the `Call-Security` header, and what it has heard so far."""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.call.legs import party
from gateway.call.legs.leg import Leg
from gateway.call.legs.told import Told
from gateway.call.machine.effects import SetTimer, Timer
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.policy.header import HEADER_NAME, PACKAGE, News, Report, report_of
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture
from gateway.sip.message import Message

RETRY_SECONDS = 0.5
"""First wait after a report that found no ear, for example 491; doubled each time. RFC 3261 14.1 gives 0 to 2 s."""
OWNER_RETRY_SECONDS = 2.1
"""The same where the Call-ID is ours (RFC 3261 14.1: 2.1 to 4 s)."""
MAX_RETRY_SECONDS = 32.0
"""A browser that never takes its report is still asked, but this seldom (64*T1)."""
NOT_READ = frozenset({408, 491, 500, 503})
"""Answers a user agent gives before it looks at the headers of a re-INVITE."""


def announce(call: CallState, leg: Leg) -> tuple[tuple[str, str], ...]:
    """Call-Security and P-Asserted-Identity for a message that leaves on `leg` now: from here on its peer is told.

    Legs not agreed yet count as what they will be at best. A trunk is told nothing.
    """
    made = written(call, leg)
    if made is None or leg.told is None:
        return ()
    who = () if leg.told.party is None else ((party.HEADER, str(leg.told.party.address(call.site.realm))),)
    return ((HEADER_NAME, made.header), *who)


def written(call: CallState, leg: Leg) -> Report | None:
    """The next report to the peer of `leg`, who counts as told from here on; a trunk is told nothing: None."""
    if leg.told is None:
        return None
    leg.told.news, leg.told.party = news(call, leg), _shown(call.other(leg))
    return drawn(call, leg, leg.told)


def drawn(call: CallState, leg: Leg, told: Told) -> Report:
    """The next report on `leg`, whoever reads it: its number counts on through header, INFO and events."""
    told.number += 1
    far, outlook = call.other(leg), _outlook(call)
    return report_of(
        outlook,
        call.policy,
        leg.vector,
        far.vector if far is not None else None,
        seq=told.number,
        call_id=call.facts.id,
        lost=_lost(call, leg),
        next_hop=_name(far),
        refused=_refused(call, far),
        tone=_tone(call, far, outlook.current),
    )


def note_party(call: CallState, leg: Leg, message: Message) -> None:
    """A message of a peer was accepted: if it is believed, it may say who is there now."""
    reading = call.context.make.reading(leg.trunk_name)
    leg.party = party.connected(message, reading, trusted=leg.trusts_identity) or leg.party


def is_wanted(call: CallState, leg: Leg) -> bool:
    """Whether policy wants this peer told of changes; what is said to it anyway says how things stand all the same."""
    return _policy(call, call.other(leg)).rules.notify


def is_same_party(call: CallState, leg: Leg) -> bool:
    """Whether the peer of this leg has heard who it speaks to."""
    return leg.told is None or leg.told.party == _shown(call.other(leg))


def is_told(call: CallState, leg: Leg, now: News) -> bool:
    """Whether the peer of this leg has heard how the call is protected, and who it speaks to."""
    told = leg.told
    return told is None or (told.news == now and told.party == _shown(call.other(leg)))


def note_abilities(leg: Leg, message: Message) -> None:
    """What a message says of how its sender can be told things: by which methods, and by which Info Packages."""
    note_allow(leg, message)
    note_packages(leg, message)


def note_packages(leg: Leg, message: Message) -> None:
    """A set of Info Packages holds until another one is named; one without ours takes it back (RFC 6086 5.2.1)."""
    named = message.headers.get_all("Recv-Info")
    if leg.told is None or not named:
        return
    packages = {name.partition(";")[0].strip().lower() for value in named for name in value.split(",")}
    leg.told.takes_package = PACKAGE in packages


def note_allow(leg: Leg, message: Message) -> None:
    """Who lists its methods without UPDATE or INFO gets none; who lists nothing is tried (RFC 3261 20.5)."""
    listed = {name.strip().upper() for value in message.headers.get_all("Allow") for name in value.split(",")}
    if not listed - {""}:
        return
    leg.takes_info = "INFO" in listed
    if leg.told is not None:
        leg.told.takes_update = "UPDATE" in listed


def reinvite_refused(call: CallState, leg: Leg, status: int) -> None:
    """A re-INVITE was refused: whether its report was read depends on why."""
    if status in NOT_READ:
        missed(call, leg)


def missed(call: CallState, leg: Leg) -> None:
    """A report was not read: it is told again after a wait."""
    told = leg.told
    if told is None or leg.gone or not call.live:
        return
    first = RETRY_SECONDS if leg.is_caller else OWNER_RETRY_SECONDS
    wait = min(first * 2**told.retries, MAX_RETRY_SECONDS)
    told.forget()
    told.waits = True
    told.retries = min(told.retries + 1, 8)
    call.emit(SetTimer(Timer.REPORT, wait, leg.id))


def news(call: CallState, leg: Leg) -> News:
    """What a report on this leg would say now."""
    far = call.other(leg)
    vector = far.vector if far is not None else None
    return News.of(_outlook(call), vector, _lost(call, leg), _refused(call, far))


def _shown(far: Leg | None) -> party.Party | None:
    """Who is at the other end, as far as that may be said."""
    return far.party if far is not None else None


def _name(far: Leg | None) -> str:
    """How people call the other end; who asked not to be shown is not named here either."""
    if far is None:
        return ""
    return far.display_name if not far.habits.is_person or far.party != party.HIDDEN else party.ANONYMOUS


def _refused(call: CallState, far: Leg | None) -> tuple[Code, ...]:
    """What the other end last tried to do to the protection of the call, and was refused."""
    return call.refused_changes.get(far.id, ()) if far is not None else ()


def _tone(call: CallState, far: Leg | None, grade: Grade) -> str:
    """What the person should hear first, where policy says so of calls that are weaker than it would like."""
    rules = _policy(call, far).rules
    return rules.tone if grade < rules.prefer else ""


def _policy(call: CallState, far: Leg | None) -> EffectivePolicy:
    return policy_of(call, far) if far is not None else call.policy


def _lost(call: CallState, reader: Leg) -> frozenset[str]:
    """Legs towards which media is lost, as the header names them: `browser` is the reader's own, `trunk` the other."""
    return frozenset("browser" if leg is reader else "trunk" for leg in call.pair if leg.media_lost)


def _outlook(call: CallState) -> CallPosture:
    """The posture, with the legs not agreed yet as what they will be at best."""
    open_legs = [leg for leg in call.pair if call.posture.vector(leg.id) is None]
    if not open_legs:
        return call.posture
    return call.posture.expecting({leg.id: leg.vector for leg in open_legs})
