"""How the media of a leg gets its keys: the transport its m-line names, the method, and the roles of DTLS."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Keying(StrEnum):
    """How SRTP keys of a leg were agreed."""

    NONE = "plain"
    SDES = "sdes"
    """In the description (RFC 4568)."""
    DTLS = "dtls"
    """By a handshake on the media path (RFC 5764)."""
    PENDING = "pending"
    """Not keyed yet; graded as what it will be at best."""

    @property
    def keyed(self) -> bool:
        """True when there are keys."""
        return self in (Keying.SDES, Keying.DTLS)


class Proto(StrEnum):
    """Transport of an audio m-line: RTP profile and keying (RFC 3551, 4585, 3711, 5124, 5764, 7850)."""

    AVP = "RTP/AVP"
    AVPF = "RTP/AVPF"
    SAVP = "RTP/SAVP"
    SAVPF = "RTP/SAVPF"
    DTLS_SAVP = "UDP/TLS/RTP/SAVP"
    DTLS_SAVPF = "UDP/TLS/RTP/SAVPF"
    TCP_DTLS_SAVP = "TCP/DTLS/RTP/SAVP"
    TCP_DTLS_SAVPF = "TCP/DTLS/RTP/SAVPF"

    @property
    def keyed(self) -> bool:
        """True when the profile itself demands SRTP."""
        return self not in (Proto.AVP, Proto.AVPF)

    @property
    def dtls(self) -> bool:
        """True when keys come from DTLS (RFC 5764, RFC 7850)."""
        return self.keyed and self not in (Proto.SAVP, Proto.SAVPF)

    @property
    def is_udp(self) -> bool:
        """True when media goes in datagrams; what is left is RFC 7850."""
        return not self.value.startswith("TCP/")

    @property
    def without_feedback(self) -> Proto:
        """The profile less its `F`: AVPF and AVP differ in RTCP timing only (RFC 4585 1)."""
        return Proto(self.value.removesuffix("F"))

    @classmethod
    def of(cls, text: str) -> Proto | None:
        """The profile of that name in any case; None when it is none of ours."""
        return next((p for p in cls if p.value == text.upper()), None)


def is_protected(transport: str) -> bool:
    """Whether a line of this transport, ours or not, has nothing in the clear: SRTP, or whatever goes over (D)TLS."""
    words = transport.upper().split("/")
    return not {"SAVP", "SAVPF", "TLS", "DTLS"}.isdisjoint(words)


class Setup(StrEnum):
    """DTLS role (RFC 4145 4, RFC 5763 5)."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"
    HOLDCONN = "holdconn"


DtlsRole = Literal["server", "client"]
"""Who begins the handshake: the client (RFC 5763 5: `a=setup:active`)."""
