"""Offer and answer of one leg: how it reads, writes and agrees, the same for both profiles (RFC 3264).

What a description says is read and written by the profiles; which step is allowed when is said in `sdp/offer_answer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from gateway.base.errors import SdpError
from gateway.base.table import Unexpected
from gateway.call.legs.agreed import AgreedMedia, Will
from gateway.call.legs.terms import Terms
from gateway.call.legs.user_agent import UserAgent
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.exchange import Negotiation, Waits
from gateway.sdp.extension import HeaderExtension, answered, offered
from gateway.sdp.media import LocalAudio, RemoteAudio
from gateway.sdp.session import Description, OurProposal, Session, Way

M = TypeVar("M", bound=AgreedMedia)


@dataclass(kw_only=True)
class NegotiatingAgent(UserAgent, ABC, Generic[M]):
    """A user agent that agrees on media with its peer."""

    session_id: int
    talk: Negotiation[LocalAudio, M] = field(init=False)
    """Offer and answer: what both sides agreed on, and the proposal that may change it."""
    extensions: tuple[str, ...] = ()
    """Header extensions of RTP that may be agreed on, best first."""
    answered_in_ack: bytes = field(default=b"", repr=False)
    """Our answer to an offer that came in a 2xx: each ACK of that 2xx brings it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.talk = Negotiation(owns_call_id=not self.is_caller)

    @property
    def agreed(self) -> M | None:
        """What record and relay follow: what the peer said last, be it an offer that we are about to answer."""
        return self.talk.theirs

    @property
    def remote(self) -> RemoteAudio | None:
        """The line the peer described last."""
        return self.agreed.remote if self.agreed is not None else None

    @property
    def will(self) -> Will:
        """What the peer wants itself; an answer to our hold does not change what it did not ask for."""
        return self.agreed.will if self.agreed is not None else Will()

    @property
    def is_agreed(self) -> bool:
        """Both descriptions are known."""
        return self.talk.session is not None

    @property
    def early_media(self) -> bool:
        """An answer was taken from an 18x and the callee has not picked up yet."""
        return self.talk.ours_is_open is not None and self.talk.preview is not None and not self.invitation.is_confirmed

    # What the profiles do: read a description, describe our side.

    @property
    @abstractmethod
    def usable_codecs(self) -> tuple[Codec, ...]:
        """Codecs to offer when the other side's are not known yet (delayed offer, RFC 3261 13.2.1)."""

    @abstractmethod
    def inspect_offer(self, body: bytes) -> M:
        """Read an offer without taking it: policy has the word first.

        Raises:
            SdpError: unusable; `KeyingError` when the reason is how it is to be keyed.
        """

    @abstractmethod
    def inspect_answer(self, body: bytes, offer: LocalAudio) -> M:
        """Read an answer to this offer of ours without taking it.

        Raises:
            SdpError: unusable; `KeyingError` when it breaks what nothing can make up for.
        """

    @abstractmethod
    def describe_offer(self, terms: Terms) -> LocalAudio:
        """Our side, as an offer.

        Raises:
            SdpError: it cannot be described.
        """

    @abstractmethod
    def describe_answer(self, agreed: M, terms: Terms) -> LocalAudio:
        """Our side, as the answer to this.

        Raises:
            SdpError: it cannot be described.
        """

    def has_offered(self, ours: LocalAudio) -> None:
        """This offer leaves now: its keys are used, whatever comes of it."""

    def has_agreed(self, agreed: M, before: M | None) -> None:
        """The session stands on this from now on.

        Args:
            before: what early media was under until now.
        """

    # What is the same for both.

    def read_offer(self, body: bytes) -> M:
        """Read an offer without taking it.

        Raises:
            SdpError: see `inspect_offer`.
        """
        read = self.inspect_offer(body)
        return replace(read, will=Will.of_offer(read.remote.direction))

    def read_answer(
        self, body: bytes, proposal: OurProposal[LocalAudio, M] | None, *, fork: str = ""
    ) -> Session[LocalAudio, M]:
        """The session an answer would make; nothing of it is taken.

        Args:
            fork: To-tag of the early dialog it came in, in an 18x.

        Raises:
            SdpError: nothing was offered, or see `inspect_answer`.
        """
        if proposal is None:
            raise SdpError("answer without an offer")
        ours = proposal.offer.content
        read = self.inspect_answer(body, ours)
        will = self.will.after_answer(read.remote.direction, ours.direction)
        return proposal.accept(Description(replace(read, will=will, fork=fork), body))

    def offer(self, way: Way, terms: Terms) -> OurProposal[LocalAudio, M] | Waits | Unexpected:
        """Our offer, if one may leave now.

        Raises:
            SdpError: it cannot be described or written; nothing has changed.
        """
        ours = self._with_extensions(self.describe_offer(terms), terms, None)
        made = self.talk.offer(way, ours, lambda n: build_offer(ours, session_id=self.session_id, version=n))
        if isinstance(made, OurProposal):
            self.has_offered(ours)
        return made

    def answer(self, terms: Terms, *, early: bool = False) -> Session[LocalAudio, M] | Unexpected:
        """Our answer to the offer that is considered, which is agreed to thereby, or previewed in an 18x.

        Raises:
            SdpError: there is none, or it cannot be described or written; nothing has changed.
        """
        theirs = self.agreed
        if theirs is None or theirs.description is None:
            raise SdpError("no offer to answer", 500)
        ours = self._with_extensions(self.describe_answer(theirs, terms), terms, theirs.remote)
        asked, index = theirs.description, theirs.remote.index

        def write(version: int) -> bytes:
            return build_answer(ours, asked, audio_index=index, session_id=self.session_id, version=version)

        session = self.talk.reply_early(ours, write) if early else self.talk.reply(ours, write)
        if isinstance(session, Session):
            self.has_agreed(theirs, None)
        return session

    def _with_extensions(self, ours: LocalAudio, terms: Terms, offer: RemoteAudio | None) -> LocalAudio:
        """Our description with the header extensions that the configuration lets pass and the other side has."""
        if offer is not None:
            return replace(ours, extensions=answered(offer.extensions, terms.extensions, self.extensions))
        before = self.talk.ours.extensions if self.talk.ours is not None else ()
        return replace(ours, extensions=offered(terms.extensions, self.extensions, before))

    @property
    def agreed_extensions(self) -> tuple[HeaderExtension, ...]:
        """Header extensions in both descriptions, as the peer sends and takes them."""
        if self.talk.ours is None or self.remote is None:
            return ()
        ours = {(extension.number, extension.uri) for extension in self.talk.ours.extensions}
        return tuple(e for e in self.remote.extensions if (e.number, e.uri) in ours)

    def take(
        self, session: Session[LocalAudio, M], *, early: bool = False, reliable: bool = False
    ) -> Session[LocalAudio, M] | Unexpected:
        """Policy accepts an answer: the session stands on it from now on, or until the 2xx if it is early."""
        before = self.talk.preview
        taken = self.talk.early(session, reliable=reliable) if early else self.talk.agree(session)
        if isinstance(taken, Session):
            self.has_agreed(session.theirs.content, before.theirs.content if before is not None else None)
        return taken
