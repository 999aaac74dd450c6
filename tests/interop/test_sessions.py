"""What happens in a call that lasts: refresh, hold, digits, calls in the other direction, both DTLS roles, mDNS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from tests.interop.conftest import TRUNK_HERTZ, Stage
from tests.interop.test_calls import call_uid, hear, talk_both_ways
from tests.rig.audio import heard, peak
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE, SoftphonePage, launch
from tests.rig.gateway import local_address
from tests.rig.phone import Phone

pytestmark = pytest.mark.interop

# A microphone that is no microphone: pages that never ask for one get mDNS candidates only.
_OSCILLATOR = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const tone = context.createOscillator();
  tone.frequency.value = 1000;
  const out = context.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  return out.stream;
};
"""


@pytest.mark.parametrize(
    ("number", "options"), [pytest.param("600", {}, marks=pytest.mark.slow), ("601", {"srtp": "mandatory"})]
)
def test_hold_silences_the_call_and_resume_brings_it_back(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], number: str, options: dict[str, str]
) -> None:
    phone = phones(number, play=stage.long_tone, **options)
    page.call(number)
    page.click("hold")
    page.wait_state("held")
    silent = page.listen(2.0)
    assert peak(heard(silent, RATE), RATE)[1] == 0 or abs(silent).max() < 500
    page.click("hold")
    page.wait_state("in-call")
    talk_both_ways(page, phone)
    assert stage.gateway.records("leg.violation", call_uid(stage)) == []


def test_digits_reach_the_phone_by_rfc_4733(page: SoftphonePage, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    for digit in "19*#":
        page.page.click(f'[data-digit="{digit}"]')
        phone.wait("dtmf", digit=digit)


def test_a_trunk_calls_the_browser_in_clear_and_the_page_says_so_before_the_answer(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("600")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    assert page.grade == "CLEARTEXT"
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    talk_both_ways(page, phone)


def test_a_trunk_that_proves_itself_by_certificate_calls_the_browser_with_keys(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    phone = phones("601", srtp="mandatory")
    capture.start()
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_tls_port};transport=tls")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    page.wait_colour("green")
    assert page.grade == "HOP_BY_HOP"
    talk_both_ways(page, phone)
    assert {clear_tone(packets) for packets in rtp_flows(capture.stop()).values()} == {0.0}


def test_a_plain_call_from_a_strict_trunk_never_rings(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="off")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_tls_port};transport=tls")
    phone.wait("state", text="DISCONNECTED", status=488)
    assert page.state == "idle"


def test_the_trunk_hangs_up_and_the_page_says_who(page: SoftphonePage, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    phone.do("hangup")
    page.wait_state("ended")


def test_a_call_nobody_answers_can_be_given_up(stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]) -> None:
    phone = phones("600", answer=180)
    page.dial("600")
    page.wait_state("ringing")
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    page.wait_state("ended")
    finals = stage.gateway.wait_records("call.final")
    assert finals[-1]["termination"] == "cancelled"


def test_early_media_is_heard_before_the_answer(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phones("600", early_status=183, answer=0)
    page.dial("600")
    page.wait_state("early")
    page.wait_connected()
    hear(page.listen(4.0), RATE, TRUNK_HERTZ)


def test_the_gateway_as_dtls_server_gets_the_strongest_suite(page: SoftphonePage, phones: Callable[..., Phone]) -> None:
    phones("600")
    page.call("600")
    stats = page.stats()
    assert stats["srtpCipher"] == "SRTP_AEAD_AES_256_GCM"
    assert stats["dtlsRole"] == "client"


@pytest.fixture(scope="module")
def active_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway that answers setup:active and listens for media on a non-loopback address too."""
    made = Stage(
        tmp_path_factory.mktemp("active"),
        dtls_setup="active",
        browser_bind=(local_address(),),
    )
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def active_phones(active_stage: Stage) -> Iterator[Callable[..., Phone]]:
    started: list[Phone] = []

    def start(number: str) -> Phone:
        started.append(active_stage.phone(number).start())
        return started[-1]

    yield start
    for phone in started:
        phone.stop()


def test_the_gateway_as_dtls_client_gets_the_browsers_choice_on_a_non_loopback_address(
    active_stage: Stage, active_phones: Callable[..., Phone], chromium: Browser
) -> None:
    phone = active_phones("600")
    page = SoftphonePage(chromium, active_stage.gateway.url).sign_in()
    page.call("600")
    stats = page.stats()
    assert stats["srtpCipher"] == "SRTP_AES128_CM_HMAC_SHA1_80"
    assert stats["dtlsRole"] == "server"
    talk_both_ways(page, phone)
    page.close()


def test_a_browser_with_mdns_candidates_only_is_heard_both_ways(
    stage: Stage, playwright: Playwright, phones: Callable[..., Phone], tmp_path: Path
) -> None:
    phone = phones("600")
    browser = launch(playwright, stage.tone, fake_ui=False)
    page = SoftphonePage(browser, stage.gateway.url, init_script=_OSCILLATOR).sign_in()
    page.call("600")
    offer = page.page.evaluate("() => window.softphone.session().connection.localDescription.sdp")
    candidates = [line for line in offer.splitlines() if line.startswith("a=candidate") and " udp " in line.lower()]
    assert candidates
    assert all(".local " in line for line in candidates)
    talk_both_ways(page, phone)
    browser.close()
