"""Which way media flows, as descriptions say it."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Which way media flows, seen by the side that says it (RFC 8866 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same flow seen from the other side."""
        return Direction.make(sends=self.receives, receives=self.sends)

    @classmethod
    def make(cls, *, sends: bool, receives: bool) -> Direction:
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    def answered_with(self, wanted: Direction) -> Direction:
        """What an answer may say to this offer: what we want, within what the offer allows (RFC 3264 6.1)."""
        mirror = self.reversed
        return Direction.make(sends=mirror.sends and wanted.sends, receives=mirror.receives and wanted.receives)
