"""Firefox with the softphone page against pjsua2: its own DTLS, ICE and SDP, a different tone each way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.interop.test_calls import TALK_SECONDS, call_uid, hear
from tests.rig.audio import heard, peak, read_wav
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE
from tests.rig.firefox import EXECUTABLE, Firefox, FirefoxSoftphone
from tests.rig.gateway import PASSWORD, REALM, local_address
from tests.rig.phone import Phone
from tests.rig.sipjs import PageServer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,  # a peer `make test` does not install; `make test-interop` runs it where it is there
    pytest.mark.skipif(EXECUTABLE is None, reason="Firefox is not installed (Debian: apt-get install firefox-esr)"),
    pytest.mark.skipif(
        local_address() == "127.0.0.1", reason="Firefox does no ICE to 127.0.0.1 and this machine has no other address"
    ),
]


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Firefox that speaks a 1000 Hz tone."""
    made = Firefox(tmp_path_factory.mktemp("firefox"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module", params=["passive"])
def stage(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, page_server: PageServer
) -> Iterator[Stage]:
    """A gateway that can be reached for media at the machine's own address, in that DTLS role."""
    made = Stage(
        tmp_path_factory.mktemp(request.param),
        browser_bind=("127.0.0.1", local_address()),
        dtls_setup=request.param,
        more_origins=(page_server.origin,),
    )
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def page(stage: Stage, firefox: Firefox) -> Iterator[FirefoxSoftphone]:
    """A signed-in softphone page."""
    opened = FirefoxSoftphone(firefox, stage.gateway.url).sign_in()
    yield opened
    assert opened.errors == []
    opened.close()


def talk_both_ways(page: FirefoxSoftphone, phone: Phone) -> None:
    """Listen at both ends, hang up, and check tone and continuity."""
    samples = page.listen(TALK_SECONDS)
    phone.wait_recorded(TALK_SECONDS)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    page.wait_state("ended")
    phone.stop()
    hear(samples, RATE, TRUNK_HERTZ)
    recorded, rate = read_wav(phone.recording)
    hear(recorded, rate, BROWSER_HERTZ)


def transport(page: FirefoxSoftphone) -> dict[str, Any]:
    (found,) = (entry for entry in page.stats() if entry["type"] == "transport")
    return dict(found)


def test_plain_rtp_is_heard_both_ways_and_shown_red(
    stage: Stage, page: FirefoxSoftphone, phones: Callable[..., Phone]
) -> None:
    phone = phones("600")
    page.call("600")
    page.wait_colour("red")
    assert page.grade == "CLEARTEXT"
    talk_both_ways(page, phone)
    (secured,) = stage.gateway.records("leg.secured", call_uid(stage))
    assert secured["leg"] == "browser"


def test_sdes_over_verified_tls_is_green_and_nothing_on_the_wire_is_readable(
    stage: Stage, page: FirefoxSoftphone, phones: Callable[..., Phone], capture: Capture
) -> None:
    phone = phones("601", srtp="mandatory")
    capture.start()
    page.call("601")
    page.wait_colour("green")
    assert page.grade == "HOP_BY_HOP"
    found = transport(page)
    assert (found["dtlsState"], found["dtlsRole"]) == ("connected", "client")
    assert found["srtpCipher"] == "SRTP_AEAD_AES_256_GCM"
    talk_both_ways(page, phone)
    flows = rtp_flows(capture.stop())
    assert len(flows) >= 4
    assert {clear_tone(packets) for packets in flows.values()} == {0.0}
    assert {r["leg"] for r in stage.gateway.records("leg.secured", call_uid(stage))} == {"browser", "trunk"}


def test_firefox_confirms_in_its_own_statistics_what_the_card_says(
    page: FirefoxSoftphone, phones: Callable[..., Phone]
) -> None:
    phones("601", srtp="mandatory")
    page.call("601")
    assert page.firefox.wait("() => document.querySelector('#leg-browser').textContent.includes('browser confirms it')")
    page.wait_colour("green")


def test_hold_silences_the_call_and_resume_brings_it_back(
    stage: Stage, page: FirefoxSoftphone, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", play=stage.long_tone, srtp="mandatory")
    page.call("601")
    page.click("hold")
    page.wait_state("held")
    silent = page.listen(2.0)
    assert peak(heard(silent, RATE), RATE)[1] == 0 or abs(silent).max() < 500
    page.click("hold")
    page.wait_state("in-call")
    talk_both_ways(page, phone)
    assert stage.gateway.records("leg.violation", call_uid(stage)) == []


def test_digits_reach_the_phone_by_rfc_4733(page: FirefoxSoftphone, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    for digit in "19*#":
        page.press(digit)
        phone.wait("dtmf", digit=digit)


def test_a_trunk_calls_firefox_with_keys(stage: Stage, page: FirefoxSoftphone, phones: Callable[..., Phone]) -> None:
    phone = phones("601", srtp="mandatory")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_tls_port};transport=tls")
    page.wait_state("incoming")
    assert page.grade == "HOP_BY_HOP"
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    talk_both_ways(page, phone)


def test_the_trunk_hangs_up(page: FirefoxSoftphone, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    phone.do("hangup")
    page.wait_state("ended")


def test_a_page_that_is_left_ends_its_call(stage: Stage, page: FirefoxSoftphone, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    page.close()
    phone.wait("state", text="DISCONNECTED")
    assert len(stage.gateway.wait_records("call.final", len(stage.gateway.records("call.start")))) >= 1


def test_sip_js_in_firefox_is_heard_and_hears_again_after_a_hold_by_either_side(
    stage: Stage, firefox: Firefox, page_server: PageServer, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", play=stage.long_tone, srtp="mandatory")
    server = stage.setup.origin.replace("http", "ws", 1) + "/ws"
    firefox.open(page_server.origin)
    account = {"user": "alice", "password": PASSWORD, "realm": REALM, "server": server}
    firefox.evaluate("(account) => sipjs.signIn(account)", account)
    firefox.evaluate("(target) => sipjs.call(target)", f"sip:601@{REALM}")
    assert firefox.wait("() => sipjs.connection()?.connectionState === 'connected'")
    assert [firefox.evaluate("(held) => sipjs.hold(held)", held) for held in (True, False)] == [200, 200]
    for command in ("hold", "resume"):
        before = len(firefox.evaluate("() => sipjs.received()"))
        phone.do(command)
        assert firefox.wait("(before) => sipjs.received().length > before", before)
    reports = firefox.evaluate("() => sipjs.received()")
    assert {header.split(";")[0] for _, header in reports} == {"grade=HOP_BY_HOP"}, reports
    samples = firefox.listen(4.0)
    firefox.evaluate("async () => { await sipjs.hangUp(); }")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    hear(samples, RATE, TRUNK_HERTZ)
    recorded, rate = read_wav(phone.recording)
    hear(recorded[-int(3.5 * rate) :], rate, BROWSER_HERTZ)


@pytest.mark.parametrize("stage", ["active"], indirect=True)
def test_the_gateway_as_dtls_client_gets_firefoxs_choice(page: FirefoxSoftphone, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    found = transport(page)
    assert (found["dtlsRole"], found["srtpCipher"]) == ("server", "SRTP_AEAD_AES_128_GCM")
    talk_both_ways(page, phone)
