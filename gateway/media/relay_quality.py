"""The quality of a leg as packets and RTCP tell it: what we receive, what its peer says it receives, and how far it is.

Numbers are of the whole life of a leg, over all sources it had. What these say about how a call sounds is not decided
here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reception:
    """One direction of a leg, at its receiver."""

    expected: int = 0
    """Packets there should have been, by their sequence numbers (RFC 3550 A.3)."""
    lost: int = 0
    """Those of them that did not come; one that came twice does not make up for another."""
    jitter: float | None = None
    """Interarrival jitter of the present source (RFC 3550 A.8), seconds; None before it could be measured."""
    jitter_max: float | None = None
    """The highest it has been."""
    bursts: int = 0
    """Bursts of loss (RFC 3611 4.7.2): at least two losses, fewer than 16 packets received between any two of them."""
    burst_lost: int = 0
    """Losses within bursts."""
    burst_packets: int = 0
    """Packets bursts lasted, from the first loss to the last, both counted."""


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """How our stream arrives and sounds, as a peer says that sends extended reports (RFC 3611 4.7)."""

    loss_rate: float
    """Lost on the way, of 1."""
    discard_rate: float
    """Came too late, or too early, for its jitter buffer; of 1."""
    burst_density: float
    """Lost or discarded within bursts, of 1."""
    gap_density: float
    """And between them."""
    burst_seconds: float
    """A burst lasts on average."""
    gap_seconds: float
    end_system_delay: float
    """From its network to its ear and from its mouth back, seconds."""
    r_factor: int | None
    """Of ITU-T G.107, as it reckons; None where it does not."""
    mos_lq: float | None
    mos_cq: float | None
    buffer_delay: float
    """What sound waits in its jitter buffer as a rule, seconds."""
    buffer_max: float
    """And at most, as things stand."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """One leg, both directions."""

    heard: Reception = field(default_factory=Reception)
    """What its peer sends, as we receive it."""
    sent: Reception | None = None
    """What we send, as its peer reports to receive it; None before it has reported. Losses on the way to us are not
    counted again. Bursts are not in it: report blocks do not tell them."""
    rtt: float | None = None
    """Round trip between us and the peer as its last report has it (RFC 3550 6.4.1: LSR, DLSR), seconds."""
    told: VoipMetrics | None = None
    """What the peer says itself of how our stream sounds; few do."""
