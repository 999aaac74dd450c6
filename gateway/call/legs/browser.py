"""The browser side of a call: ICE-lite, DTLS-SRTP and rtcp-mux, or nothing (RFC 8827, RFC 8835)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind, Secret, TokenSource
from gateway.call.legs.agreed import BrowserMedia
from gateway.call.legs.leg import BaseLeg, KeyingError
from gateway.call.legs.terms import Terms
from gateway.call.legs.told import Told
from gateway.call.legs.user_agent import Habits
from gateway.media.relay_commands import IcePort, LegCommand
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import Refusal, allowed_hashes, offer_by_handshake
from gateway.policy.posture import SecurityVector
from gateway.sdp.association import Association, role_by_answer, role_in_answer
from gateway.sdp.codecs import BROWSER_CODECS, Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import Fingerprint
from gateway.sdp.media import LocalAudio, RemoteAudio, believed, plain_streams, read_audio
from gateway.sip.flow import Flow, shortfall
from gateway.webrtc.ice_lite import IceCredentials

MAX_CONNECTIONS = 8
"""Connections of one device that count for one call at a time; each change of networks brings one."""


class InsecureBrowserError(KeyingError):
    """The browser's description breaks a rule of RFC 8827; `codes` say which (policy catalogue, brw.* and dtls.*)."""

    def __init__(self, *codes: Code) -> None:
        super().__init__(codes, Termination.BROWSER_OFFER_INSECURE)


def require_webrtc(remote: RemoteAudio) -> None:
    """Refuse what a browser never sends: SDES, plain RTP, no ICE, no mux (RFC 8827 6.5, RFC 8834 4.5).

    A profile that demands SRTP means DTLS-SRTP when a fingerprint is there, by whatever name (RFC 8829 5.1.2).

    Raises:
        InsecureBrowserError: with the policy codes.
    """
    named = remote.fingerprints or remote.refused_fingerprints
    if remote.crypto_lines and named:
        raise InsecureBrowserError(Code.BRW_SDES_OR_AVP, Code.MEDIA_MIXED_KEYING)
    if remote.crypto_lines or not remote.proto.keyed or not named:
        raise InsecureBrowserError(Code.BRW_SDES_OR_AVP)
    if not any(fingerprint.usable for fingerprint in remote.fingerprints):
        raise InsecureBrowserError(Code.DTLS_FP_WEAK)
    if not remote.rtcp_mux:
        raise InsecureBrowserError(Code.BRW_NO_MUX)
    if remote.ice is None:
        raise InsecureBrowserError(Code.BRW_NO_ICE)
    if remote.ice.lite:
        raise InsecureBrowserError(Code.BRW_LITE)


@dataclass(kw_only=True)
class BrowserLeg(BaseLeg[BrowserMedia]):
    """Offer and answer towards a browser."""

    kind = LegKind.BROWSER
    habits = Habits(
        keeps_timers=False,
        names_transports=False,
        names_hosts=False,
        answers_early=False,
        is_asked=False,
        reconnects=False,
        handshakes=True,
        returns=True,
        is_person=True,
    )

    tokens: TokenSource
    """Where the names of ICE come from."""
    first_ice: IceCredentials = field(init=False)
    """What checks are answered under until the browser restarts ICE."""
    connections: tuple[int, ...] = ()
    """Flows of its device besides the one it began on, by number, which none uses again; the latest last."""
    candidates: tuple[HostPort, ...] = ()
    fingerprint: Fingerprint | None = None
    setup_answer: Setup = Setup.PASSIVE
    """Role we answer an actpass offer with; passive makes us the DTLS server, who picks the suite."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.first_ice, self.told = IceCredentials.generate(self.tokens), Told()

    def is_reached_by(self, flow: Flow) -> bool:
        return flow.id in (self.flow.id, self.founding.id, *self.connections)

    def objection_to(self, flow: Flow) -> str:
        """A browser speaks over the connection it began on, or one its device was found on; never a weaker one."""
        return shortfall(flow, self.founding) if self.is_reached_by(flow) else "another connection"

    def admit(self, flow: Flow) -> None:
        """Its device registered over this connection. The ones before count on, as long as they last: two pages that
        share the name of one device must not take each other's calls away."""
        if not self.is_reached_by(flow):
            self.connections = (*self.connections, flow.id)[-MAX_CONNECTIONS:]

    @property
    def ice(self) -> IceCredentials:
        """What checks are answered under."""
        return self.agreed.ice if self.agreed is not None else self.first_ice

    @property
    def place(self) -> IcePort:
        return IcePort(self.ice.ufrag, Secret(self.ice.pwd))

    def opened(self, rtp: tuple[HostPort, ...], rtcp: HostPort | None) -> None:
        self.candidates, self.is_open = rtp, True

    def relay_commands(self) -> tuple[LegCommand, ...]:
        return self.agreed.relay_commands(self.id) if self.agreed is not None else ()

    @property
    def usable_codecs(self) -> tuple[Codec, ...]:
        return BROWSER_CODECS

    @property
    def vector(self) -> SecurityVector:
        return self._vector(self.agreed.noted if self.agreed is not None else frozenset())

    def vector_of(self, agreed: BrowserMedia) -> SecurityVector:
        """No description changes it: the association stays, and so does the certificate (`_same_identity`)."""
        return self._vector(agreed.noted)

    def _vector(self, noted: frozenset[Code]) -> SecurityVector:
        if self.keyed is not None:
            found = self.keyed.extra_codes | self.history
            return self._graded_once(replace(self.keyed, extra_codes=found, noted=noted))
        return self._graded_once(
            SecurityVector(
                leg=self.kind,
                signalling=self.flow.signalling,
                keying=Keying.PENDING,
                proto=Proto.DTLS_SAVPF,
                extra_codes=self.history,
                noted=noted,
            )
        )

    @property
    def association(self) -> Association | None:
        """One for the whole call, whatever it is called in a change: certificate and role are held (RFC 8827 6.5)."""
        if self.agreed is None:
            return None
        return replace(Association.of(self.agreed.role, self.agreed.remote), tls_id="")

    @property
    def awaits_keys(self) -> bool:
        """From the beginning: a browser is keyed by a handshake, or not at all."""
        return self.keyed is None

    def refusal_of(self, agreed: BrowserMedia, policy: EffectivePolicy) -> Refusal | None:
        return offer_by_handshake(policy)

    def plan_offer(self, policy: EffectivePolicy) -> Refusal | None:
        return offer_by_handshake(policy)

    def plan_late_offer(self, policy: EffectivePolicy) -> Refusal | None:
        return offer_by_handshake(policy)

    def inspect_offer(self, body: bytes) -> BrowserMedia:
        description = SessionDescription.parse(body)
        remote = self._webrtc(description)
        restarts = remote.ice is not None and remote.ice.restarts(self.remote.ice if self.remote else None)
        ice = IceCredentials.generate(self.tokens) if restarts else self.ice
        if self._flips(remote):
            raise InsecureBrowserError(Code.DTLS_ROLE_FLIP)
        noted = self._added(remote, description)
        return BrowserMedia(remote, self._role_for(remote), ice, restarts, noted, description=description)

    def _flips(self, remote: RemoteAudio) -> bool:
        """Whether a change wants the other role: that stays as long as the association does (RFC 8842 5.3)."""
        ours = {Setup.ACTIVE: Setup.PASSIVE, Setup.PASSIVE: Setup.ACTIVE}.get(remote.setup or Setup.ACTPASS)
        return self.agreed is not None and ours not in (None, self.agreed.role)

    def _added(self, remote: RemoteAudio, description: SessionDescription) -> frozenset[Code]:
        """Whether a change brings an unprotected stream, which is refused."""
        if self.agreed is None:
            return frozenset()
        before = self.agreed.description
        known = plain_streams(before, -1) if before is not None else frozenset()
        added = plain_streams(description, remote.index) - known
        return frozenset({Code.MID_STREAM_ADDED_PLAIN}) if added else frozenset()

    def _role_for(self, remote: RemoteAudio) -> Setup:
        return self.agreed.role if self.agreed is not None else role_in_answer(remote.setup, self.setup_answer)

    def inspect_answer(self, body: bytes, offer: LocalAudio) -> BrowserMedia:
        """Read an answer without taking it; one that picks no DTLS role is unusable."""
        remote = self._webrtc(SessionDescription.parse(body))
        role = self.agreed.role if self.agreed is not None else role_by_answer(remote.setup)
        noted = frozenset({Code.DTLS_ROLE_FLIP}) if self._flips(remote) else frozenset[Code]()
        return BrowserMedia(remote, role, self.ice, noted=noted)

    def _webrtc(self, description: SessionDescription) -> RemoteAudio:
        remote = believed(read_audio(description), allowed_hashes(self.policy))
        require_webrtc(remote)
        self._same_identity(remote)
        return remote

    def _same_identity(self, remote: RemoteAudio) -> None:
        """A new certificate in mid-call would be another peer: refused (RFC 8842 would need a new association)."""
        if self.remote is not None and set(remote.fingerprints) != set(self.remote.fingerprints):
            raise InsecureBrowserError(Code.DTLS_FP_MISMATCH)

    def describe_offer(self, terms: Terms) -> LocalAudio:
        """A re-offer says actpass again and repeats the ICE credentials, so nothing restarts."""
        return self._audio(terms, Setup.ACTPASS, self.talk.ours.mid if self.talk.ours else "0")

    def describe_answer(self, agreed: BrowserMedia, terms: Terms) -> LocalAudio:
        return self._audio(terms, agreed.role, agreed.remote.mid)

    def _audio(self, terms: Terms, setup: Setup, mid: str | None) -> LocalAudio:
        if not self.candidates:
            raise SdpError("no media session", 500)
        first = self.candidates[0]
        return LocalAudio(
            proto=self.remote.proto if self.remote else Proto.DTLS_SAVPF,
            address=first.host,
            rtp_port=first.port,
            rtcp_port=first.port,
            rtcp_mux=True,
            codecs=terms.codecs,
            direction=terms.direction,
            fingerprint=self.fingerprint,
            setup=setup,
            ice_ufrag=self.ice.ufrag,
            ice_pwd=self.ice.pwd,
            candidates=self.candidates,
            mid=mid,
            ptime=terms.ptime,
            maxptime=terms.maxptime,
        )
