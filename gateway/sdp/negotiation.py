"""Choosing between what one side offers and the other can do: codecs, crypto suite, keying (RFC 3264, 4568, 8643)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying
from gateway.base.values import HostPort
from gateway.sdp.association import Association, role_by_answer
from gateway.sdp.codecs import REFERRING, Codec, CodecKey
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import LocalAudio, RemoteAudio

COMMON_EVENT_RATE = 8000
"""Clock rate of the telephone-events that every device with a keypad knows (RFC 4733 2.5.1.1)."""


def select_codecs(offered: Sequence[Codec], supported: Sequence[str | CodecKey]) -> tuple[Codec, ...]:
    """Offered codecs we support, in our order of preference, with their payload types.

    An entry of `supported` is a name in any case ("opus", any clock rate) or a full `Codec.key`. telephone-event and
    comfort noise need not be listed: they come along with a codec of their clock rate. Events at 8000 Hz come along
    with any codec, because many devices know no others.
    """
    chosen: dict[int, Codec] = {}
    for wanted in supported:
        for codec in offered:
            if _is_wanted(codec, wanted) and _is_audio(codec):
                chosen.setdefault(codec.payload_type, codec)
    audio = list(chosen.values())
    found = companions(audio, offered)
    common_events = [c for c in offered if c.is_event and c.clock_rate == COMMON_EVENT_RATE and c not in found]
    return (*audio, *found, *(common_events if audio else ()))


def common_codecs(a: Sequence[Codec], b: Sequence[Codec]) -> tuple[Codec, ...]:
    """Codecs of `a`, with its payload types and order, that `b` has too; telephone-event and CN last.

    Clock rate and channels must be equal, because packets are relayed and not transcoded. Only telephone-events may
    have any two clock rates: the relay plays them anew, so each side has those of its own audio (RFC 4733 2.1).
    """
    keys = {codec.key for codec in b}
    has_events = any(codec.is_event for codec in b)
    shared = [codec for codec in a if (has_events if codec.is_event else codec.key in keys)]
    audio = [c for c in shared if _is_audio(c)]
    return (*audio, *companions(audio, shared))


def _is_wanted(codec: Codec, wanted: str | CodecKey) -> bool:
    return codec.key[0] == wanted.lower() if isinstance(wanted, str) else codec.key == wanted


def _is_audio(codec: Codec) -> bool:
    return not codec.is_companion and codec.key[0] not in REFERRING


def companions(audio: Sequence[Codec], among: Sequence[Codec]) -> tuple[Codec, ...]:
    """Comfort noise and telephone-events for these codecs: of their clock rates (RFC 4733 2.1, RFC 3389 4).

    Where no event has one of them, those of another rate do: a digit under the wrong clock is better than none.
    """
    if not audio:
        return ()
    rates = {codec.clock_rate for codec in audio}
    found = tuple(c for c in among if c.is_companion and c.clock_rate in rates)
    if any(c.is_event for c in found):
        return found
    return (*found, *(c for c in among if c.is_event))


def payload_map(src: Sequence[Codec], dst: Sequence[Codec]) -> dict[int, int]:
    """Payload type on the `src` leg -> payload type of the same codec on the `dst` leg; the rest is not relayed.

    telephone-event is none of them: digits are heard on one side and played on the other.
    """
    targets: dict[CodecKey, int] = {}
    for codec in dst:
        targets.setdefault(codec.key, codec.payload_type)
    return {c.payload_type: targets[c.key] for c in src if c.key in targets and not c.is_event}


def choose_crypto(offered: Sequence[CryptoAttribute], suites: Sequence[CryptoSuite]) -> CryptoAttribute | None:
    """The offered line to accept: the first of our `suites` that is there, whatever the peer's order (RFC 4568 5.1.2).

    RFC 4568 asks the answerer to prefer the offerer's order "unless it has its own"; we have: strongest first.
    """
    for suite in suites:
        for line in offered:
            if line.suite == suite.name:
                return line
    return None


@dataclass(frozen=True, slots=True)
class TrunkAgreement:
    """What offer and answer agreed on for one trunk leg."""

    keying: Keying
    suite: CryptoSuite | None
    local: CryptoAttribute | None
    """Our line the peer accepted: its key protects what we send."""
    remote: CryptoAttribute | None
    """The peer's line: its key opens what we receive."""
    problem: Code | None = None
    """What is wrong with it. Only `media.osrtp_fallback` leaves a usable (plain) agreement."""
    noted: tuple[Code, ...] = ()
    """Codes of key lines that were left out."""
    unusable: bool = False
    """The peer gave key lines, and `noted` says of each why it cannot be used: no line was forgotten."""
    association: Association | None = None
    """The handshake the keys come from, where that is how; then there are no keys here."""

    @property
    def codes(self) -> tuple[Code, ...]:
        """Why an agreement with a problem is none."""
        own = {self.problem} if self.problem is not None and not self.unusable else set()
        return tuple(sorted({*own, *self.noted}))


def check_trunk_answer(offer: LocalAudio, answer: RemoteAudio, *, where: HostPort | None = None) -> TrunkAgreement:
    """Hold an answer against our offer (RFC 4568 5.1.3, RFC 8643 3.3, RFC 5763 5).

    Protection that was asked for and came back in any doubtful form is a problem, never a silent plain call.

    Args:
        where: the transport address of the peer, where its paths are not checked.

    Raises:
        SdpError: 488 when the answer refuses the stream, or chooses no DTLS role.
    """
    if answer.rtp is None:
        raise SdpError("the answer refuses audio")
    return replace(_check(offer, answer, where), noted=answer.crypto_problems)


def _check(offer: LocalAudio, answer: RemoteAudio, where: HostPort | None) -> TrunkAgreement:
    if answer.proto.without_feedback is not offer.proto.without_feedback:
        return _refused(Code.MEDIA_CRYPTO_IGNORED)
    if not (offer.cryptos or offer.dtls):
        return _refused(Code.MEDIA_CRYPTO_IGNORED) if offer.proto.keyed else _plain()
    if answer.crypto_lines and (answer.means_dtls or not offer.cryptos):
        return _refused(Code.MEDIA_MIXED_KEYING)
    if answer.crypto_lines:
        return _check_sdes(offer, answer)
    if answer.means_dtls and offer.dtls:
        return _check_dtls(answer, where)
    return _refused(Code.MEDIA_CRYPTO_IGNORED) if offer.proto.keyed else _plain(Code.MEDIA_OSRTP_FALLBACK)


def _plain(problem: Code | None = None) -> TrunkAgreement:
    return TrunkAgreement(Keying.NONE, None, None, None, problem)


def _refused(problem: Code) -> TrunkAgreement:
    return TrunkAgreement(Keying.NONE, None, None, None, problem)


def _check_sdes(offer: LocalAudio, answer: RemoteAudio) -> TrunkAgreement:
    """Exactly one crypto line, with a tag and the suite we offered under it, and a key that is not ours."""
    if not answer.cryptos:
        return replace(_refused(Code.MEDIA_CRYPTO_IGNORED), unusable=True)
    if answer.crypto_lines != 1:
        return _refused(Code.MEDIA_CRYPTO_IGNORED)
    remote = answer.cryptos[0]
    local = next((c for c in offer.cryptos if (c.tag, c.suite) == (remote.tag, remote.suite)), None)
    if local is None:
        return _refused(Code.MEDIA_CRYPTO_IGNORED)
    if any(remote.same_master_key(ours) for ours in offer.cryptos):
        return _refused(Code.KEY_REUSE)
    return TrunkAgreement(Keying.SDES, local.crypto_suite, local, remote)


def _check_dtls(answer: RemoteAudio, where: HostPort | None) -> TrunkAgreement:
    """DTLS brings its keys later; here the answer must name the certificate, by a hash that is believed."""
    if answer.offers(Keying.DTLS):
        association = Association.of(role_by_answer(answer.setup), answer, where=where)
        return TrunkAgreement(Keying.DTLS, None, None, None, association=association)
    named = answer.fingerprints or answer.refused_fingerprints
    return _refused(Code.DTLS_FP_WEAK if named else Code.MEDIA_CRYPTO_IGNORED)
