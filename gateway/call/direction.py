"""Hold as arithmetic: two legs, each with its own will to send and to receive (RFC 3264 8.4, RFC 6337 5.3)."""

from __future__ import annotations

from gateway.call.leg import Leg
from gateway.sdp.media import Direction


def of(sends: bool, receives: bool) -> Direction:
    """The direction attribute of someone who sends and receives so."""
    if sends and receives:
        return Direction.SENDRECV
    if sends:
        return Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


def answer_to(leg: Leg, other: Leg | None) -> Direction:
    """Our answer on `leg`: we send what the other side sends and pass on what it takes."""
    sends = leg.wants_to_receive and (other is None or other.wants_to_send)
    receives = leg.wants_to_send and (other is None or other.wants_to_receive)
    return of(sends, receives)


def offer_from(other: Leg | None) -> Direction:
    """Our offer to a leg: we speak for the other side."""
    if other is None:
        return Direction.SENDRECV
    return of(other.wants_to_send, other.wants_to_receive)


def hears(leg: Leg, other: Leg) -> bool:
    """Whether the peer of `leg` is to hear the other now: else it is on hold, and silence is agreed on."""
    return other.wants_to_send and leg.wants_to_receive
