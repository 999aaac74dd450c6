"""What a sink needs of the way to its receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.audit.sinks.item import Item

ANSWER_SECONDS = 10.0
"""How long a receiver may take for one step: to be connected, to take what is sent, to answer."""


class SendError(Exception):
    """The receiver did not take what was sent; the text may be logged."""


class RefusedError(SendError):
    """The receiver has read what was sent and will never take it: to send the same again changes nothing."""


class Link(Protocol):
    """The way to one receiver."""

    most: int
    """Records that go together."""
    octets: int
    """Octets of records that go together, unless one alone is longer."""
    linger_seconds: float
    """How long the first of them may wait for others; a checkpoint waits for nothing."""

    async def send(self, items: Sequence[Item]) -> None:
        """Send these, in order; connects when it must.

        Raises:
            RefusedError: the receiver has none of them, and takes no such request.
            SendError: the receiver may have some of them, and is to get all of them again.
            OSError: likewise; TLS errors and timeouts are such.
        """

    async def close(self) -> None:
        """Let go of the connection; what was sent is on its way."""
