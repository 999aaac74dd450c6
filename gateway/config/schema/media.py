"""Addresses and ports of the media relay."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.scalars import IpAddress, IpList, Model, Port, Written

MAX_WORKERS = 64
"""More relay workers than this is a typing mistake, not a machine."""


ExtensionUri = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
"""The URI of a header extension, as it stands in `a=extmap`."""


class PortRange(Written):
    """A range of UDP ports, written `first-last` or one number."""

    first: Port
    last: Port

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        first, dash, last = text.partition("-")
        return {"first": first, "last": last if dash else first}

    @model_validator(mode="after")
    def _ordered(self) -> PortRange:
        if self.first > self.last:
            raise ValueError("the first port is above the last")
        return self

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class BrowserMedia(Model):
    """Media towards browsers: one UDP port per relay worker, and one to spare, on every bind address."""

    bind: IpList
    """Local address or addresses for browser media."""
    advertise: IpList = ()
    """Addresses written in candidates, one per bind address (1:1 NAT). Default: the bind addresses."""
    ports: PortRange
    """UDP ports, one per worker and one to spare for each that is to be drained without a gap (one will do):
    `first-last` or one number. These must be open in the firewall."""
    dtls_setup: Literal["passive", "active"] = "passive"
    """Role we answer with. passive: we are DTLS server and choose the strongest suite."""

    @model_validator(mode="after")
    def _pairs(self) -> BrowserMedia:
        if not self.bind:
            raise ValueError("bind needs at least one address")
        if self.advertise and len(self.advertise) != len(self.bind):
            raise ValueError("advertise needs one address per bind address")
        if not self.advertise and any(ipaddress.ip_address(b).is_unspecified for b in self.bind):
            raise ValueError("bind on an unspecified address needs advertise")
        return self

    @property
    def advertised(self) -> tuple[str, ...]:
        return self.advertise or self.bind


class TrunkAddresses(Model):
    """Media addresses of one trunk where they differ from `media.trunk` (another interface, another NAT)."""

    bind: IpAddress
    """Local address for trunk media."""
    advertise: IpAddress | None = None
    """Address written in the SDP for trunks (1:1 NAT). Default: the bind address."""

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if self.advertise is None and ipaddress.ip_address(self.bind).is_unspecified:
            raise ValueError("bind on an unspecified address needs advertise")
        return self

    @property
    def advertised(self) -> str:
        return self.advertise or self.bind


class TrunkMedia(TrunkAddresses):
    """Media towards trunks: one even RTP port and the odd RTCP port above it per call."""

    ports: PortRange
    """UDP ports for trunk media, `first-last`: two per call, and room for ports that rest after a call. They are shared
    out evenly among the browser ports, those to spare too."""

    @model_validator(mode="after")
    def _room(self) -> TrunkMedia:
        if (self.ports.last + 1) // 2 <= (self.ports.first + 1) // 2:
            raise ValueError("a call needs an even port and the odd port above it (RTP and RTCP)")
        return self


class Quality(Model):
    """When a leg of a call counts as bad: by its MOS-CQ (ITU-T G.107), of the worse of its two directions."""

    bad: float = Field(default=3.6, ge=1.0, le=4.4)
    """Below it, twice running, a leg has turned bad: on record, on the page, counted."""
    good: float = Field(default=3.9, ge=1.0, le=4.4)
    """From it on, three times running, it is good again."""
    seconds: float = Field(default=10.0, ge=5, le=300)
    """How often the legs of a call are looked at."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.good < self.bad:
            raise ValueError("good is below bad: a leg would be both")
        return self


class Media(Model):
    """Addresses and ports of the media relay."""

    browser: BrowserMedia
    """Media towards browsers."""
    trunk: TrunkMedia
    """Media towards trunks."""
    workers: int | None = Field(default=None, ge=1, le=MAX_WORKERS)
    """Relay processes, which share the calls. Default: one per core, as far as `browser.ports` has one for each and one
    to spare."""
    header_extensions: tuple[ExtensionUri, ...] = Field(default=(), max_length=14)
    """Header extensions of RTP that may pass from one side to the other where both agree on them, by URI (RFC 8285),
    best first, 14 at most; all others are left out. They stand in clear beside encrypted media:
    `urn:ietf:params:rtp-hdrext:ssrc-audio-level` tells whoever sees the packets how loud somebody speaks."""
    quality: Quality = Quality()
    """When a leg of a call counts as bad."""

    @model_validator(mode="after")
    def _port_per_worker(self) -> Media:
        workers = self.workers or 1
        if len(self.browser.ports) < workers:
            raise ValueError("media.browser.ports needs one port per worker")
        if self._pairs < workers:
            raise ValueError("media.trunk.ports needs an even port and the odd one above it for each worker")
        return self

    @property
    def _pairs(self) -> int:
        """Even ports for trunks, with the odd one above."""
        return (self.trunk.ports.last + 1) // 2 - (self.trunk.ports.first + 1) // 2

    def workers_on(self, cores: int) -> int:
        """How many relay processes there are on a machine with so many cores."""
        return self.workers or max(min(cores, len(self.browser.ports) - 1, self._pairs, MAX_WORKERS), 1)
