"""One side of a call: how it is protected and who is there. Its signalling is `user_agent`, its offers `negotiating`.

There is one kind of leg, with two profiles: what a browser or a trunk negotiates, and what is expected of either, is
the business of `legs.browser` and `legs.trunk`. Nobody else asks which of the two a leg is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying
from gateway.base.short import Short
from gateway.base.termination import Termination
from gateway.base.values import HostPort
from gateway.call.legs.keypad import Keypad
from gateway.call.legs.negotiating import M, NegotiatingAgent
from gateway.call.legs.party import Party
from gateway.call.legs.redirects import Redirects
from gateway.call.legs.told import Told
from gateway.media.relay_commands import LegCommand, Place
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import OfferPlan, Refusal
from gateway.policy.posture import SecurityVector
from gateway.quality.told import CallQuality
from gateway.quality.watch import QualityWatch
from gateway.sdp.association import Association
from gateway.sip.message import Message
from gateway.sip.subscription import Subscriptions

MAX_VECTORS = 4
"""Vectors of a leg that are kept with their grades: what it is, what it was, and what an answer would make of it."""

MAX_FACING = 16
"""Legs that one may be joined with: a proxy forks to all browsers of a user, and nobody has more."""


class KeyingError(SdpError):
    """A description breaks a keying rule; `codes` are the policy catalogue's, `termination` says why a call ends."""

    def __init__(self, codes: Iterable[Code], termination: Termination) -> None:
        self.codes = tuple(sorted(set(codes)))
        self.termination = termination
        super().__init__(", ".join(self.codes), 488)


@dataclass(kw_only=True)
class BaseLeg(NegotiatingAgent[M]):
    """A leg: its signalling, what it agreed on and how it is protected."""

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
    relay_follows: M | None = None
    """What the relay was told of the leg comes from this."""
    keyed: SecurityVector | None = None
    """The vector once the handshake has finished."""
    handshake: Association | None = None
    """The association whose handshake has begun last."""
    handshakes: int = 0
    """How many have begun: what is told of an earlier one is out of date."""
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
    denied: frozenset[Code] = frozenset()
    """What policy did not let happen to it, and is on record."""
    early_refused: bool = False
    """Early media of it was too weak to be played, and that is on record."""
    silent_since: float | None = None
    """Since when the peer is silent although it might speak, see `liveness`; None: it is heard."""
    silent_on_hold: bool = False
    """The call was on hold when that was looked at last."""
    sound: QualityWatch = field(default_factory=QualityWatch, repr=False, compare=False)
    """How it sounds, see `measuring`."""
    sound_told: CallQuality | None = field(default=None, repr=False, compare=False)
    """What its user was shown of that last."""
    redirects: Redirects = field(default_factory=Redirects, repr=False)
    """Where its INVITE was sent on to."""

    _vectors: Short[SecurityVector] = field(
        default_factory=lambda: Short(MAX_VECTORS), init=False, repr=False, compare=False
    )

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
    def digits_by_info(self) -> bool:
        """Digits reach the peer by INFO, because it takes no telephone-events."""
        return self.remote is not None and not any(codec.is_event for codec in self.remote.codecs)

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
        if max(len(self.facing), len(other.facing)) < MAX_FACING:
            self.facing.append(other)
            other.facing.append(self)

    @abstractmethod
    def relay_commands(self) -> tuple[LegCommand, ...]:
        """What the relay must know of what was agreed on."""

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

    def wear_out(self) -> bool:
        """The keys in use will soon have protected as much as they may; whether the next offer can bring another."""
        return False

    @property
    def wants_new_key(self) -> bool:
        """Whether the next offer brings a new key in place of one that is worn out."""
        return False

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
    def association(self) -> Association | None:
        """The handshake its keys are to come from, once both sides have said who they are; None: from none."""
        return None

    @property
    def awaits_keys(self) -> bool:
        """Whether its media waits for a handshake."""
        return self.association is not None and (self.keyed is None or self.association != self.handshake)

    @property
    def checks_paths(self) -> bool:
        """Whether the peer checks paths (ICE): its handshake waits until one is known to lead to it."""
        return True

    @property
    def has_rtcp_of_its_own(self) -> bool:
        """Whether RTCP has a port of its own, and with it a handshake (RFC 5764 4.1)."""
        return False

    def begin_handshake(self) -> Association | None:
        """The handshake that must begin now, because it is agreed on and has not begun; the keys of others are void."""
        wanted = self.association
        if wanted is None or wanted == self.handshake:
            return None
        self.handshake, self.handshakes, self.keyed = wanted, self.handshakes + 1, None
        return wanted

    def blame(self, failed: Termination) -> Termination:
        """What a call ends with because a handshake failed so: it names whose it was."""
        return failed

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
            awaits=None,
            suite=suite,
            dtls_version=version,
            fingerprint_algorithm=algorithm,
            fingerprint_match=True,
        )


Leg: TypeAlias = BaseLeg[Any]
"""A leg of either profile."""
