"""Our end of a trunk leg that is keyed by DTLS-SRTP (RFC 5763, RFC 8842): certificate, role, association, ICE-lite.

There is one certificate for all legs. What is said besides belongs to an association and lasts as long as it: another
certificate, role or name of the peer begins a new one, and so does another address of a peer that neither names its
associations nor checks paths. Credentials of ICE change when the peer restarts it, which leaves the association alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Setup
from gateway.base.values import HostPort, TokenSource
from gateway.call.legs.agreed import OwnEnd, TrunkMedia, known_place
from gateway.sdp.association import Association, role_in_answer
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import LocalAudio, RemoteAudio
from gateway.sdp.negotiation import TrunkAgreement
from gateway.trunks.model import Trunk, TrunkDtls
from gateway.webrtc.ice_lite import IceCredentials

__all__ = ["DtlsEnd", "OwnEnd"]

TLS_ID_LENGTH = 24
"""Characters of `a=tls-id`: RFC 8842 4 asks for 20 at least, and for 120 bits of chance."""


@dataclass(frozen=True, slots=True)
class DtlsEnd:
    """What all legs of this gateway are where keys come by DTLS.

    Args:
        tokens: where names of associations, and those of ICE, come from.
    """

    fingerprint: Fingerprint | None = None
    tokens: TokenSource | None = None

    def offer(self, ours: LocalAudio, trunk: Trunk | None) -> LocalAudio:
        """An offer with our certificate, in the trunk's spelling; with ICE where that is configured.

        Raises:
            SdpError: 500, there is no certificate or no source of names.
        """
        settings = trunk.dtls if trunk is not None else TrunkDtls()
        if ours.proto.keyed:
            ours = replace(ours, proto=settings.transport)
        ice = self._credentials() if settings.ice and ours.proto.keyed else None
        return self.described(ours, OwnEnd(self._name(), ice), Setup.ACTPASS)

    def described(self, ours: LocalAudio, end: OwnEnd, setup: Setup) -> LocalAudio:
        """A description with our certificate, as this end of the association."""
        if self.fingerprint is None:
            raise SdpError("no certificate", 500)
        named = replace(ours, fingerprint=self.fingerprint, setup=setup, tls_id=end.tls_id)
        if end.ice is None:
            return named
        where = HostPort(ours.address, ours.rtp_port)
        return replace(named, ice_ufrag=end.ice.ufrag, ice_pwd=end.ice.pwd, candidates=(where,), rtcp_mux=True)

    def answered(self, offer: LocalAudio, answer: RemoteAudio, before: OwnEnd | None) -> OwnEnd:
        """Our end after an answer: ICE is used where both speak it, and muxed."""
        if not offer.uses_ice or not checks_paths(answer):
            return OwnEnd(offer.tls_id)
        kept = before.ice if before is not None else None
        return OwnEnd(offer.tls_id, kept or IceCredentials(offer.ice_ufrag, offer.ice_pwd))

    def accept(
        self, line: RemoteAudio, before: TrunkMedia | None, trunk: Trunk | None
    ) -> tuple[OwnEnd, TrunkAgreement]:
        """What answers an offer of DTLS: the association goes on where nothing says that it is another one.

        Raises:
            SdpError: its roles cannot be, or 500.
        """
        known = before.association if before is not None else None
        wanted = known.role if known is not None else (trunk.dtls if trunk is not None else TrunkDtls()).setup
        checked = checks_paths(line) and line.proto.keyed
        where = None if checked else known_place(line, before)[0]
        association = Association.of(role_in_answer(line.setup, wanted), line, where=where)
        ice = self._ice_for(line, before) if checked else None
        name = before.ours.tls_id if before is not None and association == known else self._name()
        agreement = TrunkAgreement(Keying.DTLS, None, None, None, None, line.crypto_problems, association=association)
        return OwnEnd(name, ice), agreement

    def answer(self, ours: LocalAudio, agreed: TrunkMedia) -> LocalAudio:
        """The answer to an offer that was accepted; only who names associations hears the name of ours (RFC 8842 5.3).

        Raises:
            SdpError: 500, there is nothing to answer with.
        """
        if agreed.association is None:
            raise SdpError("no association", 500)
        end = agreed.ours if agreed.remote.tls_id else replace(agreed.ours, tls_id="")
        return replace(self.described(ours, end, agreed.association.role), mid=agreed.remote.mid)

    def _ice_for(self, line: RemoteAudio, before: TrunkMedia | None) -> IceCredentials:
        """Ours until now, unless the peer begins ICE anew (RFC 8839 4.4.1)."""
        kept = before.ours.ice if before is not None else None
        restarts = before is not None and line.ice is not None and line.ice.restarts(before.remote.ice)
        return kept if kept is not None and not restarts else self._credentials()

    def _credentials(self) -> IceCredentials:
        return IceCredentials.generate(self._source())

    def _name(self) -> str:
        return self._source()(TLS_ID_LENGTH)

    def _source(self) -> TokenSource:
        if self.tokens is None:
            raise SdpError("no source of names", 500)
        return self.tokens


def checks_paths(line: RemoteAudio) -> bool:
    """Whether the peer checks paths as an ICE-lite end needs it: a full agent, with RTP and RTCP on one (RFC 8445 2.5).

    Two lite ends check nothing: their media takes the addresses of the m-lines.
    """
    return line.ice is not None and not line.ice.lite and line.rtcp_mux
