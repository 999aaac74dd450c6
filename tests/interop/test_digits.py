"""Digits between Chromium and phones, told in every way: each arrives once, in order, with its length."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.interop.conftest import TRUNKS, Stage
from tests.media.keypad import HeardDigit, read_digits
from tests.media.listener import HeardPacket
from tests.rig.audio import Samples
from tests.rig.baresip import Baresip
from tests.rig.capture import Capture, Packet
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.phone import Phone
from tests.rig.tools import needs

pytestmark = pytest.mark.interop

KEY_5 = (770.0, 1336.0)
"""What a browser plays of the event (ITU-T Q.23)."""


def tells(page: SoftphonePage, digits: str, **options: object) -> None:
    """The page tells its digits as JsSIP does unless told otherwise: by INFO."""
    page.page.evaluate("([digits, options]) => softphone.session().sendDTMF(digits, options)", [digits, options])


def arrive(phone: Phone, digits: str, method: str) -> None:
    """These and no others."""
    for digit in digits:
        phone.wait("dtmf", digit=digit, method=method)
    with pytest.raises(AssertionError):
        phone.wait("dtmf", seconds=0.7)


def on_the_wire(packets: list[Packet], stage: Stage, number: str) -> list[HeardDigit]:
    """Digits as they went to the phone in clear."""
    host = TRUNKS[number][1]
    found = []
    for packet in packets:
        data = packet.payload
        if packet.destination[0] == host and packet.is_rtp and len(data) == 16:
            _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            found.append(HeardPacket(packet.at, sequence, timestamp, ssrc, second > 127, second & 127, data[12:]))
    return read_digits(found, found[0].kind) if found else []


def test_what_jssip_tells_by_info_and_by_rfc_4733_reaches_a_phone_as_events_once_and_as_long(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    phone = phones("600")
    page.call("600")
    capture.start()
    tells(page, "12#", duration=250, interToneGap=50)
    arrive(phone, "12#", "rtp")
    tells(page, "*5", transportType="RFC2833", duration=200, interToneGap=70)
    arrive(phone, "*5", "rtp")
    told = on_the_wire(capture.stop(), stage, "600")
    assert [digit.signal for digit in told] == list("12#*5")
    assert [digit.duration for digit in told[:3]] == [2000] * 3
    assert all(1600 <= digit.duration <= 1920 for digit in told[3:]), "Chromium counts in its packets"
    assert all((digit.markers, digit.ends) == (1, 3) for digit in told)
    assert all((b.timestamp - a.timestamp) - a.duration >= 240 for a, b in pairwise(told))


def test_a_trunk_that_takes_info_is_told_by_info_and_so_is_the_page(
    page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("609")
    page.call("609")
    tells(page, "12#", duration=100, interToneGap=50)
    arrive(phone, "12#", "info")
    for digit in "9*":
        page.page.click(f'[data-digit="{digit}"]')
    arrive(phone, "9*", "info")
    page.page.evaluate(
        """() => {
          window.told = [];
          softphone.session().on('newDTMF', ({ originator, dtmf }) => {
            if (originator === 'remote') window.told.push([dtmf.tone, dtmf.duration]);
          });
        }"""
    )
    phone.do("dtmf", digits="21#", method="info", duration=200)
    page.page.wait_for_function("() => window.told.length === 3", timeout=5000)
    assert page.page.evaluate("window.told") == [["2", 200], ["1", 200], ["#", 200]]


@pytest.mark.slow
@pytest.mark.parametrize("number", ["600", "601"])
@pytest.mark.parametrize("method", ["rtp", "info"])
def test_a_key_of_the_phone_is_heard_in_the_browser_for_as_long_as_it_is_pressed(
    page: SoftphonePage, phones: Callable[..., Phone], tmp_path: Path, number: str, method: str
) -> None:
    phone = phones(number, play=None, **({"srtp": "mandatory"} if number == "601" else {}))
    page.call(number)
    page.page.wait_for_timeout(1000)
    phone.do("dtmf", digits="5", method=method, duration=1000)
    seconds = sounding(page.listen(3.0), KEY_5)
    assert seconds == pytest.approx(1.0, abs=0.25)


def sounding(samples: Samples, tones: tuple[float, float]) -> float:
    """Seconds in which both tones stand out."""
    window = RATE // 20
    frames = samples[: len(samples) // window * window].reshape(-1, window)
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(window, 1 / RATE)
    near = [power[:, np.abs(frequencies - tone) <= 25].sum(axis=1) for tone in tones]
    loud = power.sum(axis=1).max() / 100
    present = [(share > 0.1 * power.sum(axis=1)) & (power.sum(axis=1) > loud) for share in near]
    return float((present[0] & present[1]).sum()) * window / RATE


@pytest.mark.slow
@pytest.mark.parametrize("srtp", ["mandatory", "optional"])
def test_digits_reach_a_phone_over_srtp(page: SoftphonePage, phones: Callable[..., Phone], srtp: str) -> None:
    number = {"mandatory": "601", "optional": "602"}[srtp]
    phone = phones(number, srtp=srtp)
    page.call(number)
    tells(page, "0123456789*#ABCD", duration=100, interToneGap=50)
    arrive(phone, "0123456789*#ABCD", "rtp")
    tells(page, "42", transportType="RFC2833")
    arrive(phone, "42", "rtp")


@pytest.mark.slow
@needs("baresip")
def test_baresip_hears_what_the_page_tells(stage: Stage, page: SoftphonePage, tmp_path: Path) -> None:
    pair = stage.setup.certificates.pbx
    phone = Baresip(tmp_path / "baresip", "600", TRUNKS["600"][1], stage.ports["600"], pair)
    phone.start()
    try:
        page.call("600")
        tells(page, "7#", duration=150, interToneGap=100)
        phone.wait_log("received event: '7'")
        phone.wait_log("received event: '#'")
    finally:
        phone.stop()
