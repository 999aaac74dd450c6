"""What a REGISTER asks for: its Contacts and their lifetimes (RFC 3261 10.2, 10.3 steps 6 and 7). PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.sip.address import NameAddr
from gateway.sip.grammar import DIGITS
from gateway.sip.message import Request

MIN_EXPIRES = 60
MAX_EXPIRES = 3600
DEFAULT_EXPIRES = 600
"""Seconds a registration lasts; shorter ones than the minimum get 423 (RFC 3261 10.3 step 7)."""
MALFORMED_EXPIRES = 3600
"""What a lifetime counts as that is not a number of 32 bits (RFC 3261 20.10, 20.19)."""
MAX_EXPIRES_DIGITS = 10
MAX_CONTACT_LENGTH = 1024
"""Characters of one Contact: every answer repeats all of them and must stay a message that can be sent."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Contact of a REGISTER and the lifetime asked for it in seconds, 0 to remove it."""

    contact: NameAddr
    text: str
    expires: int

    @property
    def uri(self) -> str:
        return str(self.contact.uri)


def wanted(request: Request, bindings: Mapping[str, Binding]) -> list[Wanted]:
    """The Contacts a request asks something for, none for a query.

    Args:
        bindings: what is bound, by the URI of the Contact; a star stands for all of it.

    Raises:
        SipError: they cannot be read, cannot be called, or are too many.
    """
    return _remove_all(request, bindings) if request.contact_star else _read(request)


def _remove_all(request: Request, bindings: Mapping[str, Binding]) -> list[Wanted]:
    """`Contact: *` removes every binding, and says so by Expires 0 or not at all (RFC 3261 10.2.2, 10.3 step 6)."""
    _ = request.contacts  # 400 when the star does not stand alone
    if _lifetime(request.headers.get("Expires")) != 0:
        raise SipError("Contact * needs Expires 0")
    return [Wanted(b.contact, b.text, 0) for b in bindings.values()]


def _read(request: Request) -> list[Wanted]:
    """The Contacts as they stand; the parameter of each wins over the header (RFC 3261 10.2.1.1)."""
    common = _lifetime(request.headers.get("Expires"))
    written = request.headers.values("Contact")
    contacts = request.contacts
    texts = written if len(written) == len(contacts) else [str(contact) for contact in contacts]
    found: dict[str, Wanted] = {}
    for contact, text in zip(contacts, texts, strict=True):
        if contact.uri.scheme not in ("sip", "sips") or len(text) > MAX_CONTACT_LENGTH:
            raise SipError("Contact cannot be called")
        own = _lifetime(contact.params.get("expires"))
        expires = own if own is not None else common
        found[str(contact.uri)] = Wanted(contact, text, DEFAULT_EXPIRES if expires is None else expires)
    if len(found) > MAX_BINDINGS:
        raise SipError("Too many Contacts")
    return list(found.values())


def _lifetime(value: str | None) -> int | None:
    """Seconds; None when nothing is said. What is no number of 32 bits counts as an hour."""
    if value is None:
        return None
    digits = value.strip(" \t")
    significant = digits.lstrip("0") or "0"
    if not digits or not DIGITS.issuperset(digits) or len(significant) > MAX_EXPIRES_DIGITS:
        return MALFORMED_EXPIRES
    return int(significant) if int(significant) < 1 << 32 else MALFORMED_EXPIRES


def listed(binding: Binding) -> str:
    """The Contact of an answer (RFC 3261 10.3 step 8): as it came, byte for byte, unless the lifetime differs."""
    left = str(max(1, round(binding.seconds)))
    contact = binding.contact
    if contact.params.get("expires") == left:
        return binding.text
    return f"<{contact.uri}>{contact.params.with_('expires', left)}"
