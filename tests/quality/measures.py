"""Measurements of legs, as a relay would make them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counted:
    """A `Reception`, as far as it is judged."""

    expected: int = 0
    lost: int = 0
    jitter: float | None = 0.002
    bursts: int = 0
    burst_lost: int = 0
    burst_packets: int = 0
    jitter_max: float | None = None


@dataclass(frozen=True)
class Says:
    """What a listener says of itself: `VoipMetrics`, as far as it is judged."""

    discard_rate: float = 0.0
    burst_density: float = 0.0
    buffer_delay: float = 0.040
    mos_cq: float | None = None


@dataclass(frozen=True)
class Leg:
    """A `LegQuality`."""

    heard: Counted = Counted()
    sent: Counted | None = None
    rtt: float | None = 0.030
    told: Says | None = None


def after(seconds: float, loss: float = 0.0, *, sent_loss: float | None = None, rtt: float = 0.030) -> Leg:
    """A leg of 50 packets a second that was so for so long."""
    packets = round(seconds * 50)
    sent = None if sent_loss is None else Counted(packets, round(packets * sent_loss))
    return Leg(Counted(packets, round(packets * loss)), sent, rtt)
