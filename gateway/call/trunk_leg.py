"""The trunk side of a call: what is offered is built from policy, never edited from the browser's description."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.base.codes import CONTRADICTED, Code
from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, is_protected
from gateway.base.signalling import Signalling
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind, Secret
from gateway.call.agreed import NO_KEYS, AgreedMedia, KeysSeen, known_place
from gateway.call.effects import LegName
from gateway.call.leg import Leg
from gateway.call.places import NO_PLACES, OwnPlaces, check_places
from gateway.policy.evaluate import OfferPlan
from gateway.policy.posture import SecurityVector
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import TRUNK_CODECS, Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import Direction, LocalAudio, RemoteAudio, audio_lines, strongest
from gateway.sdp.negotiation import TrunkAgreement, check_trunk_answer, choose_crypto, select_codecs
from gateway.trunks.model import Network, Trunk

KeySource = Callable[[int], bytes]
"""Gives that many octets of key material; injected, so that the leg itself has no randomness."""

NOWHERE = HostPort("", 0)


class TrunkKeyingError(SdpError):
    """The trunk's description breaks a keying rule; `codes` say which."""

    def __init__(self, codes: Iterable[Code]) -> None:
        self.codes = tuple(sorted(set(codes)))
        super().__init__(", ".join(self.codes), 488)

    @property
    def termination(self) -> Termination:
        if Code.MEDIA_CRYPTO_IGNORED in self.codes:
            return Termination.ENCRYPTION_IGNORED
        return Termination.BAD_SDP if Code.MEDIA_MIXED_KEYING in self.codes else Termination.ENCRYPTION_UNUSABLE


@dataclass
class TrunkLeg(Leg):
    """Offer and answer towards a trunk, and the keys agreed there."""

    trunk_id: str = ""
    trunk: Trunk | None = None
    new_key: KeySource | None = None
    own: OwnPlaces = NO_PLACES
    names: dict[str, str] = field(default_factory=dict)
    """Host names of the peer's media with the address each stands for in this call; "": none it may stand for."""
    media_bind: str = ""
    """Address of the trunk's media socket; empty while none is known."""
    rtp: HostPort = NOWHERE
    rtcp: HostPort = NOWHERE
    plan: OfferPlan | None = None
    offers_keys: bool = False
    """The next offer brings new keys, although the session stands without."""
    first_offer: LocalAudio | None = None
    """The offer in our INVITE: every fork answers this one, whatever was agreed since."""
    agreed: AgreedMedia | None = None
    """What record and relay follow; `remote` is its description."""
    keys_seen: KeysSeen = NO_KEYS
    streams_at_start: frozenset[int] | None = None
    """Lines of the peer's first offer that were live; one that comes alive later was added in mid-call."""
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
    def media_networks(self) -> tuple[Network, ...]:
        """Where a name of its media may lead to."""
        return (*self.trunk.networks, *self.trunk.media_networks) if self.trunk else ()

    def _named(self, remote: RemoteAudio) -> RemoteAudio:
        """The line with addresses for the names that were looked up."""
        return replace(remote, rtp=self._place(remote.rtp), rtcp=self._place(remote.rtcp))

    def _place(self, place: HostPort | None) -> HostPort | None:
        address = self.names.get(place.host.lower()) if place is not None else None
        return HostPort(address, place.port) if address and place is not None else place

    @property
    def signalling(self) -> Signalling:
        """What holds for every message of the leg: facts of the flow that set it up; none that proves less counts."""
        return self.founding.signalling

    @property
    def usable_codecs(self) -> tuple[Codec, ...]:
        return self._allowed(TRUNK_CODECS)

    def _allowed(self, codecs: Sequence[Codec]) -> tuple[Codec, ...]:
        """Codecs this trunk may be offered, in the administrator's order."""
        names = self.trunk.codecs if self.trunk else ()
        return tuple(select_codecs(codecs, [n.lower() for n in names]))

    @property
    def vector(self) -> SecurityVector:
        if self.agreed is not None:
            return self.agreed.vector(self.history)
        planned = Keying.PENDING if self.plan is None or self.plan.with_crypto else Keying.NONE
        return SecurityVector(
            leg=LegKind.TRUNK,
            signalling=self.signalling,
            keying=planned,
            proto=self.plan.proto if self.plan else Proto.AVP,
            extra_codes=self.history,
        )

    def vector_of(self, agreed: AgreedMedia) -> SecurityVector:
        """The security vector this would give the leg; what packets said under the present keys does not count."""
        return agreed.vector(self.history - CONTRADICTED)

    def build_offer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our offer by the plan; in mid-call the active suite and key are offered again with their tag."""
        proto, cryptos = self._keys_to_offer()
        offered = self._audio(proto, self._allowed(codecs), direction, cryptos)
        body = self._publish(lambda version: build_offer(offered, session_id=self.session_id, version=version))
        self.offered, self.keys_seen = offered, self.keys_seen.with_ours(cryptos)
        if not self.confirmed:
            self.first_offer = offered
        return body

    def withdraw_offer(self) -> None:
        self.offered = None

    def start_over(self, plan: OfferPlan) -> None:
        """The offer was refused as a whole: nothing an early answer said counts for the next one."""
        self.plan, self.offered, self.local, self.remote, self.agreed = plan, None, None, None, None
        self.answer_tag, self.wants_to_send, self.wants_to_receive = "", True, True
        self.history = self.history | plan.codes

    def offer_keys_again(self, plan: OfferPlan) -> None:
        """Let the next offer follow this plan, unless the leg has keys: those it keeps."""
        if not self._our_line and plan.with_crypto:
            self.plan, self.offers_keys = plan, True

    def _keys_to_offer(self) -> tuple[Proto, tuple[CryptoAttribute, ...]]:
        """What the session stands on; before there is one, what was planned."""
        fresh, self.offers_keys = self.offers_keys, False
        if self.agreed is not None and not fresh:
            return self.agreed.remote.proto, self._our_line
        if self.plan is None:
            raise SdpError("no offer planned", 500)
        return self.plan.proto, self._fresh_cryptos() if self.plan.with_crypto else ()

    @property
    def _our_line(self) -> tuple[CryptoAttribute, ...]:
        line = self.agreed.agreement.local if self.agreed is not None else None
        return (line,) if line is not None else ()

    def _fresh_cryptos(self) -> tuple[CryptoAttribute, ...]:
        return tuple(self._crypto(tag, suite) for tag, suite in enumerate(SUITES, start=1))

    def _crypto(self, tag: int, suite: CryptoSuite) -> CryptoAttribute:
        return CryptoAttribute(tag, suite.name, self._key(suite))

    def _key(self, suite: CryptoSuite) -> Secret[bytes]:
        if self.new_key is None:
            raise SdpError("no key source", 500)
        return Secret(self.new_key(suite.master_length))

    def inspect_answer(self, body: bytes) -> AgreedMedia:
        """Read an answer without taking it: `refuse_broken_keying` and policy have the word first.

        Raises:
            SdpError: unusable.
        """
        if self.offered is None:
            raise SdpError("answer without an offer")
        lines = [self._named(line) for line in audio_lines(SessionDescription.parse(body))]
        usable = [line for line in lines if line.rtp is not None]
        if not usable:
            raise SdpError("audio refused")
        self._check_address(usable[0])
        agreement = check_trunk_answer(self.offered, usable[0])
        if agreement.remote is not None and self.keys_seen.echoes(agreement.remote):
            agreement = TrunkAgreement(Keying.NONE, None, None, None, Code.KEY_REUSE, agreement.noted)
        return self._agreed(usable[0], agreement, mux=usable[0].rtcp_mux and self.offered.rtcp_mux)

    def inspect_offer(self, body: bytes) -> AgreedMedia:
        """Read an offer without taking it: the strongest audio line and the keys we would answer it with.

        Raises:
            SdpError: no audio line we can serve; `TrunkKeyingError` when the reason is its keys.
        """
        description = SessionDescription.parse(body)
        live = [self._named(line) for line in audio_lines(description) if line.rtp is not None]
        usable = [line for line in live if not line.proto.dtls]
        if live and not usable:
            raise TrunkKeyingError([Code.MEDIA_KEYING_UNKNOWN])
        if not usable:
            raise SdpError("no audio line this gateway can serve")
        line = strongest(usable)
        chosen = choose_crypto(line.cryptos, SUITES)
        if chosen is None and line.proto.keyed:
            raise TrunkKeyingError(line.crypto_problems or [Code.MEDIA_CRYPTO_IGNORED])
        if chosen is not None and self.keys_seen.echoes(chosen):
            raise TrunkKeyingError([Code.KEY_REUSE])
        self._check_address(line)
        agreed = self._agreed(line, self._agree(chosen, line), mux=line.rtcp_mux)
        return replace(agreed, description=description, noted=self._noted(agreed, live, description))

    def _agreed(self, remote: RemoteAudio, agreement: TrunkAgreement, *, mux: bool) -> AgreedMedia:
        where, rtcp = known_place(remote, self.agreed)
        key = agreement.remote
        reused = key is not None and self.keys_seen.used_elsewhere(key, where)
        weaknesses = frozenset({Code.KEY_REUSE}) if reused else frozenset()
        return AgreedMedia(self.signalling, remote, agreement, where, None if mux else rtcp, mux, weaknesses)

    def _noted(
        self, agreed: AgreedMedia, live: Sequence[RemoteAudio], description: SessionDescription
    ) -> frozenset[Code]:
        """What an offer brings besides what is used of it."""
        line, key = agreed.remote, agreed.agreement.remote
        others = [c for other in live if other.index != line.index for c in other.cryptos]
        noted = {
            Code.MEDIA_MIXED_KEYING: bool(line.crypto_lines and line.fingerprints),
            Code.KEY_REUSE: key is not None and any(key.same_master_key(other) for other in others),
            Code.MID_STREAM_ADDED_PLAIN: bool(_live_plain(description, line.index) - self._streams_known(description)),
            Code.MID_HOLD_REKEY: self._is_hold_with_new_key(agreed),
        }
        return frozenset(code for code, found in noted.items() if found)

    def _streams_known(self, description: SessionDescription) -> frozenset[int]:
        return _live_plain(description, -1) if self.agreed is None else self.streams_at_start or frozenset()

    def _is_hold_with_new_key(self, agreed: AgreedMedia) -> bool:
        before = self.agreed
        if before is None or before.agreement.remote is None or agreed.agreement.remote is None:
            return False
        turned = before.remote.direction is not agreed.remote.direction
        return turned and not before.agreement.remote.same_master_key(agreed.agreement.remote)

    def _check_address(self, remote: RemoteAudio) -> None:
        """Media goes only where a trunk's media can be, see `places`.

        Raises:
            MediaPlaceError: the address is none we may send to, or none our socket can.
        """
        check_places((remote.rtp, remote.rtcp), bind=self.media_bind, peer=self.flow.remote.host, own=self.own)

    def _agree(self, chosen: CryptoAttribute | None, line: RemoteAudio) -> TrunkAgreement:
        """Accept one crypto line: tag and suite echoed; our key is kept while its suite stays (ROC goes on)."""
        if chosen is None:
            return TrunkAgreement(Keying.NONE, None, None, None, None, line.crypto_problems)
        suite = chosen.crypto_suite
        before = self.agreed.agreement if self.agreed is not None else None
        kept = before.local if before is not None and before.suite == suite else None
        key = kept.key if kept else self._key(suite)
        return TrunkAgreement(Keying.SDES, suite, chosen.with_key(key), chosen, None, line.crypto_problems)

    def take(self, agreed: AgreedMedia, *, ringing: bool = False) -> None:
        """Policy agreed: the session stands on this from now on.

        Args:
            ringing: until now there was early media at most; if that was plain, it stays known.
        """
        was_plain = self.agreed is not None and self.agreed.agreement.keying is Keying.NONE
        if ringing and was_plain and agreed.agreement.keying is not Keying.NONE:
            self.history |= {Code.EARLY_PLAIN}
        if self.agreed is None and self.streams_at_start is None:
            self.streams_at_start = _live_plain(agreed.description, -1) if agreed.description else frozenset()
        self.remote, self.agreed = agreed.remote, agreed
        self.history |= agreed.weaknesses
        self.keys_seen = self.keys_seen.with_theirs(agreed.agreement.remote, agreed.where).with_ours(self._our_line)
        if self.offered is not None:
            self.local, self.offered = self.offered, None

    def read_offer(self, body: bytes) -> RemoteAudio:
        agreed = self.inspect_offer(body)
        self.take(agreed)
        return agreed.remote

    def read_answer(self, body: bytes) -> RemoteAudio:
        agreed = self.inspect_answer(body)
        refuse_broken_keying(agreed.agreement)
        self.take(agreed)
        return agreed.remote

    def build_answer(self, codecs: Sequence[Codec], direction: Direction) -> bytes:
        """Our answer to the offer last taken: its proto, one keying method, tag and suite echoed (RFC 4568 5.1.2)."""
        agreed = self.agreed
        if agreed is None or agreed.description is None:
            raise SdpError("no offer to answer", 500)
        description, index = agreed.description, agreed.remote.index
        local = self._audio(agreed.remote.proto, tuple(codecs), direction, self._our_line, mux=agreed.mux)
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
            ptime=self.ptime,
            maxptime=self.maxptime,
        )


def refuse_broken_keying(agreement: TrunkAgreement) -> None:
    """An answer that breaks a keying rule is no agreement; one that took no keys of an optional offer is.

    Raises:
        TrunkKeyingError: with the policy code.
    """
    if agreement.problem not in (None, Code.MEDIA_OSRTP_FALLBACK):
        raise TrunkKeyingError(agreement.codes)


def _live_plain(description: SessionDescription, audio_index: int) -> frozenset[int]:
    """Lines that want an unprotected stream, less the audio line that is answered."""
    return frozenset(
        section.index
        for section in description.media
        if section.port != 0 and section.index != audio_index and not is_protected(section.proto)
    )


def _within(host: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
