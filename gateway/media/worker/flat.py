"""The short way: packets in their lanes, all that arrived in one wake-up, in one flat function.

What `relay` does is what the classes of the worker do to the same packets, written out in one place, because the call
of a Python function costs as much here as authenticating a packet. It keeps nothing of its own: a lane notes what is
counted of its packets, and the classes have it when they ask.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

from gateway.media.worker.batch import DONTWAIT, KEYS, NAME, NULL, SLOT, Inbox, Inbox6, Outbox, recvmmsg, sendto
from gateway.media.worker.lane import Holder, Lane, Take, lane_of
from gateway.media.worker.leg import Leg
from gateway.media.worker.libsrtp import length_pointer, pointer
from gateway.media.worker.packet import HEADER, VERSION
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.reception import GAIN
from gateway.media.worker.records import Records, read, write_last
from gateway.media.worker.stream import MAX_DRIFT, MAX_JITTER, MAX_LEAD

BROWSER_BATCH = 256
"""Datagrams taken from the browser port per wake-up: it carries the traffic of every browser."""
PORT_BATCH = 4
"""Datagrams taken from a leg's port in its turn: a phone that sends in bursts is served, and keeps nobody waiting."""
PLACES = 1024
"""Datagrams looked at together: those of a browser port, and of a few hundred legs."""

_read, _write = Struct("!QI").unpack_from, Struct("!QI").pack_into
"""The head of a packet as two numbers: flags, payload type, sequence number and timestamp; SSRC."""


class Flat:
    """The buffers of a worker for what arrives by IPv4, and the lanes that begin there.

    Args:
        records: of all lanes of the worker.
        inbox: where it arrives.
    """

    def __init__(self, records: Records, inbox: Inbox | None = None) -> None:
        self._records, self._inbox = records, inbox or Inbox(PLACES)
        self._outbox = Outbox(self._inbox.places)
        self._srtp_places = [pointer(place) for place in self._inbox.places]
        self._length = length_pointer()
        self._lanes: list[Lane | None] = []
        """For each datagram that was received, the lane it may take."""
        self._strangers: dict[int, Take] = {}
        """Which datagrams have none, and their long way."""
        self._sizes: list[int] = []
        """How long each is in clear, octets."""
        self.ports: Holder = {}
        """The lanes that begin at a leg's own port, by its descriptor."""
        self.takes: dict[int, Take] = {}
        """The long way of what arrives at a leg's own port or a browser port, by its descriptor."""
        self._browsers: dict[int, Holder] = {}
        """The lanes that begin at a browser port, by its descriptor and the address of the browser."""
        self.is_full = False
        """Somewhere may be more than was taken."""
        self.away = 0.0
        """Seconds the packets of this wake-up may have waited, see `Agenda`."""

    def receive_from_browsers(self, own: socket.socket, now: float) -> bool:
        """Take what has arrived on a browser port; whether there may be more."""
        if len(self._lanes) + BROWSER_BATCH > PLACES:
            self.relay(now)
        descriptor, first, inbox = own.fileno(), len(self._lanes), self._inbox
        count = inbox.receive(descriptor, first, BROWSER_BATCH)
        self._lanes += map(self._browsers.setdefault(descriptor, {}).get, inbox.keys_of(first, count))
        self._set_apart(first, self.takes[descriptor])
        return count == BROWSER_BATCH

    def receive_from_ports(self, descriptors: Sequence[int], at: int, now: float) -> int:
        """Take a few datagrams of each of these ports, from one of them on, up to one that no lane begins at.

        Returns:
            which that is.
        """
        lanes, ports, keys, heads = self._lanes, self.ports, self._inbox.keys, self._inbox.heads
        for place in range(at, len(descriptors)):
            descriptor = descriptors[place]
            lane = ports.get(descriptor)
            if lane is None:
                return place
            first = len(lanes)
            if first + PORT_BATCH > PLACES:
                self.relay(now)
                first = 0
            count = recvmmsg(descriptor, heads[first], PORT_BATCH, DONTWAIT, NULL)
            if count == 1 and keys[first * KEYS] == lane.key:
                lanes.append(lane)
            elif count > 0:
                numbers = range(first, first + count)
                lanes += [lane if keys[number * KEYS] == lane.key else None for number in numbers]
                self._set_apart(first, lane.take)
                self.is_full = self.is_full or count == PORT_BATCH
        return len(descriptors)

    def relay(self, now: float) -> None:  # noqa: C901
        """Pass on what was received: in its lane what is like the packet before, all else the long way."""
        lanes, inbox, length = self._lanes, self._inbox, self._length
        records, late_after = self._records.octets, MAX_JITTER + self.away
        octets, places, srtp_places = inbox.octets, inbox.places, self._srtp_places
        names, lengths = self._outbox.names, self._outbox.lengths
        sizes = self._sizes = inbox.lengths(len(lanes))
        # What is to leave together, through which socket: from one place on up to another.
        through, begin, end = -1, 0, 0
        for number, lane in enumerate(lanes):
            if lane is not None and not lane.stands:
                lane = lane.heir
            start, size, step = number * SLOT, sizes[number], None
            if lane is not None:
                head, ssrc = _read(octets, start)
                record = read(records, lane.record)
                expected, at, lag, jitter, worst, left, heard, stride, seconds, shift, source, own, least, longest = (
                    record
                )
                elapsed = now - at
                drift = elapsed - seconds
                lag += drift
                if (
                    head != expected
                    or ssrc != source
                    or not left
                    or not least <= size <= longest
                    or not -MAX_LEAD <= lag <= late_after
                ):
                    step = lane.step_to(head, ssrc, size, now, self.away)
                    lane = lane if step is not None else None
            if lane is None:
                self._flush(through, begin, end)
                begin = end
                self._go_the_long_way(number, now)
                continue
            if lane.opener is not None:
                length[0] = size
                status = lane.opener(lane.opened_by, srtp_places[number], length)
                if status:
                    lane.not_opened(status, inbox.source(number))
                    continue
                sizes[number] = size = length[0]
            if step is not None:
                shift = lane.go_on(head, step, size, now)
            else:
                lag = lag - MAX_DRIFT * elapsed if lag > 0 else 0.0
                jitter += ((drift if drift > 0 else -drift) - jitter) * GAIN
                worst = jitter if jitter > worst else worst
                write_last(records, lane.record, head + stride, now, lag, jitter, worst, left - 1, heard + size)
            _write(octets, start, head + shift, own)
            if lane.sealer is not None:
                length[0] = size
                if lane.sealer(lane.sealed_by, srtp_places[number], length):
                    lane.not_sealed(size - HEADER)
                    continue
                size = length[0]
            if not lane.batched:
                if sendto(lane.descriptor, places[number], size, DONTWAIT, lane.to_place, NAME) < 0:
                    lane.not_sent(sizes[number] - HEADER)
                continue
            if number != end or lane.descriptor != through:
                self._flush(through, begin, end)
                begin, through = number, lane.descriptor
            names[number], lengths[number] = lane.to_place, size
            end = number + 1
        self._flush(through, begin, end)
        lanes.clear()
        self._strangers.clear()

    def settle(self, leg: Leg, own: socket.socket, datagram: bytes, source: tuple[Any, ...], now: float) -> None:
        """After a datagram of a leg went the long way: those that are like it may have a lane from now on."""
        if leg.way_out is not None or len(datagram) < HEADER or datagram[0] != VERSION:
            return
        lane = lane_of(leg, source, now)
        if lane is None:
            return
        descriptor = own.fileno()
        lane.begins_at, lane.take = descriptor, self.takes[descriptor]
        if isinstance(leg, PortLeg):
            lane.begin(self.ports, descriptor, self._records)
        else:
            lane.begin(self._browsers.setdefault(descriptor, {}), lane.key, self._records)

    def _set_apart(self, first: int, take: Take) -> None:
        """Note how those go on that came now and have no lane."""
        for number in range(first, len(self._lanes)):
            if self._lanes[number] is None:
                self._strangers[number] = take

    def _go_the_long_way(self, number: int, now: float) -> None:
        """What is to leave before it has left."""
        lane = self._lanes[number]
        take = lane.take if lane is not None else self._strangers[number]
        take(self._inbox.datagram(number), self._inbox.source(number), now)

    def _flush(self, descriptor: int, first: int, end: int) -> None:
        """Send those from one place on up to another."""
        for number in self._outbox.send(descriptor, first, end):
            lane = self._lanes[number]
            if lane is not None:
                lane.not_sent(self._sizes[number] - HEADER)


class Flat6(Flat):
    """The same for what arrives by IPv6."""

    def __init__(self, records: Records) -> None:
        super().__init__(records, Inbox6(PLACES))

    def receive_from_ports(self, descriptors: Sequence[int], at: int, now: float) -> int:
        """Take a few datagrams of each of these ports, from one of them on, up to one that no lane begins at."""
        for place in range(at, len(descriptors)):
            lane = self.ports.get(descriptors[place])
            if lane is None:
                return place
            if len(self._lanes) + PORT_BATCH > PLACES:
                self.relay(now)
            first = len(self._lanes)
            count = self._inbox.receive(descriptors[place], first, PORT_BATCH)
            self._lanes += [lane if key == lane.key else None for key in self._inbox.keys_of(first, count)]
            self._set_apart(first, lane.take)
            self.is_full = self.is_full or count == PORT_BATCH
        return len(descriptors)
