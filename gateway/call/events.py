"""What happens to a call: everything the manager feeds into the pure machine."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegId
from gateway.call.effects import LegName, Purpose, Timer
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.reason import Reason

CALLER = LegId(1)
"""The leg of whoever began the call."""


@dataclass(frozen=True, slots=True)
class MediaOpened:
    """The relay has a session for the call."""

    candidates: tuple[HostPort, ...]
    trunk_rtp: HostPort
    trunk_rtcp: HostPort


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """No relay session could be had."""

    why: str


@dataclass(frozen=True, slots=True)
class NamesFound:
    """DNS has answered, or not in time."""

    addresses: tuple[tuple[str, tuple[str, ...]], ...]
    """The names asked for with their addresses, IPv4 or IPv6 text; none for a name that has none."""


@dataclass(frozen=True, slots=True)
class TrunkConnected:
    """There is a flow to the trunk; its TLS peer is verified when the flow says so."""

    flow: Flow
    down: bool = False
    """It did not answer when it was asked last: it is tried for a short time only."""


@dataclass(frozen=True, slots=True)
class TrunkSilent:
    """The trunk answers neither the INVITE nor the question whether it is there."""

    trunk: str


@dataclass(frozen=True, slots=True)
class TrunkFailed:
    """The trunk cannot be reached, or `verification` says why its certificate was refused."""

    why: str
    verification: str


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The handshake finished and the certificate matches the signalled fingerprint."""

    suite: CryptoSuite
    version: str
    fingerprint_algorithm: str
    leg: LegId = CALLER


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The handshake failed for this reason."""

    termination: Termination
    leg: LegId = CALLER


@dataclass(frozen=True, slots=True)
class RequestIn:
    """A request inside one of the call's dialogs, and the flow it came over: that flow is judged, not the dialog's."""

    leg: LegName
    key: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class ResponseIn:
    """A response to a request the call sent."""

    leg: LegName
    purpose: Purpose
    response: Response
    flow: Flow
    ask: int
    """Which of the call's requests it answers, see `SendRequest`."""


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request the call sent got no response, or its transport broke."""

    leg: LegName
    purpose: Purpose
    transport: bool
    ask: int


@dataclass(frozen=True, slots=True)
class AckIn:
    """The ACK of a 2xx the call sent; the stack takes it only over a flow that may speak for the INVITE's."""

    key: str
    request: Request


@dataclass(frozen=True, slots=True)
class FlowRefused:
    """A message of the call came over a flow that may not speak for it; it was refused or dropped before it counted."""

    leg: LegName
    flow: Flow
    what: str
    """Its method, or the status of a response."""
    why: str
    status: int
    """What was answered, 0 when nothing was."""


@dataclass(frozen=True, slots=True)
class FlowMoved:
    """A connection of a leg was gone and there is a new one, which proves as much: what follows leaves there."""

    leg: LegName
    flow: Flow


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection to the trunk closed in mid-call: whether the trunk still knows the call is to be asked."""

    leg: LegName


@dataclass(frozen=True, slots=True)
class AckMissing:
    """A 2xx the call sent was never acknowledged; with `transport`, the connection of the INVITE closed before that."""

    key: str
    transport: bool = False


@dataclass(frozen=True, slots=True)
class CancelIn:
    """The caller gave up; the CANCEL itself has been answered."""

    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: Timer


@dataclass(frozen=True, slots=True)
class MediaStarted:
    """The first authenticated (or, on a plain leg, accepted) packet of a leg arrived."""

    leg: LegName


@dataclass(frozen=True, slots=True)
class LegVerified:
    """Packets of a keyed leg authenticated; `confirmed`: so did a report of the peer that it receives ours."""

    leg: LegName
    confirmed: bool


@dataclass(frozen=True, slots=True)
class MediaMismatch:
    """Packets of the peer come on a keyed leg and for a while none authenticated; `code` says what they are."""

    leg: LegName
    code: str


@dataclass(frozen=True, slots=True)
class MediaSilent:
    """Nothing was accepted from a leg for a while, neither RTP nor RTCP; told once until it is heard again."""

    leg: LegName


@dataclass(frozen=True, slots=True)
class MediaHeard:
    """A leg that was silent is heard again."""

    leg: LegName


@dataclass(frozen=True, slots=True)
class SourceLearned:
    """The relay learned another media source for the trunk leg (POLICY A2b)."""

    address: HostPort
    expected: HostPort


@dataclass(frozen=True, slots=True)
class SourceRejected:
    """Packets from a source that is not the leg's peer are dropped; told once per leg and code."""

    leg: LegName
    address: HostPort
    code: str


@dataclass(frozen=True, slots=True)
class MediaUnsent:
    """Packets that should leave on a leg do not; `cause` is the counter that tells how many. Once per leg and cause."""

    leg: LegName
    cause: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The call lost what it cannot live without: consent, the browser's connection, the relay worker, the gateway."""

    termination: Termination


Event = (
    MediaOpened
    | MediaFailed
    | NamesFound
    | TrunkConnected
    | TrunkFailed
    | TrunkSilent
    | DtlsConnected
    | DtlsFailed
    | RequestIn
    | ResponseIn
    | RequestFailed
    | AckIn
    | FlowRefused
    | FlowMoved
    | ConnectionClosed
    | AckMissing
    | CancelIn
    | TimerFired
    | MediaStarted
    | LegVerified
    | MediaMismatch
    | MediaSilent
    | MediaHeard
    | SourceLearned
    | SourceRejected
    | MediaUnsent
    | Lost
)


def describe(event: Event) -> str:
    """The event in a few words for the debug log: never a body, a header or a key."""
    match event:
        case RequestIn():
            return f"{event.leg} {event.request.method}"
        case ResponseIn():
            return f"{event.leg} {event.response.status} {event.purpose}"
        case RequestFailed():
            return f"{event.leg} no answer to {event.purpose}"
        case FlowRefused():
            return f"{event.leg} {event.what} refused over {event.flow}: {event.why}"
        case TimerFired():
            return f"timer {event.name}"
        case Lost() | DtlsFailed():
            return event.termination.slug
        case _:
            return type(event).__name__
