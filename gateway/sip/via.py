"""The Via header field (RFC 3261 20.42, RFC 3581)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, MAX_PORT, format_host_port, is_token, parse_host_port, parse_uint, same_word
from gateway.sip.params import NO_PARAMS, Params

MAGIC_COOKIE = "z9hG4bK"
"""A branch that starts so is unique and identifies the transaction (RFC 3261 8.1.1.7)."""


def is_magic(branch: str) -> bool:
    """Whether a branch identifies a transaction (RFC 3261 17.2.3); the cookie alone does not."""
    return len(branch) > len(MAGIC_COOKIE) and branch[: len(MAGIC_COOKIE)].lower() == MAGIC_COOKIE.lower()


@dataclass(frozen=True, slots=True)
class Via:
    """One hop a request took, which the response takes back."""

    transport: str
    """Upper-case: UDP, TCP, TLS, WS, WSS."""
    host: str
    """Without brackets."""
    port: int | None
    params: Params = NO_PARAMS

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one Via value; white space is allowed around slashes, the colon and parameters."""
        protocol, semicolon, params = text.partition(";")
        parts = protocol.split("/", 2)
        if len(parts) != 3 or not same_word(parts[0].strip(LWS), "sip") or parts[1].strip(LWS) != "2.0":
            raise SipError("Bad Via")
        transport, _, sent_by = parts[2].strip(LWS).replace("\t", " ").partition(" ")
        if not is_token(transport):
            raise SipError("Bad Via")
        host, port = parse_host_port(sent_by)
        return cls(transport.upper(), host, port, Params.parse(params) if semicolon else NO_PARAMS)

    @property
    def branch(self) -> str:
        """The transaction identifier, "" when the sender is an RFC 2543 element."""
        return self.params.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """``host[:port]`` where the sender claims to listen."""
        return format_host_port(self.host, self.port)

    @property
    def received(self) -> str | None:
        """The source address the next hop saw; IPv6 is accepted with and without brackets (RFC 5118 4.5)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The source port the next hop saw (RFC 3581 4); None when absent, empty or not a port."""
        try:
            return parse_uint(self.params.get("rport") or "", "rport", MAX_PORT)
        except SipError:
            return None

    def with_received(self, host: str, port: int) -> Via:
        """A copy that tells where the request really came from; the port only if `rport` asked for it (RFC 3581 4)."""
        params = self.params.with_("received", host)
        return replace(self, params=params.with_("rport", str(port)) if "rport" in params else params)

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{self.params}"
