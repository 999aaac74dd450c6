"""Dialogs: what two user agents share beyond one transaction (RFC 3261 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.cseq import MAX_CSEQ, CSeq
from gateway.sip.headers import Headers, Item
from gateway.sip.model import MAX_FORWARDS, Message, Request, Response
from gateway.sip.uri import SipUri
from gateway.sip.via import is_magic

DialogKey = tuple[str, str, str]
"""Call-ID, local tag, remote tag (RFC 3261 12)."""

MAX_EARLY_DIALOGS = 16
"""Forks of one INVITE that are remembered; further ones are still answered, but not kept."""
TARGET_REFRESH = frozenset(("INVITE", "UPDATE"))
"""Requests that move the remote target inside a dialog (RFC 3261 12.2, RFC 3311 5)."""
WITH_CONTACT = frozenset(("INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY", "OPTIONS", "ACK"))
"""Requests that may carry Contact; it has no meaning in BYE, INFO and PRACK (RFC 3261 table 2)."""
NOT_COUNTED = frozenset(("ACK", "CANCEL"))
"""They repeat the number of the request they belong to (RFC 3261 12.2.1.1)."""


@dataclass(slots=True)
class Dialog:
    """One side's view of a dialog, early until `confirmed`."""

    call_id: str
    local_tag: str
    remote_tag: str
    """Empty when the peer sent none (RFC 3261 12.1.1, for RFC 2543 peers)."""
    local: NameAddr
    """Our address as From of our requests, with our tag."""
    remote: NameAddr
    """The peer's address as To of our requests, with its tag."""
    local_seq: int
    remote_seq: int | None
    """CSeq number of the peer's last request; None before its first."""
    remote_target: SipUri
    """The URI of the peer's Contact."""
    route_set: tuple[NameAddr, ...]
    """Route values, nearest hop first."""
    confirmed: bool = False
    remote_rseq: int | None = None
    """Number of the last reliable 18x that came in it (RFC 3262 4)."""
    left: bool = False
    """A BYE of ours is out."""

    @classmethod
    def uas(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog a request from the peer creates (RFC 3261 12.1.1).

        Raises:
            SipError: 400, the request has no Contact we could send requests to.
        """
        target = remote_target(request)
        if target is None:
            raise SipError("Missing Contact")
        return cls(
            call_id=request.call_id,
            local_tag=local_tag,
            remote_tag=request.from_.tag or "",
            local=request.to.with_tag(local_tag),
            remote=request.from_,
            local_seq=0,
            remote_seq=request.cseq.number,
            remote_target=target,
            route_set=request.record_route,
        )

    @classmethod
    def uac(cls, request: Request, response: Response) -> Dialog:
        """The dialog a response to our request creates (RFC 3261 12.1.2)."""
        return cls(
            call_id=request.call_id,
            local_tag=request.from_.tag or "",
            remote_tag=response.to.tag or "",
            local=request.from_,
            remote=response.to,
            local_seq=request.cseq.number,
            remote_seq=None,
            # We diverge: phones forget Contact in 18x. Where the INVITE went is the best target until the 2xx tells.
            remote_target=_target(response) or SipUri.parse(request.uri),
            route_set=_uac_route_set(response),
            confirmed=_is_success(response),
        )

    @property
    def key(self) -> DialogKey:
        """What messages of the dialog are matched by."""
        return self.call_id, self.local_tag, self.remote_tag

    @property
    def next_hop(self) -> SipUri:
        """URI of the element our requests are sent to (RFC 3261 8.1.2)."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def confirm(self, response: Response) -> None:
        """Make an early dialog of ours a confirmed one: the 2xx brings route set and target anew (13.2.2.4)."""
        if self.confirmed:
            return
        self.confirmed = True
        self.route_set = _uac_route_set(response)
        self.remote_target = _target(response) or self.remote_target

    def new_request(self, method: str, contact: NameAddr | None, max_forwards: int = MAX_FORWARDS) -> Request:
        """A request inside the dialog with the next sequence number, for `SipStack.send_request` (12.2.1.1).

        Args:
            method: anything but ACK and CANCEL.
            contact: our Contact; left out where the method has none.
            max_forwards: hops that are left.
        """
        if self.local_seq >= MAX_CSEQ:
            raise SipError("CSeq numbers are used up", 500)
        self.local_seq += 1
        self.left |= method == "BYE"
        return self._request(method, self.local_seq, contact, max_forwards)

    def renumbered(self, request: Request) -> Request:
        """A request of this dialog that is sent once more, with the next sequence number (RFC 3261 22.2).

        Raises:
            SipError: 500, the numbers are used up.
        """
        if self.local_seq >= MAX_CSEQ:
            raise SipError("CSeq numbers are used up", 500)
        self.local_seq += 1
        return request.with_header("CSeq", CSeq(self.local_seq, request.method))

    def ack(self, cseq_number: int, contact: NameAddr | None) -> Request:
        """The ACK of a 2xx: it has the number of its INVITE, whatever was sent since (RFC 3261 13.2.2.4)."""
        return self._request("ACK", cseq_number, contact, MAX_FORWARDS)

    def accept_sequence(self, request: Request) -> None:
        """Take note of a request of the peer (RFC 3261 12.2.2).

        Raises:
            SipError: 500, it is older than one we have seen.
        """
        number = request.cseq.number
        if request.method in NOT_COUNTED:
            return
        if self.remote_seq is not None and number < self.remote_seq:
            raise SipError("CSeq out of order", 500)
        self.remote_seq = number

    def accept_rseq(self, number: int) -> bool:
        """Whether a reliable 18x with this number is the next one, or the first (RFC 3262 4)."""
        if self.remote_rseq is not None and number != self.remote_rseq + 1:
            return False
        self.remote_rseq = number
        return True

    def refresh_target(self, message: Message) -> None:
        """Follow the Contact of a re-INVITE or UPDATE, or of the 2xx to one; any other message changes nothing."""
        refreshes = message.cseq.method in TARGET_REFRESH
        if isinstance(message, Response):
            refreshes = refreshes and _is_success(message)
        if refreshes:
            self.remote_target = _target(message) or self.remote_target

    def _request(self, method: str, number: int, contact: NameAddr | None, max_forwards: int) -> Request:
        uri, routes = self._path()
        fields: list[Item] = [("Route", route) for route in routes]
        fields += [("Max-Forwards", str(max_forwards)), ("From", self.local), ("To", self.remote)]
        fields += [("Call-ID", self.call_id), ("CSeq", CSeq(number, method))]
        if contact is not None and method in WITH_CONTACT:
            fields.append(("Contact", contact))
        return Request(method, uri, Headers(fields))

    def _path(self) -> tuple[str, tuple[NameAddr, ...]]:
        """Request URI and Route values: loose, or strict for an old first proxy (RFC 3261 12.2.1.1)."""
        if not self.route_set:
            return _as_request_uri(self.remote_target), ()
        first = self.route_set[0].uri
        if "lr" in first.params:
            return _as_request_uri(self.remote_target), self.route_set
        return _as_request_uri(first), (*self.route_set[1:], NameAddr("", self.remote_target))


class InviteDialogs:
    """The dialogs one INVITE of ours creates: one per To tag (RFC 3261 12.1.2, 13.2.2.4)."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._by_tag: dict[str, Dialog] = {}

    def __len__(self) -> int:
        return len(self._by_tag)

    def __contains__(self, dialog: Dialog) -> bool:
        """Whether this dialog is kept, see `MAX_EARLY_DIALOGS`."""
        return self._by_tag.get(dialog.remote_tag) is dialog

    @property
    def early_tags(self) -> frozenset[str]:
        """Who rings, or was ringing when we last heard of it."""
        return frozenset(tag for tag, dialog in self._by_tag.items() if not dialog.confirmed)

    def find(self, tag: str) -> Dialog | None:
        """The dialog of this To tag."""
        return self._by_tag.get(tag)

    def take(self, response: Response) -> Dialog | None:
        """The dialog of a 1xx or 2xx, made or confirmed by it; None for 100, failures and a 1xx without tag."""
        tag = response.to.tag or ""
        if response.status == 100 or response.status >= 300 or not (tag or _is_success(response)):
            return None
        dialog = self._by_tag.get(tag) or self._make(tag, response)
        if _is_success(response):
            dialog.confirm(response)
        return dialog

    def _make(self, tag: str, response: Response) -> Dialog:
        dialog = Dialog.uac(self._request, response)
        if len(self._by_tag) >= MAX_EARLY_DIALOGS and dialog.confirmed:
            self._by_tag.pop(next(iter(self.early_tags), ""), None)  # who answers counts for more than who rings
        if len(self._by_tag) < MAX_EARLY_DIALOGS:
            self._by_tag[tag] = dialog
        return dialog


def request_dialog_key(request: Request) -> DialogKey:
    """The key of the dialog a request of the peer belongs to; its To tag is ours (RFC 3261 12.2.2)."""
    return request.call_id, request.to.tag or "", request.from_.tag or ""


def remote_target(request: Request) -> SipUri | None:
    """Where requests in the dialog of an INVITE go: its Contact, or From for an RFC 2543 element, which needs none."""
    if request.contact is not None or is_magic(request.via.branch):
        return _target(request)
    return request.from_.uri if request.from_.uri.scheme in ("sip", "sips") else None


def _uac_route_set(response: Response) -> tuple[NameAddr, ...]:
    """Record-Route is written on the way to the peer, so its far end comes first (RFC 3261 12.1.2)."""
    return response.record_route[::-1]


def _is_success(response: Response) -> bool:
    return 200 <= response.status < 300


def _target(message: Message) -> SipUri | None:
    """The URI of the Contact when SIP requests can be sent there."""
    contact = message.contact
    return contact.uri if contact is not None and contact.uri.scheme in ("sip", "sips") else None


def _as_request_uri(uri: SipUri) -> str:
    """The URI without the parts a request URI may not have: `method` and headers (RFC 3261 19.1.1 table 1)."""
    return str(replace(uri, params=uri.params.without("method"), headers=""))
