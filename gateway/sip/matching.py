"""Which transaction a message belongs to, and which way its answer goes (RFC 3261 17.1.3, 17.2.3 and 18, RFC 3581)."""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.flow import Flow, objection
from gateway.sip.message import Message, Request
from gateway.sip.via import MAGIC_COOKIE, Via

IDENTIFIERS = ("From", "To", "Call-ID", "CSeq")
"""Header fields without which no message can be matched to anything (RFC 3261 8.1.1)."""

AckId = tuple[str, str, str, int]
"""Call-ID, From tag, To tag and CSeq number: what an ACK for a 2xx has in common with its INVITE."""
MergeId = tuple[str, str, str]
"""Call-ID, From tag and CSeq: what two copies of one request have in common (RFC 3261 8.2.2.2)."""


def scope(flow: Flow) -> str:
    """Who the peer is, as far as matching and limits go.

    Branches are compared within one peer only, so that no browser can cancel, or answer for, another one's call by
    guessing. A trunk is one peer whatever its connections; a datagram peer is its address, since NATs change ports.
    """
    if flow.trunk is not None:
        return f"trunk {flow.trunk}"
    return f"flow {flow.id}" if flow.is_reliable else f"host {flow.remote.host}"


def server_key(via: Via, method: str, peer: str) -> str:
    """Key of a server transaction; ACK and CANCEL find their INVITE with `method` INVITE (RFC 3261 17.2.3, 9.2).

    Raises:
        SipError: the branch does not begin with the magic cookie; RFC 2543 elements are not served.
    """
    branch = via.branch
    if len(branch) <= len(MAGIC_COOKIE) or branch[: len(MAGIC_COOKIE)].lower() != MAGIC_COOKIE.lower():
        raise SipError("Via branch without magic cookie")
    return f"server {method} {peer} {via.sent_by.lower()} {branch}"


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


def merge_id(request: Request) -> MergeId:
    """What tells that two requests are copies of one that was forked on its way to us."""
    return request.call_id, request.from_.tag or "", str(request.cseq)


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
