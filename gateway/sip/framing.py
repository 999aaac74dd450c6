"""Messages out of a byte stream (RFC 3261 18.3, RFC 5626 3.5.1): Content-Length says where each one ends.

A stream whose framing is in doubt cannot be mended: after a `SipError` the caller closes the connection.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.grammar import TOKEN_CHARS, parse_uint
from gateway.sip.head import END_OF_HEAD, MAX_HEAD, MAX_MESSAGE, read_lines
from gateway.sip.headers import canonical

PING = b"\r\n\r\n"
"""Keepalive of the peer, to be answered with `PONG` (RFC 5626 4.4.1)."""
PONG = b"\r\n"
PING_GAP = 5.0
"""Seconds within which two line ends make one ping; later ones are pongs."""

FIRST_OCTETS = frozenset(ord(char) for char in TOKEN_CHARS)
"""What a start line can begin with: a TLS hello or other noise is refused with its first octet."""


class StreamFramer:
    """Collects the octets of one connection; never holds more than one unfinished message."""

    __slots__ = ("_buffer", "_line_end_at", "_needed", "_searched", "failure", "pending_since", "refused")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._needed = 0
        self._line_end_at: float | None = None
        self.failure: SipError | None = None
        """Why the stream is lost; None while it can be read."""
        self.refused = b""
        """What the message that lost it began with, for an answer to its sender."""
        self.pending_since: float | None = None
        """When the first octet of a message came that is still unfinished; None between messages."""

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """Take octets and return the messages they complete, `PING` for (any number of) keepalives in between.

        Messages that were complete before the one that loses the stream are returned all the same: they were framed
        well, and whoever sent them waits for their answers. `failure` tells then that nothing more will come.

        Raises:
            SipError: 400, 413 or 513; the stream is lost and holds no message before that, also for every later call.
        """
        if self.failure is not None:
            raise self.failure
        self._buffer += data
        messages: list[bytes] = []
        try:
            while (message := self._next(now)) is not None:
                # One pong answers a burst of pings: a peer must not get two octets for every four it sends.
                if message != PING or PING not in messages[-1:]:
                    messages.append(message)
        except SipError as error:
            self._lose(error)
            if not messages:
                raise
        self._note_pending(now)
        return messages

    def _lose(self, error: SipError) -> None:
        self.failure = error
        self.refused = bytes(self._buffer[: MAX_HEAD + len(END_OF_HEAD)])
        self._buffer.clear()

    def _next(self, now: float) -> bytes | None:
        if not self._needed:
            ping = self._skip_line_ends(now)
            if ping:
                return PING
            self._needed = self._measure()
        if not self._needed or len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed = self._searched = 0
        self.pending_since = None
        return message

    def _skip_line_ends(self, now: float) -> bool:
        """Drop the line ends before a start line; True when two of them, close together, made a ping."""
        if self._searched:
            return False
        octets = 0
        while self._buffer.startswith(PONG, octets):
            octets += len(PONG)
        if not octets:
            return False
        del self._buffer[:octets]
        waiting = self._line_end_at is not None and now - self._line_end_at <= PING_GAP
        line_ends = octets // len(PONG) + waiting
        self._line_end_at = now if line_ends % 2 else None
        return line_ends > 1

    def _measure(self) -> int:
        """Length of the message at the front of the buffer, 0 while its head is unfinished."""
        if not self._buffer or self._buffer == b"\r":
            return 0
        if self._buffer[0] not in FIRST_OCTETS:
            raise SipError("Not a SIP message")
        self._line_end_at = None
        end = self._buffer.find(END_OF_HEAD, max(0, self._searched - len(END_OF_HEAD) + 1), MAX_HEAD + len(END_OF_HEAD))
        self._searched = len(self._buffer)
        if end >= 0:
            return self._total(end)
        if len(self._buffer) >= MAX_HEAD + len(END_OF_HEAD):
            raise SipError("Message head too large", 513)
        return 0

    def _total(self, end: int) -> int:
        total = end + len(END_OF_HEAD) + content_length(bytes(self._buffer[:end]))
        if total > MAX_MESSAGE:
            raise SipError("Message too large", 413)
        return total

    def _note_pending(self, now: float) -> None:
        if not self._buffer:
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = now


def content_length(head: bytes) -> int:
    """The one Content-Length of a head; none or two of them leave no safe end of the message."""
    found: list[str] = []
    for line in read_lines(head)[1:]:
        name, colon, value = line.partition(":")
        if colon and canonical(name.rstrip(" \t")) == "content-length":
            found.append(value)
    if len(found) != 1:
        raise SipError("Repeated Content-Length" if found else "Missing Content-Length")
    return parse_uint(found[0], "Content-Length", 10 * MAX_MESSAGE)
