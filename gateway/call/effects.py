"""What a call asks the world to do: instructions from the pure machine, carried out in order by the manager.

The order is part of the meaning: a `WriteAudit` stands before the action it describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.termination import Termination
from gateway.base.values import HostPort, Secret
from gateway.media.relay_commands import CloseLeg, LegCommand, OpenLeg
from gateway.sdp.keying import Fingerprint
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response


class LegName(StrEnum):
    """The two sides of every call."""

    BROWSER = "browser"
    TRUNK = "trunk"

    @property
    def other(self) -> LegName:
        return LegName.TRUNK if self is LegName.BROWSER else LegName.BROWSER


class Purpose(StrEnum):
    """Why a request was sent; comes back with its response."""

    INVITE = "invite"
    REINVITE = "reinvite"
    UPDATE = "update"
    OPTIONS = "options"
    BYE = "bye"


class Timer(StrEnum):
    """The clocks a call may set; each name runs once at a time."""

    RING = "ring"
    KEYED = "keyed"
    GLARE = "glare"
    SILENT = "silent"
    REPORT = "report"
    LIVENESS = "liveness"
    LINGER = "linger"


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a request on a leg's flow in a transaction of its own."""

    leg: LegName
    request: Request
    flow: Flow
    purpose: Purpose
    ask: int
    """Number of the request within the call: what comes of it comes back with this number."""


@dataclass(frozen=True, slots=True)
class SendAck:
    """Acknowledge a 2xx (RFC 3261 13.2.2.4)."""

    leg: LegName
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelInvite:
    """Cancel the callee leg's INVITE (RFC 3261 9.1)."""

    headers: tuple[tuple[str, str], ...] = ()
    """What the CANCEL says besides: why (RFC 3326)."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a request by its server transaction."""

    key: str
    response: Response


@dataclass(frozen=True, slots=True)
class TrackDialog:
    """From now on requests inside this dialog belong to this leg."""

    leg: LegName
    key: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class OpenMedia:
    """Get a relay session; answered by `MediaOpened` or `MediaFailed`."""

    ice_ufrag: str
    ice_pwd: Secret[str]
    trunk: str


@dataclass(frozen=True, slots=True)
class RestartIce:
    """Let the relay answer checks under new credentials too (RFC 8839 4.4)."""

    ice_ufrag: str
    ice_pwd: Secret[str]


@dataclass(frozen=True, slots=True)
class Relay:
    """Have the relay carry out one of its commands; of an `OpenLeg` comes `LegOpened` or `LegFailed`."""

    command: OpenLeg | LegCommand | CloseLeg


@dataclass(frozen=True, slots=True)
class ResolveNames:
    """Ask DNS for host names of a trunk's description; answered by `NamesFound`, whatever comes of it."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConnectTrunk:
    """Get a flow to the trunk, verified where it is TLS; answered by `TrunkConnected` or `TrunkFailed`."""

    trunk: str


@dataclass(frozen=True, slots=True)
class ProbeTrunk:
    """Ask whether the trunk is there at all; answered by `TrunkSilent` if not."""

    trunk: str


@dataclass(frozen=True, slots=True)
class StartDtls:
    """Begin the handshake with the browser; answered by `DtlsConnected` or `DtlsFailed`."""

    role: str
    """`server` (we answered passive) or `client` (we answered active)."""
    fingerprints: tuple[Fingerprint, ...]


@dataclass(frozen=True, slots=True)
class ReleaseDtlsKeys:
    """Hand the keys of the finished handshake to the relay: media may flow."""


@dataclass(frozen=True, slots=True)
class SetTrunkKeys:
    """Give the relay the trunk leg's SRTP keys."""

    suite: CryptoSuite
    tx: Secret[bytes]
    rx: Secret[bytes]


@dataclass(frozen=True, slots=True)
class SetTrunkMedia:
    """Tell the relay where the trunk's media is and whether it is keyed."""

    keyed: bool
    rtp: HostPort
    rtcp: HostPort | None
    rtcp_mux: bool


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """A payload type as one leg sends it: its clock rate, and whether it is a telephone-event."""

    leg: LegName
    payload_type: int
    clock_rate: int
    is_event: bool


@dataclass(frozen=True, slots=True)
class SetPayloads:
    """Payload type numbers of each leg, mapped both ways."""

    to_trunk: tuple[tuple[int, int], ...]
    to_browser: tuple[tuple[int, int], ...]
    formats: tuple[PayloadFormat, ...]
    """What the timestamps of each of them count."""


@dataclass(frozen=True, slots=True)
class SetDirection:
    """Which ways media may pass: hold closes one or both."""

    to_trunk: bool
    to_browser: bool


@dataclass(frozen=True, slots=True)
class WriteAudit:
    """Write one audit record now, before the effects that follow."""

    record: dict[str, object]


@dataclass(frozen=True, slots=True)
class SetTimer:
    name: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer:
    name: Timer


@dataclass(frozen=True, slots=True)
class Finished:
    """Stop the media and write `call.final`, before the effects that follow tell the peers."""

    termination: Termination
    status: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing more can come for this call: drop it from every index."""


Effect = (
    SendRequest
    | SendAck
    | CancelInvite
    | Respond
    | TrackDialog
    | OpenMedia
    | RestartIce
    | Relay
    | ResolveNames
    | ConnectTrunk
    | ProbeTrunk
    | StartDtls
    | ReleaseDtlsKeys
    | SetTrunkKeys
    | SetTrunkMedia
    | SetPayloads
    | SetDirection
    | WriteAudit
    | SetTimer
    | ClearTimer
    | Finished
    | Forget
)
