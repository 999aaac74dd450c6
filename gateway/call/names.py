"""Host names where a trunk's media should be: what waits for DNS, and what it may lead to (RFC 8866 5.7).

A name is a wish of the peer's, so nothing is sent where it leads unless that lies in the networks the administrator
gave the trunk. Looking it up is an effect; what needs it waits in order, and the first address is kept for the call.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from gateway.base.errors import SdpError
from gateway.call import setup
from gateway.call.effects import LegName, ResolveNames
from gateway.call.events import AckIn, Event, NamesFound, RequestIn, ResponseIn
from gateway.call.state import CallState
from gateway.call.trunk_leg import TrunkLeg
from gateway.sdp.description import SessionDescription
from gateway.sdp.media import audio_lines

MAX_NAMES = 4
"""Names looked up for one description; one for RTP and one for RTCP are all a line can need."""
MAX_KEPT = 32
"""Names of one call; one that changes them more often than this is no telephone call, and DNS is not asked again."""
MAX_WAITING = 16
"""Messages of a trunk that wait for one lookup, which takes seconds at most; what is more is taken as it is."""


def start(call: CallState) -> None:
    """Begin the call, once the names in its offer are known."""
    body = call.caller.invite.body if call.caller.invite else b""
    names = _unknown(call.caller, body) if isinstance(call.caller, TrunkLeg) else ()
    if names:
        call.start_waits = True
        call.emit(ResolveNames(names))
    else:
        setup.start(call)


def must_wait(call: CallState, event: Event) -> bool:
    """Whether an event stays behind for a lookup: its own, or that of an earlier message of the trunk."""
    body = _description(call, event)
    if call.trunk is None or body is None or len(call.waiting) >= MAX_WAITING:
        return False
    names = () if call.waiting else _unknown(call.trunk, body)
    if not names and not call.waiting:
        return False
    call.waiting.append(event)
    if names:
        call.emit(ResolveNames(names))
    return True


def found(call: CallState, event: NamesFound) -> list[Event]:
    """Keep what DNS said; returns the events that have waited."""
    leg = call.trunk
    if leg is not None:
        for name, addresses in event.addresses:
            leg.names.setdefault(name, _allowed(leg, addresses))
    if call.start_waits:
        call.start_waits = False
        setup.start(call)
    waited, call.waiting = call.waiting, []
    return waited


def _description(call: CallState, event: Event) -> bytes | None:
    """The description in a message of the trunk, perhaps an empty one; None: the event never waits."""
    match event:
        case RequestIn(leg=LegName.TRUNK) if event.request.method != "BYE":
            return event.request.body
        case ResponseIn(leg=LegName.TRUNK):
            return event.response.body
        case AckIn() if call.trunk is not None and event.key in (call.trunk.invite_key, call.trunk.reinvite_key):
            return event.request.body
        case _:
            return None


def _unknown(leg: TrunkLeg, body: bytes) -> tuple[str, ...]:
    """Names in a description that were not looked up yet; none for a trunk whose networks are not known."""
    if not body or not leg.media_networks or len(leg.names) >= MAX_KEPT:
        return ()
    try:
        lines = audio_lines(SessionDescription.parse(body))
    except SdpError:
        return ()  # told when it is judged
    hosts = {place.host.lower(): None for line in lines for place in (line.rtp, line.rtcp) if place is not None}
    return tuple(name for name in hosts if _is_name(name) and name not in leg.names)[:MAX_NAMES]


def _is_name(host: str) -> bool:
    """A name that can be looked up; `.invalid` means that there is no address (RFC 2606 2)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not host.rstrip(".").endswith("invalid")
    return False


def _allowed(leg: TrunkLeg, addresses: Sequence[str]) -> str:
    """The first address our media socket can reach within the trunk's networks, or "" for none."""
    version = ipaddress.ip_address(leg.media_bind).version if leg.media_bind else None
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if version in (None, address.version) and any(address in network for network in leg.media_networks):
            return text
    return ""
