"""The worker's end of the control socket: never blocks, and bounds what waits for a gateway that is busy."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_command, encode
from gateway.media.relay_commands import Command
from gateway.media.relay_events import DtlsReceived, Event
from gateway.media.relay_protocol import MAX_MESSAGE
from gateway.media.worker.counters import Tally

READ_BATCH = 64
"""Commands taken per wake-up, so that media does not wait for a burst of new calls."""
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
        for _ in range(READ_BATCH):
            try:
                packet = self.socket.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.closed = True
                return
            try:
                command = decode_command(packet)
            except MediaError:
                self._tally.control_rejected += 1
                continue
            yield command

    def emit(self, call: int, event: Event) -> None:
        """Send an event of a call, or queue it while the gateway does not read."""
        limit = MAX_DTLS_BACKLOG if isinstance(event, DtlsReceived) else MAX_BACKLOG
        if len(self._backlog) >= limit:
            self._tally.control_rejected += 1
            return
        self._backlog.append(encode(call, event))
        if len(self._backlog) == 1:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        try:
            while self._backlog:
                self.socket.send(self._backlog[0])
                self._backlog.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        waiting = bool(self._backlog) and not self.closed
        if waiting != self._waiting:
            self._waiting = waiting
            self._want_write(waiting)
