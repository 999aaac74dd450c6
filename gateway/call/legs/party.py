"""Who the other side is, as the browser is shown it: name and number a trusted trunk asserts (RFC 3325), and no more.

Older PBXs assert in Remote-Party-ID, which is read where there is nothing newer, and never written.

A trunk is believed only where its configuration says so (`trust_identity`): names are how people are deceived. Of any
other trunk the number in From is shown, as it was given. Privacy (RFC 3323) is kept whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.routing.numbers import in_context, normalise
from gateway.sip.address import NameAddr
from gateway.sip.grammar import printable, split_top_level
from gateway.sip.message import Message
from gateway.sip.uri import SipUri

HEADER = "P-Asserted-Identity"
REMOTE_PARTY = "Remote-Party-ID"
"""What came before it (draft-ietf-sip-privacy-04), and is still sent."""
ANONYMOUS = "anonymous"
MAX_NAME = 64
"""Characters shown of a name: more than a display has, too few to hide the number behind it."""
MAX_VALUES = 4
"""Identities of one message that are looked at; RFC 3325 9.1 allows two, one sip: and one tel:."""
NO_PRIVACY = frozenset(("none", "session", "history", "critical"))
"""Values of Privacy that ask for nothing we would show: all others, unknown ones too, hide who it is."""


NumberReader = Callable[[str], str]
"""Makes of a number as a peer wrote it the one the dialplan knows."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How numbers of a peer are read."""

    realm: str
    """Ours: the context in which local numbers count."""
    read: NumberReader = str

    def number(self, uri: SipUri) -> str:
        """The number of a URI in its context, "" where there is none that could be dialled."""
        try:
            return self.read(in_context(normalise(uri.subscriber), uri.phone_context, self.realm))
        except SipError:
            return ""


@dataclass(frozen=True, slots=True)
class Party:
    """A name, which may be empty, and a number as it can be dialled, or `anonymous`."""

    name: str
    number: str

    def address(self, realm: str) -> NameAddr:
        """As From or P-Asserted-Identity towards the browser: in our own domain, nothing of the trunk's URI."""
        return NameAddr(self.name, SipUri.of(self.number, realm))


HIDDEN = Party("", ANONYMOUS)


def caller(invite: Message, reading: Reading, *, trusted: bool) -> Party:
    """Who calls, by the INVITE of a trunk."""
    if wants_privacy(invite):
        return HIDDEN
    shown = Party("", reading.number(invite.from_.uri) or ANONYMOUS)
    if not trusted:
        return shown
    known = asserted(invite, reading)
    name = known.name if known is not None and known.name else cleaned(invite.from_.display_name)
    return Party(name, known.number if known is not None else shown.number)


def connected(message: Message, reading: Reading, *, trusted: bool) -> Party | None:
    """Who is at the other end from now on, if a trusted trunk says so: in an answer, a re-INVITE or an UPDATE."""
    if not trusted or not (HEADER in message.headers or REMOTE_PARTY in message.headers):
        return None
    return HIDDEN if wants_privacy(message) else asserted(message, reading)


def cleaned(name: str) -> str:
    """A name without anything that is not seen, or changes how the rest is read (controls, bidi marks); cut."""
    kept = "".join(char if char.isprintable() else " " for char in printable(name))
    return " ".join(kept.split())[:MAX_NAME].rstrip()


def asserted(message: Message, reading: Reading) -> Party | None:
    """The first identity that has a number we could dial; the name may stand beside another one."""
    found = identities(message, HEADER) or [value for value in identities(message, REMOTE_PARTY) if _is_screened(value)]
    name = next((shown for identity in found if (shown := cleaned(identity.display_name))), "")
    number = next((number for identity in found if (number := reading.number(identity.uri))), "")
    return Party(name, number) if number else None


def identities(message: Message, header: str) -> list[NameAddr]:
    """The addresses of such a header that can be read, a few at most."""
    return addresses(message.headers.get_all(header), MAX_VALUES)


def addresses(lines: Sequence[str], most: int) -> list[NameAddr]:
    """The addresses in some lines, each of which may be a list; what cannot be read is passed over."""
    values: list[NameAddr] = []
    for line in lines[:most]:
        for value in _split(line)[:most]:
            try:
                values.append(NameAddr.parse(value))
            except SipError:
                continue
    return values[:most]


def _is_screened(identity: NameAddr) -> bool:
    """Whether a Remote-Party-ID is vouched for: `screen=no` says that it was only claimed."""
    return (identity.params.get("screen") or "yes").lower() != "no"


def _split(line: str) -> Sequence[str]:
    try:
        return split_top_level(line, ",")
    except SipError:
        return ()


def privacy(message: Message) -> frozenset[str]:
    """What the other side asked to keep private (RFC 3323 4.2, RFC 3325 9.3), in lower case."""
    lines = [line.lower().replace(";", " ").replace(",", " ") for line in message.headers.get_all("Privacy")]
    asked = {word for line in lines for word in line.split()}
    for identity in identities(message, REMOTE_PARTY):
        if (identity.params.get("privacy") or "off").lower().strip('"') != "off":
            asked.add("id")
    return frozenset(asked)


def wants_privacy(message: Message) -> bool:
    """Whether the other side asked not to be shown."""
    return bool(privacy(message) - NO_PRIVACY)
