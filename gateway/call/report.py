"""The report a browser gets of its call's protection: the `Call-Security` header, and what it has heard so far."""

from __future__ import annotations

import copy

from gateway.call import party
from gateway.call.browser_leg import BrowserLeg
from gateway.call.effects import SetTimer, Timer
from gateway.call.state import CallState
from gateway.policy.header import HEADER_NAME, News, call_security_header
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


def announce(call: CallState) -> tuple[tuple[str, str], ...]:
    """Call-Security and P-Asserted-Identity for a message that leaves for the browser now: from here on it is told.

    Legs not agreed yet count as what they will be at best.
    """
    browser, trunk = call.browser, call.trunk
    if browser is None:
        return ()
    call.report_seq += 1
    call.told, call.party_told = news(call), call.party
    value = call_security_header(
        _outlook(call),
        call.policy,
        browser.vector,
        trunk.vector if trunk else None,
        seq=call.report_seq,
        call_id=call.id,
        lost=_lost(call),
        next_hop=call.trunk_config.display_name,
    )
    who = () if call.party is None else ((party.HEADER, str(call.party.address(call.site.realm))),)
    return ((HEADER_NAME, value), *who)


def note_party(call: CallState, message: Message) -> None:
    """A message of the trunk was accepted: if the trunk is believed, it may say who is there now."""
    trusted = call.trunk_config.trust_identity
    call.party = party.connected(message, call.site.realm, trusted=trusted) or call.party


def is_told(call: CallState) -> bool:
    """Whether the browser has heard how the call is protected, and who it speaks to."""
    return call.told == news(call) and call.party_told == call.party


def note_allow(leg: BrowserLeg, message: Message) -> None:
    """A browser that lists its methods without UPDATE gets none; one that lists nothing is tried (RFC 3261 20.5)."""
    listed = {name.strip().upper() for value in message.headers.get_all("Allow") for name in value.split(",")}
    if listed - {""}:
        leg.takes_update = "UPDATE" in listed


def reinvite_refused(call: CallState, status: int) -> None:
    """A re-INVITE to the browser was refused: whether its report was read depends on why."""
    if status in NOT_READ:
        missed(call)


def missed(call: CallState) -> None:
    """A report was not read: it is told again after a wait."""
    owner = call.browser is call.callee
    first = OWNER_RETRY_SECONDS if owner else RETRY_SECONDS
    wait = min(first * 2**call.report_retries, MAX_RETRY_SECONDS)
    call.told, call.report_waits = None, True
    call.report_retries = min(call.report_retries + 1, 8)
    call.emit(SetTimer(Timer.REPORT, wait))


def news(call: CallState) -> News:
    """What a report would say now."""
    trunk = call.trunk
    return News.of(_outlook(call), trunk.vector if trunk else None, _lost(call))


def _lost(call: CallState) -> frozenset[str]:
    return frozenset(leg.value for leg in call.media_lost)


def _outlook(call: CallState) -> CallPosture:
    """The posture, with the legs not agreed yet as what they will be at best."""
    open_legs = [
        leg for leg in (call.browser, call.trunk) if leg is not None and call.posture.vector(leg.name.value) is None
    ]
    if not open_legs:
        return call.posture
    outlook = copy.deepcopy(call.posture)
    for leg in open_legs:
        outlook.update(leg.name.value, leg.vector)
    return outlook
