"""What holds for every input: never an undeclared exception, never a lost line, never a changed m-line."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import EVERY_SUITE, SUITES, CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.values import HostPort, Secret
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import FMTP_NAMES, Codec
from gateway.sdp.description import MAX_MEDIA, SessionDescription
from gateway.sdp.direction import Direction
from gateway.sdp.keying import (
    MAX_LIFETIME,
    MAX_MKI_LENGTH,
    MIN_LIFETIME,
    CryptoAttribute,
    CryptoError,
    Fingerprint,
    Mki,
    read_crypto_lines,
)
from gateway.sdp.media import LocalAudio, RemoteAudio, audio_lines, read_audio
from gateway.sdp.negotiation import check_trunk_answer, common_codecs, payload_map
from tests.effort import examples
from tests.sdp.helpers import CAPTURES, CM_80, GCM_256, browser_audio, crypto, key_text, parse_lines, trunk_audio

quick = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])

ODD_LINES = st.sampled_from(
    [
        "a=rtpmap:", "a=rtpmap:0", "a=rtpmap:0 /", "a=fmtp:", "a=fmtp:300 x", "a=crypto:", "a=crypto:1 a b c",
        f"a=crypto:1 {CM_80} inline:", f"a=crypto:1 {CM_80} inline:{key_text(CM_80, 1)}|", "a=fingerprint:",
        "a=fingerprint: :", "a=fingerprint:sha-256 ", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:",
        "a=rtcp:", "a=rtcp: IN IP4 ", "a=ptime:", "a=mid:", "a=group:", "a=group:BUNDLE", "c=", "c=IN IP4 ",
        "c=IN IP4 0.0.0.0", "c=IN IP6 ::", "m=", "m=audio", "m=audio 1 RTP/AVP", "m=audio 1/2 RTP/SAVP 0 0 x 128",
        "a=", "a=:", "=", "a", "", "k=", "v=0", "b=", "a=sendrecv", "a=inactive", "a=rtcp-mux",
        "\udcff", "a=\udc80\u2028",
    ]
)  # fmt: skip


@st.composite
def mutated_captures(draw: st.DrawFn) -> bytes:
    """A real description with lines taken out, put in, cut or bent."""
    lines = draw(st.sampled_from(CAPTURES)).read_bytes().split(b"\n")
    for _ in range(draw(st.integers(1, 6))):
        where = draw(st.integers(0, max(0, len(lines) - 1)))
        new = draw(ODD_LINES | st.text(max_size=30)).encode("utf-8", "surrogatepass")
        change = draw(st.integers(0, 3))
        if change == 0:
            lines.insert(where, new)
        elif change == 1 and lines:
            lines[where] = new
        elif change == 2 and lines:
            del lines[where]
        elif lines:
            lines[where] = lines[where][: draw(st.integers(0, len(lines[where])))] + new
    return b"\n".join(lines)


def use(data: bytes) -> None:
    """Everything the gateway does with a body from a peer."""
    try:
        desc = SessionDescription.parse(data)
    except SdpError:
        return
    assert bytes(desc) == data
    try:
        lines = audio_lines(desc)
    except SdpError:
        return
    for line in lines:
        use_line(line, desc)


def use_line(line: RemoteAudio, desc: SessionDescription) -> None:
    common_codecs(line.codecs, line.codecs)
    payload_map(line.codecs, line.codecs)
    for local in (trunk_audio(line.proto, (crypto(1, CM_80, 3),)), browser_audio()):
        if line.rtp is not None:
            with contextlib.suppress(SdpError):
                check_trunk_answer(local, line)
        try:
            answer = build_answer(local, desc, audio_index=line.index, session_id=1, version=1)
        except SdpError:
            continue
        assert mirror(SessionDescription.parse(answer)) == mirror(desc)


def mirror(desc: SessionDescription) -> list[tuple[str, str]]:
    return [(m.media.lower(), m.proto) for m in desc.media]


@quick
@given(st.binary(max_size=400))
def test_any_bytes_give_a_description_or_our_error(data: bytes) -> None:
    use(data)
    use(b"v=0\r\n" + data)


@quick
@given(mutated_captures())
def test_any_bent_capture_gives_a_description_or_our_error(data: bytes) -> None:
    use(data)


@quick
@given(st.text(max_size=120))
def test_any_attribute_text_gives_a_value_or_our_error(text: str) -> None:
    for parse in (CryptoAttribute.parse, Fingerprint.parse):
        try:
            parse(text)
        except SdpError:
            continue
    read_crypto_lines([text, f"1 {text}", f"1 {CM_80} {text}", f"1 {CM_80} inline:{text}"])


@quick
@given(st.sampled_from(EVERY_SUITE), st.binary(max_size=70), st.integers(0, 999_999_999), st.booleans())
def test_a_crypto_line_is_usable_exactly_when_its_key_has_the_suites_length(
    suite: object, key: bytes, tag: int, strip: bool
) -> None:
    name, length = suite.name, suite.master_length  # type: ignore[attr-defined]
    text = CryptoAttribute(tag, name, Secret(key)).to_line()
    if strip:
        text = text.rstrip("=")
    if len(key) == length:
        assert CryptoAttribute.parse(text) == CryptoAttribute(tag, name, Secret(key))
        return
    with pytest.raises(CryptoError):
        CryptoAttribute.parse(text)


LIFETIMES = st.none() | st.integers(MIN_LIFETIME, MAX_LIFETIME)
IDENTIFIERS = st.none() | st.integers(1, MAX_MKI_LENGTH).flatmap(
    lambda length: st.integers(0, (1 << 8 * length) - 1).map(lambda value: Mki(value, length))
)


@quick
@given(st.sampled_from(EVERY_SUITE), LIFETIMES, IDENTIFIERS, st.sampled_from(["", " WSH=64", " UNENCRYPTED_SRTP"]))
def test_a_lifetime_and_a_key_identifier_are_read_as_they_are_written_and_excuse_nothing(
    suite: CryptoSuite, lifetime: int | None, mki: Mki | None, tail: str
) -> None:
    line = CryptoAttribute(1, suite.name, Secret(bytes(suite.master_length)), lifetime, mki=mki)
    if "UNENCRYPTED" in tail:
        with pytest.raises(CryptoError):
            CryptoAttribute.parse(line.to_line() + tail)
        return
    assert CryptoAttribute.parse(line.to_line() + tail) == line
    if mki is not None:
        assert len(mki.octets) == mki.length


TOKENS = st.text("abcdefgh0123-", min_size=1, max_size=8)
PORTS = st.integers(1, 65534)
ADDRESSES = st.sampled_from(["192.0.2.1", "127.0.0.1", "2001:db8::1", "203.0.113.200"])
OPAQUE_CODECS = st.builds(
    Codec,
    st.integers(0, 127).filter(lambda n: n not in range(64, 96)),
    TOKENS.filter(lambda t: t not in FMTP_NAMES and t != "telephone-event"),
    st.sampled_from([8000, 16000, 48000]),
    st.integers(1, 2),
    st.sampled_from(["", "mode=1", "a=1;b=2"]),
)
CODEC_LISTS = st.lists(OPAQUE_CODECS, min_size=1, max_size=6, unique_by=lambda c: c.payload_type).map(tuple)
CRYPTOS = st.lists(st.sampled_from(SUITES), min_size=1, max_size=4).map(
    lambda suites: tuple(crypto(n, s.name, 40 * n) for n, s in enumerate(suites, 1))
)


@st.composite
def local_trunks(draw: st.DrawFn) -> LocalAudio:
    proto = draw(st.sampled_from([Proto.AVP, Proto.AVPF, Proto.SAVP, Proto.SAVPF]))
    return LocalAudio(
        proto,
        draw(ADDRESSES),
        draw(PORTS),
        draw(PORTS),
        draw(st.booleans()),
        draw(CODEC_LISTS),
        draw(st.sampled_from(list(Direction))),
        draw(CRYPTOS if proto.keyed else CRYPTOS | st.just(())),
        ptime=draw(st.none() | st.integers(1, 200)),
    )


@st.composite
def local_browsers(draw: st.DrawFn) -> LocalAudio:
    return replace(
        browser_audio(draw(st.sampled_from([Setup.ACTPASS, Setup.ACTIVE, Setup.PASSIVE]))),
        proto=draw(st.sampled_from([Proto.DTLS_SAVP, Proto.DTLS_SAVPF])),
        codecs=draw(CODEC_LISTS),
        direction=draw(st.sampled_from(list(Direction))),
        fingerprint=Fingerprint("sha-256", draw(st.binary(min_size=32, max_size=32))),
        ice_ufrag=draw(st.text("abcXYZ019+/", min_size=4, max_size=32)),
        ice_pwd=draw(st.text("abcXYZ019+/", min_size=22, max_size=64)),
        candidates=tuple(draw(st.lists(st.builds(HostPort, ADDRESSES, PORTS), min_size=1, max_size=4))),
        mid=draw(TOKENS),
    )


@quick
@given(local_trunks() | local_browsers(), st.integers(0, 2**62), st.integers(0, 2**31))
def test_a_built_offer_reads_back_as_the_facts_it_was_built_from(local: LocalAudio, session: int, version: int) -> None:
    desc = SessionDescription.parse(build_offer(local, session_id=session, version=version))
    assert f"- {session} {version} IN" in bytes(desc).decode()
    read = read_audio(desc)
    assert read.proto is local.proto
    assert read.rtp == HostPort(local.address, local.rtp_port)
    assert read.rtcp_mux is local.rtcp_mux
    assert local.rtcp_mux or read.rtcp == HostPort(local.address, local.rtcp_port)
    assert read.codecs == local.codecs
    assert read.direction is local.direction
    assert read.cryptos == local.cryptos
    assert read.crypto_problems == ()
    assert read.fingerprints == ((local.fingerprint,) if local.fingerprint else ())
    assert read.setup is local.setup
    assert (read.mid, read.ptime) == (local.mid, local.ptime)
    assert read_ice(read) == (local.ice_ufrag, local.ice_pwd, local.uses_ice, len(local.candidates))


def read_ice(read: RemoteAudio) -> tuple[str, str, bool, int]:
    return (read.ice.ufrag, read.ice.pwd, read.ice.lite, read.ice.candidates) if read.ice else ("", "", False, 0)


OTHER_LINES = st.sampled_from(
    ["m=video 5000 UDP/TLS/RTP/SAVPF 96", "m=image 4000 udptl t38", "m=audio 0 RTP/AVP 0", "m=application 9 TCP/MSRP *",
     "m=audio 6000 RTP/SAVP 0", "m=text 7000 RTP/AVP 98", "m=audio 6000 RTP/AVP"]
)  # fmt: skip


@quick
@given(st.lists(OTHER_LINES, max_size=MAX_MEDIA - 1), st.integers(0, MAX_MEDIA - 1), local_trunks(), st.booleans())
def test_every_built_answer_mirrors_the_media_lines_of_the_offer(
    others: list[str], place: int, local: LocalAudio, offered_mux: bool
) -> None:
    place = min(place, len(others))
    key = local.cryptos[:1]
    audio = [f"m=audio 4000 {local.proto} 0", *(f"a=crypto:{c.to_line()}" for c in key)]
    audio += ["a=rtcp-mux"] if offered_mux else []
    offer = parse_lines("v=0", "c=IN IP4 192.0.2.9", *others[:place], *audio, *others[place:])
    local = replace(local, cryptos=tuple(c.with_key(crypto(1, c.suite, 199).key) for c in key))
    answer = SessionDescription.parse(build_answer(local, offer, audio_index=place, session_id=1, version=1))
    assert mirror(answer) == mirror(offer)
    assert [m.port != 0 for m in answer.media] == [n == place for n in range(len(offer.media))]
    read = read_audio(answer, index=place)
    assert read.rtcp_mux is (local.rtcp_mux and offered_mux)
    assert read.cryptos == local.cryptos
    assert read.codecs == local.codecs


@quick
@given(local_trunks(), st.data())
def test_whoever_takes_one_of_our_keys_agrees_with_us_on_suite_and_tag(local: LocalAudio, data: st.DataObject) -> None:
    """Both sides built by this module: the offerer reads exactly the agreement the answerer meant."""
    if not local.cryptos:
        return
    offer = SessionDescription.parse(build_offer(local, session_id=1, version=1))
    chosen = data.draw(st.sampled_from(read_audio(offer).cryptos))
    ours = chosen.with_key(crypto(1, chosen.suite, 250).key)
    taking = replace(local, address="192.0.2.77", cryptos=(ours,))
    body = build_answer(taking, offer, audio_index=0, session_id=2, version=1)
    agreed = check_trunk_answer(local, read_audio(SessionDescription.parse(body)))
    assert (agreed.keying, agreed.problem) == (Keying.SDES, None)
    assert agreed.local is not None
    assert agreed.remote == ours
    assert (agreed.local.tag, agreed.local.suite) == (chosen.tag, chosen.suite)


@quick
@given(CODEC_LISTS, CODEC_LISTS)
def test_common_codecs_can_always_be_mapped_both_ways(a: tuple[Codec, ...], b: tuple[Codec, ...]) -> None:
    shared = common_codecs(a, b)
    there, back = payload_map(shared, b), payload_map(b, shared)
    for codec in shared:
        assert codec.payload_type in there
        assert there[codec.payload_type] in back


def test_the_suites_the_properties_draw_from_are_all_there() -> None:
    assert {s.name for s in SUITES} >= {CM_80, GCM_256}
