"""How much of their lifetime the keys of a leg have used up. Pure: it looks at the counters of the leg, once a second.

A master key may protect 2^48 packets of SRTP and 2^31 of SRTCP, or as few as its owner says (RFC 3711 9.2, RFC 4568
6.1). What is counted is what was authenticated and what was sent; a key is told of early enough that packets that were
lost on the way to us do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.media.relay_commands import MAX_LIFETIME
from gateway.media.worker.counters import Tally

MAX_RTCP = 1 << 31
"""SRTCP packets one master key may protect (RFC 3711 9.2)."""
SOON = 0.875
"""Share of a lifetime after which a new key is asked for: at the shortest one, ten seconds before its end."""


class Worn(Enum):
    """What is told of the keys of a leg, each once."""

    SOON = "a lifetime is nearly over"
    SPENT = "a lifetime is over"


@dataclass(slots=True)
class Use:
    """What one key has protected in one direction, however often it was changed for another and back."""

    rtp: int = 0
    rtcp: int = 0
    limit: int = MAX_LIFETIME
    """RTP packets it may protect, and RTCP packets if they are fewer than SRTP allows."""
    told: Worn | None = None

    @property
    def share(self) -> float:
        """How much of the lifetime is over; 1: all of it."""
        return max(self.rtp / self.limit, self.rtcp / min(self.limit, MAX_RTCP))


class Wear:
    """The two keys of a leg.

    Args:
        tally: what the leg counts of its packets.
    """

    __slots__ = ("_rtcp_rx", "_rtcp_tx", "_rtp_rx", "_rtp_tx", "_rx", "_tally", "_tx")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._tx: Use | None = None
        self._rx: Use | None = None
        self._mark()

    def install(self, tx: Use, rx: Use, lifetime: int) -> None:
        """These keys are in use from now on. A key that was promised a shorter life keeps that."""
        self._count()
        rx.limit = min(rx.limit, lifetime)
        self._tx, self._rx = tx, rx

    def tick(self) -> Worn | None:
        """What there is to tell; of each key each thing once."""
        if self._tx is None or self._rx is None:
            return None
        self._count()
        return max(self._of(self._tx), self._of(self._rx), key=_RANK.index)

    @staticmethod
    def _of(use: Use) -> Worn | None:
        share = use.share
        if share < SOON:
            return None
        worn = Worn.SPENT if share >= 1 else Worn.SOON
        if worn is use.told:
            return None
        use.told = worn
        return worn

    def _count(self) -> None:
        """What was counted since the last time was under the keys in use until now."""
        if self._tx is not None and self._rx is not None:
            tally = self._tally
            self._tx.rtp += tally.rtp_tx - self._rtp_tx
            self._tx.rtcp += tally.rtcp_tx - self._rtcp_tx
            self._rx.rtp += tally.rtp_rx - self._rtp_rx
            self._rx.rtcp += tally.rtcp_rx - self._rtcp_rx
        self._mark()

    def _mark(self) -> None:
        tally = self._tally
        self._rtp_rx, self._rtp_tx = tally.rtp_rx, tally.rtp_tx
        self._rtcp_rx, self._rtcp_tx = tally.rtcp_rx, tally.rtcp_tx


_RANK = (None, Worn.SOON, Worn.SPENT)
