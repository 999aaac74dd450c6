"""Both directions of one leg: what its peer sends, as we get it, and what we send, as the peer says it does. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.quality.heard import Heard, Reception, Stretch, Told, heard


class Way(StrEnum):
    """A direction of a leg, as the gateway sees it."""

    HEARD = "heard"
    """From the peer to us."""
    SENT = "sent"
    """From us to the peer, by what the peer's reports say."""


class Measurement(Protocol):
    """What is counted of a leg since it began; `media.relay_quality.LegQuality` has this shape."""

    @property
    def heard(self) -> Reception: ...
    @property
    def sent(self) -> Reception | None: ...
    @property
    def rtt(self) -> float | None: ...
    @property
    def told(self) -> Told | None: ...


@dataclass(frozen=True, slots=True)
class LegScore:
    """How well a leg carries speech, each way; None for a way nothing is known of."""

    heard: Heard | None
    sent: Heard | None
    rtt: float | None
    """Seconds."""

    @property
    def worse(self) -> Way | None:
        """The way that is worse off."""
        if self.heard is None or self.sent is None:
            return Way.HEARD if self.heard is not None else Way.SENT if self.sent is not None else None
        return Way.SENT if self.sent.mos < self.heard.mos else Way.HEARD

    def way(self, way: Way) -> Heard | None:
        return self.heard if way is Way.HEARD else self.sent

    @property
    def mos(self) -> float | None:
        """MOS-CQ of the worse way: a conversation is no better than that."""
        found = self.way(self.worse) if self.worse is not None else None
        return found.mos if found is not None else None


def score(now: Measurement, before: Measurement | None, codec: str, *, least: int = 1) -> LegScore:
    """Judge a leg by what was counted since `before`, or since it began.

    Args:
        codec: name of what is spoken.
        least: packets a way must have had to be judged.
    """
    sent_before = before.sent if before is not None else None
    ways = (
        Stretch.between(now.heard, before.heard if before is not None else None),
        Stretch.between(now.sent, sent_before) if now.sent is not None else Stretch(),
    )
    told = (None, now.told)
    found = [
        heard(stretch, now.rtt, codec, said) if stretch.expected >= least else None
        for stretch, said in zip(ways, told, strict=True)
    ]
    return LegScore(found[0], found[1], now.rtt)
