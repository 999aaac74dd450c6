"""Descriptions we send, written from facts alone (RFC 3264, RFC 8829, RFC 8843).

There are two kinds. Who speaks ICE, as each browser does, gets ICE-lite, a fingerprint and rtcp-mux and never an
`a=crypto`; others get keys as policy has them, and none of WebRTC's attributes. Nothing is copied from the other side's
text except what an answer must repeat from its own offer: media types, transports, a format of each refused line, and
with ICE the mid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.base.errors import SdpError
from gateway.base.keying import Proto, Setup
from gateway.base.values import HostPort
from gateway.sdp.codecs import RTCP_CONFLICT, TELEPHONE_EVENT, Codec
from gateway.sdp.description import MediaSection, SessionDescription, is_address, is_token
from gateway.sdp.keying import read_crypto_lines
from gateway.sdp.media import LocalAudio, bundle_tag, read_direction, read_mid, read_setup

DTMF_EVENTS = "0-16"
"""Telephone events we announce: the sixteen keys and flash (RFC 4733 3.2)."""
ANSWERS = {
    Setup.ACTPASS: (Setup.ACTIVE, Setup.PASSIVE),
    Setup.ACTIVE: (Setup.PASSIVE,),
    Setup.PASSIVE: (Setup.ACTIVE,),
    Setup.HOLDCONN: (),
}
"""DTLS roles an answer may take, by the offered one (RFC 4145 4.1; RFC 8842 5.3 knows no holdconn)."""
DEFAULT_MID = "0"
FIRST_PRIORITY = (126 << 24) | (65535 << 8) | 255
"""ICE priority of the first host candidate, component 1 (RFC 8445 5.1.2.1); each further one is 256 less."""


def build_offer(audio: LocalAudio, *, session_id: int, version: int) -> bytes:
    """A description with one audio m-line (RFC 3264 5).

    Raises:
        SdpError: 500 when the facts contradict each other or RFC 8827.
    """
    _check(audio)
    mid = (audio.mid or DEFAULT_MID) if audio.uses_ice else None
    lines = [*_session_lines(audio, session_id, version, mid), *_audio_lines(audio, audio.proto.value, mid)]
    return _join(lines)


def build_answer(
    audio: LocalAudio, offer: SessionDescription, *, audio_index: int, session_id: int, version: int
) -> bytes:
    """An answer with the offer's m-lines in number and order, all but `audio_index` refused (RFC 3264 6).

    The direction is narrowed to what the offer allows; rtcp-mux is said only when it was offered (RFC 5761 5.1.1).

    Raises:
        SdpError: 500 when the facts contradict each other, the offer or RFC 8827.
    """
    _check(audio)
    if not 0 <= audio_index < len(offer.media):
        raise SdpError("answer names an m-line the offer does not have", 500)
    section = offer.media[audio_index]
    mux = _mux_offered(offer, section, bundled=audio.uses_ice)
    _check_against(audio, section, read_setup(offer, section) or Setup.ACTPASS, mux_offered=mux)
    mid = read_mid(section) if audio.uses_ice else None
    lines = _session_lines(audio, session_id, version, mid if _bundled(offer, section) else None)
    narrowed = replace(
        audio,
        direction=read_direction(offer, section).answered_with(audio.direction),
        rtcp_mux=audio.rtcp_mux and mux,
    )
    for other in offer.media:
        if other.index == audio_index:
            lines += _audio_lines(narrowed, section.proto, mid)
        else:
            lines += _refused_lines(other, with_mid=audio.uses_ice)
    return _join(lines)


def _check(audio: LocalAudio) -> None:
    """Facts that would make a wrong or unsafe description are a fault of ours, and are never sent."""
    if audio.uses_ice and audio.cryptos:
        raise SdpError("SDES keys are never sent to a browser", 500)
    if audio.uses_ice and not (audio.proto.keyed and audio.fingerprint and audio.rtcp_mux and audio.ice_pwd):
        raise SdpError("a browser needs DTLS, ICE credentials and rtcp-mux", 500)
    if audio.dtls and (audio.fingerprint is None or audio.setup is None):
        raise SdpError("DTLS needs a fingerprint and a role", 500)
    if audio.proto.keyed and bool(audio.cryptos) == audio.dtls:
        raise SdpError("keys that are demanded are of one kind", 500)
    if not audio.codecs or not is_address(audio.address):
        raise SdpError("audio needs an address and a codec", 500)
    if any(c.payload_type in RTCP_CONFLICT for c in audio.codecs):
        raise SdpError("payload type collides with RTCP", 500)


def _check_against(audio: LocalAudio, section: MediaSection, offered_setup: Setup, *, mux_offered: bool) -> None:
    """The accepted line is audio with the offer's transport; a key answers an offered one (RFC 4568 5.1.2)."""
    if section.media.lower() != "audio" or Proto.of(section.proto) is not audio.proto:
        raise SdpError("answer changes the transport of the offer", 500)
    offered = {(c.tag, c.suite) for c in read_crypto_lines(section.attrs("crypto")).usable}
    if len(audio.cryptos) > 1 or any((c.tag, c.suite) not in offered for c in audio.cryptos):
        raise SdpError("answer must take exactly one of the offered keys", 500)
    if audio.uses_ice and not mux_offered:
        raise SdpError("ICE was not offered with rtcp-mux")
    if audio.dtls and audio.cryptos:
        raise SdpError("an answer brings keys of one kind", 500)
    if audio.dtls and audio.setup not in ANSWERS[offered_setup]:
        raise SdpError("DTLS roles do not fit together")


def _mux_offered(offer: SessionDescription, section: MediaSection, *, bundled: bool) -> bool:
    tagged = bundle_tag(offer, section) if bundled else None
    return any(line is not None and line.attr("rtcp-mux") is not None for line in (section, tagged))


def _bundled(offer: SessionDescription, section: MediaSection) -> bool:
    return bundle_tag(offer, section) is not None


def _session_lines(audio: LocalAudio, session_id: int, version: int, bundle: str | None) -> list[str]:
    address = _address(audio.address)
    lines = ["v=0", f"o=- {session_id} {version} {address}", "s=-", f"c={address}", "t=0 0"]
    if bundle is not None:
        lines.append(f"a=group:BUNDLE {bundle}")
    if audio.uses_ice:
        lines.append("a=ice-lite")
    return lines


def _address(host: str) -> str:
    return f"IN {'IP6' if ':' in host else 'IP4'} {host}"


def _audio_lines(audio: LocalAudio, proto: str, mid: str | None) -> list[str]:
    formats = " ".join(str(c.payload_type) for c in audio.codecs)
    lines = [f"m=audio {audio.rtp_port} {proto} {formats}"]
    lines += _codec_lines(audio.codecs)
    if audio.ptime is not None:
        lines.append(f"a=ptime:{audio.ptime}")
    if audio.maxptime is not None:
        lines.append(f"a=maxptime:{audio.maxptime}")
    lines += [f"a=extmap:{extension.to_line()}" for extension in audio.extensions]
    lines.append("a=rtcp-mux" if audio.rtcp_mux else f"a=rtcp:{audio.rtcp_port}")
    if mid is not None:
        lines.append(f"a=mid:{mid}")
    lines += [f"a=crypto:{line.to_line()}" for line in audio.cryptos]
    lines += _dtls_lines(audio) + _ice_lines(audio)
    lines.append(f"a={audio.direction.value}")
    return lines


def _codec_lines(codecs: Sequence[Codec]) -> list[str]:
    lines = []
    for codec in codecs:
        lines.append(f"a=rtpmap:{codec.rtpmap}")
        fmtp = DTMF_EVENTS if codec.key[0] == TELEPHONE_EVENT else codec.portable_fmtp
        if fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {fmtp}")
    return lines


def _dtls_lines(audio: LocalAudio) -> list[str]:
    if audio.fingerprint is None:
        return []
    lines = [f"a=fingerprint:{audio.fingerprint}", f"a=setup:{audio.setup}"]
    return [*lines, f"a=tls-id:{audio.tls_id}"] if audio.tls_id else lines


def _ice_lines(audio: LocalAudio) -> list[str]:
    if not audio.uses_ice:
        return []
    lines = [f"a=ice-ufrag:{audio.ice_ufrag}", f"a=ice-pwd:{audio.ice_pwd}"]
    lines += [_candidate(number, where) for number, where in enumerate(audio.candidates)]
    return [*lines, "a=end-of-candidates"]


def _candidate(number: int, where: HostPort) -> str:
    """A host candidate (RFC 8839 5.1); each has its own foundation, because each has its own address."""
    return f"a=candidate:{number + 1} 1 udp {FIRST_PRIORITY - (number << 8)} {where.host} {where.port} typ host"


def _refused_lines(section: MediaSection, *, with_mid: bool) -> list[str]:
    """Port 0 and one format of the offer's: refused, but still in its place (RFC 3264 6)."""
    first = section.formats[0] if section.formats and is_token(section.formats[0]) else "0"
    mid = read_mid(section) if with_mid else None
    return [f"m={section.media} 0 {section.proto} {first}"] + ([f"a=mid:{mid}"] if mid is not None else [])


def _join(lines: list[str]) -> bytes:
    """CRLF after every line, and a last look for a line break that some value smuggled in.

    Raises:
        SdpError: 500 for a control or non-ASCII character.
    """
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise SdpError("a description of ours is plain text", 500)
    return "".join(line + "\r\n" for line in lines).encode("ascii")
