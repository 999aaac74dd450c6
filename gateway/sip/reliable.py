"""Reliable provisional responses: what their header fields say (RFC 3262)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.sip.cseq import MAX_CSEQ
from gateway.sip.grammar import is_token, parse_uint, words
from gateway.sip.message import Message, Request, Response

OPTION = "100rel"
MAX_RSEQ = 2**32 - 1
"""RFC 3262 7.1; numbers never wrap round."""
MAX_FIRST = 2**31 - 1
"""The first number of ours is drawn from 1 to here (RFC 3262 3), so that there is always room above it."""
LOT_LENGTH = 8
"""Characters of the lot it is drawn by."""


@dataclass(frozen=True, slots=True)
class RAck:
    """Which provisional response a PRACK acknowledges (RFC 3262 7.2)."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Read a RAck value.

        Raises:
            SipError: 400, it is none.
        """
        parts = words(text)
        if len(parts) != 3 or not is_token(parts[2]):
            raise SipError("Bad RAck")
        return cls(parse_uint(parts[0], "RAck", MAX_RSEQ), parse_uint(parts[1], "RAck", MAX_CSEQ), parts[2])

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def first_number(tokens: TokenSource) -> int:
    """The RSeq of the first reliable response to an INVITE."""
    return int(tokens(LOT_LENGTH), 36) % MAX_FIRST + 1


def number_of(response: Response) -> int | None:
    """The RSeq of a response that is to be acknowledged; None: it is an ordinary one, or says so in no readable way."""
    if not 100 < response.status < 200 or OPTION not in response.tokens("Require"):
        return None
    value = response.headers.get("RSeq")
    try:
        return (parse_uint(value, "RSeq", MAX_RSEQ) or None) if value is not None else None
    except SipError:
        return None


def supports(message: Message) -> bool:
    """Whether its sender can acknowledge provisional responses."""
    return OPTION in message.tokens("Supported") or insists(message)


def insists(message: Message) -> bool:
    """Whether its sender wants every 101 to 199 to be reliable."""
    return OPTION in message.tokens("Require")


def acknowledged(prack: Request) -> RAck:
    """What a PRACK acknowledges.

    Raises:
        SipError: 400, it does not say.
    """
    value = prack.headers.get("RAck")
    if value is None:
        raise SipError("Missing RAck")
    return RAck.parse(value)
