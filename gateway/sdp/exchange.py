"""Offer and answer of one dialog, from the offer to the session it makes (RFC 3264, RFC 6337).

    proposal = talk.offer(Way.INVITE, audio, write)         # ours is out: proposal.offer.body is what is sent
    session = proposal.accept(Description(answer, body))    # what this answer would make of it; nothing has changed
    talk.agree(session)                                     # now it has

    glare = talk.hear(Way.REINVITE, tokens)                 # may it change the session now?
    talk.consider(Description(offer, body))                 # theirs is with us
    session = talk.reply(audio, write)                      # session.ours.body is what is sent; or talk.refuse()

Which step is allowed when is said in `offer_answer`; what is proposed and agreed to are the values of `session`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic

from gateway.base.table import Unexpected
from gateway.base.values import TokenSource
from gateway.sdp import glare
from gateway.sdp.glare import BackOff, Glare
from gateway.sdp.offer_answer import OFFER_ANSWER, Act, Event, State
from gateway.sdp.session import Description, Dropped, O, Origin, OurProposal, Session, T, TheirProposal, Way, Write

MAX_COLLISIONS = 2
"""How often an offer of ours comes again after 491. Who always changes at the same time as we is not waited for."""

_OFFERS = {
    Way.INVITE: Event.OFFER_FIRST,
    Way.REINVITE: Event.OFFER,
    Way.UPDATE: Event.OFFER,
    Way.IN_2XX: Event.OFFER_IN_2XX,
}


@dataclass(frozen=True, slots=True)
class Waits:
    """Our offer cannot leave now. `Negotiation.is_due` says when it may."""


@dataclass(slots=True)
class Negotiation(Generic[O, T]):
    """Offer and answer of one dialog. The steps are those of `offer_answer`; whatever has no row is `Unexpected`."""

    owns_call_id: bool
    """We made the Call-ID, so we wait longer after glare."""
    state: State = OFFER_ANSWER.first
    origin: Origin = field(default_factory=Origin)
    agreed: Session[O, T] | None = None
    preview: Session[O, T] | None = None
    """What an 18x said about the proposal that is still open."""
    proposal: OurProposal[O, T] | TheirProposal[O, T] | None = None
    founding: OurProposal[O, T] | None = None
    """What our INVITE offered: each fork answers this one, whatever was agreed since (RFC 3261 13.2.2.4)."""
    carrier: str | int = ""
    """Whatever names the request that the open exchange began with: what comes of another one is late."""
    is_restated: bool = False
    """Before our 2xx they have changed what our 18x answered: the 2xx has no answer of its own any more."""
    wanted: bool = False
    """An offer of ours waits."""
    collisions: int = 0
    _before: OurProposal[O, T] | TheirProposal[O, T] | None = None
    """What their offer in an UPDATE or PRACK before our 2xx would change."""

    @property
    def session(self) -> Session[O, T] | None:
        """What holds now: a preview while there is one, else what was agreed."""
        return self.preview or self.agreed

    @property
    def ours(self) -> O | None:
        """Our part of the session."""
        return self.session.ours.content if self.session is not None else None

    @property
    def theirs(self) -> T | None:
        """What the peer said last: an offer it is our turn to answer, else its part of the session."""
        if isinstance(self.proposal, TheirProposal):
            return self.proposal.offer.content
        return self.session.theirs.content if self.session is not None else None

    @property
    def ours_is_open(self) -> OurProposal[O, T] | None:
        """Our offer that waits for its answer."""
        return self.proposal if isinstance(self.proposal, OurProposal) else None

    @property
    def is_asked(self) -> bool:
        """Their INVITE had no offer: ours is due in the 2xx."""
        return self.state is State.ASKED

    @property
    def changes_early(self) -> bool:
        """It is our turn to answer a change that came before our 2xx."""
        return self.state is State.CHANGING_EARLY

    def is_due(self) -> bool:
        """An offer of ours has waited and may leave now."""
        return self.wanted and self.may_offer(Way.REINVITE)

    def may_offer(self, way: Way) -> bool:
        """Whether an offer can leave this way now."""
        return OFFER_ANSWER.rows.get((self.state, _OFFERS[way]), (self.state, Act.WAIT))[1] is Act.OPEN

    def want(self) -> None:
        """We have something to offer as soon as we may."""
        self.wanted = True

    def waive(self) -> None:
        """What waited need not be offered any more."""
        self.wanted = False

    def is_carried_by(self, carrier: str | int) -> bool:
        """Whether the open exchange began with this request."""
        return bool(self.carrier) and self.carrier == carrier

    def offer(
        self, way: Way, content: O, write: Write, *, carrier: str | int = ""
    ) -> OurProposal[O, T] | Waits | Unexpected:
        """Make an offer; while another one is open, it waits.

        Args:
            carrier: names the request it leaves in. An offer in a 2xx keeps the name of the INVITE it answers.

        Raises:
            SdpError: by `write`; then nothing has changed.
        """
        step = OFFER_ANSWER.step(self.state, _OFFERS[way])
        if isinstance(step, Unexpected):
            return step
        if step[1] is Act.WAIT:
            self.wanted = True
            return Waits()
        proposal: OurProposal[O, T] = OurProposal(way, self._publish(content, write))
        self.state, self.proposal, self.preview = step[0], proposal, None
        self.carrier = carrier or (self.carrier if way is Way.IN_2XX else "")
        if way is Way.INVITE:
            self.founding = proposal
        self.wanted = False
        return proposal

    def carry(self, carrier: str | int) -> None:
        """The offer made last has left in this request."""
        self.carrier = carrier

    def hear(
        self, way: Way, tokens: TokenSource, *, offers: bool = True, carrier: str | int = ""
    ) -> Glare | Unexpected | None:
        """Their INVITE, or their UPDATE with an offer, is there: may it change the session now? None: it may.

        Then it is our turn: `consider` and `reply`, or `offer` where theirs had none, or `refuse`. An UPDATE without an
        offer only refreshes the dialog and is none of our business.
        """
        event = Event.UPDATE if way is Way.UPDATE else Event.INVITE
        return self._heard(event if offers else Event.ASK, tokens, carrier)

    def _heard(self, event: Event, tokens: TokenSource, carrier: str | int) -> Glare | Unexpected | None:
        act = self._step(event)
        if isinstance(act, Unexpected):
            return act
        if act is Act.PENDING:
            return Glare(491)
        if act is Act.TOO_EARLY:
            return Glare(500, glare.retry_after(tokens))
        if self.state is State.CHANGING_EARLY:
            self._before = self.proposal
        elif self.state is not State.ANSWERING_EARLY:
            self.carrier = carrier  # in these two the exchange goes on that the INVITE began
        return None

    def invite_them(self, carrier: str | int = "") -> Unexpected | None:
        """Our INVITE leaves without an offer: theirs is due in the 2xx."""
        act = self._step(Event.INVITE_THEM)
        if isinstance(act, Unexpected):
            return act
        self.carrier = carrier
        return None

    @property
    def awaits_their_offer(self) -> bool:
        """Our INVITE had no offer."""
        return self.state is State.INVITED

    def heard_in_2xx(self) -> Unexpected | None:
        """Their 2xx to such an INVITE is there: it is our turn, as after an INVITE of theirs."""
        act = self._step(Event.THEIR_2XX)
        return act if isinstance(act, Unexpected) else None

    @staticmethod
    def put_off(tokens: TokenSource) -> Glare:
        """Their change must wait for something outside of this dialog: the other side of the call is not agreed yet."""
        return Glare(500, glare.retry_after(tokens))

    def consider(self, offer: Description[T]) -> TheirProposal[O, T] | Unexpected:
        """The offer that was heard has been read."""
        if not OFFER_ANSWER.expects(self.state, Event.REPLY):
            return self._unexpected(Event.INVITE)
        proposal: TheirProposal[O, T] = TheirProposal(offer)
        self.proposal = proposal
        return proposal

    def reply(self, content: O, write: Write) -> Session[O, T] | Unexpected:
        """Answer their offer for good.

        Raises:
            SdpError: by `write`; then nothing has changed.
        """
        return self._reply(Event.REPLY, content, write)

    def reply_early(self, content: O, write: Write) -> Session[O, T] | Unexpected:
        """Answer their offer in an 18x, which they may not get: the 2xx repeats or replaces it.

        Raises:
            SdpError: by `write`; then nothing has changed.
        """
        return self._reply(Event.REPLY_EARLY, content, write)

    def _reply(self, event: Event, content: O, write: Write) -> Session[O, T] | Unexpected:
        proposal = self.proposal
        if not OFFER_ANSWER.expects(self.state, event) or not isinstance(proposal, TheirProposal):
            return self._unexpected(event)
        session = proposal.accept(self._publish(content, write))
        self.is_restated = self.is_restated or self.state is State.CHANGING_EARLY
        act = self._step(event)
        if self.state is State.SETTLED_EARLY:
            self.proposal = self.founding  # which other phones may still answer
        return self._take(session, for_good=act is Act.AGREE)

    def refuse(self) -> Dropped[O, T] | Unexpected:
        """Their change is refused, or they gave it up."""
        dropped = self._drop(Event.REFUSE)
        if self.state is State.SETTLED_EARLY:
            self.proposal = self.founding
        elif self.state is State.ANSWERED_EARLY:
            self.proposal = self._before
        return dropped

    def pracked(self) -> Unexpected | None:
        """Their PRACK has acknowledged our answer in an 18x."""
        act = self._step(Event.PRACK)
        return act if isinstance(act, Unexpected) else None

    def stand(self) -> Session[O, T] | Unexpected:
        """Our 2xx leaves without a description: what was agreed on before it holds for good."""
        if not OFFER_ANSWER.expects(self.state, Event.STAND) or self.preview is None:
            return self._unexpected(Event.STAND)
        session = self.preview
        self._step(Event.STAND)
        return self._take(session, for_good=True)

    def early(self, session: Session[O, T], *, reliable: bool = False) -> Session[O, T] | Unexpected:
        """An answer in an 18x that policy accepts; another one, of another fork, may take its place."""
        return self._answered(Event.ANSWER_RELIABLY if reliable else Event.ANSWER_EARLY, session)

    @property
    def is_renewed(self) -> bool:
        """What holds before the 2xx is not the answer to our INVITE any more: they have changed it by UPDATE."""
        return self.preview is not None and self.founding is not None and self.preview.ours is not self.founding.offer

    def agree(self, session: Session[O, T] | None = None) -> Session[O, T] | Unexpected:
        """Their answer is accepted.

        Args:
            session: by `accept` of the open proposal; None when an 18x brought the answer and the 2xx says no more.
        """
        return self._answered(Event.ANSWER, session or self.preview)

    def _answered(self, event: Event, session: Session[O, T] | None) -> Session[O, T] | Unexpected:
        proposal = self.ours_is_open
        is_known = session is not None and session is self.preview
        if session is None or proposal is None or not (is_known or session.ours is proposal.offer):
            return self._unexpected(event)
        act = self._step(event)
        if isinstance(act, Unexpected):
            return act
        if event is Event.ANSWER:
            self.collisions = 0
        return self._take(session, for_good=event is Event.ANSWER)

    def refused(self) -> Dropped[O, T] | Unexpected:
        """They refused our offer. Its `o=` version is used up; an INVITE may bring another offer at once."""
        return self._drop(Event.REFUSAL)

    def lost(self) -> Dropped[O, T] | Unexpected:
        """No response will come, or no ACK: of an answer it may have held nothing is known."""
        return self._drop(Event.LOST)

    def collided(self, tokens: TokenSource) -> BackOff | Dropped[O, T] | Unexpected:
        """491: ours met theirs and comes again after a wait, but not for ever."""
        if self.collisions >= MAX_COLLISIONS:
            self.collisions = 0
            return self.refused()
        act = self._step(Event.COLLISION)
        if isinstance(act, Unexpected):
            return act
        self.collisions += 1
        self.wanted = True
        return BackOff(glare.wait_seconds(tokens, owns_call_id=self.owns_call_id))

    def wait_over(self) -> Unexpected | None:
        """The wait of `BackOff` is over; an offer that still waits is due as soon as nothing else is open."""
        act = self._step(Event.WAIT_OVER)
        return act if isinstance(act, Unexpected) else None

    def acknowledged(self) -> Unexpected | None:
        """Their ACK is there and brought no answer. One that does goes through `agree`."""
        act = self._step(Event.ACK)
        return act if isinstance(act, Unexpected) else None

    def _drop(self, event: Event) -> Dropped[O, T] | Unexpected:
        proposal = self.proposal
        act = self._step(event)
        return act if isinstance(act, Unexpected) else Dropped(proposal)

    def _take(self, session: Session[O, T], *, for_good: bool) -> Session[O, T]:
        if for_good:
            self.agreed, self.preview, self.proposal = session, None, None
        else:
            self.preview = session
        return session

    def _publish(self, content: O, write: Write) -> Description[O]:
        self.origin = self.origin.publish(write)
        return Description(content, self.origin.body, self.origin.version)

    def _step(self, event: Event) -> Act | Unexpected:
        step = OFFER_ANSWER.step(self.state, event)
        if isinstance(step, Unexpected):
            return step
        self.state, act = step
        if act in (Act.DROP, Act.BACK_OFF):
            self.proposal = self.preview = None
        if self.state in (State.STABLE, State.BACKING_OFF):
            self.carrier = ""
        return act

    def _unexpected(self, event: Event) -> Unexpected:
        return Unexpected(OFFER_ANSWER.name, self.state.name, event.name, OFFER_ANSWER.counter)
