"""The E-model (ITU-T G.107): what delay and lost packets do to a conversation, as a rating R and as MOS-CQ. PURE.

Computed as the Recommendation has it, on its narrowband scale and with its defaults for all that the gateway cannot
know: loudness, noise, sidetone, an echo loss of 65 dB. So a call that nothing is wrong with has R = 93.2, MOS 4.4, in
whatever codec: wideband codecs sound better than that, and get no credit for it here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

RATING_AT_BEST: Final = 93.2
"""R with the defaults of the Recommendation, without delay or loss."""
_RO, _IS = 94.77, 1.41
"""Basic signal-to-noise ratio and simultaneous impairments, with the defaults."""
_ROE = 94.77
"""-1.5 (No - RLR), with the defaults."""
_TELR, _WEPL = 65.0, 110.0
"""Loss of the talker's echo, weighted loss of the echo path: dB, the defaults."""
_NOTICED_MS = 100.0
"""Delay nobody notices (mT), for an ordinary sensitivity to it (sT = 1)."""
_WORST_CODEC = 95.0
"""Impairment at which nothing is understood."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a codec does to speech (ITU-T G.113 Appendix I)."""

    impairment: float
    """Ie, without loss."""
    robustness: float
    """Bpl: the higher, the better loss is concealed."""
    packet: float = 0.020
    """Seconds of sound in a packet, as is usual."""
    lookahead: float = 0.0
    """Seconds the encoder waits for beyond that."""


_CONCEALED = Codec(0.0, 25.1)
"""G.711 with concealment of lost packets (G.711 Appendix I, or better, as in every browser)."""
_CODECS: Final[dict[str, Codec]] = {
    "pcmu": _CONCEALED,
    "pcma": _CONCEALED,
    "g722": Codec(0.0, 25.1, lookahead=0.0015),
    "opus": Codec(0.0, 25.1, lookahead=0.0065),
    "g729": Codec(11.0, 19.0, lookahead=0.005),
    "g723": Codec(15.0, 16.1, packet=0.030, lookahead=0.0075),
}
"""By name in lower case. G.113 has nothing for G.722 and Opus on the narrowband scale: neither is worse than G.711, and
what loss does to them is taken to be the same."""


def codec_of(name: str) -> Codec:
    """What is known of a codec, by its name (`opus/48000` too); one that is not known counts as G.711."""
    return _CODECS.get(name.partition("/")[0].lower(), _CONCEALED)


def rating(*, delay: float, loss: float, burst_ratio: float = 1.0, codec: Codec = _CONCEALED) -> float:
    """R of a connection (G.107 7).

    Args:
        delay: seconds from mouth to ear, one way.
        loss: share of packets that were not there when they were to be played, 0 to 1.
        burst_ratio: how much longer runs of lost packets are than chance would have them.
    """
    return _RO - _IS - delay_impairment(delay) - loss_impairment(loss, burst_ratio, codec)


def loss_impairment(loss: float, burst_ratio: float, codec: Codec) -> float:
    """Ie,eff (G.107 7.5): what codec and loss take from R."""
    percent = 100.0 * min(max(loss, 0.0), 1.0)
    if percent == 0.0:
        return codec.impairment
    weight = percent / (percent / max(burst_ratio, 1.0) + codec.robustness)
    return codec.impairment + (_WORST_CODEC - codec.impairment) * weight


def delay_impairment(delay: float) -> float:
    """Id (G.107 7.4): echo of the talker and of the listener, and delay by itself."""
    ms = 1000.0 * max(delay, 0.0)
    return _talker_echo(ms) + _listener_echo(2.0 * ms) + _pure_delay(ms)


def _talker_echo(ms: float) -> float:
    """Idte: the louder one's own voice comes back, and the later, the worse."""
    masking = 6.0 * math.exp(-0.3 * ms * ms) if ms < 10.0 else 0.0
    terv = _TELR - 40.0 * math.log10((1.0 + ms / 10.0) / (1.0 + ms / 150.0)) + masking
    half = (_ROE - (80.0 + 2.5 * (terv - 14.0))) / 2.0
    return (half + math.sqrt(half * half + 100.0) - 1.0) * (1.0 - math.exp(-ms))


def _listener_echo(round_trip_ms: float) -> float:
    """Idle."""
    rle = 10.5 * (_WEPL + 7.0) * math.pow(round_trip_ms + 1.0, -0.25)
    half = (_RO - rle) / 2.0
    return half + math.sqrt(half * half + 169.0)


def _pure_delay(ms: float) -> float:
    """Idd: people begin to speak at the same time."""
    if ms <= _NOTICED_MS:
        return 0.0
    x = math.log2(ms / _NOTICED_MS)
    return 25.0 * (_sixth_root(x) - 3.0 * _sixth_root(x / 3.0) + 2.0)


def _sixth_root(x: float) -> float:
    return math.pow(1.0 + math.pow(x, 6.0), 1 / 6)


def opinion(found: float) -> float:
    """MOS-CQ of a rating (G.107 Annex B): 1 bad, 4.5 as good as a telephone gets."""
    if found <= 0.0:
        return 1.0
    if found >= 100.0:
        return 4.5
    return max(1.0, 1.0 + 0.035 * found + found * (found - 60.0) * (100.0 - found) * 7e-6)
