"""What happens to a call: everything fed into the pure machine. What the relay tells is taken as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.termination import Termination
from gateway.base.values import NO_LEG, HostPort, LegId
from gateway.call.legs.leg import Leg
from gateway.call.machine.effects import Timer
from gateway.location.devices import Device
from gateway.media.relay_events import LegFailed, LegOpened, RelayEvent
from gateway.policy.model import EffectivePolicy
from gateway.quality.leg import Measurement
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.reason import Reason
from gateway.sip.replaces import Replaces
from gateway.sip.uri import SipUri
from gateway.trunks.target import TrunkTarget


@dataclass(frozen=True, slots=True)
class NamesFound:
    """DNS has answered, or not in time."""

    addresses: tuple[tuple[str, tuple[str, ...]], ...]
    """The names asked for with their addresses, IPv4 or IPv6 text; none for a name that has none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a user can be reached: a connection, and the Contact that was registered over it."""

    flow: Flow
    uri: SipUri


@dataclass(frozen=True, slots=True)
class Handed:
    """A leg of another call that may become one of this."""

    leg: Leg
    """A likeness of it: what was agreed there, and nothing that only the other call is concerned with."""
    floor: EffectivePolicy
    """What that call must meet: whoever spoke there under it does not speak under less from now on."""


@dataclass(frozen=True, slots=True)
class DialogFound:
    """The dialog that was looked up is one of whoever asked, in another call; nothing has changed yet."""

    handed: Handed


@dataclass(frozen=True, slots=True)
class DialogMissing:
    """There is no such dialog, or it cannot be had now."""

    status: int
    is_others: bool
    """There is one, and whoever asked has no say in it."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The leg is one of this call from now on, at the relay and for whatever its peer says."""

    handed: Handed


@dataclass(frozen=True, slots=True)
class NotTaken:
    """It stays where it is."""

    status: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Another call has taken this leg over."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Replacing:
    """An INVITE of the same user or trunk is to take the place of a leg of this call (RFC 3891)."""

    leg: LegId
    key: str
    request: Request
    flow: Flow
    replaces: Replaces


@dataclass(frozen=True, slots=True)
class Located:
    """Where a user can be reached now; nowhere, when it is signed in nowhere or nobody could say."""

    user: str
    places: tuple[Place, ...]
    refused: Termination | None = None
    """Why none of them may ring."""


@dataclass(frozen=True, slots=True)
class TrunkConnected:
    """There is a flow to the trunk; its TLS peer is verified when the flow says so."""

    leg: LegId
    flow: Flow
    down: bool = False
    """It did not answer when it was asked last: it is tried for a short time only."""
    more: bool = False
    """There are other places of the trunk, where this call was not sent yet."""
    found_for: TrunkTarget | None = None
    """The target of the trunk that led there; None: its only one."""


@dataclass(frozen=True, slots=True)
class TrunkReached:
    """There is a connection to the place the trunk has sent us to, or none."""

    leg: LegId
    place: HostPort
    flow: Flow | None


@dataclass(frozen=True, slots=True)
class TrunkSilent:
    """The trunk answers neither the INVITE of this leg nor the question whether it is there."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class TrunkFailed:
    """The trunk cannot be reached, or `verification` says why its certificate was refused."""

    leg: LegId
    why: str
    verification: str
    told: Termination = Termination.TRUNK_UNREACHABLE
    """What that means for the call, when it is not who it should be that is to blame."""


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The handshake finished and the certificate matches the signalled fingerprint."""

    leg: LegId
    suite: CryptoSuite
    version: str
    fingerprint_algorithm: str
    number: int = 1
    """Of the handshakes of the leg."""


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The handshake failed for this reason."""

    leg: LegId
    termination: Termination
    code: Code = Code.EARLY_UNKEYED
    """What it says of the peer."""
    number: int = 1
    """Of the handshakes of the leg."""
    rtcp: bool = False
    """It is the one for RTCP, which has a port of its own."""


@dataclass(frozen=True, slots=True)
class DtlsAskedAgain:
    """The peer of a finished handshake wanted another one, and was refused."""

    leg: LegId
    number: int = 1
    """Of the handshakes of the leg."""


@dataclass(frozen=True, slots=True)
class RequestIn:
    """A request inside one of the call's dialogs, and the flow it came over: that flow is judged, not the dialog's."""

    leg: LegId
    key: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class ResponseIn:
    """A response to a request the call sent."""

    ask: int
    """Which of the call's requests it answers, see `SendRequest`."""
    response: Response
    flow: Flow


@dataclass(frozen=True, slots=True)
class Challenged:
    """A peer asks who we are, and we can say it (RFC 3261 22.2)."""

    ask: int
    request: Request
    """As it was sent."""
    credentials: tuple[tuple[str, str], ...]
    """What it is sent with once more."""
    response: Response
    """The refusal, for when it is of no use any more."""
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request the call sent got no response, or its transport broke."""

    ask: int
    transport: bool


@dataclass(frozen=True, slots=True)
class AckIn:
    """The ACK of a 2xx the call sent; the stack takes it only over a flow that may speak for the INVITE's."""

    key: str
    request: Request


@dataclass(frozen=True, slots=True)
class FlowRefused:
    """A message of the call came over a flow that may not speak for it; it was refused or dropped before it counted."""

    leg: LegId
    flow: Flow
    what: str
    """Its method, or the status of a response."""
    why: str
    status: int
    """What was answered, 0 when nothing was."""


@dataclass(frozen=True, slots=True)
class FlowMoved:
    """A connection of a leg was gone and there is a new one, which proves as much: what follows leaves there."""

    leg: LegId
    flow: Flow


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A connection closed in mid-call: whether a trunk still knows the call is to be asked, a browser may come back."""

    leg: LegId
    device: Device | None = None
    """Who was at the far end of a browser's, as far as it registered: nobody else may come back for it."""


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
class Measured:
    """What the relay has counted of the legs there are, each since it began."""

    quality: Mapping[LegId, Measurement]


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: Timer
    leg: LegId = NO_LEG


@dataclass(frozen=True, slots=True)
class Lost:
    """The call lost what it cannot live without: a connection, the gateway, its own wits."""

    termination: Termination


Event = (
    LegOpened
    | LegFailed
    | RelayEvent
    | NamesFound
    | DialogFound
    | DialogMissing
    | TakenOver
    | NotTaken
    | HandedOver
    | Replacing
    | Located
    | TrunkConnected
    | TrunkFailed
    | TrunkReached
    | TrunkSilent
    | DtlsConnected
    | DtlsFailed
    | DtlsAskedAgain
    | RequestIn
    | ResponseIn
    | RequestFailed
    | Challenged
    | AckIn
    | FlowRefused
    | FlowMoved
    | ConnectionClosed
    | AckMissing
    | Measured
    | CancelIn
    | TimerFired
    | Lost
)


def describe(event: Event) -> str:
    """The event in a few words for the debug log: never a body, a header or a key."""
    match event:
        case RequestIn():
            return f"leg {event.leg} {event.request.method}"
        case ResponseIn():
            return f"{event.response.status} to ask {event.ask}"
        case RequestFailed():
            return f"no answer to ask {event.ask}"
        case FlowRefused():
            return f"leg {event.leg} {event.what} refused over {event.flow}: {event.why}"
        case TimerFired():
            return f"timer {event.name}"
        case Lost() | DtlsFailed():
            return event.termination.slug
        case _:
            return type(event).__name__
