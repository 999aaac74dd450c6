"""Chromium with JsSIP against pjsua2: a different tone each way, heard by frequency and without gaps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.rig.audio import gaps, heard, peak, read_wav
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.phone import Phone
from tests.rig.trunk import FakeTrunk, description

pytestmark = pytest.mark.interop

MAX_GAP = 0.2
TALK_SECONDS = 4.0


def talk_both_ways(page: SoftphonePage, phone: Phone) -> None:
    """Listen at both ends, hang up, and check tone and continuity."""
    samples = page.listen(TALK_SECONDS)
    phone.wait_recorded(TALK_SECONDS)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    hear(samples, RATE, TRUNK_HERTZ)
    recorded, rate = read_wav(phone.recording)
    hear(recorded, rate, BROWSER_HERTZ)


def hear(samples: object, rate: int, hertz: float, max_gap: float = MAX_GAP) -> None:
    sound = heard(samples, rate)  # type: ignore[arg-type]
    assert len(sound) > (TALK_SECONDS - 1.5) * rate
    frequency, _ = peak(sound, rate)
    assert frequency == pytest.approx(hertz, abs=15)
    assert gaps(sound, rate, max_gap) == []


def call_uid(stage: Stage) -> str:
    return str(stage.gateway.records("call.start")[-1]["call_uid"])


def test_plain_rtp_is_heard_both_ways_shown_red_and_recorded_as_downgraded(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    phone = phones("600")
    capture.start()
    page.call("600")
    assert (page.grade, page.colour) == ("CLEARTEXT", "red")
    talk_both_ways(page, phone)
    flows = rtp_flows(capture.stop())
    clear = {clear_tone(packets) for packets in flows.values()} - {0.0}
    assert {round(f, -1) for f in clear} == {BROWSER_HERTZ, TRUNK_HERTZ}
    uid = call_uid(stage)
    (downgraded,) = stage.gateway.records("leg.downgraded", uid)
    assert downgraded["leg"] == "trunk"
    assert "media.plain_rtp" in downgraded["codes"]
    (secured,) = stage.gateway.records("leg.secured", uid)
    assert secured["leg"] == "browser"
    assert len(stage.gateway.wait_records("call.final")) >= 1
    assert len(stage.gateway.records("call.final", uid)) == 1


def test_sdes_over_verified_tls_is_green_and_nothing_on_the_wire_is_readable(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    phone = phones("601", srtp="mandatory")
    capture.start()
    page.call("601")
    page.wait_colour("green")
    assert page.grade == "HOP_BY_HOP"
    talk_both_ways(page, phone)
    flows = rtp_flows(capture.stop())
    assert len(flows) >= 4
    assert {clear_tone(packets) for packets in flows.values()} == {0.0}
    uid = call_uid(stage)
    assert {r["leg"] for r in stage.gateway.records("leg.secured", uid)} == {"browser", "trunk"}
    assert stage.gateway.records("leg.downgraded", uid) == []


def test_optional_srtp_over_tcp_is_keyed_and_called_exposed(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("602", srtp="optional")
    page.call("602")
    assert (page.grade, page.colour) == ("KEY_EXPOSED", "red")
    talk_both_ways(page, phone)
    (downgraded,) = stage.gateway.records("leg.downgraded", call_uid(stage))
    assert "key.sdes_cleartext" in downgraded["codes"]


def test_prefer_records_the_retry_before_the_second_invite_and_the_page_turns_red(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("603", srtp="off")
    page.call("603")
    assert (page.grade, page.colour) == ("CLEARTEXT", "red")
    talk_both_ways(page, phone)
    downgraded = stage.gateway.records("leg.downgraded", call_uid(stage))
    assert downgraded[0]["codes"] == ["media.savp_retry"]
    assert "media.plain_rtp" in downgraded[1]["codes"]


def test_strict_refuses_a_trunk_that_answers_488_and_says_why(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    phones("604", srtp="off")
    capture.start()
    page.dial("604")
    page.wait_state("ended")
    assert "Encryption is required" in page.text("reason")
    assert rtp_flows(capture.stop(), least=1) == {}
    uid = call_uid(stage)
    assert len(stage.gateway.records("leg.violation", uid)) == 1
    final = stage.gateway.final(uid)
    assert final["termination"] == "encryption-required"


def test_strict_refuses_a_trunk_that_agrees_to_encryption_without_a_key(
    stage: Stage, page: SoftphonePage, capture: Capture
) -> None:
    trunk = FakeTrunk(
        "127.0.1.6",
        stage.ports["605"],
        lambda request: [(200, description("127.0.1.6", proto="RTP/SAVP"))],
        transport="tls",
        pair=stage.setup.certificates.pbx,
    ).start()
    capture.start()
    page.dial("605")
    page.wait_state("ended")
    assert "gave no key" in page.text("reason")
    assert rtp_flows(capture.stop(), least=1) == {}
    stage.gateway.wait_log("encryption-ignored")
    trunk.stop()
    assert trunk.methods() == ["INVITE", "ACK", "BYE"]
    (violation,) = stage.gateway.records("leg.violation", call_uid(stage))
    assert violation["codes"] == ["media.crypto_ignored"]


def test_an_unreachable_trunk_is_told_to_the_person(stage: Stage, page: SoftphonePage) -> None:
    page.dial("606")
    page.wait_state("ended")
    assert "cannot be reached" in page.text("reason")
    final = stage.gateway.final(call_uid(stage))
    assert final["termination"] == "trunk-unreachable"


def test_a_trunk_with_another_certificate_is_refused_and_never_called_in_clear(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phones("607", srtp="mandatory")
    page.dial("607")
    page.wait_state("ended")
    assert "certificate is not valid" in page.text("reason")
    uid = call_uid(stage)
    (violation,) = stage.gateway.records("leg.violation", uid)
    assert violation["codes"] == ["tls.unverified"]
    assert violation["verification"]
