"""Where this gateway's media is: addresses and ports of the relay, towards browsers and towards trunks."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.keying import Setup


@dataclass(frozen=True, slots=True)
class TrunkPlace:
    """An address for the media of trunks."""

    bind: str
    """Local address."""
    advertise: str = ""
    """What is written in its place behind a 1:1 NAT; empty: the local address itself."""

    @property
    def advertised(self) -> str:
        """The address that trunks are told."""
        return self.advertise or self.bind


@dataclass(frozen=True, slots=True)
class BrowserPlace:
    """Media towards browsers: one UDP port per relay worker, on every local address."""

    bind: tuple[str, ...]
    advertised: tuple[str, ...]
    """Addresses written in candidates, one per local address."""
    ports: range
    setup: Setup = Setup.PASSIVE
    """The DTLS role an offer that leaves it open is answered with."""


@dataclass(frozen=True, slots=True)
class MediaPlaces:
    """Everything the relay is started with."""

    browser: BrowserPlace
    trunk: TrunkPlace
    """Of trunks that name no address of their own."""
    trunk_ports: range
    """Two per call, an even one and the odd one above it, and some that rest after a call."""
    workers: int = 1

    @property
    def place_count(self) -> int:
        """Browser ports that are used: one for each worker, and one at most that a worker has to spare."""
        return min(len(self.browser.ports), 2 * self.workers)
