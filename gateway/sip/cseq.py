"""The CSeq header field (RFC 3261 20.16)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.grammar import is_token, parse_uint, words

MAX_CSEQ = 2**31 - 1


@dataclass(frozen=True, slots=True)
class CSeq:
    """The sequence number and method of a CSeq header field (RFC 3261 20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read a CSeq value; the number is below 2**31 (RFC 3261 8.1.1.5)."""
        parts = words(text)
        if len(parts) != 2 or not is_token(parts[1]):
            raise SipError("Bad CSeq")
        return cls(parse_uint(parts[0], "CSeq", MAX_CSEQ), parts[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
