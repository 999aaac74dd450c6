"""The media end of a probe that plays a trunk: what it offers, what it takes, and whose packets it hears."""

from __future__ import annotations

import re

import pytest

from gateway.base.errors import SdpError, TransportError
from gateway.probe.rtp import Offer, RtpEnd
from tests.rig.hosted import until

pytestmark = pytest.mark.asyncio


async def pair(calling: Offer, answering: Offer, *, tones: tuple[float, float] = (1000.0, 700.0)) -> list[RtpEnd]:
    one = await RtpEnd("127.0.0.1", calling, tones[0]).open()
    other = await RtpEnd("127.0.0.1", answering, tones[1]).open()
    return [one, other]


async def agree(one: RtpEnd, other: RtpEnd) -> None:
    one.accept(other.reply(one.describe()))


async def until_heard(*ends: RtpEnd, packets: int = 30) -> None:
    await until(lambda: all(end.received + end.end.refused >= packets for end in ends), "packets")


async def close(*ends: RtpEnd) -> None:
    for end in ends:
        await end.close()


@pytest.mark.parametrize(
    ("calling", "answering", "keying"),
    [
        (Offer.PLAIN, Offer.PLAIN, "plain"),
        (Offer.OSRTP, Offer.OSRTP, "sdes,AEAD_AES_256_GCM"),
        (Offer.OSRTP, Offer.PLAIN, "plain"),
        (Offer.SDES, Offer.SDES, "sdes,AEAD_AES_256_GCM"),
        (Offer.DTLS, Offer.DTLS, "dtls,AEAD_AES_256_GCM"),
    ],
)
async def test_both_ends_hear_each_other_under_what_was_agreed(calling: Offer, answering: Offer, keying: str) -> None:
    ends = await pair(calling, answering)
    await agree(*ends)
    for end in ends:
        await end.keyed()
        end.talk()
    await until_heard(*ends)
    await close(*ends)
    heard = [end.finish() for end in ends]
    assert [end.protection for end in heard] == [keying, keying]
    assert [end.codec for end in heard] == ["PCMU", "PCMU"]
    assert heard[0].heard.is_tone(700.0)
    assert heard[1].heard.is_tone(1000.0)
    assert [end.refused for end in heard] == [0, 0]


async def test_what_is_encrypted_under_another_key_is_counted_and_never_heard() -> None:
    ends = await pair(Offer.SDES, Offer.SDES)
    answer = ends[1].reply(ends[0].describe())
    ends[0].accept(re.sub(rb"inline:.{8}", b"inline:AAAAAAAA", answer))
    ends[1].talk()
    await until_heard(ends[0], packets=5)
    await close(*ends)
    end = ends[0].finish()
    assert end.refused >= 5
    assert not end.heard.is_sound


async def test_an_answer_without_the_key_that_was_demanded_is_refused() -> None:
    ends = await pair(Offer.SDES, Offer.SDES)
    answer = ends[1].reply(ends[0].describe())
    with pytest.raises(SdpError, match="no key"):
        ends[0].accept(re.sub(rb"a=crypto:[^\r]*\r\n", b"", answer))
    await close(*ends)


async def test_a_side_without_pcmu_is_refused() -> None:
    ends = await pair(Offer.PLAIN, Offer.PLAIN)
    offer = ends[0].describe().replace(b"RTP/AVP 0", b"RTP/AVP 18").replace(b"rtpmap:0 PCMU", b"rtpmap:18 G729")
    with pytest.raises(SdpError, match="PCMU"):
        ends[1].reply(offer)
    await close(*ends)


async def test_a_frequency_of_nothing_is_silence() -> None:
    ends = await pair(Offer.PLAIN, Offer.PLAIN, tones=(0.0, 0.0))
    await agree(*ends)
    ends[0].talk()
    await until_heard(ends[1], packets=10)
    await close(*ends)
    assert ends[1].received >= 10
    assert not ends[1].finish().heard.is_sound


@pytest.mark.parametrize("junk", [b"", b"\x80", b"x" * 2000, b"\x80\xc8" + bytes(30), bytes(12)])
async def test_junk_at_the_port_changes_nothing(junk: bytes) -> None:
    (end, other) = await pair(Offer.PLAIN, Offer.PLAIN)
    end.datagram_received(junk, ("127.0.0.1", 9))
    await close(end, other)
    assert not end.finish().heard.is_sound


async def test_an_address_that_is_not_here_is_told() -> None:
    with pytest.raises(TransportError, match=r"192\.0\.2\.1"):
        await RtpEnd("192.0.2.1", Offer.PLAIN, 0.0).open()


@pytest.mark.parametrize("answering", [Offer.PLAIN, Offer.SDES])
async def test_who_is_offered_dtls_and_has_none_is_refused(answering: Offer) -> None:
    ends = await pair(Offer.DTLS, answering)
    with pytest.raises(SdpError):
        ends[0].accept(ends[1].describe())
    await close(*ends)


async def test_a_certificate_that_was_not_announced_brings_no_keys() -> None:
    ends = await pair(Offer.DTLS, Offer.DTLS)
    answer = ends[1].reply(ends[0].describe())
    ends[0].accept(re.sub(rb"a=fingerprint:[^\r]*", b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32), answer))
    with pytest.raises(SdpError, match="fingerprint"):
        await ends[0].keyed()
    await close(*ends)
    assert ends[0].finish().protection == ""
