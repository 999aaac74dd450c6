"""The relay protocol: what the gateway tells a relay worker, and what the worker tells back.

A relay worker is a separate process that owns the sockets media flows through. The gateway process never touches
a media packet; it opens sessions, gives keys, and listens to events. A worker in another language can replace the
one in `gateway.media.worker` as long as it speaks what is written here; `tests/media` is its acceptance test.
The messages are the dataclasses below; `relay_codec` puts them on the wire.

Transport
    One `AF_UNIX` `SOCK_SEQPACKET` socket pair per worker. The worker inherits its end; the number of the
    descriptor is in the start configuration (`WorkerConfig`), a JSON object and the only command-line argument; it
    never holds a secret. One packet is one message; messages keep their order. End of file, on either side, means
    that the other process is gone: the worker exits, the gateway calls every session of the worker lost.

Message
    ::

        +----------------+------------------------+------------------------------+
        | header length  | header, JSON (UTF-8)   | octet strings, concatenated  |
        | 4 octets, big  | {"type": ..., ...}     | keys and DTLS datagrams      |
        +----------------+------------------------+------------------------------+

    `type` is the name of a dataclass of this module; the other members are its fields. An octet string is written in
    the header as its length and carried behind it, in the order of the fields: no key is ever JSON text. `HostPort` is
    `[host, port]`, a map is a list of pairs, a tuple is a list. A message is at most `MAX_MESSAGE` octets. A message
    that breaks these rules raises `MediaError`; a worker ignores it and counts it, the gateway gives the worker up.

Session
    A session is one call: a browser leg (ICE-lite, DTLS-SRTP, RTP and RTCP on one port) and a trunk leg (RTP or SRTP
    on a port of its own, RTCP on the next one or muxed). Its number is chosen by the gateway and never used twice by
    one worker; number 0 is the worker itself and is used for `GetCounters` only.

    ====================  ==========================================================================================
    Command               Effect
    ====================  ==========================================================================================
    `OpenSession`         Binds the trunk ports and starts to answer STUN checks for `ice_ufrag`. Answered by
                          `SessionOpened` or `SessionFailed`, whichever comes first, exactly once.
    `SetIce`              Starts to answer checks for another `ice_ufrag` too: an ICE restart (RFC 8839 4.4). Media and
                          DTLS go on over the paths there are. The name before goes with the first check under the new
                          one that nominates; of more than two names the one nobody nominated goes first. A name that
                          another session has is refused.
    `SetKeys`             Installs the SRTP keys of a leg. A direction whose key is unchanged keeps its context, so its
                          roll-over counter and replay window live on (RFC 3711 3.2.1). A trunk leg that was plain is
                          keyed from then on, until `SetTrunk` says otherwise.
    `SetTrunk`            Says where the trunk's media is expected from and sent to, and whether the leg is keyed.
                          Other values forget what was learned; the same ones again only start anew the time in which
                          the signalled address must be silent before another is learned.
    `SetPayloads`         The payload types that are relayed, with the number each gets. All others are dropped.
                          `formats` says what their timestamps count; 8000 Hz and no event where it says nothing. An
                          event that gets a number of another clock rate leaves with its duration in that clock.
    `SetDirection`        Opens or closes RTP per direction (hold); RTCP is never held. Both are open at the start.
    `SendDtls`            Sends a DTLS datagram to the nominated address of the browser, or before nomination to the
                          address validated first. Dropped when there is neither.
    `CloseSession`        Closes the sockets; the ports rest in quarantine. Answered by `SessionClosed`.
    `GetCounters`         Answered by `CountersReport`. As messages keep their order it also proves that every earlier
                          command is in effect.
    `Heartbeat`           Answered by `Alive` with the same number, once every second. The gateway kills a worker that
                          leaves three unanswered; a worker that had heartbeats and misses 30 of them ends.
    ====================  ==========================================================================================

    Nothing leaves a leg before its keys are set, or before `SetTrunk` said `keyed=False` for the trunk leg. The browser
    leg is always keyed. A command for a session the worker does not have is ignored, except that `CloseSession` and
    `GetCounters` are still answered, with zeros.

    ====================  ==========================================================================================
    Event                 Meaning
    ====================  ==========================================================================================
    `WorkerReady`         First message of a worker: its browser port is bound on every address.
    `IceValidated`        The first authenticated check of the session came from `address`. Once.
    `DtlsReceived`        A DTLS datagram from a validated address of the browser.
    `ConsentLost`         No authenticated check for the consent time (RFC 7675). Once; the worker sends no more to the
                          browser and answers no more checks of this session.
    `MediaStarted`        First packet of a leg that authenticated, or on a plain leg came from the accepted source.
                          Once per leg, once more after the trunk leg changed between plain and keyed, and with the
                          first packet under each new key.
    `LegVerified`         Packets of a keyed leg authenticated. `confirmed`: so did a report of the peer that it gets
                          our stream; else no such report came within 20 s. Once for the keys of a leg.
    `MediaMismatch`       Packets came on a keyed leg from where the peer's media comes from, for 10 s, and none of them
                          authenticated; `code` says whether they are readable. Once for the keys of a leg.
    `LegSilent`           Nothing was accepted from the trunk leg for 20 s since `SetTrunk` or its last packet, neither
                          RTP nor RTCP. Once until it is heard again.
    `LegHeard`            A leg that was called silent is heard again.
    `SourceLearned`       The trunk's media now comes from, and goes to, `address`; `expected` is the signalled address,
                          and equal to it when that one has spoken again. At most 64 per session; counters go on.
    `SourceRejected`      Packets were dropped; `code` is a code of the policy's catalogue, see `RejectCode`. At most
                          once per session, leg and code; the counters tell how many.
    `Alive`               Answer to `Heartbeat`.
    `MediaUnsent`         Ten packets that should leave on a leg did not; `cause` is an `UnsentCause`. Once per leg and
                          cause; the counters tell how many. Comfort noise is not media in this sense.
    `SessionClosed`       Answer to `CloseSession` with the final counters.
    `SessionFailed`       The session could not be opened, or a command for it was refused; `reason` is a
                          `FailureReason`. A refused command changes nothing.
    ====================  ==========================================================================================

Rules a worker keeps whatever it is told
    - Browser port: only STUN is read from an address that has not passed an authenticated check. STUN that is not
      authenticated is never answered. DTLS is handed up and SRTP opened only from validated addresses; media is sent
      only to the nominated one, from the socket its checks come in on.
    - A datagram that is empty, longer than `MAX_DATAGRAM` or of no known kind is dropped and counted.
    - A packet on a keyed leg is authenticated before anything else is concluded from it. Any number of sources is heard
      in turn: the context of the one silent for longest makes room, and that SSRC is not taken again under this key. An
      earlier key that is set again goes on where it was: a packet index is never used twice.
    - Plain trunk leg: the signalled address owns the leg from the first packet on. Another port of its host, or an
      address in `sources`, stands in for it only after it was silent for 2 s since `SetTrunk`, its last packet and the
      end of a hold, and then after three packets in sequence with one SSRC and an agreed payload type; until
      then media goes to the signalled address. No other is learned after that, and the signalled address has the leg
      back with its first packet. RTCP is heard from the signalled RTCP address and from the port above a stand-in.
    - Keyed trunk leg: authenticated packets are heard from anywhere; the address sent to moves only to an allowed one
      that has sent for 2 s while the present one was silent.
    - RTP leaves with the mapped payload type and without header extension, under one SSRC, sequence and timestamp space
      of the worker's own per leg. They go on without a break whatever the source's numbers do (RFC 3550 A.1): at a
      discontinuity by one packet and by the time that passed, with the marker bit. Another key to send with brings a
      new SSRC. Between discontinuities lost and late packets stay so; no index leaves twice.
    - RTCP leaves in whole compounds of SR, RR, SDES, RTPFB, PSFB and XR, at most 50 a second, in the numbers of the
      worker's own streams; what does not concern the present source is left out. The CNAME is the worker's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from gateway.base.codes import Code
from gateway.base.values import HostPort, Secret

MAX_MESSAGE = 65_536
"""Longest control message, octets: far above the largest real one, below the default socket buffer."""
MAX_DATAGRAM = 1500
"""Longest datagram relayed or handed up, octets."""
WORKER = 0
"""Session number that stands for the worker itself in `GetCounters`."""

CONSENT_SECONDS = 30.0
"""Life of consent after a check (RFC 7675 5.1)."""
SILENCE_SECONDS = 20.0
"""A trunk that sends nothing for this long is called silent: four times the usual interval of RTCP reports."""
QUARANTINE_SECONDS = 5.0
"""A closed trunk port rests this long: late packets of the old call do not reach the next one."""

Leg: TypeAlias = Literal["browser", "trunk"]


class RejectCode(StrEnum):
    """Codes of `SourceRejected`; the words are those of the catalogue in `base.codes`."""

    LATCH_MISMATCH = Code.MEDIA_LATCH_MISMATCH.value
    """Trunk leg: the source is neither the signalled address nor in the networks given."""
    MID_RELATCH = Code.MEDIA_MID_RELATCH.value
    """Trunk leg: an allowed address tried to take over a stream that still flows, or that is locked."""
    PLAIN_ON_SECURE = Code.MEDIA_PLAIN_ON_SECURE.value
    """A packet on a keyed leg failed authentication: plain, forged or protected with another key."""
    KEY_MISMATCH = Code.MEDIA_KEY_MISMATCH.value
    """Of `MediaMismatch` only: the packets of the peer are protected, but not under the key that was agreed."""


class UnsentCause(StrEnum):
    """Causes of `MediaUnsent`; each is the name of the counter that tells how many."""

    UNSENDABLE = "srtp_unsendable"
    """The SRTP library refuses to protect them: too long."""
    UNSENT = "unsent"
    """The kernel does not take them: full buffer, no route."""
    UNMAPPED = "unmapped_dropped"
    """Their payload type was not agreed with the other side."""


class FailureReason(StrEnum):
    """Reasons of `SessionFailed`."""

    NO_PORT = "no_port"
    BAD_ADDRESS = "bad_address"
    TOO_MANY_SESSIONS = "too_many_sessions"
    DUPLICATE = "duplicate"
    BAD_KEYS = "bad_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCounters:
    """Packets of one session, or of what could not be assigned to a session (`WORKER`)."""

    browser_rx: int = 0
    """RTP from the browser that authenticated."""
    browser_tx: int = 0
    """RTP sent to the browser."""
    trunk_rx: int = 0
    """RTP from the trunk that authenticated, or on a plain leg came from the accepted source."""
    trunk_tx: int = 0
    """RTP sent to the trunk."""
    rtcp_rx: int = 0
    """RTCP accepted, both legs."""
    rtcp_tx: int = 0
    """RTCP sent, both legs."""
    dtls_rx: int = 0
    """DTLS datagrams handed up."""
    stun_rx: int = 0
    """Authenticated STUN checks answered."""
    srtp_auth_failed: int = 0
    """Packets on a keyed leg that failed authentication."""
    srtp_replayed: int = 0
    """SRTP or SRTCP with an index seen before or too old for the window; the library looks at that before the tag."""
    srtp_ssrc_limit: int = 0
    """Packets of a new source on a keyed leg that has used up the SSRCs of its key."""
    srtp_unsendable: int = 0
    """Packets the SRTP library refused to protect: too long."""
    stale_dropped: int = 0
    """RTP that was relayed before, or of a source that had been replaced."""
    plain_dropped: int = 0
    """Those of `srtp_auth_failed` that are plain beyond doubt: plain RTCP, and what is too short to hold a tag. Other
    plain RTP cannot be told from SRTP under another key."""
    source_rejected: int = 0
    """Trunk packets from a source that is not accepted."""
    source_pending: int = 0
    """Trunk packets dropped while a source was being learned."""
    source_moved: int = 0
    """How often the address of the trunk's media changed: each time somebody stood in, and each time it ended."""
    unkeyed_dropped: int = 0
    """Packets that came, or should have left, before the keys of the leg were set."""
    unmapped_dropped: int = 0
    """RTP with a payload type that was not agreed."""
    held_dropped: int = 0
    """RTP against the agreed direction."""
    malformed_dropped: int = 0
    """Neither valid RTP nor valid RTCP."""
    rtcp_rejected: int = 0
    """RTCP that is malformed, on the wrong port, or more than the rate allowed."""
    oversize_dropped: int = 0
    """Datagrams above `MAX_DATAGRAM` octets, or too long to be protected."""
    empty_dropped: int = 0
    """Datagrams without content."""
    unknown_dropped: int = 0
    """Datagrams to the browser port whose first octet is none of STUN, DTLS and RTP (RFC 7983)."""
    unvalidated_dropped: int = 0
    """SRTP to the browser port from an address that passed no check."""
    stun_rejected: int = 0
    """STUN that is malformed, unauthenticated, or no Binding request."""
    dtls_rejected: int = 0
    """DTLS from an address that passed no check, or more than the rate allowed."""
    unsent: int = 0
    """Packets the kernel did not take, and packets for a browser without a nominated address."""
    control_rejected: int = 0
    """Control messages that could not be read, and events dropped because the gateway did not read them."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker is started with; JSON on its command line."""

    control_fd: int
    """The worker's end of the socket pair."""
    browser_bind: tuple[str, ...]
    browser_port: int
    trunk_first: int
    """First and last port of the worker's slice of `media.trunk.ports`."""
    trunk_last: int
    consent_seconds: float = CONSENT_SECONDS
    quarantine_seconds: float = QUARANTINE_SECONDS
    silence_seconds: float = SILENCE_SECONDS


@dataclass(frozen=True, slots=True)
class OpenSession:
    session: int
    ice_ufrag: str
    ice_pwd: Secret[str]
    trunk_bind: str


@dataclass(frozen=True, slots=True)
class SetIce:
    session: int
    ice_ufrag: str
    ice_pwd: Secret[str]


@dataclass(frozen=True, slots=True)
class SetKeys:
    session: int
    leg: Leg
    suite: str
    """Name of a suite of `gateway.base.crypto_suite`; any other is refused."""
    tx: Secret[bytes]
    """Master key and salt of what the worker sends on this leg."""
    rx: Secret[bytes]
    """Master key and salt of what it receives."""


@dataclass(frozen=True, slots=True)
class SetTrunk:
    session: int
    keyed: bool
    rtp: HostPort
    rtcp: HostPort | None
    """None: the port above `rtp` (RFC 3605 has the other case). Not used with `rtcp_mux`."""
    rtcp_mux: bool
    sources: tuple[str, ...]
    """Networks, besides the signalled address, its media may come from."""


@dataclass(frozen=True, slots=True)
class Format:
    """What is known of a payload type as one leg sends it."""

    leg: Leg
    payload_type: int
    clock_rate: int
    """Timestamp units a second (RFC 8866 6.6)."""
    is_event: bool
    """telephone-event (RFC 4733), whose packets share a timestamp."""


@dataclass(frozen=True, slots=True)
class SetPayloads:
    session: int
    to_trunk: Mapping[int, int]
    to_browser: Mapping[int, int]
    formats: tuple[Format, ...] = ()


@dataclass(frozen=True, slots=True)
class SetDirection:
    session: int
    to_trunk: bool
    to_browser: bool


@dataclass(frozen=True, slots=True)
class SendDtls:
    session: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseSession:
    session: int


@dataclass(frozen=True, slots=True)
class GetCounters:
    session: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    number: int


@dataclass(frozen=True, slots=True)
class WorkerReady:
    browser_port: int


@dataclass(frozen=True, slots=True)
class Alive:
    number: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    session: int
    trunk_rtp_port: int
    trunk_rtcp_port: int


@dataclass(frozen=True, slots=True)
class SessionFailed:
    session: int
    reason: str


@dataclass(frozen=True, slots=True)
class IceValidated:
    session: int
    address: HostPort


@dataclass(frozen=True, slots=True)
class DtlsReceived:
    session: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ConsentLost:
    session: int


@dataclass(frozen=True, slots=True)
class MediaStarted:
    session: int
    leg: Leg


@dataclass(frozen=True, slots=True)
class LegVerified:
    session: int
    leg: Leg
    confirmed: bool


@dataclass(frozen=True, slots=True)
class MediaMismatch:
    session: int
    leg: Leg
    code: str


@dataclass(frozen=True, slots=True)
class LegSilent:
    session: int
    leg: Leg


@dataclass(frozen=True, slots=True)
class LegHeard:
    session: int
    leg: Leg


@dataclass(frozen=True, slots=True)
class SourceLearned:
    session: int
    address: HostPort
    expected: HostPort


@dataclass(frozen=True, slots=True)
class SourceRejected:
    session: int
    leg: Leg
    address: HostPort
    code: str


@dataclass(frozen=True, slots=True)
class MediaUnsent:
    session: int
    leg: Leg
    cause: str


@dataclass(frozen=True, slots=True)
class SessionClosed:
    session: int
    counters: SessionCounters


@dataclass(frozen=True, slots=True)
class CountersReport:
    session: int
    counters: SessionCounters


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker of the session is gone. Made by the relay client, never sent over the socket."""

    session: int
    hung: bool = False
    """It did not die by itself: it stopped answering, and was killed for that."""


Command: TypeAlias = (
    OpenSession
    | SetIce
    | SetKeys
    | SetTrunk
    | SetPayloads
    | SetDirection
    | SendDtls
    | CloseSession
    | GetCounters
    | Heartbeat
)
Event: TypeAlias = (
    WorkerReady
    | Alive
    | SessionOpened
    | SessionFailed
    | IceValidated
    | DtlsReceived
    | ConsentLost
    | MediaStarted
    | LegVerified
    | MediaMismatch
    | LegSilent
    | LegHeard
    | SourceLearned
    | SourceRejected
    | MediaUnsent
    | SessionClosed
    | CountersReport
)
RelayEvent: TypeAlias = (
    IceValidated
    | DtlsReceived
    | ConsentLost
    | MediaStarted
    | LegVerified
    | MediaMismatch
    | LegSilent
    | LegHeard
    | SourceLearned
    | SourceRejected
    | MediaUnsent
    | SessionFailed
    | WorkerLost
)
"""What a session's listener is given."""
