"""Codecs of an audio section: rtpmap, fmtp and the static payload types of RFC 3551."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.sdp.description import MediaSection, is_token, optional_uint

MAX_CLOCK_RATE = 1_000_000
MAX_CHANNELS = 255
MAX_PAYLOAD_TYPE = 127
RTCP_CONFLICT = range(64, 96)
"""Payload types that look like RTCP on a shared port (RFC 5761 4). Refused with or without rtcp-mux, because the
browser side of every call is multiplexed."""

OPUS_CHANNELS = 2
"""Always written, whatever is sent (RFC 7587 7); devices that leave it out mean nothing else."""

MAX_FMTP = 255
"""Longest codec parameters that cross from leg to leg; longer ones are dropped, which means the codec's defaults."""
FMTP_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=;,.-_+/ ")
OPUS_PARAMETERS = "maxplaybackrate sprop-maxcapturerate minptime maxaveragebitrate stereo sprop-stereo cbr useinbandfec"
FMTP_NAMES = {
    "opus": frozenset([*OPUS_PARAMETERS.split(" "), "usedtx"]),
    "g729": frozenset(["annexb"]),
    "ilbc": frozenset(["mode"]),
    "pcmu": frozenset[str](),
    "pcma": frozenset[str](),
    "g722": frozenset[str](),
}
"""Parameters of the codecs we know (RFC 7587 6.1, RFC 4856 2.1.9, RFC 3952 5); others of theirs are not passed on."""

CodecKey = tuple[str, int, int]
"""Lower-case name, clock rate, channels: what makes two codecs the same on both sides of a call."""

TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "cn"
COMPANIONS = frozenset({TELEPHONE_EVENT, COMFORT_NOISE})
"""Formats that only accompany a codec of the same clock rate (RFC 4733 2.1, RFC 3389 4)."""
REFERRING = frozenset({"red", "rtx", "ulpfec", "flexfec", "flexfec-03", "parityfec"})
"""Formats whose packets or parameters name other payload types; a relay that renumbers cannot carry them."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload format bound to a payload type (RFC 8866 6.6)."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""

    @property
    def key(self) -> CodecKey:
        return (self.name.lower(), self.clock_rate, self.channels)

    @property
    def is_companion(self) -> bool:
        """True for telephone-event and comfort noise, which cannot carry a call alone."""
        return self.key[0] in COMPANIONS

    @property
    def is_event(self) -> bool:
        """True for telephone-event (RFC 4733)."""
        return self.key[0] == TELEPHONE_EVENT

    @property
    def rtpmap(self) -> str:
        """Value of `a=rtpmap`; channels only when there is more than one (RFC 8866 6.6)."""
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_rate}{channels}"

    @property
    def portable_fmtp(self) -> str:
        """Parameters as they may cross to the other leg: plain, short, and only known ones where we know them all."""
        if len(self.fmtp) > MAX_FMTP or not FMTP_CHARACTERS.issuperset(self.fmtp):
            return ""
        known = FMTP_NAMES.get(self.key[0])
        if known is None:
            return self.fmtp
        parts = [part.strip(" ") for part in self.fmtp.split(";")]
        return ";".join(part for part in parts if part.partition("=")[0].lower() in known)


_EVERYWHERE = (Codec(9, "G722", 8000), Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000))
BROWSER_CODECS = (
    Codec(111, "opus", 48000, 2, "minptime=10;useinbandfec=1"),
    *_EVERYWHERE,
    Codec(110, TELEPHONE_EVENT, 48000, 1, "0-16"),
    Codec(126, TELEPHONE_EVENT, 8000, 1, "0-16"),
)
"""What every browser can do (RFC 7874 3, and G.722), under the payload types browsers use themselves."""
TRUNK_CODECS = (
    Codec(111, "opus", 48000, 2, "useinbandfec=1"),
    *_EVERYWHERE,
    Codec(101, TELEPHONE_EVENT, 8000, 1, "0-16"),
)
"""The same as trunks are offered it when no browser has said anything yet."""
CODEC_NAMES = tuple(codec.name for codec in TRUNK_CODECS if not codec.is_event)
"""Names of what browsers can do, best first."""

DYNAMIC = range(96, 128)
"""Payload types that mean what a description says (RFC 3551 3)."""


def with_events(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """The same with telephone-event as browsers have it, under numbers none of them has."""
    if any(codec.is_event for codec in codecs):
        return tuple(codecs)
    used = {codec.payload_type for codec in codecs}
    found: list[Codec] = []
    for event in (codec for codec in BROWSER_CODECS if codec.is_event):
        number = next((n for n in (event.payload_type, *DYNAMIC) if n not in used), None)
        if number is not None:
            used.add(number)
            found.append(replace(event, payload_type=number))
    return (*codecs, *found)


STATIC: dict[int, tuple[str, int, int]] = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    5: ("DVI4", 8000, 1),
    6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1),
    13: ("CN", 8000, 1),
    14: ("MPA", 90000, 1),
    15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1),
    17: ("DVI4", 22050, 1),
    18: ("G729", 8000, 1),
}
"""Audio payload types that need no rtpmap (RFC 3551 6)."""


def read_codecs(section: MediaSection) -> tuple[Codec, ...]:
    """Codecs in the order of the m-line; formats that name no usable codec are left out (RFC 3264 5.1)."""
    maps = _by_payload_type(section.attrs("rtpmap"))
    parameters = _by_payload_type(section.attrs("fmtp"))
    codecs: dict[int, Codec] = {}
    for text in section.formats:
        number = optional_uint(text, MAX_PAYLOAD_TYPE)
        if number is None or number in RTCP_CONFLICT or number in codecs:
            continue
        encoding = _parse_encoding(maps[number]) if number in maps else STATIC.get(number)
        if encoding is not None:
            codecs[number] = Codec(number, *encoding, fmtp=parameters.get(number, ""))
    return tuple(codecs.values())


def _by_payload_type(values: list[str]) -> dict[int, str]:
    """`PT rest` attributes by payload type; the first of several wins, bad ones are left out."""
    found: dict[int, str] = {}
    for value in values:
        head, _, rest = value.strip(" ").partition(" ")
        number = optional_uint(head, MAX_PAYLOAD_TYPE)
        if number is not None:
            found.setdefault(number, rest.strip(" "))
    return found


def _parse_encoding(text: str) -> tuple[str, int, int] | None:
    """`name/clock[/channels]`, or None."""
    name, _, rest = text.partition("/")
    clock_text, slash, channels_text = rest.partition("/")
    clock = optional_uint(clock_text, MAX_CLOCK_RATE)
    channels = optional_uint(channels_text, MAX_CHANNELS) if slash else 1
    if not is_token(name) or not clock or not channels:
        return None
    return name, clock, OPUS_CHANNELS if name.lower() == "opus" else channels
