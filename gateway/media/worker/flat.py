"""The short way: packets in their lanes, all that arrived in one wake-up, in one flat function.

What `relay` does is what the classes of the worker do to the same packets, written out in one place, because the call
of a Python function costs as much here as authenticating a packet. It keeps nothing of its own: counters, the numbers
of a stream and the memory of a source rule are those of the classes.
"""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Callable
from struct import Struct
from typing import Any

from gateway.media.worker.batch import ADDRESS, DONTWAIT, SLOT, Inbox, Outbox, read_key, sendto
from gateway.media.worker.lane import Holder, Lane, lane_of
from gateway.media.worker.leg import Leg
from gateway.media.worker.libsrtp import length_pointer, pointer
from gateway.media.worker.packet import HEADER, MARKER, VERSION
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.reception import GAIN
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

BROWSER_BATCH = 256
"""Datagrams taken from the browser port per wake-up: it carries the traffic of every browser."""
PORT_BATCH = 4
"""Datagrams taken from a leg's port in its turn: a phone that sends in bursts is served, and keeps nobody waiting."""
PLACES = 1024
"""Datagrams looked at together: those of a browser port, and of a few hundred legs."""

Take = Callable[[bytes, tuple[Any, ...], float], None]
"""The long way: a datagram, who sent it, and when it was read."""

_read_head, _write_head = Struct("!BBHII").unpack_from, Struct("!BBHII").pack_into
_LONG, _WORD = 0xFFFFFFFF, 0xFFFF


class Flat:
    """The buffers of a worker and the lanes there are."""

    def __init__(self) -> None:
        self._inbox, self._outbox = Inbox(PLACES), Outbox(PLACES)
        self._srtp_places = [pointer(place) for place in self._inbox.places]
        self._length = length_pointer()
        self._lanes: list[Lane | None] = []
        """For each datagram that was received, the lane it may take."""
        self._batches: list[tuple[int, Take]] = []
        """Which datagram begins a batch, and the long way of all in it."""
        self._waiting: list[tuple[Lane, int]] = []
        """For each datagram that waits in the outbox, its lane and the octets of its payload."""
        self._descriptor = -1
        """Through which socket they leave."""
        self.ports: Holder = {}
        """The lanes that begin at a leg's own port, by its descriptor."""
        self.takes: dict[int, Take] = {}
        """The long way of what arrives at a leg's own port, by its descriptor."""
        self._browsers: dict[int, Holder] = {}
        """Those that begin at a browser port, by its descriptor and the address of the browser."""
        self.away = 0.0
        """Seconds the packets of this wake-up may have waited, see `Agenda`."""

    def receive_from_browsers(self, own: socket.socket, take: Take, now: float) -> bool:
        """Take what has arrived on a browser port; whether there may be more."""
        if len(self._lanes) + BROWSER_BATCH > PLACES:
            self.relay(now)
        first, sources = len(self._lanes), self._inbox.sources
        count = self._inbox.receive(own.fileno(), first, BROWSER_BATCH)
        found = self._browsers.setdefault(own.fileno(), {}).get
        self._batches.append((first, take))
        self._lanes += [found(read_key(sources, n * ADDRESS)) for n in range(first, first + count)]
        return count == BROWSER_BATCH

    def receive_from_port(self, lane: Lane, now: float) -> bool:
        """Take a few datagrams of the port a lane begins at; whether it may have more."""
        if len(self._lanes) + PORT_BATCH > PLACES:
            self.relay(now)
        first, sources, key = len(self._lanes), self._inbox.sources, lane.key
        count = self._inbox.receive(lane.begins_at, first, PORT_BATCH)
        self._batches.append((first, self.takes[lane.begins_at]))
        for number in range(first, first + count):
            self._lanes.append(lane if read_key(sources, number * ADDRESS) == key else None)
        return count == PORT_BATCH

    def relay(self, now: float) -> None:  # noqa: C901
        """Pass on what was received: in its lane what is like the packet before, all else the long way."""
        inbox, length, waiting = self._inbox, self._length, self._waiting
        octets, heads, places, srtp_places = inbox.octets, inbox.heads, inbox.places, self._srtp_places
        parts, outgoing, late_after = self._outbox.parts, self._outbox.heads, MAX_JITTER + self.away
        for number, lane in enumerate(self._lanes):
            if lane is not None and not lane.stands:
                lane = lane.heir
            if lane is None:
                self._go_the_long_way(number, now)
                continue
            size, start, stream = heads[number].length, number * SLOT, lane.stream
            first, second, sequence, timestamp, ssrc = _read_head(octets, start)
            elapsed, step = now - stream.at, (sequence - stream.high) & _WORD
            seconds = ((timestamp - stream.timestamp) & _LONG) / stream.rate
            drift = elapsed - seconds
            lag, late_from = stream.lag + drift, 0.0
            if lag > late_after:
                late_from = stream.late_from or now
            payload = lane.payloads.get(second & 0x7F)
            if (
                payload is None
                or first != VERSION
                or ssrc != stream.source
                or not 0 < step <= MAX_DROPOUT
                or not -MAX_LEAD <= lag <= MAX_LAG
                or (step > 1 and (step - 1) * SHORTEST_PACKET > max(seconds, elapsed))
                or (late_from and now - late_from > LATE_FOR)
                or not lane.least <= size <= lane.longest
                or lane.digits.is_speaking
            ):
                self._go_the_long_way(number, now)
                continue
            if lane.opener is not None:
                length[0] = size
                status = lane.opener(lane.opened_by, srtp_places[number], length)
                if status:
                    lane.not_opened(status, inbox.source(number))
                    continue
                size = length[0]
                if lane.keyed is not None:
                    lane.keyed.candidate = None
            elif lane.plain is not None:
                lane.plain.quiet_since, lane.plain.run = now, None
            lane.reports.heard = True
            lane.tally.rtp_rx += 1
            heard = lane.heard
            heard.jitter = jitter = heard.jitter + ((drift if drift > 0 else -drift) - heard.jitter) * GAIN
            if jitter > heard.worst:
                heard.worst = jitter
            stream.high = stream.line = high = stream.high + step
            if step > 1:
                heard.missed(high, step)
            stream.seen = (stream.seen << step | 1) & SEEN_MASK
            stream.timestamp, stream.at, stream.late_from = timestamp, now, late_from
            stream.lag = lag - MAX_DRIFT * elapsed if lag > 0 else 0.0
            _write_head(
                octets,
                start,
                VERSION,
                second & MARKER | payload,
                (high + stream.shift) & _WORD,
                (timestamp + stream.timestamp_shift) & _LONG,
                stream.ssrc,
            )
            sealed = size
            if lane.sealer is not None:
                length[0] = size
                if lane.sealer(lane.sealed_by, srtp_places[number], length):
                    lane.not_sealed()
                    continue
                sealed = length[0]
            lane.sink_tally.rtp_tx += 1
            stream.packets += 1
            stream.octets += size - HEADER
            if lane.batched:
                if lane.descriptor != self._descriptor:
                    self._flush()
                    self._descriptor = lane.descriptor
                at = len(waiting)
                part = parts[at]
                part.base, part.length, outgoing[at].name = places[number], sealed, lane.to_place
                waiting.append((lane, size - HEADER))
            elif sendto(lane.descriptor, places[number], sealed, DONTWAIT, lane.to_place, ADDRESS) < 0:
                lane.not_sent(size - HEADER)
        self._flush()
        self._lanes.clear()
        self._batches.clear()

    def settle(self, leg: Leg, own: socket.socket, datagram: bytes, source: tuple[Any, ...], now: float) -> None:
        """After a datagram of a leg went the long way: those that are like it may have a lane from now on."""
        if leg.way_out is not None or len(datagram) < HEADER or datagram[0] != VERSION:
            return
        lane = lane_of(leg, source, now)
        if lane is None:
            return
        lane.begins_at = own.fileno()
        if isinstance(leg, PortLeg):
            lane.begin(self.ports, lane.begins_at)
        else:
            lane.begin(self._browsers.setdefault(lane.begins_at, {}), lane.key)

    def _go_the_long_way(self, number: int, now: float) -> None:
        """What is to leave before it leaves first."""
        self._flush()
        _, take = self._batches[bisect_right(self._batches, number, key=_first) - 1]
        take(self._inbox.datagram(number), self._inbox.source(number), now)

    def _flush(self) -> None:
        waiting = self._waiting
        if waiting:
            for number in self._outbox.send(self._descriptor, len(waiting)):
                lane, octets = waiting[number]
                lane.not_sent(octets)
            waiting.clear()


def _first(batch: tuple[int, Take]) -> int:
    return batch[0]
