"""What both sides of a dialog agreed on, and what one of them proposes, as values (RFC 3264 4, 5, 8).

A `Session` and a proposal are frozen. A proposal is accepted, and its session takes the place of the old one as a
whole, or it is dropped, and nothing has happened: there is nothing to restore. `exchange` keeps them. What a side
*means* by a description is the affair of the legs: `O` is what we attach to ours, `T` what they attach to the peer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

C = TypeVar("C")
O = TypeVar("O")  # noqa: E741 - ours
T = TypeVar("T")

Write = Callable[[int], bytes]
"""Writes our description with this `o=` version."""


class Way(Enum):
    """What carries an offer."""

    INVITE = "the INVITE that makes the dialog"
    REINVITE = "an INVITE inside the dialog"
    UPDATE = "an UPDATE"
    IN_2XX = "the 2xx to an INVITE without an offer"


@dataclass(frozen=True, slots=True)
class Description(Generic[C]):
    """A description one side made, with what it means to the leg."""

    content: C
    body: bytes = field(default=b"", repr=False)
    """As it is on the wire; it may hold keys."""
    version: int = 0
    """Of its `o=` line."""


@dataclass(frozen=True, slots=True)
class Session(Generic[O, T]):
    """What both sides said and agreed on: an offer with its answer, whoever made which."""

    ours: Description[O]
    theirs: Description[T]


@dataclass(frozen=True, slots=True)
class OurProposal(Generic[O, T]):
    """Our offer. Several answers may come to one (forks): each makes a session of its own, none changes the offer."""

    way: Way
    offer: Description[O]

    def accept(self, answer: Description[T]) -> Session[O, T]:
        """The session this answer would make; `Negotiation.agree` puts it in force."""
        return Session(self.offer, answer)


@dataclass(frozen=True, slots=True)
class TheirProposal(Generic[O, T]):
    """Their offer."""

    offer: Description[T]

    def accept(self, answer: Description[O]) -> Session[O, T]:
        """The session our answer would make; `Negotiation.reply` writes the answer and puts it in force."""
        return Session(answer, self.offer)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[O, T]):
    """The proposal came to nothing: the session is what it was, the very same object."""

    proposal: OurProposal[O, T] | TheirProposal[O, T] | None


@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line of our descriptions in one dialog (RFC 3264 5, 8)."""

    version: int = 0
    body: bytes = field(default=b"", repr=False)
    """The last description that was written, agreed to or not: its version is used up."""

    def publish(self, write: Write) -> Origin:
        """The next description: the version counts up by one if anything else in it differs, else all is the same."""
        if self.body and write(self.version) == self.body:
            return self
        return Origin(self.version + 1, write(self.version + 1))
