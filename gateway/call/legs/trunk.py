"""The trunk side of a call: what is offered is built from policy, never edited from the browser's description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.base.codes import Code
from gateway.base.dtmf import Dtmf
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling
from gateway.base.values import HostPort, LegKind
from gateway.call.legs import keys
from gateway.call.legs.agreed import TrunkMedia, known_place
from gateway.call.legs.keys import NO_KEYS, KeySource, KeysSeen
from gateway.call.legs.leg import BaseLeg
from gateway.call.legs.media_names import MediaNames
from gateway.call.legs.places import NO_PLACES, OwnPlaces, check_places, within
from gateway.call.legs.terms import Terms
from gateway.call.legs.trunk_faults import TrunkKeyingError
from gateway.call.legs.user_agent import Habits
from gateway.media.relay_commands import LegCommand, OwnPort
from gateway.policy.catalogue import CONTRADICTED
from gateway.policy.evaluate import (
    OfferPlan,
    Refusal,
    accept_offer,
    plan_after_proof,
    plan_late_offer,
    plan_offer,
    plan_retry,
)
from gateway.policy.model import EffectivePolicy
from gateway.policy.pins import UNKEYED
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import allowed_suites, offered_suites, suite_shortfall
from gateway.sdp.codecs import TRUNK_CODECS, Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import LocalAudio, RemoteAudio, audio_lines, plain_streams, restricted, strongest
from gateway.sdp.negotiation import TrunkAgreement, check_trunk_answer, choose_crypto, select_codecs
from gateway.sip.flow import Flow
from gateway.trunks.model import Network, Trunk
from gateway.trunks.target import is_ip_literal

NOWHERE = HostPort("", 0)


@dataclass(kw_only=True)
class TrunkLeg(BaseLeg[TrunkMedia]):
    """Offer and answer towards a trunk, and the keys agreed there."""

    kind = LegKind.TRUNK
    habits = Habits(
        keeps_timers=True,
        names_transports=True,
        names_hosts=True,
        answers_early=True,
        is_asked=True,
        reconnects=True,
        handshakes=False,
        returns=False,
        is_person=False,
    )

    trunk_id: str = ""
    trunk: Trunk | None = None
    new_key: KeySource | None = None
    own: OwnPlaces = NO_PLACES
    names: MediaNames = field(default_factory=MediaNames)
    """Host names of the peer's media."""
    media_bind: str = ""
    """Address of the trunk's media socket; empty while none is known."""
    media_advertise: str = ""
    """What the trunk is told instead."""
    rtp: HostPort = NOWHERE
    rtcp: HostPort = NOWHERE
    plan: OfferPlan | None = None
    offers_keys: bool = False
    """The next offer brings new keys, although the session stands without."""
    keys_seen: KeysSeen = NO_KEYS
    worn: TrunkAgreement | None = None
    """What was agreed on when its keys were told to be nearly used up, see `machine.rekeying`."""
    srtp_proved: bool = False
    """The trunk has agreed to SRTP in this call, if only in an 18x or by another fork."""
    streams_at_start: frozenset[int] | None = None
    """Lines of the peer's first offer that were live; one that comes alive later was added in mid-call."""

    def may_send_to(self, host: str) -> bool:
        return super().may_send_to(host) or within(host, self.trunk.networks if self.trunk else ())

    def is_reached_by(self, flow: Flow) -> bool:
        """Any connection that is the trunk's."""
        return flow.may_be(self.trunk_id)

    @property
    def digits_by_info(self) -> bool:
        """As the trunk is configured, or has shown by its description."""
        match self.trunk.dtmf if self.trunk else Dtmf.RTP:
            case Dtmf.INFO:
                return True
            case Dtmf.AUTO:
                return super().digits_by_info
            case _:
                return False

    def _without_events(self, codecs: Sequence[Codec]) -> tuple[Codec, ...]:
        """Codecs less telephone-event, where digits go by INFO: what comes both ways would be two digits."""
        by_info = self.trunk is not None and self.trunk.dtmf is Dtmf.INFO
        return tuple(codec for codec in codecs if not (by_info and codec.is_event))

    @property
    def trunk_name(self) -> str:
        return self.trunk_id

    def is_named(self, host: str) -> bool:
        """Where a trunk has several targets, a name may be that of another one than we are connected to."""
        return self._target_hosts == {host.lower()}

    def is_own_host(self, host: str) -> bool:
        """A target, a name of its certificate where there is one, the address it is at, or one of its networks.

        Over UDP and TCP a name is only followed where it is the trunk's one target: nothing would prove who is there.
        """
        found = {target for target in self._target_hosts if is_ip_literal(target)}
        names = self.trunk.tls_names if self.trunk is not None and self.founding.is_secure else ()
        return self.is_named(host) or host.lower() in (*found, *names) or self.may_send_to(host)

    @property
    def _target_hosts(self) -> set[str]:
        return {choice.target.host.lower() for choice in self.trunk.choices} if self.trunk is not None else set()

    @property
    def media_networks(self) -> tuple[Network, ...]:
        """Where a name of its media may lead to."""
        return (*self.trunk.networks, *self.trunk.media_networks) if self.trunk else ()

    def unknown_names(self, body: bytes) -> tuple[str, ...]:
        """Names in a description that were not looked up yet; none for a trunk whose networks are not known."""
        return self.names.unknown(body) if self.media_networks else ()

    def learn_names(self, found: Iterable[tuple[str, Sequence[str]]]) -> None:
        self.names.learn(found, self.media_bind, self.media_networks)

    def _audio_lines(self, description: SessionDescription) -> list[RemoteAudio]:
        """The audio lines as this leg takes them: with addresses for names, without what it has no use for.

        Keys of a suite that policy does not allow are left out here, so that nothing after this can use one.
        """
        placed = [self.names.placed(line) for line in audio_lines(description)]
        usable = [restricted(line, lambda suite: suite_shortfall(self.policy, suite)) for line in placed]
        return [replace(line, codecs=self._without_events(line.codecs)) for line in usable]

    @property
    def place(self) -> OwnPort:
        return OwnPort(self.media_bind, self.media_advertise)

    def opened(self, rtp: tuple[HostPort, ...], rtcp: HostPort | None) -> None:
        self.rtp = rtp[0]
        self.rtcp, self.is_open = rtcp or self.rtp, True

    @property
    def peer_rtp(self) -> HostPort | None:
        return self.agreed.where if self.agreed is not None else None

    @property
    def own_rtp(self) -> HostPort | None:
        return self.rtp if self.agreed is not None else None

    @property
    def own_places(self) -> tuple[HostPort, ...]:
        return (self.rtp, self.rtcp) if self.is_open else ()

    def relay_commands(self) -> tuple[LegCommand, ...]:
        sources = tuple(str(network) for network in self.trunk.media_networks) if self.trunk else ()
        return self.agreed.relay_commands(self.id, sources) if self.agreed is not None else ()

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
            return self._graded_once(self.agreed.vector(self.history))
        planned = Keying.PENDING if self.plan is None or self.plan.with_crypto else Keying.NONE
        return self._graded_once(
            SecurityVector(
                leg=self.kind,
                signalling=self.signalling,
                keying=planned,
                proto=self.plan.proto if self.plan else Proto.AVP,
                extra_codes=self.history,
            )
        )

    def vector_of(self, agreed: TrunkMedia) -> SecurityVector:
        """The security vector this would give the leg; what packets said under the present keys does not count."""
        return self._graded_once(agreed.vector(self.history - CONTRADICTED))

    def refuse_broken(self, agreed: TrunkMedia) -> None:
        """An answer that breaks a keying rule is no agreement; one that took no keys of an optional offer is."""
        agreement = agreed.agreement
        if agreement.problem and agreement.problem != Code.MEDIA_OSRTP_FALLBACK:
            raise TrunkKeyingError(agreement.codes)

    def note_proof(self, agreed: TrunkMedia) -> None:
        self.srtp_proved |= agreed.agreement.suite is not None and not agreed.agreement.problem

    def refusal_of(self, agreed: TrunkMedia, policy: EffectivePolicy) -> Refusal | None:
        return accept_offer(
            policy,
            self.signalling,
            keyed=agreed.remote.proto.keyed,
            has_crypto=agreed.agreement.suite is not None,
            codes=agreed.remote.crypto_problems,
        )

    def plan_offer(self, policy: EffectivePolicy) -> Refusal | None:
        return self._planned(plan_offer(policy, self.signalling))

    def plan_late_offer(self, policy: EffectivePolicy) -> Refusal | None:
        return self._planned(plan_late_offer(policy, self.signalling))

    def _planned(self, plan: OfferPlan | Refusal) -> Refusal | None:
        if isinstance(plan, Refusal):
            return plan
        self.plan = plan
        return None

    def plan_again(self, policy: EffectivePolicy) -> None:
        """Let the next offer bring keys where policy wants them (RFC 3261 14.2); a leg that has keys keeps those."""
        plan = plan_late_offer(policy, self.signalling)
        if isinstance(plan, OfferPlan) and plan.with_crypto and not self._our_line:
            self.plan, self.offers_keys = plan, True

    def wear_out(self) -> bool:
        self.worn = self.agreed.agreement if self.agreed is not None else None
        return bool(self._our_line)

    @property
    def wants_new_key(self) -> bool:
        ours = self.worn.local if self.worn is not None else None
        return ours is not None and any(ours.same_master_key(line) for line in self._our_line)

    def plan_retry(self, policy: EffectivePolicy, status: int) -> OfferPlan | Refusal | None:
        plan = plan_retry(policy, status, self.plan)
        return plan_after_proof(policy, plan) if plan is not None and (self.srtp_proved or policy.pinned) else plan

    @property
    def insisted_on_keys(self) -> bool:
        return self.plan is not None and self.plan.proto.keyed

    def describe_offer(self, terms: Terms) -> LocalAudio:
        """By the plan; in mid-call the active suite and key are offered again with their tag."""
        proto, cryptos = self._keys_to_offer()
        return self._audio(proto, replace(terms, codecs=self._allowed(terms.codecs)), cryptos)

    def has_offered(self, ours: LocalAudio) -> None:
        self.offers_keys, self.keys_seen = False, self.keys_seen.with_ours(ours.cryptos)

    def start_over(self, plan: OfferPlan) -> None:
        self.plan, self.history = plan, self.history | plan.codes

    def _keys_to_offer(self) -> tuple[Proto, tuple[CryptoAttribute, ...]]:
        """What the session stands on; before there is one, what was planned."""
        if self.agreed is not None and not self.offers_keys:
            is_worn, ours = self.wants_new_key, self._our_line
            lines = tuple(keys.renewed(line, self.new_key) for line in ours) if is_worn else ours
            return self.agreed.remote.proto, lines
        if self.plan is None:
            raise SdpError("no offer planned", 500)
        return self.plan.proto, keys.fresh(offered_suites(self.policy), self.new_key) if self.plan.with_crypto else ()

    @property
    def _our_line(self) -> tuple[CryptoAttribute, ...]:
        line = self.agreed.agreement.local if self.agreed is not None else None
        return (line,) if line is not None else ()

    def inspect_answer(self, body: bytes, offer: LocalAudio) -> TrunkMedia:
        usable = [line for line in self._audio_lines(SessionDescription.parse(body)) if line.rtp is not None]
        if not usable:
            raise SdpError("audio refused")
        self._check_address(usable[0])
        agreement = check_trunk_answer(offer, usable[0])
        if agreement.remote is not None and self.keys_seen.echoes(agreement.remote):
            agreement = TrunkAgreement(Keying.NONE, None, None, None, Code.KEY_REUSE, agreement.noted)
        stripped = bool(offer.cryptos) and agreement.problem in UNKEYED[self.kind]
        return self._agreed(usable[0], agreement, mux=usable[0].rtcp_mux and offer.rtcp_mux, stripped=stripped)

    def inspect_offer(self, body: bytes) -> TrunkMedia:
        """Read an offer without taking it: the strongest audio line and the keys we would answer it with."""
        description = SessionDescription.parse(body)
        live = [line for line in self._audio_lines(description) if line.rtp is not None]
        usable = [line for line in live if not line.proto.dtls]
        if live and not usable:
            raise TrunkKeyingError([Code.MEDIA_KEYING_UNKNOWN])
        if not usable:
            raise SdpError("no audio line this gateway can serve")
        line = strongest(usable)
        chosen = choose_crypto(line.cryptos, allowed_suites(self.policy))
        if chosen is None and line.proto.keyed:
            raise TrunkKeyingError(line.crypto_problems or [Code.MEDIA_CRYPTO_IGNORED])
        if chosen is not None and self.keys_seen.echoes(chosen):
            raise TrunkKeyingError([Code.KEY_REUSE])
        self._check_address(line)
        agreement = keys.accept(chosen, line, self._kept(line), self.new_key)
        was_plain = self.agreed is not None and self.agreed.agreement.keying is Keying.NONE
        agreed = self._agreed(line, agreement, mux=line.rtcp_mux, stripped=chosen is None and not was_plain)
        return replace(agreed, description=description, noted=self._noted(agreed, live, description))

    def _kept(self, line: RemoteAudio) -> CryptoAttribute | None:
        """Our key, as far as it may answer this offer too: not where it is worn out, nor for another address.

        Who was there until now has the old key, and must not read what is sent to somebody else.
        """
        agreed = self.agreed
        if agreed is None or self.wants_new_key or known_place(line, agreed)[0] != agreed.where:
            return None
        return agreed.agreement.local

    def _agreed(self, remote: RemoteAudio, agreement: TrunkAgreement, *, mux: bool, stripped: bool) -> TrunkMedia:
        """What a description comes to; `stripped`: it has no keys, where a peer that is known to encrypt has some."""
        where, rtcp = known_place(remote, self.agreed)
        key = agreement.remote
        reused = key is not None and self.keys_seen.used_elsewhere(key, where)
        bids_down = stripped and self.policy is not None and self.policy.pinned
        found = (Code.KEY_REUSE if reused else None, agreement.problem, Code.PIN_BID_DOWN if bids_down else None)
        weaknesses = frozenset(code for code in found if code is not None)
        return TrunkMedia(self.signalling, remote, agreement, where, None if mux else rtcp, mux, weaknesses)

    def _noted(
        self, agreed: TrunkMedia, live: Sequence[RemoteAudio], description: SessionDescription
    ) -> frozenset[Code]:
        """What an offer brings besides what is used of it."""
        line, key = agreed.remote, agreed.agreement.remote
        others = [c for other in live if other.index != line.index for c in other.cryptos]
        noted = {
            Code.MEDIA_MIXED_KEYING: bool(line.crypto_lines and line.fingerprints),
            Code.KEY_REUSE: key is not None and any(key.same_master_key(other) for other in others),
            Code.MID_STREAM_ADDED_PLAIN: bool(plain_streams(description, line.index) - self._known(description)),
            Code.MID_HOLD_REKEY: agreed.is_hold_with_new_key(self.agreed),
        }
        return frozenset(code for code, found in noted.items() if found)

    def _known(self, description: SessionDescription) -> frozenset[int]:
        return plain_streams(description, -1) if self.agreed is None else self.streams_at_start or frozenset()

    def _check_address(self, remote: RemoteAudio) -> None:
        """Media goes only where a trunk's media can be, see `places`.

        Raises:
            MediaPlaceError: the address is none we may send to, or none our socket can.
        """
        own = self.own.but(place for leg in self.facing for place in leg.own_places) if self.facing else self.own
        check_places((remote.rtp, remote.rtcp), bind=self.media_bind, peer=self.flow.remote.host, own=own)

    def has_agreed(self, agreed: TrunkMedia, before: TrunkMedia | None) -> None:
        was_plain = before is not None and before.agreement.keying is Keying.NONE
        if was_plain and agreed.agreement.keying is not Keying.NONE:
            self.history |= {Code.EARLY_PLAIN}
        if self.streams_at_start is None:
            self.streams_at_start = plain_streams(agreed.description, -1) if agreed.description else frozenset()
        if self.worn is not None and keys.are_new(agreed.agreement, self.worn):
            self.worn, self.history = None, self.history - {Code.KEY_LIFETIME}
        self.history |= agreed.weaknesses
        self.keys_seen = self.keys_seen.with_theirs(agreed.agreement.remote, agreed.where).with_ours(self._our_line)

    def describe_answer(self, agreed: TrunkMedia, terms: Terms) -> LocalAudio:
        """By its proto, one keying method, tag and suite echoed (RFC 4568 5.1.2)."""
        return self._audio(agreed.remote.proto, terms, self._our_line, mux=agreed.mux)

    def _audio(
        self, proto: Proto, terms: Terms, cryptos: tuple[CryptoAttribute, ...], *, mux: bool | None = None
    ) -> LocalAudio:
        offer_mux = bool(self.trunk and self.trunk.rtcp_mux)
        return LocalAudio(
            proto=proto,
            address=self.rtp.host,
            rtp_port=self.rtp.port,
            rtcp_port=self.rtcp.port,
            rtcp_mux=offer_mux if mux is None else mux,
            codecs=self._without_events(terms.codecs),
            direction=terms.direction,
            cryptos=cryptos,
            mid=None,
            ptime=terms.ptime,
            maxptime=terms.maxptime,
        )
