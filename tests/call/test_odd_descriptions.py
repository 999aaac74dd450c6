"""Descriptions as devices write them, not as the grammar does: what is tolerated, and what stays refused."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import SetPeer
from gateway.sdp.description import SessionDescription
from tests.call.machine_scene import MachineScene, answer, browser_answer, sdes_answer, trunk_flow, vector
from tests.call.test_field_sdp import said
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
ODD_KEYS = [
    f"a=crypto:{tag} {suite} inline:{'C' * length}"
    for tag, (suite, length) in enumerate(
        [
            ("AES_CM_192_HMAC_SHA1_80", 51),
            ("AES_256_CM_HMAC_SHA1_32", 62),
            ("AES_192_CM_HMAC_SHA1_80", 51),
            ("F8_128_HMAC_SHA1_80", 40),
            ("ARIA_128_CTR_HMAC_SHA1_80", 40),
            ("SEED_CTR_128_HMAC_SHA1_80", 40),
            ("NULL_HMAC_SHA1_80", 40),
            ("AES_CM_128_HMAC_SHA1_32", 40),
        ],
        start=21,
    )
]


def from_trunk(body: bytes, profile: Profile = Profile.STRICT) -> MachineScene:
    """A call of a trunk with this offer, answered by a browser."""
    flow = trunk_flow() if profile is Profile.STRICT else trunk_flow("udp")
    scene = MachineScene(profile=profile, outbound=False, offer=body, flow=flow).calling()
    return scene if finished(scene) else scene.reply(200, browser_answer(scene.invite.body))


def from_browser(body: bytes) -> MachineScene:
    """A call of a browser with this offer, answered by a plain phone."""
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), offer=body).calling()
    return scene if finished(scene) else scene.reply(200, answer())


def ports(scene: MachineScene) -> list[int]:
    """Ports of our answer, line by line."""
    return [section.port for section in SessionDescription.parse(scene.responses[-1].body).media]


def edited(offer: bytes, *changes: tuple[str, str]) -> bytes:
    """The offer with each text replaced; every one must be there."""
    text = offer.decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()


BLANKS = {
    "blanks": (b"\r\n", b" \r\n"),
    "tabs": (b"\r\n", b"\t\t\r\n"),
    "line feeds": (b"\r\n", b"\n"),
    "blanks before line feeds": (b"\r\n", b"  \n"),
    "two carriage returns": (b"\r\n", b"\r\r\n"),
    "empty lines": (b"\r\n", b"\r\n\r\n"),
    "empty lines with blanks": (b"\r\n", b"\r\n \r\n"),
}


@pytest.mark.parametrize(("old", "new"), BLANKS.values(), ids=BLANKS)
def test_blanks_and_empty_lines_change_nothing_in_a_trunks_offer(old: bytes, new: bytes) -> None:
    scene = from_trunk(answer("RTP/SAVP", KEY).replace(old, new))
    assert scene.responses[-1].status == 200
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" in scene.responses[-1].body
    assert scene.relay(SetPeer).keyed


@pytest.mark.parametrize(("old", "new"), BLANKS.values(), ids=BLANKS)
def test_blanks_and_empty_lines_change_nothing_in_a_browsers_offer_or_a_trunks_answer(old: bytes, new: bytes) -> None:
    scene = MachineScene(offer=OFFER.replace(old, new)).calling()
    scene.reply(200, sdes_answer(scene.invite.body).replace(old, new))
    assert scene.responses[-1].status == 200
    assert scene.relay(SetPeer).keyed


@pytest.mark.parametrize("colon", [b": ", b" :", b" : ", b":\t"])
def test_blanks_around_the_colon_of_an_attribute_change_nothing(colon: bytes) -> None:
    """Above all a key is not overlooked."""
    offer = answer("RTP/SAVP", KEY)
    for name in (b"a=crypto:", b"a=rtpmap:"):
        offer = offer.replace(name, name[:-1] + colon)
    scene = from_trunk(offer)
    assert scene.responses[-1].status == 200
    assert scene.relay(SetPeer).keyed


@pytest.mark.parametrize("head", [b"\r\n", b"\r\n\r\n", b" \n"])
@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\0\r\n", b"\r\n\0\xde\xad junk", b"\r\n\r\n"])
def test_what_stands_around_a_description_is_not_read(head: bytes, tail: bytes) -> None:
    assert from_trunk(head + answer("RTP/SAVP", KEY) + tail).responses[-1].status == 200


def test_lines_behind_a_nul_are_refused_rather_than_lost() -> None:
    """Half of an offer must not be taken for all of it: the half with the key may be the other one."""
    scene = from_trunk(answer() + b"\0\r\n" + KEY.encode() + b"\r\n", Profile.LEGACY)
    assert finished(scene) is Termination.BAD_SDP


@pytest.mark.parametrize("line", ["k=prompt", "k=clear:secret", "k=base64:c2VjcmV0", "k="])
def test_a_key_line_of_old_is_discarded_and_never_used(line: str) -> None:
    """RFC 8866 5.12."""
    scene = from_trunk(answer("RTP/AVP", line), Profile.LEGACY)
    assert scene.responses[-1].status == 200
    assert not scene.relay(SetPeer).keyed
    assert b"k=" not in scene.responses[-1].body
    assert finished(from_trunk(answer("RTP/SAVP", line))) is Termination.ENCRYPTION_IGNORED


@pytest.mark.parametrize("place", [0, 3, 7, 8])
def test_the_usable_key_is_found_wherever_it_stands(place: int) -> None:
    lines = [*ODD_KEYS[:place], KEY, *ODD_KEYS[place:]]
    scene = from_trunk(answer("RTP/SAVP", *lines))
    assert scene.responses[-1].status == 200
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80" in scene.responses[-1].body


def test_the_usable_key_is_found_behind_a_hundred_others() -> None:
    many = [f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_32 inline:{'D' * 40}" for tag in range(100, 200)]
    assert from_trunk(answer("RTP/SAVP", *many, KEY)).responses[-1].status == 200


@pytest.mark.parametrize("before", [0, 1, 12, 40])
def test_the_one_audio_line_is_answered_among_many_others(before: int) -> None:
    video = b"m=video 5000 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=content:slides\r\n"
    offer = answer("RTP/SAVP", KEY)
    at = offer.index(b"m=audio")
    scene = from_trunk(offer[:at] + video * before + offer[at:] + video * 3)
    assert ports(scene) == [0] * before + [20000] + [0] * 3


@pytest.mark.parametrize("videos", [1, 2, 5])
def test_a_browser_that_could_do_video_is_answered_with_audio(videos: int) -> None:
    """290 attributes for each video."""
    codecs = "".join(
        f"a=rtpmap:{96 + n % 30} VP{n}/90000\r\n" + f"a=rtcp-fb:{96 + n % 30} nack\r\n" * 6 for n in range(40)
    )
    video = "".join(
        f"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:v{n}\r\n{codecs}" for n in range(videos)
    )
    scene = from_browser(OFFER + video.encode())
    assert ports(scene) == [10000] + [0] * videos


@pytest.mark.parametrize(
    "lines",
    [
        ["s=", "i=", "u=", "e=", "p=", "t=0 0", "b=CT:1", "a=direction:both"],
        ["s= ", "b=X-YZ:128", "t=3034423619 3042462419", "r=7d 1h 0 25h", "z=2882844526 -1h", "a=charset:ISO-8859-1"],
        ["a=charset:UTF-8", "a=tool:x", "t=0 0", "b=AS:80", "s=a b c ?"],
    ],
)
def test_session_lines_that_decide_nothing_may_be_as_they_like(lines: list[str]) -> None:
    origin = "o=user@host with blanks? 00000000000000000000000000042960157160000 18446744073709551616 IN IP4 pbx"
    media = answer("RTP/SAVP", KEY)
    head = "\r\n".join(["v=0", origin, *lines, "c=IN IP4 127.0.0.2/127"]) + "\r\n"
    assert from_trunk(head.encode() + media[media.index(b"m=audio") :]).responses[-1].status == 200


OPUS = "m=audio 4002 RTP/AVP 107 101\r\na=rtpmap:107 {}\r\na=rtpmap:101 telephone-event/8000"


@pytest.mark.parametrize("name", ["opus/48000", "opus/48000/1", "OPUS/48000", "opus/48000/2", "Opus/48000 "])
def test_opus_is_opus_however_many_channels_are_written(name: str) -> None:
    """RFC 7587 7: always two in SDP."""
    offer = answer().decode()
    scene = from_trunk((offer[: offer.index("m=")] + OPUS.format(name) + "\r\n").encode(), Profile.LEGACY)
    assert scene.responses[-1].status == 200
    assert b"opus/48000/2" in scene.responses[-1].body.lower()


@pytest.mark.parametrize("proto", ["RTP/SAVPF", "RTP/SAVP", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "rtp/savpf"])
def test_a_fingerprint_makes_dtls_srtp_of_every_profile_that_demands_srtp(proto: str) -> None:
    """RFC 8829 5.1.2; the answer repeats the profile."""
    scene = from_browser(edited(OFFER, ("UDP/TLS/RTP/SAVPF", proto)))
    body = scene.responses[-1].body
    assert scene.responses[-1].status == 200
    assert f"m=audio 10000 {proto} ".encode() in body
    assert b"a=fingerprint:sha-256" in body
    assert b"a=setup:passive" in body
    assert b"a=crypto" not in body
    assert scene.take(fx.StartDtls)


@pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/AVPF", "RTP/SAVPG", "UDP/RTP/SAVPF"])
def test_a_profile_that_does_not_demand_srtp_stays_refused_towards_a_browser(proto: str) -> None:
    scene = from_browser(edited(OFFER, ("UDP/TLS/RTP/SAVPF", proto)))
    assert scene.responses[-1].status == 488
    if proto.startswith("RTP/AVP"):
        assert finished(scene) is Termination.BROWSER_OFFER_INSECURE
        assert "brw.sdes_or_avp" in said(scene)


@pytest.mark.parametrize("extra", [KEY, ""])
def test_a_secure_profile_without_a_fingerprint_stays_refused_towards_a_browser(extra: str) -> None:
    lines = [line for line in OFFER.decode().splitlines() if not line.startswith("a=fingerprint")]
    body = "\r\n".join([*lines, extra] if extra else lines) + "\r\n"
    scene = from_browser(edited(body.encode(), ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")))
    assert finished(scene) is Termination.BROWSER_OFFER_INSECURE


VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\n{}a=rtpmap:96 VP8/90000\r\n"


def bundled(group: str, *, own: bool, port: int = 0, only: bool = True, video_first: bool = True) -> bytes:
    """A browser's offer of video and audio in one bundle; `own`: the audio repeats the transport."""
    text = OFFER.decode()
    at = text.index("m=audio")
    mid = next(line for line in text.splitlines() if line.startswith("a=mid:")).partition(":")[2]
    names = ("a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup", "a=rtcp-mux\r\n")
    transport = [line for line in text[at:].splitlines(keepends=True) if line.startswith(names)]
    audio = [line for line in text[at:].splitlines(keepends=True) if own or not line.startswith(names)]
    fields = audio[0].split(" ")
    audio[0] = " ".join([fields[0], str(port), *fields[2:]])
    lines = "".join(audio) + ("a=bundle-only\r\n" if only else "")
    video = VIDEO.format("".join(transport))
    head = [line for line in text[:at].splitlines() if not line.startswith("a=group")]
    session = "\r\n".join([*head, "a=group:" + group.format(mid)]) + "\r\n"
    return (session + (video + lines if video_first else lines + video)).encode()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("port", "only"), [(0, True), (9, False), (9, True)])
def test_audio_that_leaves_its_transport_to_the_bundle_is_answered(own: bool, port: int, only: bool) -> None:
    """RFC 9143 6: port 0 with bundle-only is no refusal; 7.1.3: the group's first line has the transport."""
    scene = from_browser(bundled("BUNDLE v {}", own=own, port=port, only=only))
    assert scene.responses[-1].status == 200
    assert ports(scene) == [0, 10000]
    body = scene.responses[-1].body
    assert b"a=bundle-only" not in body
    assert b"a=rtcp-mux" in body
    assert body.count(b"a=group:BUNDLE") == 1
    assert b"a=group:BUNDLE v" not in body


def test_video_that_is_bundled_behind_the_audio_is_refused_alone() -> None:
    offer = bundled("BUNDLE {} v", own=True, port=9, only=False, video_first=False).replace(b"m=video 9", b"m=video 0")
    assert ports(from_browser(offer)) == [10000, 0]


@pytest.mark.parametrize("group", ["BUNDLE v", "LS v {}", "BUNDLE"])
def test_port_0_outside_of_a_bundle_is_a_refused_line(group: str) -> None:
    """RFC 9143 6: bundle-only means nothing there."""
    assert from_browser(bundled(group, own=True)).responses[-1].status == 488


def test_port_0_without_bundle_only_is_a_refused_line() -> None:
    assert from_browser(bundled("BUNDLE v {}", own=True, only=False)).responses[-1].status == 488


def test_a_bundle_whose_first_line_has_no_transport_has_none() -> None:
    offer = bundled("BUNDLE v {}", own=False).replace(b"m=video 9", b"m=video 0")
    assert from_browser(offer).responses[-1].status == 488


@pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/SAVP"])
def test_a_key_that_more_than_one_line_could_not_name_is_told_from_a_missing_one(proto: str) -> None:
    """Two keys in one line, of which the packets would tell: refused or in clear by policy, and the log says why."""
    offer = answer(proto, f"{KEY}|2^31|1:1;inline:{'C' * 40}|2^31|2:1")
    strict = from_trunk(offer)
    assert strict.responses[-1].status == 488
    assert "key.mki" in said(strict)
    legacy = from_trunk(offer, Profile.LEGACY)
    assert (legacy.responses[-1].status == 200) is (proto == "RTP/AVP")
    assert "key.mki" in said(legacy)


OPUS_ANSWER = (
    answer().replace(b"RTP/AVP 0 101", b"RTP/AVP 96 101").replace(b"a=rtpmap:0 PCMU/8000", b"a=rtpmap:96 opus/48000/2")
)
WITHOUT_8000 = edited(OFFER, (" 126", ""), ("a=rtpmap:126 telephone-event/8000\r\n", ""))


WITHOUT_48000 = edited(OFFER, (" 110", ""), ("a=rtpmap:110 telephone-event/48000\r\n", ""))


@pytest.mark.parametrize(
    ("offer", "events", "rate"), [(OFFER, "110", 48000), (WITHOUT_8000, "110", 48000), (WITHOUT_48000, "126", 8000)]
)
def test_digits_pass_when_opus_was_chosen_and_the_trunk_has_events_at_8000_only(
    offer: bytes, events: str, rate: int
) -> None:
    """RFC 4733 2.1 wants one clock; trunks that bridge to telephones have another for their digits."""
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), offer=offer).calling()
    if offer is not WITHOUT_8000:
        assert b"telephone-event/8000" in scene.invite.body
    scene.reply(200, OPUS_ANSWER)
    line = next(x for x in scene.responses[-1].body.decode().splitlines() if x.startswith("m=audio"))
    assert line.split()[3:] == ["111", events]
    heard, played = scene.keypads(LegKind.TRUNK, LegKind.BROWSER)
    assert heard[101] == 8000
    assert played == {int(events): rate}
    heard, played = scene.keypads(LegKind.BROWSER, LegKind.TRUNK)
    assert heard[int(events)] == rate
    assert played == {101: 8000}


@pytest.mark.parametrize(("said", "passed"), [("20", "20"), (" 30 ", "30"), ("20.0", "20"), ("0", None), ("x", None)])
def test_the_length_of_packets_a_side_asks_for_is_asked_of_the_other(said: str, passed: str | None) -> None:
    """RFC 8866 6.4: packets are passed on as they come, so only their sender can heed it."""
    asked = f"a=ptime:{said}\r\na=maxptime:60\r\n".encode()
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), offer=OFFER + asked).calling()
    scene.reply(200, answer("RTP/AVP", "a=ptime:40", "a=maxptime:120"))
    lines = scene.invite.body.decode().splitlines()
    assert ([x for x in lines if x.startswith("a=ptime")] == [f"a=ptime:{passed}"]) is (passed is not None)
    assert "a=maxptime:60" in lines
    ours = scene.responses[-1].body.decode().splitlines()
    assert {"a=ptime:40", "a=maxptime:120"} <= set(ours)


def test_a_trunk_that_calls_hears_what_the_browser_asked_for() -> None:
    scene = MachineScene(
        profile=Profile.LEGACY, outbound=False, offer=answer("RTP/AVP", "a=ptime:30"), flow=trunk_flow("udp")
    )
    scene.calling()
    assert b"a=ptime:30\r\n" in scene.invite.body
    scene.reply(200, browser_answer(scene.invite.body).replace(b"a=ptime:30", b"a=ptime:10"))
    assert b"a=ptime:10\r\n" in scene.responses[-1].body
