"""A lane: one direction of a call that runs smoothly, with all that a packet needs to pass gathered in one place.

The classes of the worker (`PortLeg`, `IceLeg`, `Protection`, `Route`, `Stream`) are the rule. When a packet has gone
through them whole and the next one like it would do the same, `lane_of` notes what is known of the direction, and
`flat` passes those on without asking again. A lane ends with whatever may make one of its facts untrue: a command to
the call, a packet of the leg that went the long way, media or a path that moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.media.relay_events import RejectCode, UnsentCause
from gateway.media.worker.batch import Destination, Key, key_of
from gateway.media.worker.ice_leg import IceLeg, Path
from gateway.media.worker.latch import KeyedLatch, PlainLatch
from gateway.media.worker.leg import Leg
from gateway.media.worker.libsrtp import MAX_PACKET, REPLAYED, Context, Run
from gateway.media.worker.packet import HEADER, VERSION
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.reception import Source
from gateway.media.worker.records import Record, Records
from gateway.media.worker.route import Route
from gateway.media.worker.stream import (
    LATE_FOR,
    MAX_DRIFT,
    MAX_DROPOUT,
    MAX_JITTER,
    MAX_LAG,
    MAX_LEAD,
    SEEN_MASK,
    SHORTEST_PACKET,
)

Holder = dict[int, "Lane"]
"""Where lanes are found."""
Take = Callable[[bytes, tuple[Any, ...], float], None]
"""The long way: a datagram, who sent it, and when it was read."""
_LONG, _WORD, _MARK = 0xFFFFFFFF, 0xFFFF, 1 << 55


def nowhere(datagram: bytes, source: tuple[Any, ...], now: float) -> None:
    """Of a lane that begins nowhere yet."""


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


class Step(NamedTuple):
    """From the packet before to one that is not quite what was expected: what changes with it."""

    numbers: int
    """Sequence numbers it is ahead; 1 where none was lost."""
    ticks: int
    """Timestamp units it is ahead."""
    lag: float
    late_from: float
    """As the stream notes them."""
    payload: int
    """The payload type it leaves as."""


class Lane:
    """One established direction.

    Most packets are exactly what was expected: the next number, the usual time later, nothing else new. Of such a
    packet `flat` only notes in the record of the lane that it came; the classes have their numbers with `catch_up`.
    """

    __slots__ = (
        "_counted",
        "_holder",
        "_least",
        "_longest",
        "_place",
        "_ticks",
        "batched",
        "begins_at",
        "descriptor",
        "digits",
        "heard",
        "key",
        "keyed",
        "opened_by",
        "opener",
        "payloads",
        "plain",
        "record",
        "records",
        "reports",
        "sealed_by",
        "sealer",
        "sink",
        "sink_tally",
        "source",
        "stands",
        "stream",
        "take",
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
        self.take: Take = nowhere
        """The long way of those that do not fit."""
        opener, self.plain, self.keyed = entrance
        sealer, self.descriptor, self.to, self.batched = way_out
        self.opener: Run | None = opener.run if opener is not None else None
        """Opens packets, in this session; None for plain ones."""
        self.opened_by: Any = opener.session if opener is not None else None
        self.sealer: Run | None = sealer.run if sealer is not None else None
        """Seals them, in this session; None where they leave plain."""
        self.sealed_by: Any = sealer.session if sealer is not None else None
        self.to_place = self.to.place
        self.stream, self.digits = route.sink._stream, route.sink.digits
        self.tally, self.sink_tally, self.reports = route.source._tally, route.sink._tally, route.source.reports
        self.payloads = {
            kind: payload.number
            for kind, payload in route.payloads.items()
            if not payload.is_event and payload.clock_rate == self.stream.rate
        }
        """The payload types that leave in this lane, and as what."""
        self.stands = False
        self._holder: Holder = {}
        self._place: Any = None
        self._least = HEADER + (route.source.protection.keys.tag if opener is not None else 0)
        self._longest = min(MAX_PACKET, route.sink.longest)
        self._counted = self._ticks = 0
        """How many packets were left when the classes were told last, and timestamp units from one to the next."""

    def begin(self, holder: Holder, place: int, records: Records) -> None:
        """Be found there from now on, where there is a record for it; nothing is expected but what goes on so."""
        record = records.take()
        if record is None:
            return
        if self.source.way_out is not None:
            self.source.way_out.end()
        self.records, self.record = records, record
        records.put(record, self._nothing_yet())
        self.source.way_out = self.sink.way_in = self
        self.heard.ride(self.stream, self.tally)
        self._holder, self._place, self.stands = holder, place, True
        holder[place] = self

    def _nothing_yet(self) -> Record:
        """As the classes have it."""
        stream, heard = self.stream, self.heard
        return Record(
            0,
            stream.at,
            stream.lag,
            heard.jitter,
            heard.worst,
            0,
            0,
            ssrc=heard.ssrc,
            leaves_as=stream.ssrc,
            least=self._least,
            longest=self._longest,
        )

    def end(self) -> None:
        """Be found no more."""
        if self.stands:
            self.catch_up()
            self.stands = False
            self.records.give_back(self.record)
            self.heard.alight()
            if self._holder.get(self._place) is self:
                del self._holder[self._place]

    def catch_up(self) -> None:
        """Note with the classes what has passed since the last time."""
        if not self.stands:
            return
        record = self.records.get(self.record)
        passed = self._counted - record.left
        if not passed:
            return
        self._counted = record.left
        stream = self.stream
        stream.high = stream.line = stream.high + passed
        stream.seen = (stream.seen << passed | (1 << passed) - 1) & SEEN_MASK
        stream.timestamp = (stream.timestamp + passed * self._ticks) & _LONG
        stream.at, stream.lag, stream.late_from = record.at, record.lag, 0.0
        self.heard.jitter, self.heard.worst = record.jitter, record.worst
        self._count(passed, record.octets - passed * HEADER, record.at)
        self.records.put(self.record, record._replace(octets=0))

    def _count(self, packets: int, octets: int, now: float) -> None:
        """So many were heard and passed on."""
        self.tally.rtp_rx += packets
        self.sink_tally.rtp_tx += packets
        self.stream.packets += packets
        self.stream.octets += octets
        self.reports.heard = True
        if self.keyed is not None:
            self.keyed.candidate = None
        elif self.plain is not None:
            self.plain.quiet_since, self.plain.run = now, None

    def step_to(self, head: int, ssrc: int, size: int, now: float, away: float) -> Step | None:
        """What changes with a packet that was not expected so; None when it must go the long way.

        Args:
            head: its first octets, see `flat`.
            size: its octets as it came.
            away: seconds it may have waited here.
        """
        self.catch_up()
        stream = self.stream
        first, kind = head >> 56, head >> 48 & 0x7F
        numbers, ticks = (head >> 32) - stream.high & _WORD, head - stream.timestamp & _LONG
        payload, elapsed, seconds = self.payloads.get(kind), now - stream.at, ticks / stream.rate
        lag, late_from = stream.lag + (elapsed - seconds), 0.0
        if lag > MAX_JITTER + away:
            late_from = stream.late_from or now
        if (
            payload is None
            or (first, ssrc) != (VERSION, stream.source)
            or not 0 < numbers <= MAX_DROPOUT
            or not -MAX_LEAD <= lag <= MAX_LAG
            or (numbers > 1 and (numbers - 1) * SHORTEST_PACKET > max(seconds, elapsed))
            or (late_from and now - late_from > LATE_FOR)
            or not self._least <= size <= self._longest
            or self.digits.is_speaking
        ):
            return None
        return Step(numbers, ticks, lag - MAX_DRIFT * elapsed if lag > 0 else 0.0, late_from, payload)

    def go_on(self, head: int, step: Step, size: int, now: float) -> int:
        """That packet is what it claims to be: it counts, and those like it are expected from now on.

        Returns:
            from how they come to how they leave, see `Record`.
        """
        stream, heard = self.stream, self.heard
        stream.high = stream.line = high = stream.high + step.numbers
        if step.numbers > 1:
            heard.missed(high, step.numbers)
        heard.drifted(now - stream.at - step.ticks / stream.rate)
        stream.seen = (stream.seen << step.numbers | 1) & SEEN_MASK
        stream.timestamp = stream.timestamp + step.ticks & _LONG
        stream.at, stream.lag, stream.late_from = now, step.lag, step.late_from
        self._count(1, size - HEADER, now)
        return self._expect(head, step.payload, step.ticks // step.numbers or 1)

    def _expect(self, head: int, payload: int, ticks: int) -> int:
        """Packets that go on so after this one; the shift between how they come and how they leave."""
        stream = self.stream
        number, stamp = stream.high + stream.shift & _WORD, stream.timestamp + stream.timestamp_shift & _LONG
        unmarked = head & ~_MARK
        shift = (VERSION << 56 | payload << 48 | number << 32 | stamp) - unmarked
        self._ticks, stride = ticks, (1 << 32) + ticks
        self._counted = left = min(
            _WORD - (stream.high & _WORD),
            _WORD - number,
            (_LONG - stream.timestamp) // ticks,
            (_LONG - stamp) // ticks,
        )
        expected = self._nothing_yet()._replace(head=unmarked + stride, left=left, stride=stride, shift=shift)
        self.records.put(self.record, expected._replace(seconds=ticks / stream.rate))
        return shift

    @property
    def heir(self) -> Lane | None:
        """The lane that has taken the place of this one, when a packet before went the long way and back."""
        found = self._holder.get(self._place)
        return found if found is not None and found.source is self.source and found.key == self.key else None

    def not_opened(self, status: int, address: tuple[Any, ...]) -> None:
        """A packet did not authenticate, or came twice."""
        if status in REPLAYED:
            self.tally.srtp_replayed += 1
            return
        self.tally.srtp_auth_failed += 1
        self.reports.rejected(address, RejectCode.PLAIN_ON_SECURE)

    def not_sealed(self, octets: int) -> None:
        """The library refused to protect one."""
        self._take_back(octets)
        self.sink_tally.srtp_unsendable += 1
        self.sink.reports.unsent(UnsentCause.UNSENDABLE)

    def not_sent(self, octets: int) -> None:
        """It did not leave: the buffer was full, or nobody is there."""
        self._take_back(octets)
        self.sink_tally.unsent += 1
        self.sink.reports.unsent(UnsentCause.UNSENT)

    def _take_back(self, octets: int) -> None:
        """One is counted as sent, and was not."""
        self.sink_tally.rtp_tx -= 1
        self.stream.packets -= 1
        self.stream.octets -= octets


def lane_of(leg: Leg, address: tuple[Any, ...], now: float) -> Lane | None:
    """The lane that packets of this leg from this address would take, or None while there is none."""
    route = leg.routes[0] if len(leg.routes) == 1 else None
    key = key_of(address)
    if route is None or key is None or not route.is_open:
        return None
    stream = route.sink.stream
    if stream.source is None or stream.is_cut or route.sink.digits.is_speaking:  # the next packet begins a run
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
