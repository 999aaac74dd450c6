"""The commands of the relay protocol; what each of them does is written in `relay_protocol`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from gateway.base.values import HostPort, LegId, Secret

MAX_LIFETIME = 1 << 48
"""SRTP packets one master key may protect (RFC 3711 9.2)."""


class Component(IntEnum):
    """What of a leg is meant; the numbers are those of ICE (RFC 8445 5.1.1)."""

    BOTH = 0
    RTP = 1
    RTCP = 2
    """RTCP on the port of its own."""


@dataclass(frozen=True, slots=True)
class IcePort:
    """A leg behind the port all browsers share: ICE-lite under these credentials, DTLS, always keyed."""

    ufrag: str
    pwd: Secret[str]


@dataclass(frozen=True, slots=True)
class IceNames:
    """What checks of a peer are authenticated by."""

    ufrag: str
    pwd: Secret[str]


@dataclass(frozen=True, slots=True)
class OwnPort:
    """A leg with a pair of ports of its own, on this address."""

    bind: str
    advertise: str = ""
    """What the peer is told instead of `bind`, where an address translator stands between."""
    ice: IceNames | None = None
    """Checks are answered under this name on the RTP port (ICE-lite); None: until `SetIce` says one."""


Place: TypeAlias = IcePort | OwnPort


@dataclass(frozen=True, slots=True)
class OpenLeg:
    leg: LegId
    place: Place
    tells_rtcp: bool = False
    """The RTCP of the leg is told, both ways (`RtcpTold`)."""


@dataclass(frozen=True, slots=True)
class Adopt:
    leg: LegId
    """Its number from now on."""
    from_call: int
    """Whose leg it is until now."""
    from_leg: LegId
    """Its number there."""


@dataclass(frozen=True, slots=True)
class SetIce:
    leg: LegId
    ufrag: str
    pwd: Secret[str]


@dataclass(frozen=True, slots=True)
class SetKeys:
    leg: LegId
    suite: str
    """Name of a suite of `gateway.base.crypto_suite`; any other is refused."""
    tx: Secret[bytes]
    """Master key and salt of what the worker sends on this leg."""
    rx: Secret[bytes]
    """Master key and salt of what it receives."""
    tx_mki: bytes = b""
    """What the packets that are sent call their key (RFC 3711 3.1); empty: they do not name it."""
    rx_mki: bytes = b""
    """What those that come call theirs."""
    lifetime: int = MAX_LIFETIME
    """Packets the peer lets its key protect; ours has no other limit than that of SRTP itself."""
    component: int = Component.BOTH
    """A `Component`. RTP or RTCP alone: each port has a handshake, and keys, of its own (RFC 5764 4.1)."""


@dataclass(frozen=True, slots=True)
class DropKeys:
    leg: LegId


@dataclass(frozen=True, slots=True)
class SetPeer:
    leg: LegId
    keyed: bool
    rtp: HostPort
    rtcp: HostPort | None = None
    """None: the port above `rtp` (RFC 3605 has the other case). Not used with `mux`."""
    mux: bool = False
    """RTCP shares the port of RTP (RFC 5761)."""
    sources: tuple[str, ...] = ()
    """Networks, besides the signalled address, its media may come from."""
    dtls: bool = False
    """Its keys come from DTLS on these ports (RFC 5764), so that DTLS of the peer is handed up."""
    ice: bool = False
    """It checks paths (RFC 8445): heard on those that passed a check, sent to on the nominated one. RTCP is muxed."""


@dataclass(frozen=True, slots=True)
class PayloadMap:
    """A payload type as the source sends it, and as it leaves on the sink (RFC 3264 5.1: each side has its numbers)."""

    payload_type: int
    becomes: int
    clock_rate: int = 8000
    """Timestamp units a second (RFC 8866 6.6)."""


@dataclass(frozen=True, slots=True)
class EventFormat:
    """telephone-event as a peer sends or takes it (RFC 4733)."""

    payload_type: int
    clock_rate: int = 8000
    """Timestamp units a second of its durations."""


@dataclass(frozen=True, slots=True)
class ExtensionMap:
    """A header extension as the source numbers it, and as the sink does (RFC 8285 5)."""

    number: int
    becomes: int


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """Packets are passed on as they are, with the numbers of the other side; digits are played anew."""

    payloads: tuple[PayloadMap, ...] = ()
    is_open: bool = True
    """False: RTP is held back (RFC 3264 8.4)."""
    heard: tuple[EventFormat, ...] = ()
    """telephone-event as the source sends it."""
    events: tuple[EventFormat, ...] = ()
    """telephone-event as the peer of the sink takes it: that in the clock of the audio beside it is used, or the first.
    None: no digits are played there."""
    tells_digits: bool = False
    """Digits of the source are told (`DigitHeard`) and not played."""
    extensions: tuple[ExtensionMap, ...] = ()
    """Header extensions that are passed on; all others are left out."""


Plan: TypeAlias = RelayPlan
"""What becomes of media on a route. One kind so far; transcoding and mixing are others."""


@dataclass(frozen=True, slots=True)
class Route:
    source: LegId
    sink: LegId
    plan: Plan


@dataclass(frozen=True, slots=True)
class Unroute:
    sink: LegId


@dataclass(frozen=True, slots=True)
class PlayDigit:
    leg: LegId
    """Whose peer is to hear it."""
    digit: Secret[str]
    """One of `gateway.base.dtmf.SIGNALS`."""
    milliseconds: int


@dataclass(frozen=True, slots=True)
class SendDtls:
    leg: LegId
    data: bytes
    component: int = Component.RTP


@dataclass(frozen=True, slots=True)
class CloseLeg:
    leg: LegId


@dataclass(frozen=True, slots=True)
class CloseCall:
    """Ends the call named in the envelope."""


@dataclass(frozen=True, slots=True)
class GetCounters:
    """Asks for the counters of the call named in the envelope."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    number: int


LegCommand: TypeAlias = SetIce | SetKeys | DropKeys | SetPeer | Route | Unroute | PlayDigit | SendDtls
"""What changes the legs of a call that is there."""
Command: TypeAlias = OpenLeg | Adopt | LegCommand | CloseLeg | CloseCall | GetCounters | Heartbeat
