"""Hold as arithmetic: two legs, each with its own will to send and to receive (RFC 3264 8.4, RFC 6337 5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.call.legs.leg import Leg
from gateway.call.legs.terms import Terms
from gateway.sdp.codecs import Codec
from gateway.sdp.direction import Direction


def of(sends: bool, receives: bool) -> Direction:
    """The direction attribute of someone who sends and receives so."""
    if sends and receives:
        return Direction.SENDRECV
    if sends:
        return Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


def answer_to(leg: Leg, other: Leg | None) -> Direction:
    """Our answer on `leg`: we send what the other side sends and pass on what it takes."""
    sends = leg.will.receives and (other is None or other.will.sends)
    receives = leg.will.sends and (other is None or other.will.receives)
    return of(sends, receives)


def offer_from(other: Leg | None) -> Direction:
    """Our offer to a leg: we speak for the other side."""
    if other is None:
        return Direction.SENDRECV
    return of(other.will.sends, other.will.receives)


def hears(leg: Leg, other: Leg) -> bool:
    """Whether the peer of `leg` is to hear the other now: else it is on hold, and silence is agreed on."""
    return other.will.sends and leg.will.receives


def terms(codecs: Sequence[Codec], wanted: Direction, other: Leg | None) -> Terms:
    """What we say on a leg; packets are asked for as long as the other side wants them, for they are passed on as they
    come (RFC 8866 6.4)."""
    pace = other.remote if other is not None else None
    if pace is None:
        return Terms(tuple(codecs), wanted)
    extensions = tuple(extension.uri for extension in pace.extensions)
    return Terms(tuple(codecs), wanted, pace.ptime, pace.maxptime, extensions)


def offer_terms(codecs: Sequence[Codec], other: Leg | None) -> Terms:
    """What we offer a leg."""
    return terms(codecs, offer_from(other), other)


def answer_terms(codecs: Sequence[Codec], leg: Leg, other: Leg) -> Terms:
    """What we answer a leg."""
    return terms(codecs, answer_to(leg, other), other)
