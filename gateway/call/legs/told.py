"""What the peer of a leg has heard of the call: how it is protected, and who is at the other end."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.call.legs.party import Party
from gateway.policy.header import News


@dataclass
class Told:
    """The last report to one leg, and the next one that waits."""

    takes_update: bool = True
    """Whether UPDATE is worth a try (RFC 3311 4); a browser that does not say is asked."""
    takes_package: bool = False
    """It takes INFO of our package (RFC 6086), which says it in a smaller message and touches no session."""
    news: News | None = None
    """None: it was told nothing, or a report it did not read."""
    shown: tuple[object, ...] = ()
    """What the event sockets of its user were told last: of which call, what, and whether it was answered."""
    party: Party | None = None
    number: int = 0
    """Of the last report; the highest counts."""
    waits: bool = False
    """A report was not read and its time has not come again."""
    retries: int = 0

    def forget(self) -> None:
        """The last report was not read."""
        self.news = None
