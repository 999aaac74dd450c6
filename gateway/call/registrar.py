"""The registrar (RFC 3261 10.3) and who is signed in on which connection.

A browser is reached by the flow it registered on and by nothing else (RFC 5626, RFC 7118 5): the host in its
Contact is made up. Identity is what the flow proved by digest, never what From says.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response

MIN_EXPIRES = 60
MAX_EXPIRES = 3600
DEFAULT_EXPIRES = 600
"""Seconds a registration lasts; shorter ones than the minimum get 423 (RFC 3261 10.3 step 7)."""
MAX_USERS_PER_FLOW = 1
"""One connection, one user: a second user name on a flow is refused."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a user can be reached until `expires_at` (monotonic seconds)."""

    flow: Flow
    contact_uri: str
    expires_at: float


class Registrar:
    """Identities and bindings, both tied to flows: when the flow goes, they go."""

    def __init__(self) -> None:
        self._identities: dict[int, str] = {}
        self._bindings: dict[str, Binding] = {}

    def __len__(self) -> int:
        return len(self._bindings)

    def identity(self, flow: Flow) -> str | None:
        """The user this flow proved to be."""
        return self._identities.get(flow.id)

    def authenticate(self, flow: Flow, user: str) -> bool:
        """Tie a proven user to a flow; False when the flow already belongs to somebody else."""
        return self._identities.setdefault(flow.id, user) == user

    def lookup(self, user: str, now: float) -> Binding | None:
        """The live binding of a user."""
        binding = self._bindings.get(user)
        if binding is None or binding.expires_at <= now:
            self._bindings.pop(user, None)
            return None
        return binding

    def flow_closed(self, flow: Flow) -> None:
        """Forget who was on a connection that has ended."""
        user = self._identities.pop(flow.id, None)
        if user is not None and (binding := self._bindings.get(user)) and binding.flow.id == flow.id:
            del self._bindings[user]

    def register(self, request: Request, flow: Flow, user: str, now: float) -> Response:
        """Answer a REGISTER of an authenticated user: bind, refresh, query or unbind.

        Raises:
            SipError: the request is malformed.
        """
        if (request.to.uri.user_decoded or "").lower() != user.lower():
            return create_response(request, 403)
        if request.contact_star:
            return self._unregister(request, flow, user)
        contacts = request.contacts
        if not contacts:
            return create_response(request, 200)
        if len(contacts) > 1:
            raise SipError("one Contact per REGISTER")
        expires = _expires(request)
        if expires == 0:
            return self._unregister(request, flow, user)
        if expires < MIN_EXPIRES:
            return create_response(request, 423, headers=(("Min-Expires", str(MIN_EXPIRES)),))
        granted = min(expires, MAX_EXPIRES)
        self._bindings[user] = Binding(flow, str(contacts[0].uri), now + granted)
        return create_response(request, 200, headers=(("Contact", _echo(request, granted)),))

    def _unregister(self, request: Request, flow: Flow, user: str) -> Response:
        binding = self._bindings.get(user)
        if binding is not None and binding.flow.id == flow.id:
            del self._bindings[user]
        return create_response(request, 200)


def _expires(request: Request) -> int:
    """Asked lifetime: the Contact's parameter wins over the header (RFC 3261 10.2.1.1)."""
    value = request.contacts[0].params.get("expires") or request.headers.get("Expires")
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= 10):
        return DEFAULT_EXPIRES
    return int(value)


def _echo(request: Request, granted: int) -> str:
    """The Contact as it came, byte for byte, unless the lifetime differs: clients compare +sip.instance as text."""
    contact = request.contacts[0]
    if contact.params.get("expires") == str(granted):
        return request.headers.values("Contact")[0]
    addressed = contact.params.with_("expires", str(granted))
    return f"<{contact.uri}>{addressed}"
