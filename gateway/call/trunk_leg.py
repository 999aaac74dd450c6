"""The trunk side of a call: what is offered is built from policy, never edited from the browser's description."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import HostPort, Secret
from gateway.call.effects import LegName, SetTrunkKeys, SetTrunkMedia
from gateway.call.leg import Leg
from gateway.config.schema import Trunk
from gateway.policy.codes import Code
from gateway.policy.evaluate import OfferPlan, Signalling
from gateway.policy.posture import SecurityVector
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import Direction, LocalAudio, Proto, RemoteAudio, audio_lines, strongest
from gateway.sdp.negotiation import Keying, TrunkAgreement, check_trunk_answer, choose_crypto, select_codecs

KeySource = Callable[[int], bytes]
"""Gives that many octets of key material; injected, so that the leg itself has no randomness."""

STANDARD = (
    Codec(111, "opus", 48000, 2, "useinbandfec=1"),
    Codec(9, "G722", 8000),
    Codec(0, "PCMU", 8000),
    Codec(8, "PCMA", 8000),
    Codec(101, "telephone-event", 8000, 1, "0-16"),
)
NOWHERE = HostPort("", 0)
PLAIN = TrunkAgreement(Keying.NONE, None, None, None, "")


class TrunkKeyingError(SdpError):
    """The trunk's description breaks a keying rule; `code` is the policy catalogue's."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value, 488)
        self.code = code
        ignored = code is Code.MEDIA_CRYPTO_IGNORED
        self.termination = Termination.ENCRYPTION_IGNORED if ignored else Termination.BAD_SDP


@dataclass
class TrunkLeg(Leg):
    """Offer and answer towards a trunk, and the keys agreed there."""

    trunk_id: str = ""
    trunk: Trunk | None = None
    new_key: KeySource | None = None
    rtp: HostPort = NOWHERE
    rtcp: HostPort = NOWHERE
    plan: OfferPlan | None = None
    agreement: TrunkAgreement | None = None
    description: SessionDescription | None = None
    first_offer: LocalAudio | None = None
    """The offer in our INVITE: every fork answers this one, whatever was agreed since."""
    offered: LocalAudio | None = None
    """Our offer that waits for its answer; the session stands on `local` until then."""

    @property
    def name(self) -> LegName:
        return LegName.TRUNK

    @property
    def keeps_timers(self) -> bool:
        return True

    def may_send_to(self, host: str) -> bool:
        return super().may_send_to(host) or _within(host, self.trunk.networks if self.trunk else ())

    @property
    def signalling(self) -> Signalling:
        """What holds for every message of the leg: facts of the flow that set it up; none that proves less counts."""
        tls = self.founding.tls
        return Signalling(self.founding.transport, tls.version if tls else "", bool(tls and tls.verified))

    @property
    def usable_codecs(self) -> tuple[Codec, ...]:
        return self._allowed(STANDARD)

    def _allowed(self, codecs: Sequence[Codec]) -> tuple[Codec, ...]:
        """Codecs this trunk may be offered, in the administrator's order."""
        names = self.trunk.codecs if self.trunk else ()
        return tuple(select_codecs(codecs, [n.lower() for n in names]))

    @property
    def vector(self) -> SecurityVector:
        return self.vector_of(self.agreement, self.remote)

    def vector_of(self, agreement: TrunkAgreement | None, remote: RemoteAudio | None) -> SecurityVector:
        """The security vector this agreement would give the leg (POLICY A1)."""
        suite = agreement.suite if agreement else None
        planned = "pending" if self.plan is None or self.plan.with_crypto else Keying.NONE.value
        return SecurityVector(
            leg="trunk",
            sig_transport=self.signalling.transport,
            sig_tls_version=self.signalling.tls_version,
            sig_verified=self.signalling.verified,
            keying=agreement.keying.value if agreement else planned,
            proto=remote.proto.value if remote else (self.plan.proto if self.plan else Proto.AVP.value),
            suite=suite.name if suite else "",
            key_bits=suite.key_bits if suite else 0,
            tag_bits=suite.tag_bits if suite else 0,
            extra_codes=self.history,
        )

    def build_offer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our offer by the plan; in mid-call the active suite and key are offered again with their tag."""
        proto, cryptos = self._keys_to_offer()
        offered = self._audio(proto, self._allowed(codecs), direction, cryptos)
        body = self._publish(lambda version: build_offer(offered, session_id=self.session_id, version=version))
        self.offered = offered
        if not self.confirmed:
            self.first_offer = offered
        return body

    def withdraw_offer(self) -> None:
        self.offered = None

    def start_over(self, plan: OfferPlan) -> None:
        """The offer was refused as a whole: nothing an early answer said counts for the next one."""
        self.plan, self.offered, self.local, self.remote, self.agreement = plan, None, None, None, None
        self.answer_tag, self.wants_to_send, self.wants_to_receive = "", True, True
        self.history = self.history | plan.codes

    def _keys_to_offer(self) -> tuple[Proto, tuple[CryptoAttribute, ...]]:
        """What the session stands on; before there is one, what was planned."""
        if self.agreement is not None and self.remote is not None:
            return self.remote.proto, (self.agreement.local,) if self.agreement.local else ()
        if self.plan is None:
            raise SdpError("no offer planned", 500)
        return Proto(self.plan.proto), self._fresh_cryptos() if self.plan.with_crypto else ()

    def _fresh_cryptos(self) -> tuple[CryptoAttribute, ...]:
        return tuple(self._crypto(tag, suite) for tag, suite in enumerate(SUITES, start=1))

    def _crypto(self, tag: int, suite: CryptoSuite) -> CryptoAttribute:
        return CryptoAttribute(tag, suite.name, self._key(suite))

    def _key(self, suite: CryptoSuite) -> Secret[bytes]:
        if self.new_key is None:
            raise SdpError("no key source", 500)
        return Secret(self.new_key(suite.master_length))

    def inspect_answer(self, body: bytes) -> tuple[RemoteAudio, TrunkAgreement]:
        """Read an answer without taking it: `refuse_broken_keying` and policy have the word first.

        Raises:
            SdpError: unusable.
        """
        if self.offered is None:
            raise SdpError("answer without an offer")
        lines = audio_lines(SessionDescription.parse(body))
        usable = [line for line in lines if line.rtp is not None]
        if not usable:
            raise SdpError("audio refused")
        self._check_address(usable[0])
        return usable[0], check_trunk_answer(self.offered, usable[0])

    def inspect_offer(self, body: bytes) -> tuple[RemoteAudio, TrunkAgreement]:
        """Read an offer without taking it: the strongest audio line and the keys we would answer it with.

        Raises:
            SdpError: no audio line we can serve.
        """
        self.description = SessionDescription.parse(body)
        usable = [line for line in audio_lines(self.description) if line.rtp is not None and not line.proto.dtls]
        if not usable:
            raise SdpError("no audio line this gateway can serve")
        line = strongest(usable)
        chosen = choose_crypto(line.cryptos, SUITES)
        if chosen is None and line.proto.keyed:
            raise TrunkKeyingError(Code.MEDIA_CRYPTO_IGNORED)
        self._check_address(line)
        return line, self._agree(chosen) if chosen else PLAIN

    def _check_address(self, remote: RemoteAudio) -> None:
        """Media goes only where a trunk's media can be: `c=` must not aim us at this host, a group or a name.

        Raises:
            SdpError: the address is not a unicast IP address, or is local while the trunk is not.
        """
        for place in (remote.rtp, remote.rtcp):
            if place is not None and not _is_media_address(place.host, self.flow.remote.host):
                raise SdpError("media address not allowed")

    def _agree(self, remote: CryptoAttribute) -> TrunkAgreement:
        """Accept one crypto line: tag and suite echoed; our key is kept while its suite stays (ROC goes on)."""
        suite = remote.crypto_suite
        kept = self.agreement.local if self.agreement and self.agreement.suite == suite else None
        key = kept.key if kept else self._key(suite)
        return TrunkAgreement(Keying.SDES, suite, remote.with_key(key), remote, "")

    def take(self, remote: RemoteAudio, agreement: TrunkAgreement) -> None:
        """Policy agreed: the session stands on this from now on."""
        self.remote, self.agreement = remote, agreement
        if self.offered is not None:
            self.local, self.offered = self.offered, None

    def read_offer(self, body: bytes) -> RemoteAudio:
        remote, agreement = self.inspect_offer(body)
        self.take(remote, agreement)
        return remote

    def read_answer(self, body: bytes) -> RemoteAudio:
        remote, agreement = self.inspect_answer(body)
        refuse_broken_keying(agreement)
        self.take(remote, agreement)
        return remote

    def build_answer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our answer to the offer last taken: its proto, one keying method, tag and suite echoed (RFC 4568 5.1.2)."""
        if self.description is None or self.remote is None or self.agreement is None:
            raise SdpError("no offer to answer", 500)
        cryptos = (self.agreement.local,) if self.agreement.local else ()
        description, index = self.description, self.remote.index
        local = self._audio(self.remote.proto, tuple(codecs), direction, cryptos, mux=self.remote.rtcp_mux)
        body = self._publish(
            lambda version: build_answer(
                local, description, audio_index=index, session_id=self.session_id, version=version
            )
        )
        self.local = local
        return body

    def _audio(
        self,
        proto: Proto,
        codecs: tuple[Codec, ...],
        direction: Direction,
        cryptos: tuple[CryptoAttribute, ...],
        *,
        mux: bool | None = None,
    ) -> LocalAudio:
        offer_mux = bool(self.trunk and self.trunk.rtcp_mux)
        return LocalAudio(
            proto=proto,
            address=self.rtp.host,
            rtp_port=self.rtp.port,
            rtcp_port=self.rtcp.port,
            rtcp_mux=offer_mux if mux is None else mux,
            codecs=codecs,
            direction=direction,
            cryptos=cryptos,
            mid=None,
        )

    def media_effects(self) -> tuple[SetTrunkKeys | SetTrunkMedia, ...]:
        """What the relay must know of this leg now: keys first, then where the peer is."""
        if self.remote is None or self.agreement is None or self.remote.rtp is None or self.local is None:
            return ()
        agreed = self.agreement
        keys: tuple[SetTrunkKeys, ...] = ()
        if agreed.suite and agreed.local and agreed.remote:
            keys = (SetTrunkKeys(agreed.suite, agreed.local.key, agreed.remote.key),)
        if ipaddress.ip_address(self.remote.rtp.host).is_unspecified:
            return keys  # old-style hold (RFC 2543): nothing is to be sent, the address known so far stays
        mux = self.remote.rtcp_mux and self.local.rtcp_mux
        where = SetTrunkMedia(bool(keys), self.remote.rtp, None if mux else self.remote.rtcp, mux)
        return (*keys, where)


def refuse_broken_keying(agreement: TrunkAgreement) -> None:
    """An answer that breaks a keying rule is no agreement; one that took no keys of an optional offer is.

    Raises:
        TrunkKeyingError: with the policy code.
    """
    if agreement.problem and agreement.problem != Code.MEDIA_OSRTP_FALLBACK:
        raise TrunkKeyingError(Code(agreement.problem))


def _within(host: str, networks: Sequence[str]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in networks)


def _is_media_address(host: str, peer: str) -> bool:
    """A unicast address; loopback and link-local only for a peer that is itself there (no SSRF by SDP)."""
    try:
        address, signalled = ipaddress.ip_address(host), ipaddress.ip_address(peer)
    except ValueError:
        return False
    if address.is_multicast or address.is_reserved or str(address) == "255.255.255.255":
        return False
    if address.is_loopback or address.is_link_local:
        return (address.is_loopback, address.is_link_local) == (signalled.is_loopback, signalled.is_link_local)
    return True
