"""DTLS associations as descriptions agree on them: roles, and whether one goes on or another begins (RFC 8842)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SdpError
from gateway.base.keying import DtlsRole, Setup
from gateway.base.values import HostPort
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import RemoteAudio


@dataclass(frozen=True, slots=True)
class Association:
    """What tells one association of a leg from another. Two that are equal are one, which goes on."""

    role: Setup
    """Ours: active or passive."""
    fingerprints: frozenset[Fingerprint]
    """Of the peer, all that count."""
    tls_id: str = ""
    """What the peer calls it; empty: it does not say."""
    where: HostPort | None = None
    """Its transport address, which counts where it says no name for the association (RFC 8842 4). None: paths are
    checked (ICE), and may change under an association."""

    @classmethod
    def of(cls, role: Setup, remote: RemoteAudio, *, where: HostPort | None = None) -> Association:
        """What a description of the peer stands for.

        Args:
            where: its transport address, None where paths are checked.
        """
        known = frozenset(fingerprint for fingerprint in remote.fingerprints if fingerprint.usable)
        return cls(role, known, remote.tls_id, None if remote.tls_id else where)

    @property
    def dtls_role(self) -> DtlsRole:
        """Who begins the handshake: the client is active (RFC 5763 5)."""
        return "client" if self.role is Setup.ACTIVE else "server"


def role_in_answer(offered: Setup | None, wanted: Setup) -> Setup:
    """Our role in the answer to an offer: what is wanted, where the offer leaves a choice (RFC 5763 5).

    Raises:
        SdpError: the offer is for later (holdconn), which DTLS does not know.
    """
    match offered:
        case Setup.ACTIVE:
            return Setup.PASSIVE
        case Setup.PASSIVE:
            return Setup.ACTIVE
        case Setup.HOLDCONN:
            raise SdpError("DTLS knows no holdconn")
        case _:
            return wanted


def role_by_answer(answered: Setup | None) -> Setup:
    """Our role by the answer to our actpass; who does not say is active (RFC 4145 4).

    Raises:
        SdpError: it chooses none.
    """
    if answered not in (None, Setup.ACTIVE, Setup.PASSIVE):
        raise SdpError("answer chooses no DTLS role")
    return Setup.ACTIVE if answered is Setup.PASSIVE else Setup.PASSIVE
