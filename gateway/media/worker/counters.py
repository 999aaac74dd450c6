"""Counting what happens to packets: the mutable twin of `PacketCounters`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gateway.media.relay_counters import PacketCounters


@dataclass(slots=True)
class Tally:
    """Running counters of one leg, or of the worker; the fields are those of `PacketCounters`."""

    rtp_rx: int = 0
    rtp_tx: int = 0
    rtcp_rx: int = 0
    rtcp_tx: int = 0
    dtls_rx: int = 0
    stun_rx: int = 0
    srtp_auth_failed: int = 0
    srtp_replayed: int = 0
    srtp_ssrc_limit: int = 0
    srtp_unsendable: int = 0
    stale_dropped: int = 0
    plain_dropped: int = 0
    source_rejected: int = 0
    source_pending: int = 0
    source_moved: int = 0
    unkeyed_dropped: int = 0
    unrouted_dropped: int = 0
    unmapped_dropped: int = 0
    held_dropped: int = 0
    audio_replaced: int = 0
    digits_dropped: int = 0
    malformed_dropped: int = 0
    rtcp_rejected: int = 0
    feedback_dropped: int = 0
    oversize_dropped: int = 0
    empty_dropped: int = 0
    unknown_dropped: int = 0
    unvalidated_dropped: int = 0
    stun_rejected: int = 0
    dtls_rejected: int = 0
    unsent: int = 0
    control_rejected: int = 0

    def freeze(self) -> PacketCounters:
        """The counters as they are now."""
        return PacketCounters(**{field.name: getattr(self, field.name) for field in fields(self)})


class RateLimit:
    """At most so many per second, counted in whole seconds from the first."""

    __slots__ = ("_count", "_limit", "_since")

    def __init__(self, per_second: int) -> None:
        self._limit, self._count, self._since = per_second, 0, 0.0

    def allows(self, now: float) -> bool:
        """Count one; False when it is one too many."""
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._limit
