"""The user agent of one leg: its INVITE, its dialogs, and the requests and responses made in them (RFC 3261 8, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId, LegKind
from gateway.call.legs.invite_state import CalleeEvent, CallerEvent, InviteState, callee_invite, caller_invite
from gateway.call.legs.provisionals import Provisionals
from gateway.call.legs.targets import Relayed
from gateway.location.devices import Device
from gateway.sip import reliable, replaces, session_timer
from gateway.sip.address import NameAddr
from gateway.sip.cseq import MAX_CSEQ, CSeq
from gateway.sip.dialog import Dialog, InviteDialogs
from gateway.sip.flow import Flow, objection
from gateway.sip.headers import Item
from gateway.sip.message import REASONS, Headers, Request, Response, create_response
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.session_timer import Timing
from gateway.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri

ALLOW = "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS, PRACK, INFO, REFER, SUBSCRIBE"
INSIDE = frozenset(("PRACK", "INFO", "REFER", "SUBSCRIBE"))
"""Of these, methods that mean something inside a dialog only."""
SDP = "application/sdp"
MAX_FIRST_CSEQ = MAX_CSEQ - 2**20
"""The highest number an INVITE begins with, whatever its caller took: what follows in the dialog counts up from there,
and without a number left nobody could be told goodbye."""
HOP_HEADER = "Gateway-Hop"
"""Carries a mark on every INVITE we send, see `hops`; an INVITE that comes in with one of ours is a loop."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a kind of peer does, and what is to be expected of it."""

    keeps_timers: bool
    """Its sessions are refreshed and expire (RFC 4028); a browser is missed as soon as its connection ends."""
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
    returns: bool
    """Who lost its connection comes back over another one by itself, and is waited for (RFC 5626)."""
    is_person: bool
    """A user of ours is at the far end: whatever is said there, no trunk is at fault."""


@dataclass(kw_only=True)
class UserAgent:
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
    call_id: str = ""
    request_uri: SipUri | None = None
    """Where the initial INVITE of a callee goes when that is not `remote_address`: a registered Contact."""
    replaces: replaces.Replaces | None = None
    """The dialog of the callee that our INVITE takes the place of (RFC 3891)."""
    identity: tuple[tuple[str, str], ...] = ()
    """What our INVITE says of who calls besides From (callee legs)."""
    reliable_provisional: bool = False
    """Provisional responses may be acknowledged between the peer and us (RFC 3262)."""
    provisionals: Provisionals = field(default_factory=Provisionals, repr=False)
    """Ours that are (caller legs)."""
    relayed: Relayed | None = field(default=None, repr=False)
    """What of our INVITE is the caller's own, because the callee authenticates the caller itself."""
    makes_the_offer: bool = False
    """It wants INVITEs without an offer, and makes its own in the 2xx; in a reliable 18x it would want our answer."""
    session_interval: int = 0
    """Seconds for which we ask a session to live without a refresh; 0: we do not ask."""
    min_se: int = session_timer.MIN_SE
    """The least the peer has wanted by 422."""
    raised: int = 0
    """How often it has."""
    timing: Timing | None = None
    """What is agreed on for the session; None: it does not expire."""
    refreshed_at: float = 0.0
    """When it was agreed on last, or refreshed."""
    allows_update: bool = False
    """The peer lists UPDATE (RFC 3311 4)."""
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
    device: Device | None = None
    """Who was there when its connection closed (browsers): nobody else may come back for it."""
    is_away: bool = False
    """Its connection is gone and it has not come back yet, see `returning`."""
    missed_since: float | None = None
    """Since when its connection, its media or both have been gone without a moment between; None: it is all there."""
    first_sequence: int = 1
    """CSeq number of our INVITE; one that goes on where another leg failed has that one's (RFC 3263 4.3)."""
    moves: int = 0
    """Changes of its connection on record."""
    invitation: InviteState[Any, Any] = field(init=False)
    """Where the INVITE of the leg stands, ours or theirs."""
    invite_ask: int = 0
    """Number of our INVITE (callee legs)."""
    forks_until: float = 0.0
    """Until then our answered INVITE may be answered by another fork (RFC 3261 13.2.2.4); 0: not answered."""

    def __post_init__(self) -> None:
        self.founding = self.flow
        self.invitation = caller_invite() if self.is_caller else callee_invite()

    @property
    def end_event(self) -> CallerEvent | CalleeEvent:
        """The call ends, or goes on without this leg."""
        return CallerEvent.END if self.is_caller else CalleeEvent.END

    @property
    def bye_event(self) -> CallerEvent | CalleeEvent:
        """The peer has hung up, or says that it does not know the call."""
        return CallerEvent.BYE if self.is_caller else CalleeEvent.BYE

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
            ("Supported", ", ".join(self.supported)),
            (HOP_HEADER, hop_mark),
            *self.identity,
        ]
        fields += [("Content-Type", SDP)] if body else []
        if self.session_interval:
            fields += session_timer.request_headers(Timing(self.session_interval, is_ours=True), self.min_se)
        if self.replaces is not None:
            fields += [("Require", replaces.OPTION), ("Replaces", str(self.replaces))]
        uri = str(self.target_uri)
        if self.relayed is not None:
            uri = self.relayed.uri
            fields += self.relayed.credentials
        return Request("INVITE", uri, Headers(fields), body)

    @property
    def supported(self) -> tuple[str, ...]:
        """Extensions the peer is told of with our INVITE."""
        first = (reliable.OPTION,) if self.reliable_provisional and not self.makes_the_offer else ()
        return (*first, replaces.OPTION, *((session_timer.OPTION,) if self.habits.keeps_timers else ()))

    def timing_for(self, request: Request) -> Timing | None:
        """What our 2xx to an INVITE or UPDATE agrees to; a browser is not refreshed by us."""
        timing = session_timer.agreement(request, own=self.session_interval)
        refused = timing is not None and timing.is_ours and not self.habits.keeps_timers
        return None if refused else timing

    def wants_reliable(self, response: Response) -> bool:
        """Whether a 101 to 199 of ours is to be acknowledged: each where the caller insists, else what describes."""
        if not self.reliable_provisional or self.invite is None:
            return False
        return reliable.insists(self.invite) or (bool(response.body) and reliable.supports(self.invite))

    def _next_invite_sequence(self) -> int:
        relayed = min(self.relayed.sequence, MAX_FIRST_CSEQ) if self.relayed is not None else 0
        first = max(self.first_sequence, relayed)
        return first if self.invite is None else self.invite.cseq.number + 1

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """What the caller has shown to the callee; the ACK of a 2xx carries it too (RFC 3261 22.1)."""
        return self.relayed.credentials if self.relayed is not None else ()

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
                extra += session_timer.answer_headers(self.timing_for(request), request)
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

    def objection_to(self, flow: Flow) -> str:
        """Why a message over this connection does not speak for the leg, "" when it does."""
        return objection(flow, self.founding)

    def admit(self, flow: Flow) -> None:
        """The peer is at the far end of this connection too: see `BrowserLeg.admit`."""

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
        if self.timing is not None and method in session_timer.METHODS:
            supported = ("Supported", ", ".join(self.supported))
            request = request.with_added((supported, *session_timer.request_headers(self.timing, self.min_se)))
        if body:
            request = request.with_header("Allow", ALLOW).with_header("Content-Type", SDP).with_body(body)
        return request


def allowed_outside(*, is_user: bool) -> str:
    """What Allow says where a method outside of any dialog is refused: never that method (RFC 3261 8.2.1)."""
    methods = [method for method in ALLOW.split(", ") if method not in INSIDE]
    return ", ".join([*methods, *(["REGISTER"] if is_user else [])])


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
