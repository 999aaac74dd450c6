"""REFER: a peer asks us to call somebody in its place (RFC 3515, 3892, 4488, 5589, 7647).

What it asks for is read here and nothing more: whether it may, and at what protection, policy and dialplan say, as
for a number that is dialled. Of a URI in Refer-To only what names the callee is taken. The header fields written into
it would become header fields of a request of *ours*, so all of them but Replaces are left where they are and named,
for the log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.grammar import LWS, decode_escapes, is_token, same_word
from gateway.sip.message import Headers, Request
from gateway.sip.replaces import Replaces
from gateway.sip.uri import SipUri

METHOD = "REFER"
NO_SUBSCRIPTION = "norefersub"
"""Option tag of those who can do without the implicit subscription (RFC 4488 6.2)."""
SCHEMES = frozenset(("sip", "sips", "tel"))
"""What a call can be made to."""
MAX_REFER_TO = 3072
"""Octets of a value: a URI, and a Replaces in which every character may be escaped with three."""
MAX_EMBEDDED = 16
"""Header fields in one URI; one or two are usual."""
MAX_NAME = 32
"""Characters kept of the name of a header field that is ignored."""
MAX_REFERRED_BY = 128
"""Characters kept of who says to have sent the REFER."""
UNREADABLE = "?"
"""Stands for a header field in a URI whose name is no name."""


@dataclass(frozen=True, slots=True)
class ReferTo:
    """The one to be called."""

    uri: SipUri
    """sip, sips or tel; without a method and without header fields."""
    replaces: Replaces | None = None
    """The dialog at that place which the call shall take over: an attended transfer (RFC 5589 7)."""
    ignored: tuple[str, ...] = ()
    """Names of the other header fields in the URI, in lower case; nothing of them is used."""

    @classmethod
    def parse(cls, text: str) -> ReferTo:
        """Read a Refer-To value.

        Raises:
            SipError: 400 when malformed or too long, 416 for a scheme that cannot be called, 501 for another method
                than INVITE.
        """
        if len(text) > MAX_REFER_TO:
            raise SipError("Refer-To too long")
        uri = NameAddr.parse(text).uri
        if uri.scheme not in SCHEMES:
            raise SipError("Unsupported URI Scheme", 416)
        method = uri.params.get("method")
        if method is not None and not same_word(decode_escapes(method), "invite"):
            raise SipError("Only INVITE can be asked for", 501)
        fields = _embedded(uri.headers)
        return cls(
            replace(uri, params=uri.params.without("method"), headers=""),
            _replaces([value for name, value in fields if name == "replaces"]),
            tuple(dict.fromkeys(name for name, _ in fields if name != "replaces")),
        )


@dataclass(frozen=True, slots=True)
class Referral:
    """What a REFER asks for."""

    number: int
    """Its CSeq number: the name of its subscription in this dialog (RFC 3515 2.4.6)."""
    refer_to: ReferTo
    subscribes: bool
    """False when the sender does not want to be told how it goes (RFC 4488)."""
    claimed: str
    """Who the sender says it is (Referred-By, RFC 3892): a URI, cut; "" without one that can be read.

    For records only. It is not signed, so who asks is the user or trunk of the leg, and nobody else is told of it.
    """

    @classmethod
    def read(cls, request: Request) -> Referral:
        """Read a REFER.

        Raises:
            SipError: 400 unless there is exactly one Refer-To (RFC 3515 2.4.2); and as `ReferTo.parse`.
        """
        values = request.headers.get_all("Refer-To")
        if len(values) != 1:
            raise SipError("Exactly one Refer-To is needed")
        return cls(
            request.cseq.number,
            ReferTo.parse(values[0]),
            not _is_false(request.headers.get("Refer-Sub")),
            _claimed(request.headers),
        )

    @property
    def agreement(self) -> tuple[tuple[str, str], ...]:
        """Header fields of the 202: without a subscription it says so (RFC 4488 4)."""
        return () if self.subscribes else (("Refer-Sub", "false"),)


def _embedded(text: str) -> list[tuple[str, str]]:
    """Header fields of a URI, names in lower case, escapes resolved (RFC 3261 19.1.1, `headers`)."""
    pieces = text.split("&") if text else []
    if len(pieces) > MAX_EMBEDDED:
        raise SipError("Too many header fields in a URI")
    return [_field(piece) for piece in pieces]


def _field(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    name = decode_escapes(name).lower()
    return name[:MAX_NAME] if is_token(name) else UNREADABLE, decode_escapes(value)


def _replaces(values: list[str]) -> Replaces | None:
    if len(values) > 1:
        raise SipError("More than one Replaces")
    return Replaces.parse(values[0]) if values else None


def _is_false(value: str | None) -> bool:
    """Whether the sender waives the subscription; in words nobody can read it does not."""
    return value is not None and same_word(value.partition(";")[0].strip(LWS), "false")


def _claimed(headers: Headers) -> str:
    values = headers.get_all("Referred-By")
    try:
        return str(NameAddr.parse(values[0]).uri)[:MAX_REFERRED_BY] if len(values) == 1 else ""
    except SipError:
        return ""
