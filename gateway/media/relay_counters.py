"""The numbers of the relay protocol: what became of the packets of one leg."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketCounters:
    """Packets of one leg, or of what could not be assigned to a leg (`WORKER`).

    What is dropped on the way in counts at the leg it came to; what cannot leave, at the leg it should have left on.
    """

    rtp_rx: int = 0
    """RTP that authenticated, or on a plain leg came from the accepted source."""
    rtp_tx: int = 0
    """RTP sent."""
    rtcp_rx: int = 0
    """RTCP accepted."""
    rtcp_tx: int = 0
    """RTCP sent."""
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
    """RTP that left before, or of a source that had been replaced."""
    plain_dropped: int = 0
    """Those of `srtp_auth_failed` that are plain beyond doubt: plain RTCP, and what is too short to hold a tag. Other
    plain RTP cannot be told from SRTP under another key."""
    source_rejected: int = 0
    """Packets from a source that is not accepted."""
    source_pending: int = 0
    """Packets dropped while a source was being learned."""
    source_moved: int = 0
    """How often the address of the peer's media changed: each time somebody stood in, and each time it ended."""
    unkeyed_dropped: int = 0
    """Packets that came, or should have left, before the keys of the leg were set."""
    unrouted_dropped: int = 0
    """RTP of a leg nobody hears."""
    unmapped_dropped: int = 0
    """RTP with a payload type that was not agreed."""
    held_dropped: int = 0
    """RTP against the agreed direction."""
    audio_replaced: int = 0
    """RTP that would have left while a digit was played."""
    digits_dropped: int = 0
    """Digits that could not be played, or told: too many waited, or the peer takes none."""
    malformed_dropped: int = 0
    """Neither valid RTP nor valid RTCP; on the port of a leg also what is none of STUN, DTLS and RTP (RFC 7983)."""
    rtcp_rejected: int = 0
    """RTCP that is malformed, on the wrong port, of no known kind, or more than the rate allowed."""
    feedback_dropped: int = 0
    """RTCP feedback nothing came of: of a kind that stays here, about another stream, or more than the rate allowed."""
    oversize_dropped: int = 0
    """Datagrams above `MAX_DATAGRAM` octets."""
    empty_dropped: int = 0
    """Datagrams without content."""
    unknown_dropped: int = 0
    """Datagrams to the browser port whose first octet is none of STUN, DTLS and RTP (RFC 7983)."""
    unvalidated_dropped: int = 0
    """SRTP from an address that passed no check, where checks are made."""
    stun_rejected: int = 0
    """STUN that is malformed, unauthenticated, or no Binding request."""
    dtls_rejected: int = 0
    """DTLS that nobody expects, from an address that is not accepted, or more than the rate allowed."""
    unsent: int = 0
    """Packets the kernel did not take, and packets for a browser without a nominated address."""
    control_rejected: int = 0
    """Control messages that could not be read or named no leg, and events dropped because the gateway did not read."""
