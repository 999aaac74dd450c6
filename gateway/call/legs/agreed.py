"""What offer and answer agreed on for the media of a leg: one frozen value that record and relay both follow.

A leg whose record says SRTP and whose relay sends RTP cannot be written down: the vector and the relay's commands are
functions of the same `TrunkMedia`, and `security.posture_changed` emits them together. What a browser agrees to is
`BrowserMedia`: its keys come by DTLS, so its description alone makes nothing flow.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Setup
from gateway.base.signalling import Signalling
from gateway.base.values import HostPort, LegId, LegKind, Secret
from gateway.media.relay_commands import MAX_LIFETIME, DropKeys, LegCommand, SetIce, SetKeys, SetPeer
from gateway.policy.posture import SecurityVector
from gateway.sdp.association import Association
from gateway.sdp.description import SessionDescription
from gateway.sdp.direction import Direction
from gateway.sdp.media import RemoteAudio
from gateway.sdp.negotiation import TrunkAgreement
from gateway.webrtc.ice_lite import IceCredentials


@dataclass(frozen=True, slots=True)
class Will:
    """What a peer wants itself, whatever it was offered."""

    sends: bool = True
    receives: bool = True

    @classmethod
    def of_offer(cls, direction: Direction) -> Will:
        """It offered this direction (RFC 3264 6.1)."""
        return cls(direction.sends, direction.receives)

    def after_answer(self, direction: Direction, offered: Direction) -> Will:
        """It answered this to our offer, which only tells about what we left open to it."""
        return Will(
            direction.sends if offered.receives else self.sends,
            direction.receives if offered.sends else self.receives,
        )


@dataclass(frozen=True, slots=True)
class BrowserMedia:
    """One browser leg after an offer and its answer."""

    remote: RemoteAudio
    role: Setup
    """Ours in the DTLS handshake, fixed for the life of the association (RFC 8842 5.3)."""
    ice: IceCredentials
    """What we answer checks under."""
    restarted: bool = False
    """This description began ICE anew (RFC 8839 4.4.2)."""
    noted: frozenset[Code] = frozenset()
    """What the description brought and nobody follows."""
    will: Will = Will()
    fork: str = ""
    """To-tag of the early dialog whose 18x brought this answer."""
    description: SessionDescription | None = field(default=None, repr=False)
    """The peer's offer, where it is our turn to answer."""

    def relay_commands(self, leg: LegId) -> tuple[LegCommand, ...]:
        """What the relay must know that it does not hear from the handshake."""
        return (SetIce(leg, self.ice.ufrag, Secret(self.ice.pwd)),) if self.restarted else ()


@dataclass(frozen=True, slots=True)
class OwnEnd:
    """What we told a trunk whose keys come by DTLS, besides our certificate; nothing of it where they do not."""

    tls_id: str = ""
    """Our name for the association (RFC 8842 4)."""
    ice: IceCredentials | None = None
    """What we answer checks under; None: paths are not checked."""


@dataclass(frozen=True, slots=True)
class TrunkMedia:
    """One trunk leg after an offer and its answer. Never holds what only one side has said."""

    signalling: Signalling
    remote: RemoteAudio
    agreement: TrunkAgreement
    where: HostPort | None
    """Where the peer takes media; the address known before while it holds the old way (`c=0.0.0.0`, RFC 2543)."""
    rtcp: HostPort | None
    mux: bool
    weaknesses: frozenset[Code] = frozenset()
    """Weaknesses of the agreement that keying and suite do not show: key.reuse."""
    noted: frozenset[Code] = frozenset()
    """What the description brought and nobody uses."""
    ours: OwnEnd = OwnEnd()
    will: Will = Will()
    fork: str = ""
    """To-tag of the early dialog whose 18x brought this answer."""
    description: SessionDescription | None = field(default=None, repr=False)
    """The peer's offer, where it is our turn to answer."""

    def vector(self, history: frozenset[Code]) -> SecurityVector:
        """The security vector this gives the leg (POLICY A1), with what happened on the way; before any handshake."""
        return SecurityVector(
            leg=LegKind.TRUNK,
            signalling=self.signalling,
            keying=self.agreement.keying if self.association is None else Keying.PENDING,
            proto=self.remote.proto,
            awaits=None if self.association is None else self.agreement.keying,
            suite=self.agreement.suite,
            extra_codes=history | self.weaknesses,
            noted=self.noted | frozenset(self.agreement.noted),
        )

    @property
    def association(self) -> Association | None:
        """The handshake its keys come from, where that is how."""
        return self.agreement.association

    def is_hold_with_new_key(self, before: TrunkMedia | None) -> bool:
        """Whether the peer turned its direction and changed its key, or its association, in one step."""
        if before is None or before.remote.direction is self.remote.direction:
            return False
        if before.association is not None and self.association is not None:
            return before.association != self.association
        was, now = before.agreement.remote, self.agreement.remote
        return was is not None and now is not None and not was.same_master_key(now)

    def relay_commands(
        self, leg: LegId, sources: tuple[str, ...] = (), *, renewed: bool = False
    ) -> tuple[LegCommand, ...]:
        """What the relay must know of this leg: keys first, then whether it is keyed and where the peer is.

        Args:
            sources: networks, besides the signalled address, its media may come from.
            renewed: its keys will come from another handshake than those it has.

        Raises:
            SdpError: 500, an agreement on SDES without keys: nothing is ever sent on it.
        """
        ice, keyed = self.ours.ice, self.agreement.keying.keyed
        where = self.remote.rtp if self.where is None and ice is not None else self.where
        dtls = self.association is not None
        peer = SetPeer(leg, keyed, where, self.rtcp, self.mux, sources, dtls, ice is not None) if where else None
        if not dtls:
            return (*self._keys(leg), *((peer,) if peer else ()))
        dropped = (DropKeys(leg),) if renewed else ()
        names = (SetIce(leg, ice.ufrag, Secret(ice.pwd)),) if ice is not None else ()
        return (*dropped, *names, *((peer,) if peer else ()))

    def _keys(self, leg: LegId) -> tuple[SetKeys, ...]:
        agreed = self.agreement
        if agreed.keying is Keying.NONE:
            return ()
        if agreed.keying is not Keying.SDES or not (agreed.suite and agreed.local and agreed.remote):
            raise SdpError("keyed without keys", 500)
        ours, theirs = agreed.local, agreed.remote
        tx_mki, rx_mki = (line.mki.octets if line.mki else b"" for line in (ours, theirs))
        lifetime = MAX_LIFETIME if theirs.lifetime is None else theirs.lifetime
        return (SetKeys(leg, agreed.suite.name, ours.key, theirs.key, tx_mki, rx_mki, lifetime),)


AgreedMedia = BrowserMedia | TrunkMedia


def known_place(remote: RemoteAudio, before: TrunkMedia | None) -> tuple[HostPort | None, HostPort | None]:
    """Where RTP and RTCP go: what the peer says, or while it holds the old way, what it said before."""
    if remote.rtp is not None and not is_unspecified(remote.rtp.host):
        return remote.rtp, remote.rtcp
    return (before.where, before.rtcp) if before is not None else (None, None)


def is_unspecified(host: str) -> bool:
    """`0.0.0.0` or `::`: nothing is to be sent (RFC 3264 8.4)."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
