"""What a call asks the world to do: instructions from the pure machine, carried out in order by the manager.

The order is part of the meaning: a `WriteAudit` stands before the action it describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.base.counters import Counter
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.keying import DtlsRole
from gateway.base.termination import Termination
from gateway.base.values import NO_LEG, HostPort, LegId
from gateway.media.relay_commands import CloseLeg, LegCommand, OpenLeg
from gateway.policy.header import Report
from gateway.quality.told import CallQuality
from gateway.sdp.keying import Fingerprint
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.replaces import Replaces
from gateway.trunks.target import Spot


class Purpose(StrEnum):
    """Why a request was sent; comes back with its response."""

    INVITE = "invite"
    REINVITE = "reinvite"
    UPDATE = "update"
    OPTIONS = "options"
    NOTIFY = "notify"
    PRACK = "prack"
    REFRESH = "refresh"
    INFO = "info"
    REPORT = "report"
    BYE = "bye"


class Timer(StrEnum):
    """The clocks a call may set; each runs once at a time for a leg, or for the call itself."""

    RING = "ring"
    KEYED = "keyed"
    GLARE = "glare"
    SILENT = "silent"
    REPORT = "report"
    LIVENESS = "liveness"
    REFERRAL = "referral"
    PRACK = "prack"
    RETURN = "return"
    SESSION = "session"
    RING_ON = "ring-on"
    MEASURE = "measure"
    LINGER = "linger"


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a request on a leg's flow in a transaction of its own."""

    leg: LegId
    request: Request
    flow: Flow
    purpose: Purpose
    ask: int
    """Number of the request within the call: what comes of it comes back with this number."""


@dataclass(frozen=True, slots=True)
class SendAck:
    """Acknowledge a 2xx (RFC 3261 13.2.2.4)."""

    leg: LegId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelInvite:
    """Cancel an INVITE that has no final answer (RFC 3261 9.1)."""

    ask: int
    """The number it was sent under."""
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

    leg: LegId
    key: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ResolveNames:
    """Ask DNS for host names of a trunk's description; answered by `NamesFound`, whatever comes of it."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Locate:
    """Find out where a user can be reached; answered by `Located`, whatever comes of it."""

    user: str


@dataclass(frozen=True, slots=True)
class FindDialog:
    """Find out which leg a dialog of this gateway belongs to; answered by `DialogFound` or `DialogMissing`."""

    leg: LegId
    """Who names it: a dialog of somebody else is not found."""
    replaces: Replaces
    flow: Flow
    """Over which it was named."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Take the leg that was found into this call; answered by `TakenOver` or `NotTaken`."""

    leg: LegId
    """Its number from now on."""


@dataclass(frozen=True, slots=True)
class ConnectTrunk:
    """Get a flow to the trunk, verified where it is TLS; answered by `TrunkConnected` or `TrunkFailed`."""

    leg: LegId
    """The leg that there will be."""
    trunk: str
    tried: tuple[Spot, ...] = ()
    """Places of the trunk where the call was not taken: the next one is wanted."""
    urgent: bool = False
    """A call for help, which goes to places too that want to be left alone."""
    unheard: Flow | None = None
    """Where nothing at all was heard."""


@dataclass(frozen=True, slots=True)
class ReachTrunk:
    """Get a connection to another place of a trunk, over the same transport; answered by `TrunkReached`."""

    leg: LegId
    trunk: str
    flow: Flow
    """The one there is."""
    place: HostPort


@dataclass(frozen=True, slots=True)
class ProbeTrunk:
    """Ask whether the trunk is there at all; answered by `TrunkSilent` if not."""

    leg: LegId
    """The leg whose INVITE it does not answer."""
    trunk: str


@dataclass(frozen=True, slots=True)
class Relay:
    """Have the relay carry out one of its commands; of an `OpenLeg` comes `LegOpened` or `LegFailed`."""

    command: OpenLeg | LegCommand | CloseLeg


@dataclass(frozen=True, slots=True)
class StartDtls:
    """Begin the handshake with the peer of a leg; answered by `DtlsConnected` or `DtlsFailed`."""

    leg: LegId
    role: DtlsRole
    """`server` (we answered passive) or `client` (we answered active)."""
    fingerprints: tuple[Fingerprint, ...]
    suites: tuple[CryptoSuite, ...]
    """What the policy of the leg allows, in order of preference; with none there will be no keys."""
    number: int = 1
    """Of the handshakes of the leg: it takes the place of the one before, whose outcome nobody waits for any more."""
    checks_paths: bool = True
    """It waits until a path is known to lead to the peer (ICE)."""
    rtcp: bool = False
    """RTCP has a port of its own: there is a second handshake, for that."""


@dataclass(frozen=True, slots=True)
class ReleaseDtlsKeys:
    """Hand the keys of the finished handshake to the relay: media may flow."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class WriteAudit:
    """Write one audit record now, before the effects that follow."""

    record: dict[str, object]


@dataclass(frozen=True, slots=True)
class ShowReport:
    """Show the user of a leg how her call is protected, beside what is said in its dialog."""

    leg: LegId
    user: str
    sip_call_id: str
    answered: bool
    report: Report


@dataclass(frozen=True, slots=True)
class ShowQuality:
    """Show the user of a leg how her call sounds, on her event sockets."""

    leg: LegId
    user: str
    sip_call_id: str
    quality: CallQuality


@dataclass(frozen=True, slots=True)
class Measure:
    """Ask the relay what it has counted; answered by `Measured`, or by nothing when there is no relay any more."""


@dataclass(frozen=True, slots=True)
class TakeDown:
    """A leg that was shown is part of this call no longer."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Pin:
    """A peer was seen to encrypt: it is held to that from the next call on."""

    peer: str


@dataclass(frozen=True, slots=True)
class Count:
    """Count what would otherwise pass in silence."""

    name: Counter


@dataclass(frozen=True, slots=True)
class SetTimer:
    name: Timer
    seconds: float
    leg: LegId = NO_LEG


@dataclass(frozen=True, slots=True)
class ClearTimer:
    name: Timer
    leg: LegId = NO_LEG


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
    | ResolveNames
    | Locate
    | FindDialog
    | TakeOver
    | ConnectTrunk
    | ReachTrunk
    | ProbeTrunk
    | Relay
    | StartDtls
    | ReleaseDtlsKeys
    | WriteAudit
    | ShowReport
    | ShowQuality
    | Measure
    | TakeDown
    | Pin
    | Count
    | SetTimer
    | ClearTimer
    | Finished
    | Forget
)
