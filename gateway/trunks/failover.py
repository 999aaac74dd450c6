"""When a request of ours goes on to another place of its trunk (RFC 3263 4.3): one rule for all who ask a trunk.

A place that says nothing, whose connection breaks, or that says 503 has not dealt with the request. Whatever else is
said is said of the request, and would be said everywhere. No clock and no sockets.
"""

from __future__ import annotations

from gateway.sip.flow import Flow
from gateway.trunks.target import Spot

UNAVAILABLE = 503
MAX_PLACES = 8
"""Places of one trunk that one request is sent to: somebody waits meanwhile, and names may lead elsewhere each time."""

Tried = tuple[Spot, ...]
"""Places a request was sent to, in their order."""


def is_of_the_place(status: int) -> bool:
    """Whether a final response says how the place fares, and nothing of the request."""
    return status == UNAVAILABLE


def after(tried: Tried, *flows: Flow) -> Tried:
    """With the places at the other end of these flows, each once."""
    return tuple(dict.fromkeys((*tried, *(Spot(flow.transport, flow.remote) for flow in flows))))


def may_go_on(tried: Tried) -> bool:
    """Whether one more may be tried."""
    return len(tried) < MAX_PLACES
