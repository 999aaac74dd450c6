"""The registrar (RFC 3261 10.3) and who is signed in on which connection.

A browser is reached by the flow it registered on and by nothing else (RFC 5626, RFC 7118 5): the host in its
Contact is made up. Identity is what the flow proved by digest, never what From says.

Calls ring at one binding of a user: that of the last sign-in. A refresh keeps its place, and a device that comes back
over a new connection is no new sign-in: two pages of one user never take the calls from each other by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.call.standing import Listener, News, Standings
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.grammar import DIGITS
from gateway.sip.message import Request, Response, create_response

MIN_EXPIRES = 60
MAX_EXPIRES = 3600
DEFAULT_EXPIRES = 600
"""Seconds a registration lasts; shorter ones than the minimum get 423 (RFC 3261 10.3 step 7)."""
MALFORMED_EXPIRES = 3600
"""What a lifetime counts as that is not a number of 32 bits (RFC 3261 20.10, 20.19)."""
MAX_EXPIRES_DIGITS = 10
MAX_BINDINGS = 10
"""Contacts of one user. One more replaces the oldest: pages that are gone must not keep a new one out."""
MAX_SIGN_INS = 32
"""Sign-ins remembered per user, while one of the user's devices is bound; a page that came back later than that many
others counts as a new one."""
MAX_CONTACT_LENGTH = 1024
"""Characters of one Contact: every answer repeats all of them and must stay a message that can be sent."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a user can be reached until `expires_at` (monotonic seconds)."""

    flow: Flow
    contact: NameAddr
    text: str
    """The Contact as it was written: clients look for their +sip.instance as text."""
    expires_at: float
    call_id: str
    cseq: int
    """Of the REGISTER that wrote it: an older one of the same Call-ID changes nothing (RFC 3261 10.3 step 7)."""

    @property
    def contact_uri(self) -> str:
        return str(self.contact.uri)

    @property
    def instance(self) -> str:
        """The device (RFC 5626 4.1), "" when it does not say."""
        return self.contact.params.get("+sip.instance") or ""

    def is_same_device(self, other: Binding) -> bool:
        """One sign-in: the same instance, or the same Call-ID, which lives as long as its client (RFC 3261 10.2.4)."""
        return self.call_id == other.call_id or (self.instance != "" and self.instance == other.instance)

    def replaces(self, other: Binding) -> bool:
        """The same Contact, or the same instance by the same registration of its own (RFC 5626 6)."""
        same_number = self.contact.params.get("reg-id") == other.contact.params.get("reg-id")
        same_instance = self.instance != "" and self.instance == other.instance
        return self.contact_uri == other.contact_uri or (same_instance and same_number)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One Contact of a REGISTER and the lifetime asked for it, 0 to remove it."""

    contact: NameAddr
    text: str
    expires: int

    @property
    def uri(self) -> str:
        return str(self.contact.uri)


class Registrar:
    """Identities and bindings, both tied to flows: when the flow goes, they go."""

    def __init__(self) -> None:
        self._identities: dict[int, str] = {}
        self._bindings: dict[str, dict[str, Binding]] = {}
        """By user, then by the URI of the Contact; calls ring at the last one."""
        self._sign_ins: dict[str, dict[str, None]] = {}
        """Call-IDs, by user: who comes back is no new sign-in, and does not take the calls."""
        self._standings = Standings()

    def __len__(self) -> int:
        """Users with a binding."""
        return len(self._bindings)

    def identity(self, flow: Flow) -> str | None:
        """The user this flow proved to be."""
        return self._identities.get(flow.id)

    def authenticate(self, flow: Flow, user: str) -> bool:
        """Tie a proven user to a flow; False when the flow already belongs to somebody else."""
        return self._identities.setdefault(flow.id, user) == user

    def lookup(self, user: str, now: float) -> Binding | None:
        """The binding of a user where calls ring, of those that still live."""
        return next(reversed(self._living(user, now)), None)

    def flow_closed(self, flow: Flow) -> str | None:
        """Forget who was on a connection that has ended, and give back who; other connections of the user stay."""
        user = self._identities.pop(flow.id, None)
        if user is not None:
            self._standings.drop(user, flow.id)
            self._keep(user, [b for b in self._bindings.get(user, {}).values() if b.flow.id != flow.id])
        return user

    def news(self, user: str, now: float, *, busy: frozenset[int]) -> list[News]:
        """What each connection of a user does not know yet of where calls ring; it counts as told.

        Args:
            busy: ids of flows that cannot be told now; they are asked for again.
        """
        return self._standings.news(user, self._living(user, now), busy)

    def register(self, request: Request, flow: Flow, user: str, now: float) -> Response:
        """Answer a REGISTER of an authenticated user: bind, refresh, query or unbind.

        The request counts as a whole or not at all (RFC 3261 10.3 step 7). Whatever it did, the answer lists the
        bindings there are (step 8).

        Raises:
            SipError: the request is malformed, or older than what it would change.
        """
        if (request.to.uri.user_decoded or "").lower() != user.lower():
            return create_response(request, 403)
        before = {b.contact_uri: b for b in self._living(user, now)}
        wanted = _remove_all(request, before) if request.contact_star else _read_contacts(request)
        if any(0 < w.expires < MIN_EXPIRES for w in wanted):
            return create_response(request, 423, headers=(("Min-Expires", str(MIN_EXPIRES)),))
        for one in wanted:
            _require_newer(request, before.get(one.uri))
        bound = [_bind(request, flow, one, now) for one in wanted if one.expires]
        self._unbind(user, flow, [before[w.uri] for w in wanted if not w.expires and w.uri in before])
        for binding in bound:
            self._insert(user, binding)
        contacts = [("Contact", _listed(binding, now)) for binding in self._living(user, now)]
        return create_response(request, 200, headers=contacts)

    def _unbind(self, user: str, flow: Flow, removed: list[Binding]) -> None:
        """Remove what a request over this flow asked to: whoever signs in there again has chosen to."""
        uris = {binding.contact_uri for binding in removed}
        self._keep(user, [b for b in self._bindings.get(user, {}).values() if b.contact_uri not in uris])
        for binding in removed:
            self._sign_ins.get(user, {}).pop(binding.call_id, None)
            self._standings.removed(user, binding.flow.id, by_itself=binding.flow.id == flow.id)

    def _insert(self, user: str, new: Binding) -> None:
        bindings = list(self._bindings.get(user, {}).values())
        known = self._sign_ins.setdefault(user, {})
        place = _place(bindings, new, known=new.call_id in known)
        refreshed = any(b.replaces(new) and b.flow.id == new.flow.id for b in bindings)
        bindings.insert(place, new)
        bindings = [b for b in bindings if b is new or not new.replaces(b)]
        if len(bindings) > MAX_BINDINGS:
            bindings.remove(next(b for b in bindings if b is not new))
        known.pop(new.call_id, None)
        known[new.call_id] = None
        if len(known) > MAX_SIGN_INS:
            del known[next(iter(known))]
        self._keep(user, bindings)
        listener = Listener(new.flow, new.contact_uri, new.call_id, new.instance)
        self._standings.bound(user, listener, refreshed=refreshed)

    def _living(self, user: str, now: float) -> list[Binding]:
        """What has not run out; what has is forgotten here."""
        living = [b for b in self._bindings.get(user, {}).values() if b.expires_at > now]
        self._keep(user, living)
        return living

    def _keep(self, user: str, bindings: list[Binding]) -> None:
        if bindings:
            self._bindings[user] = {b.contact_uri: b for b in bindings}
        else:
            self._bindings.pop(user, None)
            self._sign_ins.pop(user, None)


def _place(bindings: list[Binding], new: Binding, *, known: bool) -> int:
    """Where a binding stands: beside what its device has, below all others when it only comes back, else at the top."""
    own = [index for index, binding in enumerate(bindings) if binding.is_same_device(new)]
    if own:
        return own[-1] + 1
    return 0 if known else len(bindings)


def _remove_all(request: Request, bindings: dict[str, Binding]) -> list[_Wanted]:
    """`Contact: *` removes every binding, and says so by Expires 0 or not at all (RFC 3261 10.2.2, 10.3 step 6)."""
    _ = request.contacts  # 400 when the star does not stand alone
    if _lifetime(request.headers.get("Expires")) != 0:
        raise SipError("Contact * needs Expires 0")
    return [_Wanted(b.contact, b.text, 0) for b in bindings.values()]


def _read_contacts(request: Request) -> list[_Wanted]:
    """The Contacts, none for a query; the parameter of each wins over the header (RFC 3261 10.2.1.1)."""
    common = _lifetime(request.headers.get("Expires"))
    written = request.headers.values("Contact")
    contacts = request.contacts
    texts = written if len(written) == len(contacts) else [str(contact) for contact in contacts]
    wanted: dict[str, _Wanted] = {}
    for contact, text in zip(contacts, texts, strict=True):
        if contact.uri.scheme not in ("sip", "sips") or len(text) > MAX_CONTACT_LENGTH:
            raise SipError("Contact cannot be called")
        own = _lifetime(contact.params.get("expires"))
        expires = own if own is not None else common
        wanted[str(contact.uri)] = _Wanted(contact, text, DEFAULT_EXPIRES if expires is None else expires)
    if len(wanted) > MAX_BINDINGS:
        raise SipError("Too many Contacts")
    return list(wanted.values())


def _lifetime(value: str | None) -> int | None:
    """Seconds; None when nothing is said. What is no number of 32 bits counts as an hour."""
    if value is None:
        return None
    digits = value.strip(" \t")
    significant = digits.lstrip("0") or "0"
    if not digits or not DIGITS.issuperset(digits) or len(significant) > MAX_EXPIRES_DIGITS:
        return MALFORMED_EXPIRES
    return int(significant) if int(significant) < 1 << 32 else MALFORMED_EXPIRES


def _require_newer(request: Request, binding: Binding | None) -> None:
    """Requests of one Call-ID count in their order, whatever order they come in (RFC 3261 10.3 steps 6 and 7)."""
    if binding is not None and binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise SipError("REGISTER out of order", 500)


def _bind(request: Request, flow: Flow, wanted: _Wanted, now: float) -> Binding:
    granted = min(wanted.expires, MAX_EXPIRES)
    return Binding(flow, wanted.contact, wanted.text, now + granted, request.call_id, request.cseq.number)


def _listed(binding: Binding, now: float) -> str:
    """The Contact as it came, byte for byte, unless the lifetime differs."""
    left = str(max(1, round(binding.expires_at - now)))
    contact = binding.contact
    if contact.params.get("expires") == left:
        return binding.text
    return f"<{contact.uri}>{contact.params.with_('expires', left)}"
