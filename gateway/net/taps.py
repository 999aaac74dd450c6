"""Whoever looks at SIP messages as they come and go. PURE."""

from __future__ import annotations

from gateway.net.channel import Tap
from gateway.sip.flow import Flow
from gateway.sip.message import Message


class Taps:
    """Those who look on now; most of the time nobody does."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()

    def __len__(self) -> int:
        return len(self._taps)

    def show(self, tap: Tap, wanted: bool) -> None:
        """Show somebody every message from now on, or none any more."""
        others = tuple(one for one in self._taps if one is not tap)
        self._taps = (*others, tap) if wanted else others

    def received(self, flow: Flow, message: Message, now: float) -> None:
        """A message that could be read came in."""
        for tap in self._taps:
            tap.received(flow, message, now)

    def sent(self, flow: Flow, data: bytes, now: float) -> None:
        """Octets of a message leave."""
        for tap in self._taps:
            tap.sent(flow, data, now)
