"""The registrar (RFC 3261 10.3): what a REGISTER does to the bindings of its user.

PURE: it is told what is bound, and says what is to change; the store does it, as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.location.binding import MAX_BINDINGS, MAX_USER_AGENT, Binding
from gateway.location.contacts import MAX_EXPIRES, MIN_EXPIRES, Wanted, listed, wanted
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of the bindings of one user."""

    bound: tuple[Binding, ...] = ()
    removed: tuple[Binding, ...] = ()
    """What the request asked to be gone."""
    displaced: tuple[Binding, ...] = ()
    """What gave way: to a newer state of itself, or to one binding too many."""

    @property
    def unbound(self) -> tuple[str, ...]:
        """URIs of the Contacts that are no longer bound."""
        bound = {binding.contact_uri for binding in self.bound}
        return tuple(b.contact_uri for b in (*self.removed, *self.displaced) if b.contact_uri not in bound)

    def applied(self, bindings: Sequence[Binding]) -> tuple[Binding, ...]:
        """The bindings there are afterwards; a refreshed one stays where it stood."""
        gone = set(self.unbound)
        kept = {b.contact_uri: b for b in bindings if b.contact_uri not in gone}
        kept.update({b.contact_uri: b for b in self.bound})
        return tuple(kept.values())


@dataclass(frozen=True, slots=True)
class Terms:
    """What a user may have of the registrar."""

    seconds: float = MAX_EXPIRES
    """How long a binding may last: no longer than what its user proved herself with."""
    places: int = MAX_BINDINGS
    """Bindings at a time."""
    displaces: bool = True
    """One too many takes the place of the oldest; else it is refused."""


TOO_MANY = ("Warning", '399 gw "This user has as many registrations as one user may have at once"')


def read(
    request: Request, user: str, flow: Flow, node: str, bindings: Sequence[Binding], terms: Terms = Terms()
) -> Change | Response:
    """What a REGISTER of an authenticated user changes, or the answer that refuses it.

    The request counts as a whole or not at all (RFC 3261 10.3 step 7).

    Args:
        flow: the connection it came over, of this process, which is called `node`.
        bindings: what is bound, in the order in which it came.

    Raises:
        SipError: the request is malformed, or older than what it would change.
    """
    if (request.to.uri.user_decoded or "").lower() != user.lower():
        return create_response(request, 403)
    before = {b.contact_uri: b for b in bindings}
    contacts = wanted(request, before)
    if any(0 < one.expires < MIN_EXPIRES for one in contacts):
        return create_response(request, 423, headers=(("Min-Expires", str(MIN_EXPIRES)),))
    for one in contacts:
        _require_newer(request, before.get(one.uri))
    removed = tuple(before[one.uri] for one in contacts if not one.expires and one.uri in before)
    bound = tuple(_bind(request, flow, node, one, terms) for one in contacts if one.expires)
    others = [b for b in bindings if b not in removed]
    older = [b for b in others if any(new.replaces(b) for new in bound)]
    if not terms.displaces and bound and len(others) - len(older) + len(bound) > terms.places:
        return create_response(request, 403, headers=(TOO_MANY,))
    return Change(bound, removed, _displaced(others, bound, terms.places))


def decided(bindings: Sequence[Binding], bound: Sequence[Binding], unbound: Sequence[str]) -> Change:
    """What changes when another registrar has decided: nothing of it is judged here.

    Args:
        bindings: what is bound, in the order in which it came.
        unbound: URIs of the Contacts it has removed.
    """
    removed = tuple(b for b in bindings if b.contact_uri in unbound)
    return Change(tuple(bound), removed, _displaced([b for b in bindings if b not in removed], bound))


def answer(request: Request, bindings: Sequence[Binding]) -> Response:
    """The 200: whatever the request did, it lists the bindings there are (RFC 3261 10.3 step 8)."""
    return create_response(request, 200, headers=[("Contact", listed(binding)) for binding in bindings])


def _require_newer(request: Request, binding: Binding | None) -> None:
    """Requests of one Call-ID count in their order, whatever order they come in (RFC 3261 10.3 steps 6 and 7)."""
    if binding is not None and binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise SipError("REGISTER out of order", 500)


def _bind(request: Request, flow: Flow, node: str, one: Wanted, terms: Terms) -> Binding:
    granted = max(1, int(min(one.expires, MAX_EXPIRES, terms.seconds)))
    agent = (request.headers.get("User-Agent") or "")[:MAX_USER_AGENT]
    return Binding(node, flow, one.contact, one.text, request.call_id, request.cseq.number, granted, agent)


def _displaced(
    bindings: Sequence[Binding], bound: Sequence[Binding], places: int = MAX_BINDINGS
) -> tuple[Binding, ...]:
    """What gives way: older states of what is bound now, and then, of what is too much, what came first."""
    older = [old for old in bindings if any(new.replaces(old) for new in bound)]
    kept = [old for old in bindings if old not in older]
    too_many = max(0, len(kept) + len(bound) - places)
    return (*older, *kept[:too_many])
