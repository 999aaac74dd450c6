"""The audio of a description as facts: what a remote peer says, and what we say (RFC 3264, RFC 8866)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup, is_protected
from gateway.base.values import HostPort
from gateway.sdp.codecs import Codec, read_codecs
from gateway.sdp.description import (
    MediaSection,
    SessionDescription,
    is_address,
    is_token,
    optional_uint,
    parse_connection,
)
from gateway.sdp.direction import Direction
from gateway.sdp.extension import HeaderExtension, read_extensions
from gateway.sdp.keying import CryptoAttribute, Fingerprint, read_crypto_lines, read_fingerprints, read_tls_id

MAX_CANDIDATES = 32
"""Counted and otherwise ignored: an ICE-lite agent learns its peer from checks, not from candidates."""
MAX_PTIME = 240
"""Milliseconds in one packet: what mobile networks write; more than this is a typing mistake."""
ICE_UFRAG_LENGTHS = range(4, 257)
ICE_PWD_LENGTHS = range(22, 257)
"""RFC 8839 5.4."""


_DIRECTIONS = frozenset(d.value for d in Direction)


@dataclass(frozen=True, slots=True)
class IceParameters:
    """The peer's ICE credentials (RFC 8839 5.4)."""

    ufrag: str
    pwd: str = field(repr=False)
    lite: bool = False
    candidates: int = 0
    """How many were listed, at most `MAX_CANDIDATES`."""

    def restarts(self, before: IceParameters | None) -> bool:
        """Whether these begin ICE anew: another name or another password (RFC 8839 4.4.1.1.1)."""
        return before is not None and (before.ufrag, before.pwd) != (self.ufrag, self.pwd)


@dataclass(frozen=True, slots=True)
class RemoteAudio:
    """What a peer's description says about one audio m-line."""

    index: int
    proto: Proto
    rtp: HostPort | None
    """None when the port is 0: the stream is refused. The host may be a name or unspecified; it is not judged here."""
    rtcp: HostPort | None
    rtcp_mux: bool
    direction: Direction
    codecs: tuple[Codec, ...]
    cryptos: tuple[CryptoAttribute, ...]
    crypto_problems: tuple[Code, ...]
    """Codes of crypto lines that were left out; they say nothing about the ones in `cryptos`."""
    fingerprints: tuple[Fingerprint, ...]
    setup: Setup | None
    ice: IceParameters | None
    ptime: int | None
    mid: str | None
    unprotected_crypto: bool
    """Keys offered without demanding them: RTP/AVP with a usable a=crypto (RFC 8643)."""
    crypto_lines: int = 0
    """All a=crypto lines, usable or not."""
    maxptime: int | None = None
    """Milliseconds the longest packet may have, when that is said (RFC 8866 6.4)."""
    extensions: tuple[HeaderExtension, ...] = ()
    tls_id: str = ""
    """What the peer calls its DTLS association (RFC 8842 4)."""
    refused_fingerprints: tuple[Fingerprint, ...] = ()
    """Those that policy believes no certificate by."""

    def offers(self, way: Keying) -> bool:
        """Whether this line can be agreed to with keys of this kind."""
        if way is Keying.DTLS:
            return self.proto.is_udp and any(f.usable for f in self.fingerprints)
        return way is Keying.SDES and bool(self.cryptos) and not self.proto.dtls

    @property
    def has_keys(self) -> bool:
        """True when this line can be agreed to with protected media."""
        return self.offers(Keying.SDES) or self.offers(Keying.DTLS)

    @property
    def means_dtls(self) -> bool:
        """True when it speaks of DTLS at all, be its fingerprints of use or not."""
        return self.proto.dtls or bool(self.fingerprints or self.refused_fingerprints)


def believed(line: RemoteAudio, hashes: frozenset[str]) -> RemoteAudio:
    """The line without the fingerprints by hashes that policy believes no certificate by."""
    kept = tuple(one for one in line.fingerprints if one.usable and one.algorithm in hashes)
    refused = tuple(one for one in line.fingerprints if one not in kept)
    return replace(line, fingerprints=kept, refused_fingerprints=refused) if refused else line


def restricted(line: RemoteAudio, shortfall: Callable[[CryptoSuite], Code | None]) -> RemoteAudio:
    """The line without the keys of suites that may not be used; the code of each is among its problems."""
    reasons = {key: shortfall(key.crypto_suite) for key in line.cryptos}
    if not any(reasons.values()):
        return line
    usable = tuple(key for key, reason in reasons.items() if reason is None)
    problems = dict.fromkeys((*line.crypto_problems, *(reason for reason in reasons.values() if reason is not None)))
    return replace(
        line,
        cryptos=usable,
        crypto_problems=tuple(problems),
        unprotected_crypto=line.unprotected_crypto and bool(usable),
    )


def audio_lines(desc: SessionDescription) -> list[RemoteAudio]:
    """Every audio m-line with a known transport, refused ones (port 0) included.

    Raises:
        SdpError: a connection line is missing or malformed.
    """
    return [_read(desc, s) for s in desc.media if _is_audio(s)]


def plain_streams(description: SessionDescription, audio_index: int) -> frozenset[int]:
    """Lines that want an unprotected stream, less the audio line that is answered."""
    return frozenset(
        section.index
        for section in description.media
        if section.port != 0 and section.index != audio_index and not is_protected(section.proto)
    )


def read_audio(desc: SessionDescription, *, index: int | None = None) -> RemoteAudio:
    """A browser's first audio m-line that is not refused, or the one at `index` whatever its port.

    Browsers bundle: a line of a group may leave its transport to the group's first line, port included when it is
    `bundle-only` (RFC 9143 6, 7.1.3).

    Raises:
        SdpError: 488 when there is none, 400 when its connection line is malformed.
    """
    for section in desc.media:
        tagged = bundle_tag(desc, section)
        if _is_audio(section) and (_is_live(section, tagged) if index is None else section.index == index):
            return _read(desc, section, tagged)
    raise SdpError("no audio")


def _is_live(section: MediaSection, tagged: MediaSection | None) -> bool:
    return section.port != 0 or _is_bundle_only(section, tagged)


def _is_bundle_only(section: MediaSection, tagged: MediaSection | None) -> bool:
    """Whether port 0 only means that the line has no transport of its own; outside a group the attribute is void."""
    return tagged is not None and tagged is not section and tagged.port != 0 and section.attr("bundle-only") is not None


def bundle_tag(desc: SessionDescription, section: MediaSection) -> MediaSection | None:
    """The line whose transport this one shares: the first of its BUNDLE group (RFC 9143 7.1.2), perhaps itself."""
    mid = read_mid(section)
    for group in desc.attrs("group"):
        semantics, *mids = group.split() or [""]  # a group that says nothing is no BUNDLE
        if mid is not None and semantics.upper() == "BUNDLE" and mid in mids:
            return next((other for other in desc.media if read_mid(other) == mids[0]), None)
    return None


def strongest(lines: Sequence[RemoteAudio], ways: Sequence[Keying] = (Keying.SDES, Keying.DTLS)) -> RemoteAudio:
    """The line to answer in a dual offer: demanded protection, then offered protection, then none (RFC 8643 3.1).

    A line that demands SRTP but brings no usable key cannot be agreed to, so it comes last. Of equal ones that with the
    preferred kind of keys comes first.

    Args:
        ways: the kinds of keys that are of use, the preferred one first.

    Raises:
        SdpError: every line is refused.
    """
    live = [line for line in lines if line.rtp is not None]
    if not live:
        raise SdpError("no audio")
    return max(live, key=lambda line: (*_strength(line, ways), -line.index))


def _strength(line: RemoteAudio, ways: Sequence[Keying]) -> tuple[int, int]:
    rank = next((number for number, way in enumerate(ways) if line.offers(way)), None)
    if rank is not None:
        return 3 if line.proto.keyed else 2, -rank
    return 0 if line.proto.keyed else 1, 0


def _is_audio(section: MediaSection) -> bool:
    return section.media.lower() == "audio" and Proto.of(section.proto) is not None


def _read(desc: SessionDescription, section: MediaSection, tagged: MediaSection | None = None) -> RemoteAudio:
    """One line, with the transport of the `tagged` one where it has none of its own."""
    proto = Proto.of(section.proto) or Proto.AVP
    crypto = read_crypto_lines(section.attrs("crypto"))
    transport = section if tagged is None or section.attr("ice-ufrag") is not None else tagged
    rtp = _read_rtp(desc, tagged if tagged is not None and _is_bundle_only(section, tagged) else section)
    return RemoteAudio(
        index=section.index,
        proto=proto,
        rtp=rtp,
        rtcp=_read_rtcp(section, rtp) if rtp else None,
        rtcp_mux=section.attr("rtcp-mux") is not None or transport.attr("rtcp-mux") is not None,
        direction=read_direction(desc, section),
        codecs=read_codecs(section),
        cryptos=crypto.usable,
        crypto_problems=crypto.problems,
        fingerprints=_read_fingerprints(desc, section, transport),
        setup=read_setup(desc, section),
        ice=_read_ice(desc, transport),
        ptime=_read_ptime(section, "ptime"),
        maxptime=_read_ptime(section, "maxptime"),
        extensions=read_extensions(desc, section),
        mid=read_mid(section),
        unprotected_crypto=not proto.keyed and bool(crypto.usable),
        crypto_lines=crypto.count,
        tls_id=read_tls_id(section.attr("tls-id")),
    )


def _read_fingerprints(
    desc: SessionDescription, section: MediaSection, transport: MediaSection
) -> tuple[Fingerprint, ...]:
    return read_fingerprints(section.attrs("fingerprint") or desc.effective_attrs(transport, "fingerprint"))


def _read_ptime(section: MediaSection, name: str) -> int | None:
    """Milliseconds; some write fractions, which do not matter (RFC 8866 6.4)."""
    return optional_uint((section.attr(name) or "").partition(".")[0], MAX_PTIME) or None


def _read_rtp(desc: SessionDescription, section: MediaSection) -> HostPort | None:
    if section.port == 0:
        return None
    host = desc.connection(section)
    if host is None:
        raise SdpError("no connection address", 400)
    return HostPort(host, section.port)


def _read_rtcp(section: MediaSection, rtp: HostPort) -> HostPort | None:
    """Where RTCP goes without mux: `a=rtcp` (RFC 3605), else the port above RTP's (RFC 3550 11)."""
    fields = (section.attr("rtcp") or "").split(" ")
    port = optional_uint(fields[0], 65535) or rtp.port + 1
    host = parse_connection(" ".join(fields[1:])) if len(fields) == 4 and is_address(fields[3]) else rtp.host
    return HostPort(host, port) if port <= 65535 else None


def read_direction(desc: SessionDescription, section: MediaSection) -> Direction:
    """Media-level direction, else session-level, else sendrecv; an unspecified `c=` without ICE is the old hold.

    RFC 3264 8.4 keeps the RFC 2543 hold: the peer takes nothing while its address is 0.0.0.0. With ICE the same
    address only means that no default candidate is known yet (RFC 8839 4.2.1).
    """
    said = _said_direction(section) or _said_direction(desc) or Direction.SENDRECV
    tagged = bundle_tag(desc, section)
    if section.port != 0 and _read_ice(desc, tagged or section) is None and _is_unspecified(desc.connection(section)):
        return Direction.make(sends=said.sends, receives=False)
    return said


def _said_direction(level: MediaSection | SessionDescription) -> Direction | None:
    """The first one of that level."""
    return next(
        (Direction(name) for name, values in level.attributes.items() if name in _DIRECTIONS and "" in values), None
    )


def _is_unspecified(host: str | None) -> bool:
    try:
        return host is not None and ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def read_setup(desc: SessionDescription, section: MediaSection) -> Setup | None:
    """The DTLS role, media-level first, then of the bundle, then session-level (RFC 5763 5); None: absent, unknown."""
    tagged = bundle_tag(desc, section)
    text = (section.attr("setup") or desc.effective_attr(tagged or section, "setup") or "").lower()
    return next((s for s in Setup if s.value == text), None)


def _read_ice(desc: SessionDescription, section: MediaSection) -> IceParameters | None:
    """Both credentials of one level; half a pair is no ICE."""
    level: MediaSection | SessionDescription = section if section.attr("ice-ufrag") is not None else desc
    ufrag, pwd = level.attr("ice-ufrag") or "", level.attr("ice-pwd") or ""
    if not (_is_ice_text(ufrag, ICE_UFRAG_LENGTHS) and _is_ice_text(pwd, ICE_PWD_LENGTHS)):
        return None
    count = min(len(section.attrs("candidate")), MAX_CANDIDATES)
    return IceParameters(ufrag, pwd, desc.attr("ice-lite") is not None, count)


def _is_ice_text(text: str, lengths: range) -> bool:
    return len(text) in lengths and text.isascii() and all(c.isalnum() or c in "+/" for c in text)


def read_mid(section: MediaSection) -> str | None:
    """The section's `a=mid` when it is a token (RFC 5888 4)."""
    mid = section.attr("mid")
    return mid if mid is not None and is_token(mid) else None


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """What we say about our audio; `build` writes it and nothing else."""

    proto: Proto
    address: str
    rtp_port: int
    rtcp_port: int
    """Ignored when rtcp_mux."""
    rtcp_mux: bool
    codecs: tuple[Codec, ...]
    direction: Direction = Direction.SENDRECV
    cryptos: tuple[CryptoAttribute, ...] = ()
    fingerprint: Fingerprint | None = None
    setup: Setup | None = None
    tls_id: str = ""
    """What we call our DTLS association; empty: nothing is said of it."""
    ice_ufrag: str = ""
    ice_pwd: str = field(default="", repr=False)
    candidates: tuple[HostPort, ...] = ()
    mid: str | None = None
    ptime: int | None = None
    maxptime: int | None = None
    extensions: tuple[HeaderExtension, ...] = ()

    @property
    def dtls(self) -> bool:
        """True when keys may come from DTLS: a fingerprint alone says so too (RFC 8829 5.1.2, RFC 8643 3.1)."""
        return self.proto.dtls or self.fingerprint is not None

    @property
    def has_keys(self) -> bool:
        """True when it brings keys, of whatever kind."""
        return self.dtls or bool(self.cryptos)

    @property
    def uses_ice(self) -> bool:
        """True when ICE is used, with all that WebRTC wants besides: DTLS, rtcp-mux, a mid, and never an SDES key."""
        return bool(self.candidates or self.ice_ufrag)
