"""The worker's end of the control socket: never blocks, and bounds what waits for a gateway that is busy."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_command, encode
from gateway.media.relay_commands import Command
from gateway.media.relay_events import DtlsReceived, Event
from gateway.media.relay_packet import apart, together
from gateway.media.relay_protocol import MAX_CONTROL_PACKET
from gateway.media.worker.counters import Tally

READ_BATCH = 64
"""Commands taken per wake-up, and those that came with the last one: media does not wait for a burst of new calls."""
MAX_BACKLOG = 8192
"""Events that wait for the gateway; every leg has a handful in its life."""
MAX_DTLS_BACKLOG = 1024
"""Beyond this DTLS datagrams are dropped first: DTLS repeats them."""


class ControlChannel:
    """Commands in, events out.

    Args:
        own: the socket; it is made non-blocking.
        tally: where unreadable commands and dropped events are counted.
        want_write: called with whether the loop should tell when the socket can be written.
    """

    def __init__(self, own: socket.socket, tally: Tally, want_write: Callable[[bool], None]) -> None:
        own.setblocking(False)
        self.socket = own
        self.closed = False
        self._tally, self._want_write = tally, want_write
        self._backlog: deque[bytes] = deque()
        self._waiting = False

    def commands(self) -> Iterator[tuple[int, Command]]:
        """The commands that have arrived, with the calls they are about."""
        taken = 0
        while taken < READ_BATCH:
            try:
                packet = self.socket.recv(MAX_CONTROL_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.closed = True
                return
            for message in self._apart(packet):
                taken += 1
                try:
                    command = decode_command(message)
                except MediaError:
                    self._tally.control_rejected += 1
                    continue
                yield command

    def _apart(self, packet: bytes) -> list[bytes]:
        try:
            return apart(packet)
        except MediaError:
            self._tally.control_rejected += 1
            return []

    @property
    def has_news(self) -> bool:
        """Events wait to be sent, and the gateway reads."""
        return bool(self._backlog) and not self._waiting

    def emit(self, call: int, event: Event) -> None:
        """Send an event of a call with the next `flush`, or later while the gateway does not read."""
        limit = MAX_DTLS_BACKLOG if isinstance(event, DtlsReceived) else MAX_BACKLOG
        if len(self._backlog) >= limit:
            self._tally.control_rejected += 1
            return
        self._backlog.append(encode(call, event))

    def flush(self) -> None:
        """Send what waits."""
        try:
            while self._backlog:
                packet, count = together(self._backlog)
                self.socket.send(packet)
                for _ in range(count):
                    self._backlog.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        waiting = bool(self._backlog) and not self.closed
        if waiting != self._waiting:
            self._waiting = waiting
            self._want_write(waiting)
