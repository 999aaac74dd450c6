"""The events of the relay protocol; when each of them is told is written in `relay_protocol`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from gateway.base.codes import Code
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import Component
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_quality import LegQuality


class RejectCode(StrEnum):
    """Codes of `SourceRejected`; the words are those of the catalogue in `base.codes`."""

    LATCH_MISMATCH = Code.MEDIA_LATCH_MISMATCH.value
    """The source is neither the signalled address nor in the networks given."""
    MID_RELATCH = Code.MEDIA_MID_RELATCH.value
    """An allowed address tried to take over a stream that still flows, or that is locked."""
    PLAIN_ON_SECURE = Code.MEDIA_PLAIN_ON_SECURE.value
    """A packet on a keyed leg failed authentication: plain, forged or protected with another key."""
    KEY_MISMATCH = Code.MEDIA_KEY_MISMATCH.value
    """Of `MediaMismatch` only: the packets of the peer are protected, but not under the key that was agreed."""
    UNKEYED = Code.EARLY_UNKEYED.value
    """Media came before the keys of the leg, more than the race between the two explains."""
    NO_SRTCP = Code.SRTCP_ABSENT.value
    """Of `MediaMismatch` only: RTCP of the peer is in clear, or there is none beside its media."""
    EXTENSION = Code.META_LEAK.value
    """Of `MediaMismatch` only: header extensions nobody agreed on, in clear beside encrypted media."""


class UnsentCause(StrEnum):
    """Causes of `MediaUnsent`; each is the name of the counter that tells how many."""

    UNSENDABLE = "srtp_unsendable"
    """The SRTP library refuses to protect them: too long."""
    UNSENT = "unsent"
    """The kernel does not take them: full buffer, no route."""
    UNMAPPED = "unmapped_dropped"
    """Their payload type was not agreed with the other side."""


class FailureReason(StrEnum):
    """Reasons of `LegFailed` and `CommandRefused`."""

    NO_PORT = "no_port"
    BAD_ADDRESS = "bad_address"
    BAD_KEYS = "bad_keys"
    BAD_ROUTE = "bad_route"
    """A leg does not hear itself."""
    WRONG_KIND = "wrong_kind"
    """A peer's address is of an `OwnPort` leg."""
    DUPLICATE = "duplicate"
    """The number or the name is taken."""
    NO_LEG = "no_leg"
    """There is no such leg to adopt, or no call to adopt it."""
    TOO_MANY_CALLS = "too_many_calls"
    TOO_MANY_LEGS = "too_many_legs"


@dataclass(frozen=True, slots=True)
class WorkerReady:
    browser_port: int
    version: str = ""
    """Of the program."""


@dataclass(frozen=True, slots=True)
class Alive:
    number: int


@dataclass(frozen=True, slots=True)
class LegOpened:
    leg: LegId
    rtp: tuple[HostPort, ...]
    """Where the peer sends to: the candidates of an `IcePort` leg, best first; one address of an `OwnPort` leg."""
    rtcp: HostPort | None
    """None: the same, muxed."""


@dataclass(frozen=True, slots=True)
class LegAdopted:
    leg: LegId


@dataclass(frozen=True, slots=True)
class LegFailed:
    leg: LegId
    reason: str


@dataclass(frozen=True, slots=True)
class CommandRefused:
    leg: LegId
    reason: str


@dataclass(frozen=True, slots=True)
class IceValidated:
    leg: LegId
    address: HostPort


@dataclass(frozen=True, slots=True)
class DtlsReceived:
    leg: LegId
    data: bytes
    component: int = Component.RTP


@dataclass(frozen=True, slots=True)
class ConsentLost:
    leg: LegId


@dataclass(frozen=True, slots=True)
class MediaStarted:
    leg: LegId


@dataclass(frozen=True, slots=True)
class LegVerified:
    leg: LegId
    confirmed: bool


@dataclass(frozen=True, slots=True)
class MediaMismatch:
    leg: LegId
    code: str


@dataclass(frozen=True, slots=True)
class KeysWorn:
    leg: LegId
    spent: bool
    """The lifetime is over; False: it soon will be."""


@dataclass(frozen=True, slots=True)
class LegSilent:
    leg: LegId


@dataclass(frozen=True, slots=True)
class LegHeard:
    leg: LegId


@dataclass(frozen=True, slots=True)
class SourceLearned:
    leg: LegId
    address: HostPort
    expected: HostPort


@dataclass(frozen=True, slots=True)
class SourceRejected:
    leg: LegId
    address: HostPort
    code: str
    flood: bool = False
    """There are more than `protection.MAX_FORGED` of them in a second; told once, after the first telling."""


@dataclass(frozen=True, slots=True)
class MediaUnsent:
    leg: LegId
    cause: str


@dataclass(frozen=True, slots=True)
class DigitHeard:
    leg: LegId
    digit: Secret[str]
    """One of `gateway.base.dtmf.SIGNALS`."""
    milliseconds: int


@dataclass(frozen=True, slots=True)
class RtcpTold:
    leg: LegId
    peer: HostPort
    """Where it was sent to, or the peer's RTCP belongs to."""
    muxed: bool
    """It shares the port of RTP."""
    sent: bool
    compound: bytes
    """In clear."""


@dataclass(frozen=True, slots=True)
class LegClosed:
    leg: LegId
    counters: PacketCounters
    quality: LegQuality = field(default_factory=LegQuality)


@dataclass(frozen=True, slots=True)
class CallClosed:
    legs: Mapping[LegId, PacketCounters]
    quality: Mapping[LegId, LegQuality] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CountersReport:
    legs: Mapping[LegId, PacketCounters]
    quality: Mapping[LegId, LegQuality] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker of the call is gone, or goes. Made by the relay client, never sent over the socket."""

    hung: bool = False
    """It did not die by itself: it stopped answering, and was killed for that."""
    drained: bool = False
    """It was taken out of service, and the time its calls had is over: it stays until they have ended."""


LegEvent: TypeAlias = (
    CommandRefused
    | IceValidated
    | DtlsReceived
    | ConsentLost
    | MediaStarted
    | LegVerified
    | MediaMismatch
    | KeysWorn
    | LegSilent
    | LegHeard
    | SourceLearned
    | SourceRejected
    | MediaUnsent
    | DigitHeard
    | RtcpTold
)
"""What happens to a leg by itself, not as the answer to a command."""
Event: TypeAlias = (
    WorkerReady | Alive | LegOpened | LegAdopted | LegFailed | LegEvent | LegClosed | CallClosed | CountersReport
)
RelayEvent: TypeAlias = LegEvent | WorkerLost
"""What the listener of a call is given."""
