"""A flow: the two addresses and the transport a SIP message came in on, and where its answer goes (RFC 5626 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.signalling import ENCRYPTED, Signalling, TlsInfo, TransportName
from gateway.base.values import HostPort

RELIABLE = frozenset(("tcp", "tls", "ws", "wss"))
PROTECTION: dict[TransportName, int] = {"udp": 0, "tcp": 1, "ws": 1, "tls": 2, "wss": 2}
"""What a transport shows of its peer: nothing; that it hears us at its address; that nobody in between listens."""
TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")
"""Oldest first (RFC 8996); a version not listed here counts for less than any that is."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One UDP association, connection or WebSocket; a response always leaves on the flow of its request."""

    id: int
    transport: TransportName
    local: HostPort
    remote: HostPort
    trunk: str | None = None
    """Name of the configured trunk the remote end belongs to; None for browsers."""
    tls: TlsInfo | None = None
    initiated: bool = False
    """True when the gateway opened the connection."""
    also: frozenset[str] = frozenset()
    """Other trunks the same evidence fits: several may share one PBX, and only a dialog knows whose it is."""
    proved: frozenset[str] = frozenset()
    """Trunks for whose name the peer showed a certificate."""

    @property
    def is_reliable(self) -> bool:
        """True when the transport retransmits by itself, so that the transaction layer does not (RFC 3261 17)."""
        return self.transport in RELIABLE

    @property
    def signalling(self) -> Signalling:
        """What counts of the flow when a description that came over it is graded."""
        return Signalling.of(self.transport, self.tls)

    @property
    def is_secure(self) -> bool:
        """True when the bytes of the flow are encrypted; says nothing about who the peer is."""
        return self.transport in ENCRYPTED

    def may_be(self, trunk: str) -> bool:
        """Whether the remote end can be this trunk: by its address, or by the name it proved."""
        return trunk == self.trunk or trunk in self.also

    @property
    def verified_name(self) -> str:
        """The SIP domain the peer proved to be (RFC 5922), "" when it proved none."""
        return self.tls.verified_name.lower() if self.tls is not None and self.tls.verified else ""

    def __str__(self) -> str:
        return f"{self.transport}:{self.remote}#{self.id}"


def shortfall(came: Flow, first: Flow) -> str:
    """What `came` does not prove although `first` did, in a few words; "" when it proves as much.

    The one rule of whether a message may go on with what began over another flow: the transport must not be weaker, the
    TLS version not older, and who proved a name then must prove the same name now. It does not matter who opened the
    connection, nor whether the name stood in a server's or in a client's certificate.
    """
    if PROTECTION[came.transport] < PROTECTION[first.transport]:
        return f"{came.transport} instead of {first.transport}"
    if _version(came) < _version(first):
        return f"{came.tls.version if came.tls else 'no TLS'} instead of {first.tls.version if first.tls else ''}"
    if first.verified_name and came.verified_name != first.verified_name:
        return f"verified as {came.verified_name}" if came.verified_name else _why_unverified(came)
    return ""


def objection(came: Flow, first: Flow) -> str:
    """Why a message over `came` may not go on with what began over `first`; "" when it may.

    What a browser began belongs to its connection. What a trunk began may come over another flow of the same trunk that
    proves as much. Without a trunk a datagram peer is its address.
    """
    if came.id == first.id and came.transport == first.transport:
        return ""
    if first.trunk is not None:
        return shortfall(came, first) if came.may_be(first.trunk) else "from elsewhere"
    same_host = not first.is_reliable and came.trunk is None and came.remote.host == first.remote.host
    return "" if same_host else "another connection"


def _version(flow: Flow) -> int:
    version = flow.tls.version if flow.tls is not None else ""
    return TLS_VERSIONS.index(version) if version in TLS_VERSIONS else -1


def _why_unverified(flow: Flow) -> str:
    reason = flow.tls.reason if flow.tls is not None else ""
    return f"not verified: {reason}" if reason else "not verified"
