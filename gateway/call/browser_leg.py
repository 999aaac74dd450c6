"""The browser side of a call: ICE-lite, DTLS-SRTP and rtcp-mux, or nothing (RFC 8827, RFC 8835)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.values import HostPort, LegKind
from gateway.call.effects import LegName
from gateway.call.leg import Leg
from gateway.policy.posture import SecurityVector
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import BROWSER_CODECS, Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import Direction, LocalAudio, RemoteAudio, read_audio
from gateway.webrtc.ice_lite import IceCredentials


class InsecureBrowserError(SdpError):
    """The browser's description breaks a rule of RFC 8827; `code` says which (policy catalogue, brw.* and dtls.*)."""

    def __init__(self, *codes: Code) -> None:
        super().__init__(", ".join(codes), 488)
        self.codes = tuple(sorted(codes))


def require_webrtc(remote: RemoteAudio) -> None:
    """Refuse what a browser never sends: SDES, plain RTP, no ICE, no mux (RFC 8827 6.5, RFC 8834 4.5).

    A profile that demands SRTP means DTLS-SRTP when a fingerprint is there, by whatever name (RFC 8829 5.1.2).

    Raises:
        InsecureBrowserError: with the policy codes.
    """
    if remote.crypto_lines and remote.fingerprints:
        raise InsecureBrowserError(Code.BRW_SDES_OR_AVP, Code.MEDIA_MIXED_KEYING)
    if remote.crypto_lines or not remote.proto.keyed or not remote.fingerprints:
        raise InsecureBrowserError(Code.BRW_SDES_OR_AVP)
    if not any(fingerprint.usable for fingerprint in remote.fingerprints):
        raise InsecureBrowserError(Code.DTLS_FP_WEAK)
    if not remote.rtcp_mux:
        raise InsecureBrowserError(Code.BRW_NO_MUX)
    if remote.ice is None:
        raise InsecureBrowserError(Code.BRW_NO_ICE)
    if remote.ice.lite:
        raise InsecureBrowserError(Code.BRW_LITE)


@dataclass
class BrowserLeg(Leg):
    """Offer and answer towards a browser."""

    ice: IceCredentials | None = None
    candidates: tuple[HostPort, ...] = ()
    fingerprint: Fingerprint | None = None
    setup_answer: Setup = Setup.PASSIVE
    """Role we answer an actpass offer with; passive makes us the DTLS server, who picks the suite."""
    keyed: SecurityVector | None = None
    """The vector once DTLS has finished."""
    takes_update: bool = True
    """Whether UPDATE is worth a try (RFC 3311 4); a browser that does not say is asked."""
    description: SessionDescription | None = None
    restarts: bool = False
    """The offer last read begins ICE anew: its answer needs new credentials of ours (RFC 8839 4.4.2)."""
    role: Setup | None = None
    """Our role, fixed for the life of the association (RFC 8842 5.3)."""

    @property
    def name(self) -> LegName:
        return LegName.BROWSER

    @property
    def usable_codecs(self) -> tuple[Codec, ...]:
        return BROWSER_CODECS

    @property
    def vector(self) -> SecurityVector:
        if self.keyed is not None:
            return replace(self.keyed, extra_codes=self.keyed.extra_codes | self.history)
        return SecurityVector(
            leg=LegKind.BROWSER,
            signalling=self.flow.signalling,
            keying=Keying.PENDING,
            proto=Proto.DTLS_SAVPF,
            extra_codes=self.history,
        )

    def set_keyed(self, suite: CryptoSuite, version: str, algorithm: str) -> None:
        """DTLS has finished and the certificate matched the signalled fingerprint (RFC 5763 5)."""
        self.keyed = replace(
            self.vector,
            keying=Keying.DTLS,
            suite=suite,
            dtls_version=version,
            fingerprint_algorithm=algorithm,
            fingerprint_match=True,
        )

    def read_offer(self, body: bytes) -> RemoteAudio:
        """Take the browser's offer.

        Raises:
            SdpError: malformed or unusable; `InsecureBrowserError` when it is not WebRTC.
        """
        description = SessionDescription.parse(body)
        remote = read_audio(description)
        require_webrtc(remote)
        self._same_identity(remote)
        self.restarts = remote.ice is not None and remote.ice.restarts(self.remote.ice if self.remote else None)
        self.description, self.remote = description, remote
        if self.role is None:
            self.role = Setup.PASSIVE if remote.setup is Setup.ACTIVE else self.setup_answer
            if remote.setup is Setup.PASSIVE:
                self.role = Setup.ACTIVE
        return remote

    def read_answer(self, body: bytes) -> RemoteAudio:
        """Take the browser's answer to our offer.

        Raises:
            SdpError: as `read_offer`; also when it picks no DTLS role.
        """
        remote = read_audio(SessionDescription.parse(body))
        require_webrtc(remote)
        self._same_identity(remote)
        if self.role is None:
            if remote.setup not in (None, Setup.ACTIVE, Setup.PASSIVE):
                raise SdpError("answer chooses no DTLS role")
            self.role = (
                Setup.ACTIVE if remote.setup is Setup.PASSIVE else Setup.PASSIVE
            )  # active unless said (RFC 4145)
        self.remote, self.standing = remote, None
        return remote

    def _same_identity(self, remote: RemoteAudio) -> None:
        """A new certificate in mid-call would be another peer: refused (RFC 8842 would need a new association)."""
        if self.remote is not None and set(remote.fingerprints) != set(self.remote.fingerprints):
            raise InsecureBrowserError(Code.DTLS_FP_MISMATCH)

    def build_offer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our offer; a re-offer says actpass again and repeats the ICE credentials, so nothing restarts."""
        mid = self.local.mid if self.local else "0"
        local = self._audio(codecs, direction, Setup.ACTPASS, mid)
        body = self._publish(lambda version: build_offer(local, session_id=self.session_id, version=version))
        self.standing, self.local = self.standing or self.local, local
        return body

    def build_answer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our answer to the offer last read."""
        if self.description is None or self.remote is None:
            raise SdpError("no offer to answer")
        description, index = self.description, self.remote.index
        local = self._audio(codecs, direction, self.role or self.setup_answer, self.remote.mid)
        body = self._publish(
            lambda version: build_answer(
                local, description, audio_index=index, session_id=self.session_id, version=version
            )
        )
        self.local, self.standing = local, None
        return body

    def _audio(self, codecs: Sequence[Codec], direction: Direction, setup: Setup, mid: str | None) -> LocalAudio:
        if self.ice is None or not self.candidates:
            raise SdpError("no media session", 500)
        first = self.candidates[0]
        return LocalAudio(
            proto=self.remote.proto if self.remote else Proto.DTLS_SAVPF,
            address=first.host,
            rtp_port=first.port,
            rtcp_port=first.port,
            rtcp_mux=True,
            codecs=tuple(codecs),
            direction=direction,
            fingerprint=self.fingerprint,
            setup=setup,
            ice_ufrag=self.ice.ufrag,
            ice_pwd=self.ice.pwd,
            candidates=self.candidates,
            mid=mid,
            ptime=self.ptime,
            maxptime=self.maxptime,
        )
