"""Who the other side is, as the browser is shown it: name and number a trusted trunk asserts (RFC 3325), and no more.

A trunk is believed only where its configuration says so (`trust_identity`): names are how people are deceived. Of any
other trunk the number in From is shown, as it was given. Privacy (RFC 3323) is kept whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.routing.numbers import in_context, normalise
from gateway.sip.address import NameAddr
from gateway.sip.grammar import printable, split_top_level
from gateway.sip.message import Message
from gateway.sip.uri import SipUri

HEADER = "P-Asserted-Identity"
ANONYMOUS = "anonymous"
MAX_NAME = 64
"""Characters shown of a name: more than a display has, too few to hide the number behind it."""
MAX_VALUES = 4
"""Identities of one message that are looked at; RFC 3325 9.1 allows two, one sip: and one tel:."""
NO_PRIVACY = frozenset(("none", "session", "history", "critical"))
"""Values of Privacy that ask for nothing we would show: all others, unknown ones too, hide who it is."""


@dataclass(frozen=True, slots=True)
class Party:
    """A name, which may be empty, and a number as it can be dialled, or `anonymous`."""

    name: str
    number: str

    def address(self, realm: str) -> NameAddr:
        """As From or P-Asserted-Identity towards the browser: in our own domain, nothing of the trunk's URI."""
        return NameAddr(self.name, SipUri.of(self.number, realm))


HIDDEN = Party("", ANONYMOUS)


def caller(invite: Message, realm: str, *, trusted: bool) -> Party:
    """Who calls, by the INVITE of a trunk."""
    if _wants_privacy(invite):
        return HIDDEN
    shown = Party("", _number(invite.from_.uri, realm) or ANONYMOUS)
    if not trusted:
        return shown
    asserted = _asserted(invite, realm)
    name = asserted.name if asserted is not None and asserted.name else cleaned(invite.from_.display_name)
    return Party(name, asserted.number if asserted is not None else shown.number)


def user(invite: Message, name: str) -> Party:
    """Which user of ours calls: who she proved to be, whatever her INVITE says, unless it asks that nobody is shown."""
    return HIDDEN if _wants_privacy(invite) else Party("", name)


def connected(message: Message, realm: str, *, trusted: bool) -> Party | None:
    """Who is at the other end from now on, if a trusted trunk says so: in an answer, a re-INVITE or an UPDATE."""
    if not trusted or HEADER not in message.headers:
        return None
    return HIDDEN if _wants_privacy(message) else _asserted(message, realm)


def cleaned(name: str) -> str:
    """A name without anything that is not seen, or changes how the rest is read (controls, bidi marks); cut."""
    kept = "".join(char if char.isprintable() else " " for char in printable(name))
    return " ".join(kept.split())[:MAX_NAME].rstrip()


def _asserted(message: Message, realm: str) -> Party | None:
    """The first identity that has a number we could dial; the name may stand beside another one."""
    found = _identities(message)
    name = next((shown for identity in found if (shown := cleaned(identity.display_name))), "")
    number = next((number for identity in found if (number := _number(identity.uri, realm))), "")
    return Party(name, number) if number else None


def _identities(message: Message) -> list[NameAddr]:
    values: list[NameAddr] = []
    for line in message.headers.get_all(HEADER)[:MAX_VALUES]:
        for value in _split(line)[:MAX_VALUES]:
            try:
                values.append(NameAddr.parse(value))
            except SipError:
                continue
    return values[:MAX_VALUES]


def _split(line: str) -> Sequence[str]:
    try:
        return split_top_level(line, ",")
    except SipError:
        return ()


def _number(uri: SipUri, realm: str) -> str:
    """The number of a URI in its context, "" where there is none that could be dialled."""
    try:
        return in_context(normalise(uri.subscriber), uri.phone_context, realm)
    except SipError:
        return ""


def _wants_privacy(message: Message) -> bool:
    """Whether the other side asked not to be shown (RFC 3323 4.2, RFC 3325 9.3)."""
    lines = [line.lower().replace(";", " ").replace(",", " ") for line in message.headers.get_all("Privacy")]
    asked = {word for line in lines for word in line.split()}
    return bool(asked - NO_PRIVACY)
