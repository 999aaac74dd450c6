"""One side of a call: what it agreed on by offer and answer, and how that protects it; its signalling is `user_agent`.

There is one kind of leg, with two profiles: what a browser or a trunk negotiates, and what is expected of either, is
the business of `legs.browser` and `legs.trunk`. Nobody else asks which of the two a leg is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import DtlsRole, Keying
from gateway.base.table import Unexpected
from gateway.base.termination import Termination
from gateway.base.values import HostPort
from gateway.call.legs.agreed import AgreedMedia, Will
from gateway.call.legs.keypad import Keypad
from gateway.call.legs.party import Party
from gateway.call.legs.redirects import Redirects
from gateway.call.legs.terms import Terms
from gateway.call.legs.told import Told
from gateway.call.legs.user_agent import UserAgent
from gateway.media.relay_commands import LegCommand, Place
from gateway.policy.evaluate import OfferPlan, Refusal
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import SecurityVector
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.exchange import Negotiation, Waits
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import LocalAudio, RemoteAudio
from gateway.sdp.session import Description, OurProposal, Session, Way
from gateway.sip.message import Message
from gateway.sip.subscription import Subscriptions

MAX_VECTORS = 4
"""Vectors of a leg that are kept with their grades: what it is, what it was, and what an answer would make of it."""

MAX_FACING = 16
"""Legs that one may be joined with: a proxy forks to all browsers of a user, and nobody has more."""

M = TypeVar("M", bound=AgreedMedia)


class KeyingError(SdpError):
    """A description breaks a keying rule; `codes` are the policy catalogue's, `termination` says why a call ends."""

    def __init__(self, codes: Iterable[Code], termination: Termination) -> None:
        self.codes = tuple(sorted(set(codes)))
        self.termination = termination
        super().__init__(", ".join(self.codes), 488)


@dataclass(kw_only=True)
class BaseLeg(UserAgent, ABC, Generic[M]):
    """A leg: its signalling, what it agreed on and how it is protected."""

    session_id: int
    policy: EffectivePolicy | None = None
    """What this leg must meet; None: what the call must."""
    display_name: str = ""
    """How people call the other end, "" where it has no name of its own."""
    trusts_identity: bool = False
    """Whether it is believed who it says is there (RFC 3325)."""
    said: Message | None = field(default=None, repr=False)
    """The last answer of a callee that the caller may hear something of."""
    party: Party | None = None
    """Who is there, as the other side is shown it; None: nobody but the number that was dialled."""
    gone: bool = False
    """It is no part of the call any more: handed over to somebody else, while the call went on."""
    number: str = ""
    """What people dial to reach the peer."""
    facing: list[Leg] = field(default_factory=list, repr=False, compare=False)
    """Legs of other calls that a proxy has joined with this one: the far end of each is at our place for the other."""
    subscriptions: Subscriptions = field(default_factory=Subscriptions, repr=False)
    """What the peer is told of the transfers it asked for."""
    notices: dict[int, int] = field(default_factory=dict)
    """NOTIFYs without an answer, by the number of the request, with that of their subscription."""
    was_down: bool = False
    """It did not answer when it was asked last: it is tried for a short time only."""
    has_alternatives: bool = False
    """There are other places of its trunk, where the call was not sent yet."""
    told: Told | None = None
    """What the peer has heard of the call's protection; None: it is not told."""
    place_asked: bool = False
    is_open: bool = False
    """The relay was asked for a place, and has it."""
    talk: Negotiation[LocalAudio, M] = field(init=False)
    """Offer and answer: what both sides agreed on, and the proposal that may change it."""
    relay_follows: M | None = None
    """What the relay was told of the leg comes from this."""
    keyed: SecurityVector | None = None
    """The vector once the handshake has finished."""
    handshake_begun: bool = False
    is_unheard: bool = False
    """The peer answers no checks any more, see `returning`."""
    keypad: Keypad = field(default_factory=Keypad)
    """Digits told by INFO."""
    takes_info: bool = True
    """Whether it may be told digits by INFO (RFC 3261 20.5); one that does not say is asked."""
    media_lost: bool = False
    """Packets that should leave on this leg do not."""
    recorded: SecurityVector | None = None
    """What the audit log last said of this leg."""
    judged: bool = False
    """The audit log has a record of this leg, of whatever kind."""
    history: frozenset[Code] = frozenset()
    """What happened on the way here and what was found that no description shows: a retry, an ignored offer of keys."""
    mismatch: frozenset[Code] = frozenset()
    """What the packets of the leg say against its description, until the call stands and it can be recorded."""
    silent_since: float | None = None
    """Since when the peer is silent although it might speak, see `liveness`; None: it is heard."""
    silent_on_hold: bool = False
    """The call was on hold when that was looked at last."""

    _vectors: deque[SecurityVector] = field(
        default_factory=lambda: deque(maxlen=MAX_VECTORS), init=False, repr=False, compare=False
    )

    answered_in_ack: bytes = field(default=b"", repr=False)
    """Our answer to that: each ACK of that 2xx brings it."""
    redirects: Redirects = field(default_factory=Redirects, repr=False)
    """Where its INVITE was sent on to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.talk = Negotiation(owns_call_id=not self.is_caller)

    @property
    def trunk_name(self) -> str:
        """The trunk it goes over, "" for none."""
        return ""

    def is_named(self, host: str) -> bool:
        """Whether this host is the peer itself, by the name it is configured with."""
        return False

    def is_own_host(self, host: str) -> bool:
        """Whether this host is the peer's own, as far as it is known which are."""
        return False

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
    def digits_by_info(self) -> bool:
        """Digits reach the peer by INFO, because it takes no telephone-events."""
        return self.remote is not None and not any(codec.is_event for codec in self.remote.codecs)

    @property
    def is_agreed(self) -> bool:
        """Both descriptions are known."""
        return self.talk.session is not None

    @property
    def early_media(self) -> bool:
        """An answer was taken from an 18x and the callee has not picked up yet."""
        return self.talk.ours_is_open is not None and self.talk.preview is not None and not self.invitation.is_confirmed

    # What the profiles do: read a description, judge it, describe our side.

    @property
    @abstractmethod
    def vector(self) -> SecurityVector:
        """How the leg is protected, as things stand."""

    @abstractmethod
    def vector_of(self, agreed: M) -> SecurityVector:
        """How it would be protected by this."""

    @property
    @abstractmethod
    def place(self) -> Place:
        """What the relay must open for the leg."""

    @abstractmethod
    def opened(self, rtp: tuple[HostPort, ...], rtcp: HostPort | None) -> None:
        """The relay has: where the peer is to send."""

    @property
    def peer_rtp(self) -> HostPort | None:
        """Where the peer takes its media, where a description says so."""
        return None

    @property
    def own_rtp(self) -> HostPort | None:
        """Where it sends it to."""
        return None

    @property
    def own_places(self) -> tuple[HostPort, ...]:
        """Where the peer of this leg sends to, as far as it has a place for itself."""
        return ()

    def face(self, other: Leg) -> None:
        """A proxy has joined this leg with one of another call."""
        if len(self.facing) < MAX_FACING:
            self.facing.append(other)
            other.facing.append(self)

    @abstractmethod
    def relay_commands(self) -> tuple[LegCommand, ...]:
        """What the relay must know of what was agreed on."""

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

    # Offer and answer, the same for both profiles.

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
        ours = self.describe_offer(terms)
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
        ours, asked, index = self.describe_answer(theirs, terms), theirs.description, theirs.remote.index

        def write(version: int) -> bytes:
            return build_answer(ours, asked, audio_index=index, session_id=self.session_id, version=version)

        session = self.talk.reply_early(ours, write) if early else self.talk.reply(ours, write)
        if isinstance(session, Session):
            self.has_agreed(theirs, None)
        return session

    def take(
        self, session: Session[LocalAudio, M], *, early: bool = False, reliable: bool = False
    ) -> Session[LocalAudio, M] | Unexpected:
        """Policy accepts an answer: the session stands on it from now on, or until the 2xx if it is early."""
        before = self.talk.preview
        taken = self.talk.early(session, reliable=reliable) if early else self.talk.agree(session)
        if isinstance(taken, Session):
            self.has_agreed(session.theirs.content, before.theirs.content if before is not None else None)
        return taken

    def refuse_broken(self, agreed: M) -> None:
        """An answer that breaks a keying rule is no agreement.

        Raises:
            KeyingError: with the policy codes.
        """

    def refusal_of(self, agreed: M, policy: EffectivePolicy) -> Refusal | None:
        """Why policy will not answer this offer (checkpoint P0)."""
        return None

    def note_proof(self, agreed: M) -> None:
        """The peer has shown what it can do, whatever becomes of this answer."""

    def plan_offer(self, policy: EffectivePolicy) -> Refusal | None:
        """Choose what may be offered (checkpoint P1), or say why nothing can be."""
        return None

    def plan_late_offer(self, policy: EffectivePolicy) -> Refusal | None:
        """The same for an offer of ours that stands in a 200."""
        return None

    def plan_again(self, policy: EffectivePolicy) -> None:
        """The peer asks for our offer in mid-call: offer keys again where there are none."""

    def plan_retry(self, policy: EffectivePolicy, status: int) -> OfferPlan | Refusal | None:
        """What may be offered after this refusal, or why nothing may; None: policy knows no other offer."""
        return None

    @property
    def insisted_on_keys(self) -> bool:
        """The offer that was refused last said: with keys, or not at all."""
        return False

    def start_over(self, plan: OfferPlan) -> None:
        """The offer was refused as a whole: the next one is made by this."""

    @property
    def handshake(self) -> tuple[DtlsRole, tuple[Fingerprint, ...]] | None:
        """Our role and the fingerprints of the peer, once both are known."""
        return None

    def unknown_names(self, body: bytes) -> tuple[str, ...]:
        """Host names in a description that must be looked up before it can be read."""
        return ()

    def learn_names(self, found: Iterable[tuple[str, Sequence[str]]]) -> None:
        """What DNS said."""

    def _graded_once(self, vector: SecurityVector) -> SecurityVector:
        """The vector made before that says the same: a vector keeps its grade, so it is graded once."""
        known = next((made for made in self._vectors if made == vector), None)
        if known is None:
            self._vectors.append(vector)
        return known or vector

    def set_keyed(self, suite: CryptoSuite, version: str, algorithm: str) -> None:
        """The handshake has finished and the certificate matched the signalled fingerprint (RFC 5763 5)."""
        self.keyed = replace(
            self.vector,
            keying=Keying.DTLS,
            suite=suite,
            dtls_version=version,
            fingerprint_algorithm=algorithm,
            fingerprint_match=True,
        )


Leg: TypeAlias = BaseLeg[Any]
"""A leg of either profile."""
