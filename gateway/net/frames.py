"""Where WebSocket messages begin and end in the octets that come in (RFC 6455 5.2): since when one is unfinished.

The HTTP library tells of a message when it is complete, so a peer that never completes one would be heard of never.
"""

from __future__ import annotations

CONTROL = 8
"""Opcodes from here on are control frames: whole messages of their own, also between the fragments of another."""
FINAL, OPCODE, MASKED, LENGTH = 0x80, 0x0F, 0x80, 0x7F
SIZE_OCTETS = {126: 2, 127: 8}
MASK_OCTETS = 4


class FrameMeter:
    """Follows the frames of one connection without keeping them."""

    def __init__(self) -> None:
        self.pending_since: float | None = None
        """When the first octet of a message that is not complete yet came in."""
        self._head = bytearray()
        self._left = 0
        self._in_fragments = False

    def feed(self, data: bytes, now: float) -> None:
        """Take octets in, in order and however cut."""
        at, end = 0, len(data)
        while at < end:
            if self.pending_since is None:
                self.pending_since = now
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                step = min(_missing(self._head), end - at)
                self._head += data[at : at + step]
                at += step
                if _missing(self._head):
                    continue
                self._left = _payload(self._head)
            if not self._left:
                self._frame_ended()

    def _frame_ended(self) -> None:
        if self._head[0] & OPCODE < CONTROL:
            self._in_fragments = not self._head[0] & FINAL
        self._head.clear()
        if not self._in_fragments:
            self.pending_since = None


def _missing(head: bytearray) -> int:
    """Octets that a frame's head still lacks."""
    if len(head) < 2:
        return 2 - len(head)
    return 2 + SIZE_OCTETS.get(head[1] & LENGTH, 0) + (MASK_OCTETS if head[1] & MASKED else 0) - len(head)


def _payload(head: bytearray) -> int:
    size = head[1] & LENGTH
    octets = SIZE_OCTETS.get(size, 0)
    return int.from_bytes(head[2 : 2 + octets], "big") if octets else size
