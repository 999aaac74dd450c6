"""A lane: one direction of a call that runs smoothly, with all that a packet needs to pass gathered in one place.

The classes of the worker (`PortLeg`, `IceLeg`, `Protection`, `Route`, `Stream`) are the rule. When a packet has gone
through them whole and the next one like it would do the same, `lane_of` notes what is known of the direction, and
`flat` passes those on without asking again. A lane ends with whatever may make one of its facts untrue: a command to
the call, a packet of the leg that went the long way, media or a path that moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.media.relay_events import RejectCode, UnsentCause
from gateway.media.worker.batch import Destination, Key, key_of
from gateway.media.worker.ice_leg import IceLeg, Path
from gateway.media.worker.latch import KeyedLatch, PlainLatch
from gateway.media.worker.leg import Leg
from gateway.media.worker.libsrtp import MAX_PACKET, REPLAYED, Context, Run
from gateway.media.worker.packet import HEADER
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.reception import Source
from gateway.media.worker.route import Route

Holder = dict[Any, "Lane"]
"""Where lanes are found."""


class Entrance(NamedTuple):
    """The side packets come from."""

    opener: Context | None
    """What opens them; None for plain ones."""
    plain: PlainLatch | None
    """The rule that is to know when the signalled address spoke."""
    keyed: KeyedLatch | None
    """The rule that is to know that the present address spoke."""


class Exit(NamedTuple):
    """The side they leave on."""

    sealer: Context | None
    """What seals them; None where they leave plain."""
    descriptor: int
    to: Destination
    batched: bool
    """Through a socket that many share."""


class Lane:
    """One established direction."""

    __slots__ = (
        "_holder",
        "_place",
        "batched",
        "begins_at",
        "descriptor",
        "digits",
        "heard",
        "key",
        "keyed",
        "least",
        "longest",
        "opened_by",
        "opener",
        "payloads",
        "plain",
        "reports",
        "sealed_by",
        "sealer",
        "sink",
        "sink_tally",
        "source",
        "stands",
        "stream",
        "tally",
        "to",
        "to_place",
    )

    def __init__(self, route: Route, heard: Source, key: Key, entrance: Entrance, way_out: Exit) -> None:
        self.source, self.sink = route.source, route.sink
        self.heard = heard
        """Where it is measured how its packets come."""
        self.key = key
        """The one address its packets come from."""
        self.begins_at = -1
        """The descriptor they are read from."""
        opener, self.plain, self.keyed = entrance
        sealer, self.descriptor, self.to, self.batched = way_out
        self.opener: Run | None = opener.run if opener is not None else None
        """Opens packets, in this session; None for plain ones."""
        self.opened_by: Any = opener.session if opener is not None else None
        self.sealer: Run | None = sealer.run if sealer is not None else None
        """Seals them, in this session; None where they leave plain."""
        self.sealed_by: Any = sealer.session if sealer is not None else None
        self.to_place = self.to.place
        self.stream, self.digits = route.sink.stream, route.sink.digits
        self.tally, self.sink_tally, self.reports = route.source.tally, route.sink.tally, route.source.reports
        self.payloads = {
            kind: payload.number
            for kind, payload in route.payloads.items()
            if not payload.is_event and payload.clock_rate == self.stream.rate
        }
        """The payload types that leave in this lane, and as what."""
        self.least = HEADER + (route.source.protection.keys.tag if opener is not None else 0)
        self.longest = min(MAX_PACKET, route.sink.longest)
        self.stands = False
        self._holder: Holder = {}
        self._place: Any = None

    def begin(self, holder: Holder, place: Any) -> None:
        """Be found there from now on."""
        if self.source.way_out is not None:
            self.source.way_out.end()
        self.source.way_out = self.sink.way_in = self
        self.heard.ride(self.stream, self.tally)
        self._holder, self._place, self.stands = holder, place, True
        holder[place] = self

    def end(self) -> None:
        """Be found no more."""
        if self.stands:
            self.stands = False
            self.heard.alight()
            if self._holder.get(self._place) is self:
                del self._holder[self._place]

    @property
    def heir(self) -> Lane | None:
        """The lane that has taken the place of this one, when a packet before went the long way and back."""
        now = self._holder.get(self._place)
        return now if now is not None and now.source is self.source and now.key == self.key else None

    def not_opened(self, status: int, address: tuple[Any, ...]) -> None:
        """A packet did not authenticate, or came twice."""
        if status in REPLAYED:
            self.tally.srtp_replayed += 1
            return
        self.tally.srtp_auth_failed += 1
        self.reports.rejected(address, RejectCode.PLAIN_ON_SECURE)

    def not_sealed(self) -> None:
        """The library refused to protect one."""
        self.sink_tally.srtp_unsendable += 1
        self.sink.reports.unsent(UnsentCause.UNSENDABLE)

    def not_sent(self, octets: int) -> None:
        """One that was counted as sent did not leave: the buffer was full, or nobody is there."""
        self.sink_tally.rtp_tx -= 1
        self.stream.packets -= 1
        self.stream.octets -= octets
        self.sink_tally.unsent += 1
        self.sink.reports.unsent(UnsentCause.UNSENT)


def lane_of(leg: Leg, address: tuple[Any, ...], now: float) -> Lane | None:
    """The lane that packets of this leg from this address would take, or None while there is none."""
    route = leg.routes[0] if len(leg.routes) == 1 else None
    key = key_of(address)
    if route is None or key is None or not route.is_open:
        return None
    stream = route.sink.stream
    if stream.source is None or stream.is_cut:  # the next packet begins a run
        return None
    heard = leg.meter.in_step(stream.source, stream, stream.rate)
    entrance, way_out = _entrance(leg, stream.source, address, now), _exit(route.sink)
    if heard is None or entrance is None or way_out is None:
        return None
    return Lane(route, heard, key, entrance, way_out)


def _entrance(leg: Leg, ssrc: int, address: tuple[Any, ...], now: float) -> Entrance | None:
    """The receiving side, when nothing on it is awaited or in doubt."""
    if not leg.reports.has_started:
        return None
    if isinstance(leg, PortLeg) and isinstance(leg.latch, PlainLatch):
        return _plain_entrance(leg.latch, (address[0], address[1]))
    opener = leg.protection.settled(ssrc, now)
    latch = leg.latch if isinstance(leg, PortLeg) else None
    if (
        opener is None
        or not opener.in_place
        or isinstance(latch, PlainLatch)
        or (latch is not None and latch.target != address)
    ):
        return None
    return Entrance(opener, None, latch)


def _plain_entrance(latch: PlainLatch, address: tuple[str, int]) -> Entrance | None:
    if address != latch.target:
        return None
    return Entrance(None, latch if latch.is_signalled(address) else None, None)


def _exit(leg: Leg) -> Exit | None:
    """The sending side, when a packet for it would leave at once."""
    if not leg.is_ready:
        return None
    sender = leg.protection.keys.sender
    if isinstance(leg, IceLeg):
        return _exit_by(leg.paths.nominated, sender, batched=True) if sender is not None else None
    if not isinstance(leg, PortLeg) or leg.latch is None:
        return None
    path = leg.sockets.rtp, leg.latch.target
    if isinstance(leg.latch, PlainLatch):
        return _exit_by(path, None, batched=False)
    return _exit_by(path, sender, batched=False) if sender is not None else None


def _exit_by(path: Path | None, sealer: Context | None, *, batched: bool) -> Exit | None:
    if path is None or key_of(path[1]) is None or (sealer is not None and not sealer.in_place):
        return None
    return Exit(sealer, path[0].fileno(), Destination(path[1]), batched)
