"""What a description of ours is to say for the other side of the call; how it says that is the affair of the leg."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sdp.codecs import Codec
from gateway.sdp.direction import Direction


@dataclass(frozen=True, slots=True)
class Terms:
    """Codecs, direction and pace of our next offer or answer."""

    codecs: tuple[Codec, ...]
    direction: Direction
    ptime: int | None = None
    maxptime: int | None = None
    """Milliseconds of a packet, and at most."""
    extensions: tuple[str, ...] = ()
    """Header extensions the other side has: what it has not would lead nowhere."""
