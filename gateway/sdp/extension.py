"""Header extensions of RTP in a description (`a=extmap`, RFC 8285 5): what is offered, answered and so agreed on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gateway.sdp.description import MediaSection, SessionDescription
from gateway.sdp.direction import Direction

NUMBERS = range(1, 256)
"""Those a packet has room for (RFC 8285 4.3)."""
MAX_SHORT_NUMBER = 14
"""The largest that a peer must take which has said nothing of the longer form (RFC 8285 4.2)."""
MAX_EXTENSIONS = 32
"""Lines that are read: browsers write about a dozen."""
MAX_URI = 255


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """One extension under the number it has in packets."""

    number: int
    uri: str
    direction: Direction = Direction.SENDRECV
    """As whoever describes it sends and takes it."""

    def to_line(self) -> str:
        """The value of `a=extmap`."""
        way = "" if self.direction is Direction.SENDRECV else f"/{self.direction.value}"
        return f"{self.number}{way} {self.uri}"


def read_extensions(desc: SessionDescription, section: MediaSection) -> tuple[HeaderExtension, ...]:
    """What a line of a description names, each number and each extension once; what is malformed is left out."""
    found: dict[str, HeaderExtension] = {}
    numbers: set[int] = set()
    for text in [*section.attrs("extmap"), *desc.attrs("extmap")][:MAX_EXTENSIONS]:
        read = _read(text)
        if read is not None and read.uri not in found and read.number not in numbers:
            found[read.uri] = read
            numbers.add(read.number)
    return tuple(found.values())


def offered(
    wanted: Collection[str], allowed: Sequence[str], before: Iterable[HeaderExtension] = ()
) -> tuple[HeaderExtension, ...]:
    """What we offer: of the allowed ones those that are wanted, by the numbers they have had (RFC 8285 7.2)."""
    known = {extension.uri: extension.number for extension in before}
    taken = set(known.values())
    free = (number for number in range(1, MAX_SHORT_NUMBER + 1) if number not in taken)
    made = []
    for uri in allowed:
        number = known.get(uri) or next(free, None) if uri in wanted else None
        if number is not None:
            made.append(HeaderExtension(number, uri))
    return tuple(made)


def answered(
    theirs: Iterable[HeaderExtension], wanted: Collection[str], allowed: Collection[str]
) -> tuple[HeaderExtension, ...]:
    """What we answer: of what is offered that which is allowed and of use, under its numbers, the other way round."""
    return tuple(
        HeaderExtension(extension.number, extension.uri, extension.direction.reversed)
        for extension in theirs
        if extension.uri in allowed and extension.uri in wanted
    )


def _read(text: str) -> HeaderExtension | None:
    head, _, rest = text.partition(" ")
    number, slash, way = head.partition("/")
    uri = rest.split(" ")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) in NUMBERS):
        return None
    if not 0 < len(uri) <= MAX_URI or not uri.isascii() or not uri.isprintable():
        return None
    if slash and way not in {direction.value for direction in Direction}:
        return None
    return HeaderExtension(int(number), uri, Direction(way) if slash else Direction.SENDRECV)
