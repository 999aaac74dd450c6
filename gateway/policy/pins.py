"""Capability pins: who has been seen to encrypt, and is held to it from then on, as a browser holds a site to HTTPS.

A pin is learned from one thing only: packets that authenticated, on a leg of which nothing lowers the grade. That needs
signalling whose peer is verified, so that nobody who merely sits on a path, or sends from an address, can pin a trunk
that does not encrypt (and so deny its calls), and nobody can take a pin away: it ends by time, or by an administrator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.values import LegKind
from gateway.policy.catalogue import CONTRADICTED
from gateway.policy.posture import SecurityVector

USER = "user:"
"""What the pin of a user begins with; a trunk's is its name, in which there is no colon."""

DAYS = 90
"""How long a pin lasts after its peer was seen to encrypt the last time, where nothing else is configured."""

UNKEYED: dict[LegKind, frozenset[Code]] = {
    LegKind.TRUNK: frozenset({Code.MEDIA_PLAIN_RTP, Code.MEDIA_CRYPTO_IGNORED, Code.MEDIA_OSRTP_FALLBACK}),
    LegKind.BROWSER: frozenset({Code.BRW_SDES_OR_AVP}),
}
"""What says of a leg of each kind that the peer brings no keys, or not the kind it has been seen with."""


@dataclass(frozen=True, slots=True)
class Pinning:
    """How a configuration wants it."""

    days: int = DAYS
    off: frozenset[str] = frozenset()
    """Trunks that are held to nothing."""


@dataclass(frozen=True, slots=True)
class Pins:
    """The pins there are, as a call is decided by them; what is learned meanwhile is for the next one."""

    seen: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """When each peer was seen to encrypt the last time."""
    pinning: Pinning = Pinning()

    def hold(self, peer: str, at: datetime) -> bool:
        """Whether a peer is held to encryption. A clock that went back makes no pin end."""
        last = self.seen.get(peer)
        if last is None or peer in self.pinning.off:
            return False
        return at - last <= timedelta(days=self.pinning.days)


NO_PINS = Pins()


def of_user(name: str) -> str:
    """What the pin of a user is called; case is not hers to vary."""
    return USER + name.lower()


def proves(vector: SecurityVector) -> bool:
    """Whether a leg whose packets authenticated shows that its peer can encrypt, and that it is that peer."""
    return vector.keying.keyed and vector.grade >= Grade.HOP_BY_HOP and not vector.weaknesses & CONTRADICTED


def bid_down(kind: LegKind, codes: frozenset[Code]) -> frozenset[Code]:
    """What it means besides that a pinned peer is found with these codes."""
    return frozenset({Code.PIN_BID_DOWN}) if codes & UNKEYED[kind] else frozenset()
