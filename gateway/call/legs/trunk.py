"""The trunk side of a call: what is offered is built from policy, never edited from the browser's description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup
from gateway.call.legs import keys
from gateway.call.legs.agreed import TrunkMedia, known_place
from gateway.call.legs.dtls_end import DtlsEnd, OwnEnd
from gateway.call.legs.keys import NO_KEYS, KeySource, KeysSeen
from gateway.call.legs.terms import Terms
from gateway.call.legs.trunk_faults import TrunkKeyingError
from gateway.call.legs.trunk_peer import TrunkPeer
from gateway.media.relay_commands import LegCommand
from gateway.policy.catalogue import CONTRADICTED
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import (
    OfferPlan,
    Refusal,
    accept_offer,
    allowed_hashes,
    plan_after_proof,
    plan_late_offer,
    plan_offer,
    plan_retry,
    taken_ways,
)
from gateway.policy.pins import UNKEYED
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import allowed_suites, offered_suites, suite_shortfall
from gateway.sdp.association import Association
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import LocalAudio, RemoteAudio, audio_lines, believed, plain_streams, restricted, strongest
from gateway.sdp.negotiation import TrunkAgreement, check_trunk_answer, choose_crypto


@dataclass(kw_only=True)
class TrunkLeg(TrunkPeer):
    """Offer and answer towards a trunk, and the keys agreed there."""

    new_key: KeySource | None = None
    dtls: DtlsEnd = field(default_factory=DtlsEnd)
    """What we are where keys come by DTLS."""
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

    def _audio_lines(self, description: SessionDescription) -> list[RemoteAudio]:
        """The audio lines as this leg takes them: with addresses for names, without what it has no use for.

        Keys of a suite that policy does not allow are left out here, so that nothing after this can use one.
        """
        hashes = allowed_hashes(self.policy)
        placed = [believed(self.names.placed(line), hashes) for line in audio_lines(description)]
        usable = [restricted(line, lambda suite: suite_shortfall(self.policy, suite)) for line in placed]
        return [replace(line, codecs=self._without_events(line.codecs)) for line in usable]

    def relay_commands(self) -> tuple[LegCommand, ...]:
        sources = tuple(str(network) for network in self.trunk.media_networks) if self.trunk else ()
        if self.agreed is None:
            return ()
        renewed = self.relay_follows is not None and self.association != self.handshake
        return self.agreed.relay_commands(self.id, sources, renewed=renewed)

    @property
    def vector(self) -> SecurityVector:
        if self.agreed is not None:
            return self._keyed_vector(self.agreed, self.history)
        plan = self.plan
        return self._graded_once(
            SecurityVector(
                leg=self.kind,
                signalling=self.signalling,
                keying=Keying.PENDING if plan is None or plan.has_keys else Keying.NONE,
                proto=plan.proto if plan else Proto.AVP,
                awaits=plan.ways[0] if plan and plan.has_keys else None,
                extra_codes=self.history,
            )
        )

    def vector_of(self, agreed: TrunkMedia) -> SecurityVector:
        """The security vector this would give the leg; what packets said under the present keys does not count."""
        return self._keyed_vector(agreed, self.history - CONTRADICTED)

    def _keyed_vector(self, agreed: TrunkMedia, history: frozenset[Code]) -> SecurityVector:
        """What an agreement gives, with what the handshake found where that is the one agreed on."""
        vector, found = agreed.vector(history), self.keyed
        if found is not None and agreed.association is not None and agreed.association == self.handshake:
            vector = replace(
                vector,
                keying=found.keying,
                awaits=None,
                suite=found.suite,
                dtls_version=found.dtls_version,
                fingerprint_algorithm=found.fingerprint_algorithm,
                fingerprint_match=found.fingerprint_match,
            )
        return self._graded_once(vector)

    @property
    def association(self) -> Association | None:
        return self.agreed.association if self.agreed is not None else None

    @property
    def checks_paths(self) -> bool:
        return self.agreed is not None and self.agreed.ours.ice is not None

    @property
    def has_rtcp_of_its_own(self) -> bool:
        return self.agreed is not None and not self.agreed.mux

    def refuse_broken(self, agreed: TrunkMedia) -> None:
        """An answer that breaks a keying rule is no agreement; one that took no keys of an optional offer is."""
        agreement = agreed.agreement
        if agreement.problem and agreement.problem != Code.MEDIA_OSRTP_FALLBACK:
            raise TrunkKeyingError(agreement.codes)

    def note_proof(self, agreed: TrunkMedia) -> None:
        self.srtp_proved |= agreed.agreement.keying.keyed and not agreed.agreement.problem

    def refusal_of(self, agreed: TrunkMedia, policy: EffectivePolicy) -> Refusal | None:
        return accept_offer(
            policy,
            self.signalling,
            keyed=agreed.remote.proto.keyed,
            by=agreed.agreement.keying,
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
        is_plain = self.agreed is None or not self.agreed.agreement.keying.keyed
        if isinstance(plan, OfferPlan) and plan.has_keys and is_plain:
            self.plan, self.offers_keys = plan, True

    def wear_out(self) -> bool:
        self.worn = self.agreed.agreement if self.agreed is not None else None
        return bool(self._our_line)

    @property
    def wants_new_key(self) -> bool:
        ours = self.worn.local if self.worn is not None else None
        return ours is not None and any(ours.same_master_key(line) for line in self._our_line)

    def plan_retry(self, policy: EffectivePolicy, status: int) -> OfferPlan | Refusal | None:
        plan = plan_retry(policy, self.signalling, status, self.plan)
        return plan_after_proof(policy, plan) if plan is not None and (self.srtp_proved or policy.pinned) else plan

    @property
    def insisted_on_keys(self) -> bool:
        return self.plan is not None and self.plan.proto.keyed

    def describe_offer(self, terms: Terms) -> LocalAudio:
        """By the plan; in mid-call the keys in use are offered again: the line with its tag, or the association."""
        terms = replace(terms, codecs=self._allowed(terms.codecs))
        if self.agreed is not None and not self.offers_keys:
            return self._described_again(self.agreed, terms)
        if self.plan is None:
            raise SdpError("no offer planned", 500)
        cryptos = keys.fresh(offered_suites(self.policy), self.new_key) if Keying.SDES in self.plan.ways else ()
        ours = self._audio(self.plan.proto, terms, cryptos)
        return self.dtls.offer(ours, self.trunk) if Keying.DTLS in self.plan.ways else ours

    def _described_again(self, agreed: TrunkMedia, terms: Terms) -> LocalAudio:
        """What the session stands on, less a key that is worn out."""
        lines = self._our_line
        if self.wants_new_key:
            lines = tuple(keys.renewed(line, self.new_key) for line in lines)
        ours = self._audio(agreed.remote.proto, terms, lines)
        return self.dtls.described(ours, agreed.ours, Setup.ACTPASS) if agreed.association is not None else ours

    def has_offered(self, ours: LocalAudio) -> None:
        self.offers_keys, self.keys_seen = False, self.keys_seen.with_ours(ours.cryptos)

    def start_over(self, plan: OfferPlan) -> None:
        self.plan, self.history = plan, self.history | plan.codes

    @property
    def _our_line(self) -> tuple[CryptoAttribute, ...]:
        line = self.agreed.agreement.local if self.agreed is not None else None
        return (line,) if line is not None else ()

    def inspect_answer(self, body: bytes, offer: LocalAudio) -> TrunkMedia:
        usable = [line for line in self._audio_lines(SessionDescription.parse(body)) if line.rtp is not None]
        if not usable:
            raise SdpError("audio refused")
        line = usable[0]
        self._check_address(line)
        ours = self.dtls.answered(offer, line, self.agreed.ours if self.agreed is not None else None)
        where = known_place(line, self.agreed)[0]
        agreement = check_trunk_answer(offer, line, where=where if ours.ice is None else None)
        if agreement.remote is not None and self.keys_seen.echoes(agreement.remote):
            agreement = TrunkAgreement(Keying.NONE, None, None, None, Code.KEY_REUSE, agreement.noted)
        stripped = offer.has_keys and agreement.problem in UNKEYED[self.kind]
        return self._agreed(line, agreement, ours, mux=line.rtcp_mux and offer.rtcp_mux, stripped=stripped)

    def inspect_offer(self, body: bytes) -> TrunkMedia:
        """Read an offer without taking it: the strongest audio line and the keys we would answer it with."""
        description = SessionDescription.parse(body)
        live = [line for line in self._audio_lines(description) if line.rtp is not None]
        if not live:
            raise SdpError("no audio line this gateway can serve")
        ways = taken_ways(self.policy)
        line = strongest(live, ways)
        way = next((way for way in ways if line.offers(way)), Keying.NONE)
        if way is Keying.NONE and line.proto.keyed:
            raise TrunkKeyingError(_unusable(line))
        self._check_address(line)
        ours, agreement = self._accepted(line, way)
        was_plain = self.agreed is not None and self.agreed.agreement.keying is Keying.NONE
        agreed = self._agreed(line, agreement, ours, mux=line.rtcp_mux, stripped=way is Keying.NONE and not was_plain)
        return replace(agreed, description=description, noted=self._noted(agreed, live, description))

    def _accepted(self, line: RemoteAudio, way: Keying) -> tuple[OwnEnd, TrunkAgreement]:
        """What would answer this line with keys of this kind."""
        if way is Keying.DTLS:
            return self.dtls.accept(line, self.agreed, self.trunk)
        chosen = choose_crypto(line.cryptos, allowed_suites(self.policy)) if way is Keying.SDES else None
        if chosen is not None and self.keys_seen.echoes(chosen):
            raise TrunkKeyingError([Code.KEY_REUSE])
        return OwnEnd(), keys.accept(chosen, line, self._kept(line), self.new_key)

    def _kept(self, line: RemoteAudio) -> CryptoAttribute | None:
        """Our key, as far as it may answer this offer too: not where it is worn out, nor for another address.

        Who was there until now has the old key, and must not read what is sent to somebody else.
        """
        agreed = self.agreed
        if agreed is None or self.wants_new_key or known_place(line, agreed)[0] != agreed.where:
            return None
        return agreed.agreement.local

    def _agreed(
        self, remote: RemoteAudio, agreement: TrunkAgreement, ours: OwnEnd, *, mux: bool, stripped: bool
    ) -> TrunkMedia:
        """What a description comes to; `stripped`: it has no keys, where a peer that is known to encrypt has some."""
        where, rtcp = known_place(remote, self.agreed)
        key = agreement.remote
        reused = key is not None and self.keys_seen.used_elsewhere(key, where)
        bids_down = stripped and self.policy is not None and self.policy.pinned
        found = (Code.KEY_REUSE if reused else None, agreement.problem, Code.PIN_BID_DOWN if bids_down else None)
        weaknesses = frozenset(code for code in found if code is not None)
        return TrunkMedia(self.signalling, remote, agreement, where, None if mux else rtcp, mux, weaknesses, ours=ours)

    def _noted(
        self, agreed: TrunkMedia, live: Sequence[RemoteAudio], description: SessionDescription
    ) -> frozenset[Code]:
        """What an offer brings besides what is used of it."""
        line, key = agreed.remote, agreed.agreement.remote
        others = [c for other in live if other.index != line.index for c in other.cryptos]
        noted = {
            Code.MEDIA_MIXED_KEYING: bool(line.crypto_lines and line.means_dtls),
            Code.KEY_REUSE: key is not None and any(key.same_master_key(other) for other in others),
            Code.MID_STREAM_ADDED_PLAIN: bool(plain_streams(description, line.index) - self._known(description)),
            Code.MID_HOLD_REKEY: agreed.is_hold_with_new_key(self.agreed),
        }
        return frozenset(code for code, found in noted.items() if found)

    def _known(self, description: SessionDescription) -> frozenset[int]:
        return plain_streams(description, -1) if self.agreed is None else self.streams_at_start or frozenset()

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
        ours = self._audio(agreed.remote.proto, terms, self._our_line, mux=agreed.mux)
        return self.dtls.answer(ours, agreed) if agreed.association is not None else ours

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


def _unusable(line: RemoteAudio) -> list[Code]:
    """Why a line that demands keys brings none that we take."""
    found = list(line.crypto_problems)
    if line.refused_fingerprints and not line.fingerprints:
        found.append(Code.DTLS_FP_WEAK)
    if line.has_keys or not line.proto.is_udp:
        found.append(Code.MEDIA_KEYING_UNKNOWN)
    return found or [Code.MEDIA_CRYPTO_IGNORED]
