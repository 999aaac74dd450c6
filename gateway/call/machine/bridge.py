"""Joins two legs: codecs both sides have, what becomes of each payload type on the way, and when a handshake begins."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.call.legs.leg import Leg
from gateway.call.machine.effects import SetTimer, StartDtls, Timer
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.media.relay_commands import EventFormat, ExtensionMap, PayloadMap, RelayPlan, Route
from gateway.policy.suites import allowed_suites
from gateway.sdp.codecs import Codec, CodecKey
from gateway.sdp.negotiation import common_codecs, companions, payload_map

KEYED_SECONDS = 10.0
"""POLICY A5 checkpoint P4: media must be keyed this soon after the answer, or the change that wants other keys."""


def agreed_codecs(leg: Leg, other: Leg) -> tuple[Codec, ...]:
    """Codecs for our answer on `leg`: those agreed on the other side, in its order, and what accompanies them.

    All of them, because a peer may switch between the codecs of its answer at any time (RFC 3264 7) and packets are
    not transcoded; none that is not agreed there, so that the other side need not be asked again.
    """
    common = possible_codecs(leg, other)
    used = [codec.key for codec in _in_use(other) if not codec.is_companion]
    audio = sorted((c for c in common if c.key in used and not c.is_companion), key=lambda c: used.index(c.key))
    if not audio:
        audio = [c for c in common if not c.is_companion][:1]
    return (*audio, *companions(audio, common))


def possible_codecs(leg: Leg, other: Leg) -> tuple[Codec, ...]:
    """What both peers said they can do, in the numbering of `leg`."""
    if leg.remote is None or other.remote is None:
        return ()
    common = common_codecs(leg.remote.codecs, other.remote.codecs)
    if not other.digits_by_info:
        return common
    audio = [codec for codec in common if not codec.is_companion]
    return (*common, *companions(audio, [codec for codec in leg.remote.codecs if codec.is_event]))


def keeps_up(leg: Leg, other: Leg) -> bool:
    """Whether this leg has agreed on whatever both can of what is agreed on the other, and on nothing else.

    Packets are relayed, not transcoded, and each side may send any codec of its session (RFC 3264 7): after somebody
    else has come to the other side, the two may have one codec in common and speak in another.
    """
    return _audio(agreed_codecs(leg, other)) == _audio(_in_use(leg))


def suits(codecs: Sequence[Codec], other: Leg) -> bool:
    """Whether these are all that the peer of the other leg may speak in, so that it need not be asked again."""
    return _audio(_in_use(other)) <= _audio(codecs)


def _audio(codecs: Sequence[Codec]) -> frozenset[CodecKey]:
    return frozenset(codec.key for codec in codecs if not codec.is_companion)


def _in_use(leg: Leg) -> tuple[Codec, ...]:
    """What offer and answer of this leg have in common."""
    if leg.talk.ours is None or leg.remote is None:
        return ()
    return common_codecs(leg.remote.codecs, leg.talk.ours.codecs)


def codec_in_use(call: CallState) -> str:
    """The audio codec both sides agreed on, as records name it: `PCMU/8000`; empty while there is none."""
    common = common_codecs(*(_in_use(leg) for leg in call.pair)) if len(call.pair) == 2 else ()
    return next((f"{codec.name}/{codec.clock_rate}" for codec in common if not codec.is_companion), "")


def connect(call: CallState) -> None:
    """Both sides are known: each hears the other, as far as both want, and their handshakes begin."""
    if len(call.pair) < 2:
        return
    one, other = call.pair
    if one.is_agreed and other.is_agreed:
        for source, sink in ((one, other), (other, one)):
            call.tell_relay(Route(source.id, sink.id, plan(source, sink)), sink.id)
    for leg in call.pair:
        begin_handshake(call, leg)


def plan(source: Leg, sink: Leg) -> RelayPlan:
    """What becomes of the media of one peer on its way to the other."""
    payloads, heard = _formats(source, sink)
    is_open = source.will.sends and sink.will.receives
    events = event_formats(sink)
    return RelayPlan(payloads, is_open, heard, events, sink.digits_by_info, _extensions(source, sink))


def _extensions(source: Leg, sink: Leg) -> tuple[ExtensionMap, ...]:
    """Header extensions that one peer sends and the other one takes, by the numbers of each."""
    there = {extension.uri: extension.number for extension in sink.agreed_extensions if extension.direction.receives}
    return tuple(
        ExtensionMap(extension.number, there[extension.uri])
        for extension in source.agreed_extensions
        if extension.direction.sends and extension.uri in there
    )


def _formats(source: Leg, sink: Leg) -> tuple[tuple[PayloadMap, ...], tuple[EventFormat, ...]]:
    """What is passed on, and telephone-event, by the numbers they may come under."""
    there = sink.remote.codecs if sink.remote else ()
    passed: dict[int, PayloadMap] = {}
    heard: dict[int, EventFormat] = {}
    for ours in _descriptions(source):
        rates = {codec.payload_type: codec.clock_rate for codec in ours}
        for number, becomes in payload_map(ours, there).items():
            if number not in heard:
                passed.setdefault(number, PayloadMap(number, becomes, rates[number]))
        for codec in ours:
            if codec.is_event and codec.payload_type not in passed:
                heard.setdefault(codec.payload_type, EventFormat(codec.payload_type, codec.clock_rate))
    return tuple(passed.values()), tuple(heard.values())


def event_formats(sink: Leg) -> tuple[EventFormat, ...]:
    """telephone-event as it was agreed on with this peer, that of the clock of its first codec first."""
    agreed = _in_use(sink)
    rate = next((codec.clock_rate for codec in agreed if not codec.is_companion), 0)
    events = sorted((codec for codec in agreed if codec.is_event), key=lambda codec: codec.clock_rate != rate)
    return tuple(EventFormat(codec.payload_type, codec.clock_rate) for codec in events)


def _descriptions(source: Leg) -> tuple[Sequence[Codec], Sequence[Codec]]:
    """Our own description first (RFC 3264 6.1: it rules what we receive), then the peer's, whose numbers many use."""
    return source.talk.ours.codecs if source.talk.ours else (), source.remote.codecs if source.remote else ()


def begin_handshake(call: CallState, leg: Leg) -> None:
    """Begin the handshake of a leg as soon as both fingerprints are known; another one where another is agreed on."""
    wanted = leg.begin_handshake()
    if wanted is None:
        return
    suites = allowed_suites(policy_of(call, leg))
    peer = tuple(sorted(wanted.fingerprints, key=str))
    ways = leg.checks_paths, leg.has_rtcp_of_its_own
    call.emit(StartDtls(leg.id, wanted.dtls_role, peer, suites, leg.handshakes, *ways))
    if call.answered_at is not None:
        call.emit(SetTimer(Timer.KEYED, KEYED_SECONDS, leg.id))
