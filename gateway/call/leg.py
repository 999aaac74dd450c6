"""One side of a call as SIP sees it: its INVITE, its dialogs and the requests and responses made in them.

There is one kind of leg, with two profiles: what a browser or a trunk negotiates, and what is expected of either, is
the business of `browser_leg` and `trunk_leg`. Nobody else asks which of the two a leg is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError, SipError
from gateway.base.keying import DtlsRole, Keying
from gateway.base.table import Unexpected
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId, LegKind
from gateway.call.agreed import AgreedMedia, Will
from gateway.call.invite_state import (
    CalleeEvent,
    CallerEvent,
    InviteState,
    callee_invite,
    caller_invite,
)
from gateway.call.party import Party
from gateway.call.terms import Terms
from gateway.call.told import Told
from gateway.media.relay_commands import LegCommand, Place
from gateway.policy.evaluate import OfferPlan, Refusal
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import SecurityVector
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import LocalAudio, RemoteAudio
from gateway.sdp.session import Description, Negotiation, OurProposal, Session, Waits, Way
from gateway.sip import replaces, session_timer
from gateway.sip.address import NameAddr
from gateway.sip.cseq import CSeq
from gateway.sip.dialog import Dialog, InviteDialogs
from gateway.sip.flow import Flow
from gateway.sip.headers import Item
from gateway.sip.message import REASONS, Headers, Request, Response, create_response
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.subscription import Subscriptions
from gateway.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri

ALLOW = "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS, REFER, SUBSCRIBE"
SDP = "application/sdp"
HOP_HEADER = "Gateway-Hop"
"""Carries a mark on every INVITE we send, see `hops`; an INVITE that comes in with one of ours is a loop."""

MAX_VECTORS = 4
"""Vectors of a leg that are kept with their grades: what it is, what it was, and what an answer would make of it."""

M = TypeVar("M", bound=AgreedMedia)


class KeyingError(SdpError):
    """A description breaks a keying rule; `codes` are the policy catalogue's, `termination` says why a call ends."""

    def __init__(self, codes: Iterable[Code], termination: Termination) -> None:
        self.codes = tuple(sorted(set(codes)))
        self.termination = termination
        super().__init__(", ".join(self.codes), 488)


@dataclass(frozen=True, slots=True)
class Habits:
    """What a kind of peer does, and what is to be expected of it."""

    keeps_timers: bool
    """Timers are agreed to that the peer only offers; a browser is missed as soon as its connection ends."""
    names_transports: bool
    """The transport in a Contact means what it says; that of a browser is made up (RFC 7118 5)."""
    names_hosts: bool
    """Its media may be at a host name, which DNS is asked for; a browser's is found by ICE."""
    answers_early: bool
    """An answer in an 18x is taken: networks have early media."""
    is_asked: bool
    """Whether it is there is asked inside the dialog when it falls silent; a browser's end is watched otherwise."""
    reconnects: bool
    """A connection that is gone can be had anew."""
    handshakes: bool
    """Media is keyed by a handshake of its own, after the answer."""
    is_person: bool
    """A user of ours is at the far end: whatever is said there, no trunk is at fault."""


@dataclass
class BaseLeg(ABC, Generic[M]):
    """The SIP side of a leg. `caller` legs received the INVITE that made the call; `callee` legs were sent one."""

    kind: ClassVar[LegKind]
    habits: ClassVar[Habits]

    id: LegId
    flow: Flow
    is_caller: bool
    local_address: NameAddr
    """Who we speak as, without tag."""
    remote_address: NameAddr
    contact: NameAddr
    session_id: int
    policy: EffectivePolicy | None = None
    """What this leg must meet; None: what the call must."""
    display_name: str = ""
    """How people call the other end, "" where it has no name of its own."""
    trusts_identity: bool = False
    """Whether it is believed who it says is there (RFC 3325)."""
    party: Party | None = None
    """Who is there, as the other side is shown it; None: nobody but the number that was dialled."""
    call_id: str = ""
    request_uri: SipUri | None = None
    """Where the initial INVITE of a callee goes when that is not `remote_address`: a registered Contact."""
    replaces: replaces.Replaces | None = None
    """The dialog of the callee that our INVITE takes the place of (RFC 3891)."""
    invite: Request | None = field(default=None, repr=False)
    invite_key: str = ""
    dialog: Dialog | None = None
    dialogs: InviteDialogs | None = field(default=None, repr=False)
    """Dialogs our INVITE created, early ones included (callee legs)."""
    local_tag: str = ""
    founding: Flow = field(init=False)
    """The flow the leg was set up over: nothing that proves less speaks for the leg, nor is anything sent there."""
    done_with: frozenset[str] = frozenset()
    """Tags of forks that are no part of the call any more: hung up on, or gone by themselves (callee legs)."""
    heard_on: Flow | None = None
    """Another connection the peer spoke over, which proves as much: of use when ours is gone and cannot be had anew."""
    gone: bool = False
    """It is no part of the call any more: handed over to somebody else, while the call went on."""
    number: str = ""
    """What people dial to reach the peer."""
    subscriptions: Subscriptions = field(default_factory=Subscriptions, repr=False)
    """What the peer is told of the transfers it asked for."""
    notices: dict[int, int] = field(default_factory=dict)
    """NOTIFYs without an answer, by the number of the request, with that of their subscription."""
    invitation: InviteState[Any, Any] = field(init=False)
    """Where the INVITE of the leg stands, ours or theirs."""
    invite_ask: int = 0
    """Number of our INVITE (callee legs)."""
    was_down: bool = False
    """It did not answer when it was asked last: it is tried for a short time only."""
    forks_until: float = 0.0
    """Until then our answered INVITE may be answered by another fork (RFC 3261 13.2.2.4); 0: not answered."""
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

    def __post_init__(self) -> None:
        self.founding, self.talk = self.flow, Negotiation(owns_call_id=not self.is_caller)
        self.invitation = caller_invite() if self.is_caller else callee_invite()

    @property
    def trunk_name(self) -> str:
        """The trunk it goes over, "" for none."""
        return ""

    @property
    def end_event(self) -> CallerEvent | CalleeEvent:
        """The call ends, or goes on without this leg."""
        return CallerEvent.END if self.is_caller else CalleeEvent.END

    @property
    def bye_event(self) -> CallerEvent | CalleeEvent:
        """The peer has hung up, or says that it does not know the call."""
        return CallerEvent.BYE if self.is_caller else CalleeEvent.BYE

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

    def take(self, session: Session[LocalAudio, M], *, early: bool = False) -> Session[LocalAudio, M] | Unexpected:
        """Policy accepts an answer: the session stands on it from now on, or until the 2xx if it is early."""
        before = self.talk.preview
        taken = self.talk.early(session) if early else self.talk.agree(session)
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

    def initial_invite(self, body: bytes, hop_mark: str, max_forwards: int) -> Request:
        """The INVITE that starts a callee leg (RFC 3261 8.1.1)."""
        fields: list[Item] = [
            ("Max-Forwards", str(max_forwards)),
            ("From", self.local_address.with_tag(self.local_tag)),
            ("To", self.remote_address),
            ("Call-ID", self.call_id),
            ("CSeq", CSeq(self._next_invite_sequence(), "INVITE")),
            ("Contact", self.contact),
            ("Allow", ALLOW),
            (HOP_HEADER, hop_mark),
            ("Content-Type", SDP),
        ]
        if self.replaces is not None:
            fields += [("Require", replaces.OPTION), ("Replaces", str(self.replaces))]
        return Request("INVITE", str(self.target_uri), Headers(fields), body)

    def _next_invite_sequence(self) -> int:
        return 1 if self.invite is None else self.invite.cseq.number + 1

    @property
    def target_uri(self) -> SipUri:
        """Request-URI of the initial INVITE."""
        return self.request_uri or self.remote_address.uri

    def respond(
        self,
        request: Request,
        status: int,
        *,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
    ) -> Response:
        """A response to a request on this leg, with our tag, our Contact and what we allow."""
        extra: list[Item] = list(headers)
        if status < 300 and request.method in ("INVITE", "UPDATE"):
            extra = [("Contact", self.contact), ("Allow", ALLOW), *extra]
            if status >= 200:
                extra += session_timer.agreement(request, even_if_optional=self.habits.keeps_timers)
        return create_response(
            request,
            status,
            REASONS.get(status, ""),
            to_tag=self.local_tag,
            headers=extra,
            body=body,
            content_type=SDP if body else "",
        )

    def dialog_of(self, response: Response) -> Dialog | None:
        """The dialog a 1xx or 2xx to our INVITE belongs to: one per To tag (RFC 3261 12.1.2)."""
        if self.dialogs is None:
            return None
        try:
            return self.dialogs.take(response)
        except SipError:
            return None

    def early_dialog(self, tag: str) -> Dialog | None:
        """The dialog of this fork of our INVITE, if it is kept."""
        return self.dialogs.find(tag) if self.dialogs is not None else None

    def remembers(self, dialog: Dialog) -> bool:
        """Whether this early dialog is kept: a callee cannot make us follow any number of forks."""
        return self.dialogs is not None and dialog in self.dialogs

    def next_hop(self, dialog: Dialog | None = None) -> Flow:
        """Where requests inside a dialog go: the connection they belong to, or on UDP where the peer's Contact points.

        A Contact is followed only to the address the call is signalled with (or to the trunk's own networks, see
        `TrunkLeg`): a peer must not make us send to somebody else.
        """
        dialog = dialog or self.dialog
        if self.flow.transport != "udp" or dialog is None:
            return self.flow
        uri = dialog.next_hop
        if not self.may_send_to(uri.host):
            return self.flow
        return replace(self.flow, remote=HostPort(uri.host, uri.port or DEFAULT_PORT))

    def is_reached_by(self, flow: Flow) -> bool:
        """Whether the peer may speak over this connection: its own; whether that proves enough is judged later."""
        return flow.id == self.flow.id

    def move_to(self, flow: Flow) -> None:
        """Send over a new connection from now on.

        Where our Contact named the old connection, and no listener, it names the new one for the peer's next refresh.
        """
        uri = self.contact.uri
        if self.flow.initiated and uri.port == self.flow.local.port:
            self.contact = replace(self.contact, uri=replace(uri, port=flow.local.port))
        self.flow = flow

    def place_of(self, request: Request) -> HostPort | None:
        """Where a request inside a dialog goes when its connection is gone (RFC 3261 8.1.2, 18.1.1).

        None: its first Route, or its target, is no address that we may send to; then the trunk is called anew.
        """
        try:
            uri = request.route[0].uri if request.route else SipUri.parse(request.uri)
        except SipError:
            return None
        if not self.may_send_to(uri.host):
            return None
        return HostPort(uri.host, uri.port or (DEFAULT_TLS_PORT if self.founding.is_secure else DEFAULT_PORT))

    def may_send_to(self, host: str) -> bool:
        """Whether a Contact on this host is followed."""
        return host == self.flow.remote.host

    def in_dialog(self, method: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Request:
        """A request inside the confirmed dialog.

        Raises:
            SipError: there is no dialog.
        """
        if self.dialog is None:
            raise SipError("no dialog", 481)
        request = self.dialog.new_request(method, self.contact, MAX_FORWARDS)
        request = request.with_added(headers)
        if body:
            request = request.with_header("Allow", ALLOW).with_header("Content-Type", SDP).with_body(body)
        return request


Leg: TypeAlias = BaseLeg[Any]
"""A leg of either profile."""


def warning(termination: Termination) -> tuple[tuple[str, str], ...]:
    """The Warning header that tells a person why (RFC 3261 20.43); the agent is a pseudonym, never a host name."""
    if not termination.warning:
        return ()
    return (("Warning", f'{termination.warning} gw "{termination.words}"'),)


def reason(termination: Termination) -> tuple[tuple[str, str], ...]:
    """The Reason header of a BYE or CANCEL (RFC 3326); none for an ordinary hang-up, or when the caller gave up."""
    if termination.status == 200 or termination is Termination.CANCELLED:
        return ()
    return (("Reason", f'SIP;cause={termination.status};text="{termination.words}"'),)
