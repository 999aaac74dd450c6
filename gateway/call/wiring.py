"""Joins the two sides: common codecs, payload types mapped both ways, directions, the handshake started once."""

from __future__ import annotations

from gateway.call import direction
from gateway.call.effects import (
    PayloadFormat,
    SetPayloads,
    StartDtls,
)
from gateway.call.leg import Leg
from gateway.call.state import CallState
from gateway.sdp.codecs import Codec
from gateway.sdp.negotiation import common_codecs, companions, payload_map


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
    return common_codecs(leg.remote.codecs, other.remote.codecs)


def have_common(leg: Leg, other: Leg) -> bool:
    """Whether packets of one side are of a codec agreed on the other: they are relayed, not transcoded."""
    return bool(common_codecs(_in_use(leg), _in_use(other)))


def _in_use(leg: Leg) -> tuple[Codec, ...]:
    """What offer and answer of this leg have in common."""
    if leg.local is None or leg.remote is None:
        return ()
    return common_codecs(leg.remote.codecs, leg.local.codecs)


def codec_in_use(call: CallState) -> str:
    """The audio codec both sides agreed on, as records name it: `PCMU/8000`; empty while there is none."""
    if call.browser is None or call.trunk is None:
        return ""
    common = common_codecs(_in_use(call.browser), _in_use(call.trunk))
    return next((f"{codec.name}/{codec.clock_rate}" for codec in common if not codec.is_companion), "")


def connect_media(call: CallState) -> None:
    """Both sides are known: map payload types, open the directions, start the handshake."""
    browser, trunk = call.browser, call.trunk
    if browser is None or trunk is None:
        return
    if browser.local and browser.remote and trunk.local and trunk.remote:
        call.tell_relay(
            SetPayloads(
                _both_numberings(browser, trunk.remote.codecs),
                _both_numberings(trunk, browser.remote.codecs),
                (*_formats(browser), *_formats(trunk)),
            )
        )
    call.tell_relay(direction.relay(call))
    start_dtls(call)


def _both_numberings(source: Leg, destination: tuple[Codec, ...]) -> tuple[tuple[int, int], ...]:
    """Map by our own description first (RFC 3264 6.1: it rules what we receive), then by the peer's, which many use."""
    numbers: dict[int, int] = {}
    for codecs in (source.local.codecs if source.local else (), source.remote.codecs if source.remote else ()):
        for number, mapped in payload_map(codecs, destination).items():
            numbers.setdefault(number, mapped)
    return tuple(numbers.items())


def _formats(source: Leg) -> tuple[PayloadFormat, ...]:
    """What the payload types count that this peer may send, in the same order of precedence as their map."""
    found: dict[int, PayloadFormat] = {}
    for codec in (*(source.local.codecs if source.local else ()), *(source.remote.codecs if source.remote else ())):
        form = PayloadFormat(source.name, codec.payload_type, codec.clock_rate, codec.is_event)
        found.setdefault(codec.payload_type, form)
    return tuple(found.values())


def start_dtls(call: CallState) -> None:
    """Begin the handshake as soon as both fingerprints are known; once per call."""
    browser = call.browser
    if call.dtls_started or browser is None or browser.remote is None or browser.role is None:
        return
    call.dtls_started = True
    role = "client" if browser.role.value == "active" else "server"
    call.emit(StartDtls(role, browser.remote.fingerprints))
