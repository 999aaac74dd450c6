"""Which transaction a message belongs to, and which way its answer goes (RFC 3261 17.1.3, 17.2.3 and 18, RFC 3581)."""

from __future__ import annotations

import hashlib

from gateway.base.errors import SipError
from gateway.sip.flow import Flow, objection
from gateway.sip.message import Message, Request
from gateway.sip.via import Via, is_magic

IDENTIFIERS = ("From", "To", "Call-ID", "CSeq")
"""Header fields without which no message can be matched to anything (RFC 3261 8.1.1)."""

AckId = tuple[str, str, str, int]
"""Call-ID, From tag, To tag and CSeq number: what an ACK for a 2xx has in common with its INVITE."""
MergeId = tuple[str, str, str, str, str]
"""Peer, Request-URI, Call-ID, From tag and CSeq: what two copies of one request have in common (RFC 3261 8.2.2.2)."""


def scope(flow: Flow) -> str:
    """Who the peer is, as far as matching and limits go.

    Branches are compared within one peer only, so that no browser can cancel, or answer for, another one's call by
    guessing. A trunk is one peer whatever its connections; a datagram peer is its address, since NATs change ports.
    """
    if flow.trunk is not None:
        return f"trunk {flow.trunk}"
    return f"flow {flow.id}" if flow.is_reliable else f"host {flow.remote.host}"


def server_key(request: Request, method: str, peer: str) -> str:
    """Key of a server transaction; ACK and CANCEL find their INVITE with `method` INVITE (RFC 3261 17.2.3, 9.2)."""
    via = request.via
    if is_magic(via.branch):
        return f"server {method} {peer} {via.sent_by.lower()} {via.branch}"
    return f"server {method} {peer} {_old_identity(request, method)}"


def _old_identity(request: Request, method: str) -> str:
    """What tells a transaction of an RFC 2543 element, whose branch identifies nothing (RFC 3261 17.2.3).

    The To tag counts for all but INVITE: the ACK has the tag of our answer there, which its INVITE did not.
    """
    to_tag = "" if method == "INVITE" else request.to.tag or ""
    number = request.cseq.number
    told = (request.uri, request.call_id, request.from_.tag or "", to_tag, str(number), str(request.via))
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()


def client_key(branch: str, method: str) -> str:
    """Key of a client transaction (RFC 3261 17.1.3)."""
    return f"client {method} {branch}"


def require_identifiers(message: Message) -> None:
    """Refuse to send what its receiver could match to nothing.

    Raises:
        SipError: 500, the user built a message without one of `IDENTIFIERS`.
    """
    for name in IDENTIFIERS:
        if name not in message.headers:
            raise SipError(f"Message without {name}", 500)


def merge_id(request: Request, peer: str) -> MergeId:
    """What tells that two requests are copies of one that was forked on its way to us.

    The Request-URI belongs to it: a fork that reaches two users of ours is two calls. So does the peer: what one says
    about Call-IDs means nothing for another.
    """
    return peer, request.uri, request.call_id, request.from_.tag or "", str(request.cseq)


def ack_id(message: Message) -> AckId:
    """Dialog identifiers and CSeq number, equal for an ACK and the 2xx it acknowledges (RFC 3261 13.3.1.4)."""
    return message.call_id, message.from_.tag or "", message.to.tag or "", message.cseq.number


def stamped(via: Via, flow: Flow) -> str:
    """The Via as our responses carry it: `received` when it tells something, and always when rport is asked for."""
    told = "rport" in via.params or "received" in via.params or via.host != flow.remote.host
    return str(via.with_received(flow.remote.host, flow.remote.port) if told else via)


def same_path(sent: Flow, came: Flow) -> bool:
    """Whether a response came in from where the request went.

    Datagrams have no other proof of origin, so address and port must be those the request was sent to (RFC 3581 4 makes
    the peer answer from there). On streams it is the connection, or another one on which the peer proved the same name
    and no less (RFC 3261 18.2.2: a peer whose connection is gone opens one to answer).
    """
    if not sent.is_reliable:
        return sent.transport == came.transport and sent.remote == came.remote
    return sent.id == came.id or (bool(sent.verified_name) and not objection(came, sent))
