"""Offer and answer of one dialog as a table (RFC 3264 4, RFC 6337 2, RFC 3261 14, RFC 3311 5, RFC 5407 3.1.4).

    (state, event) -> (next state, what becomes of the open proposal and the session)

One offer at a time: whatever comes while one is open waits (ours) or is told to come again (theirs), and the rows are
the only place that says so. What both sides agreed on lives in `exchange`, which takes these steps.

- An answer in an 18x is a preview, be it acknowledged (RFC 3262) or not: another fork or the 200 may answer better, and
  the offer stays open until the INVITE has its final response (RFC 3261 13.2.1). After one that is acknowledged that
  phone may change what was said by UPDATE (RFC 3311 5.1); then its 2xx stands on that, whatever it repeats.
- Our answer in an 18x may change until their PRACK acknowledges it; from then on they may change the session by UPDATE
  or PRACK (RFC 3311 5.2, RFC 3262 5). Then our 2xx says nothing more of it (RFC 3261 13.2.1).
- Our re-INVITE waits for the ACK of their INVITE (RFC 3261 14.1). Theirs need not wait for our ACK to arrive: on UDP
  their next change may overtake it, and it shows that they have our answer.
- An UPDATE they send before that ACK is answered too; then the ACK is not waited for any longer.
"""

from __future__ import annotations

from enum import Enum

from gateway.base.counters import Counter
from gateway.base.table import Table


class State(Enum):
    """Where offer and answer stand; the value says it in words."""

    STABLE = "no offer is open"
    OFFERED_FIRST = "our offer is out in the INVITE that makes the dialog; each fork may answer it"
    SETTLED_EARLY = "a reliable 18x has answered the offer of our INVITE; its 2xx is awaited"
    ANSWERING_EARLY = "their UPDATE brought an offer before that 2xx"
    INVITED = "our INVITE has no offer: theirs is due in the 2xx"
    OFFERED = "our offer is out in a re-INVITE or UPDATE"
    OFFERED_IN_2XX = "our offer is out in the 2xx to their INVITE; its answer comes in the ACK"
    BACKING_OFF = "our offer met theirs and comes again after a wait drawn by lot"
    ASKED = "their INVITE has no offer: ours is due in the 2xx"
    ANSWERING = "their INVITE brought an offer, which we have not answered for good"
    ANSWERING_2XX = "their 2xx brought an offer, which is answered in the ACK"
    ANSWERING_UPDATE = "their UPDATE brought an offer, which we have not answered"
    ANSWERED_EARLY = "our answer to their INVITE, in an 18x, is acknowledged; our 2xx is due"
    CHANGING_EARLY = "their UPDATE or PRACK brought an offer before that 2xx"
    ANSWERED = "their INVITE is answered; its ACK is awaited"


class Event(Enum):
    """What can happen to it; the value says it in words."""

    OFFER_FIRST = "we offer in an INVITE"
    INVITE_THEM = "our INVITE leaves without an offer"
    OFFER = "we offer in a re-INVITE or UPDATE"
    OFFER_IN_2XX = "we offer in a 2xx"
    REPLY_EARLY = "we answer in an 18x"
    REPLY = "we answer"
    REFUSE = "we refuse"
    INVITE = "their INVITE with offer"
    ASK = "their INVITE without"
    UPDATE = "their UPDATE with offer"
    PRACK = "their PRACK for our answer in an 18x"
    STAND = "our 2xx, without a word of it"
    THEIR_2XX = "their 2xx to such an INVITE"
    ANSWER_EARLY = "they answer in an 18x"
    ANSWER_RELIABLY = "they answer in a reliable 18x"
    ANSWER = "they answer"
    REFUSAL = "they refuse"
    COLLISION = "they say 491"
    ACK = "their ACK"
    LOST = "no response, or no ACK"
    WAIT_OVER = "the wait is over"


class Act(Enum):
    """What a row does besides moving on; the value says it in words."""

    OPEN = "a proposal"
    PREVIEW = "a session to preview; the offer stays open"
    AGREE = "a new session"
    DROP = "dropped: the session is what it was"
    BACK_OFF = "dropped, and made again later"
    WAIT = "ours waits"
    PENDING = "they get 491"
    TOO_EARLY = "they get 500 with Retry-After"
    KEEP = "nothing changes"


Rows = dict[tuple[State, Event], tuple[State, Act]]

_THEIRS = (Event.INVITE, Event.ASK, Event.UPDATE)


def _free(state: State) -> Rows:
    """Rows of a state in which no offer is open: whoever comes first may change the session."""
    return {
        (state, Event.INVITE): (State.ANSWERING, Act.OPEN),
        (state, Event.ASK): (State.ASKED, Act.KEEP),
        (state, Event.UPDATE): (State.ANSWERING_UPDATE, Act.OPEN),
    }


def _ours_is_open(state: State) -> Rows:
    """Rows of a state in which our offer is out: theirs collide with it (RFC 3261 14.2, RFC 3311 5.2, RFC 5407)."""
    return {
        **{(state, event): (state, Act.PENDING) for event in _THEIRS},
        (state, Event.OFFER): (state, Act.WAIT),
        (state, Event.ANSWER): (State.STABLE, Act.AGREE),
        (state, Event.LOST): (State.STABLE, Act.DROP),
    }


def _theirs_is_open(state: State) -> Rows:
    """Rows of a state in which it is our turn: a second change of theirs comes too early (the same clauses)."""
    return {
        **{(state, event): (state, Act.TOO_EARLY) for event in _THEIRS},
        (state, Event.OFFER): (state, Act.WAIT),
        (state, Event.REFUSE): (State.STABLE, Act.DROP),
    }


ROWS: Rows = {
    **_free(State.STABLE),
    (State.STABLE, Event.OFFER_FIRST): (State.OFFERED_FIRST, Act.OPEN),
    (State.STABLE, Event.OFFER): (State.OFFERED, Act.OPEN),
    (State.STABLE, Event.ACK): (State.STABLE, Act.KEEP),
    (State.STABLE, Event.WAIT_OVER): (State.STABLE, Act.KEEP),
    **_ours_is_open(State.OFFERED_FIRST),
    (State.OFFERED_FIRST, Event.ANSWER_EARLY): (State.OFFERED_FIRST, Act.PREVIEW),
    (State.OFFERED_FIRST, Event.ANSWER_RELIABLY): (State.SETTLED_EARLY, Act.PREVIEW),
    (State.OFFERED_FIRST, Event.REFUSAL): (State.STABLE, Act.DROP),
    **_ours_is_open(State.SETTLED_EARLY),
    (State.SETTLED_EARLY, Event.UPDATE): (State.ANSWERING_EARLY, Act.OPEN),
    (State.SETTLED_EARLY, Event.ANSWER_EARLY): (State.SETTLED_EARLY, Act.PREVIEW),
    (State.SETTLED_EARLY, Event.ANSWER_RELIABLY): (State.SETTLED_EARLY, Act.PREVIEW),
    (State.SETTLED_EARLY, Event.REFUSAL): (State.STABLE, Act.DROP),
    **_theirs_is_open(State.ANSWERING_EARLY),
    (State.ANSWERING_EARLY, Event.REPLY): (State.SETTLED_EARLY, Act.PREVIEW),
    (State.ANSWERING_EARLY, Event.REFUSE): (State.SETTLED_EARLY, Act.KEEP),
    (State.STABLE, Event.INVITE_THEM): (State.INVITED, Act.KEEP),
    **{(State.INVITED, event): (State.INVITED, Act.PENDING) for event in _THEIRS},
    (State.INVITED, Event.OFFER): (State.INVITED, Act.WAIT),
    (State.INVITED, Event.THEIR_2XX): (State.ANSWERING_2XX, Act.OPEN),
    (State.INVITED, Event.REFUSAL): (State.STABLE, Act.DROP),
    (State.INVITED, Event.LOST): (State.STABLE, Act.DROP),
    **_theirs_is_open(State.ANSWERING_2XX),
    (State.ANSWERING_2XX, Event.REPLY): (State.STABLE, Act.AGREE),
    **_ours_is_open(State.OFFERED),
    (State.OFFERED, Event.REFUSAL): (State.STABLE, Act.DROP),
    (State.OFFERED, Event.COLLISION): (State.BACKING_OFF, Act.BACK_OFF),
    (State.OFFERED, Event.ACK): (State.OFFERED, Act.KEEP),
    (State.OFFERED, Event.WAIT_OVER): (State.OFFERED, Act.KEEP),
    **_ours_is_open(State.OFFERED_IN_2XX),
    (State.OFFERED_IN_2XX, Event.ACK): (State.STABLE, Act.DROP),
    (State.OFFERED_IN_2XX, Event.WAIT_OVER): (State.OFFERED_IN_2XX, Act.KEEP),
    **_free(State.BACKING_OFF),
    (State.BACKING_OFF, Event.OFFER): (State.BACKING_OFF, Act.WAIT),
    (State.BACKING_OFF, Event.ACK): (State.BACKING_OFF, Act.KEEP),
    (State.BACKING_OFF, Event.WAIT_OVER): (State.STABLE, Act.KEEP),
    **_theirs_is_open(State.ASKED),
    (State.ASKED, Event.OFFER_IN_2XX): (State.OFFERED_IN_2XX, Act.OPEN),
    (State.ASKED, Event.ACK): (State.ASKED, Act.KEEP),
    (State.ASKED, Event.LOST): (State.STABLE, Act.DROP),
    (State.ASKED, Event.WAIT_OVER): (State.ASKED, Act.KEEP),
    **_theirs_is_open(State.ANSWERING),
    (State.ANSWERING, Event.REPLY_EARLY): (State.ANSWERING, Act.PREVIEW),
    (State.ANSWERING, Event.REPLY): (State.ANSWERED, Act.AGREE),
    (State.ANSWERING, Event.ACK): (State.ANSWERING, Act.KEEP),
    (State.ANSWERING, Event.LOST): (State.STABLE, Act.DROP),
    (State.ANSWERING, Event.WAIT_OVER): (State.ANSWERING, Act.KEEP),
    (State.ANSWERING, Event.PRACK): (State.ANSWERED_EARLY, Act.KEEP),
    **_theirs_is_open(State.ANSWERED_EARLY),
    (State.ANSWERED_EARLY, Event.UPDATE): (State.CHANGING_EARLY, Act.OPEN),
    (State.ANSWERED_EARLY, Event.PRACK): (State.ANSWERED_EARLY, Act.KEEP),
    (State.ANSWERED_EARLY, Event.REPLY_EARLY): (State.ANSWERED_EARLY, Act.PREVIEW),
    (State.ANSWERED_EARLY, Event.REPLY): (State.ANSWERED, Act.AGREE),
    (State.ANSWERED_EARLY, Event.STAND): (State.ANSWERED, Act.AGREE),
    (State.ANSWERED_EARLY, Event.LOST): (State.STABLE, Act.DROP),
    **_theirs_is_open(State.CHANGING_EARLY),
    (State.CHANGING_EARLY, Event.REPLY): (State.ANSWERED_EARLY, Act.PREVIEW),
    (State.CHANGING_EARLY, Event.REFUSE): (State.ANSWERED_EARLY, Act.KEEP),
    (State.CHANGING_EARLY, Event.LOST): (State.STABLE, Act.DROP),
    **_theirs_is_open(State.ANSWERING_UPDATE),
    (State.ANSWERING_UPDATE, Event.REPLY): (State.STABLE, Act.AGREE),
    (State.ANSWERING_UPDATE, Event.ACK): (State.ANSWERING_UPDATE, Act.KEEP),
    (State.ANSWERING_UPDATE, Event.WAIT_OVER): (State.ANSWERING_UPDATE, Act.KEEP),
    **_free(State.ANSWERED),
    (State.ANSWERED, Event.OFFER): (State.ANSWERED, Act.WAIT),
    (State.ANSWERED, Event.ACK): (State.STABLE, Act.KEEP),
    (State.ANSWERED, Event.LOST): (State.STABLE, Act.KEEP),
    (State.ANSWERED, Event.WAIT_OVER): (State.ANSWERED, Act.KEEP),
}

OFFER_ANSWER = Table("offer/answer", State.STABLE, ROWS, Counter.OFFER_UNEXPECTED)
"""Both sides of every dialog."""
