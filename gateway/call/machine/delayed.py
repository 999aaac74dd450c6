"""An INVITE of ours without an offer, for trunks that want to make it: theirs is in the 2xx, our answer in the ACK.

RFC 3261 13.2.1, 14.2. What policy says of an offer it says here too, before anything of it is used; where it says no,
the phone that answered is acknowledged without an answer and hung up on, and the caller hears why.
"""

from __future__ import annotations

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.call.legs.agreed import AgreedMedia
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.legs.places import termination_of
from gateway.call.machine import bridge, direction, judging, security
from gateway.call.machine.hunt import Goal
from gateway.call.machine.judging import Judged, policy_of
from gateway.call.machine.state import CallState
from gateway.sdp.negotiation import common_codecs
from gateway.sdp.session import Description, Session
from gateway.sip.message import Response


def is_wanted(call: CallState, leg: Leg) -> bool:
    """Whether this leg gets its INVITE without an offer.

    Only where a caller waits whose offer is known: who is put in the place of somebody else is judged by its answer.
    """
    return leg.makes_the_offer and call.hunt.goal is Goal.CALL and not call.caller.talk.is_asked


def answer(call: CallState, leg: Leg, response: Response) -> bytes | Termination:
    """Our answer to the offer in the 2xx that is the call, or why there is none: that is on record then."""
    call.count(leg.talk.heard_in_2xx())
    try:
        if response.unreadable:
            raise RefusedOfferError(Termination.ANSWER_UNREADABLE)
        return _answered(call, leg, leg.read_offer(response.body), response.body)
    except KeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        why = error.termination
    except RefusedOfferError as error:
        why = error.termination
    except SdpError as error:
        why = termination_of(error)
    call.count(leg.talk.refuse())
    return why


class RefusedOfferError(SdpError):
    """Their offer cannot be the call's; `termination` says why."""

    def __init__(self, termination: Termination) -> None:
        self.termination = termination
        super().__init__(termination.words, 488)


def _answered(call: CallState, leg: Leg, agreed: AgreedMedia, body: bytes) -> bytes:
    """Judge the offer, take it and write our answer: the record first, then the relay.

    Raises:
        SdpError: policy says no, there is no codec in common, or the answer cannot be written.
    """
    step = _judged(call, leg, agreed)
    codecs = common_codecs(agreed.remote.codecs, call.asked_codecs)
    if not codecs:
        raise RefusedOfferError(Termination.NO_COMMON_CODEC)
    leg.talk.consider(Description(agreed, body))
    session = leg.answer(direction.answer_terms(codecs, leg, call.asker))
    if not isinstance(session, Session):
        raise SdpError("no answer is due", 500)
    security.posture_changed(call, leg, step=step)
    bridge.begin_handshake(call, leg)
    return session.ours.body


def _judged(call: CallState, leg: Leg, agreed: AgreedMedia) -> Judged:
    """What policy says, as of an offer (P0) and as of an answer (P3).

    Raises:
        RefusedOfferError: no.
    """
    refusal = leg.refusal_of(agreed, policy_of(call, leg))
    if refusal is not None:
        security.refused_offer(call, leg, refusal)
        raise RefusedOfferError(refusal.termination)
    step = judging.answer_of(call, leg, agreed)
    if not step.verdict.allowed:
        why = step.verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, step.verdict.codes, why, step.vector)
        raise RefusedOfferError(why)
    return step
