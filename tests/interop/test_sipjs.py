"""A page on SIP.js from an origin of its own, in Chromium, against pjsua2: the other library people bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.interop.test_calls import TALK_SECONDS, call_uid, hear
from tests.rig.audio import heard, peak, read_wav
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE
from tests.rig.gateway import wait_for
from tests.rig.phone import Phone
from tests.rig.sipjs import PageServer, SipJsPage

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, page_server: PageServer) -> Iterator[Stage]:
    """A gateway that lets the page's origin in and insists on one."""
    made = Stage(tmp_path_factory.mktemp("sipjs"), more_origins=(page_server.origin,), allow_missing_origin=False)
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def page(stage: Stage, chromium: Browser, page_server: PageServer) -> Iterator[SipJsPage]:
    """A page that is signed in."""
    opened = SipJsPage(chromium, page_server.origin).sign_in(stage.setup)
    yield opened
    opened.close()
    assert opened.errors == []


def talk_both_ways(page: SipJsPage, phone: Phone) -> None:
    """Listen at both ends, hang up, and check tone and continuity."""
    samples = page.listen(TALK_SECONDS)
    phone.wait_recorded(TALK_SECONDS)
    page.hang_up()
    phone.wait("state", text="DISCONNECTED")
    page.wait_state("Terminated")
    phone.stop()
    hear(samples, RATE, TRUNK_HERTZ)
    recorded, rate = read_wav(phone.recording)
    hear(recorded, rate, BROWSER_HERTZ)


def last_final(stage: Stage) -> str:
    """Termination of the call that began last, once it is over."""
    finals = stage.gateway.wait_records("call.final", len(stage.gateway.records("call.start")))
    (final,) = (record for record in finals if record["call_uid"] == call_uid(stage))
    return str(final["termination"])


@pytest.mark.parametrize(
    ("number", "options", "grade"),
    [
        pytest.param("600", {}, "CLEARTEXT", marks=pytest.mark.slow),
        ("601", {"srtp": "mandatory"}, "HOP_BY_HOP"),
    ],
)
def test_a_call_is_heard_both_ways_and_the_request_delegate_reads_its_grade(
    stage: Stage,
    page: SipJsPage,
    phones: Callable[..., Phone],
    capture: Capture,
    number: str,
    options: dict[str, str],
    grade: str,
) -> None:
    phone = phones(number, early_status=180, **options)
    capture.start()
    page.call(number)
    assert [name for name, _ in page.reports][-1] == 200
    assert all(header.startswith(f"grade={grade};") for _, header in page.reports), page.reports
    talk_both_ways(page, phone)
    clear = {round(clear_tone(packets), -1) for packets in rtp_flows(capture.stop()).values()} - {0.0}
    assert clear == ({BROWSER_HERTZ, TRUNK_HERTZ} if grade == "CLEARTEXT" else set())
    assert last_final(stage) == "hangup-browser"


def test_a_page_from_an_origin_nobody_listed_cannot_sign_in(stage: Stage, chromium: Browser) -> None:
    stranger = PageServer().start()
    page = SipJsPage(chromium, stranger.origin)
    with pytest.raises(Error, match="WebSocket closed"):
        page.sign_in(stage.setup)
    page.close()
    stranger.stop()


@pytest.mark.slow
def test_a_hold_by_the_page_silences_the_call_and_resume_brings_it_back(
    stage: Stage, page: SipJsPage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", play=stage.long_tone, srtp="mandatory")
    page.call("601")
    assert page.hold(True) == 200
    wait_for(lambda: "a=sendonly" in phone.log, 5, "the phone was never told of the hold")
    assert is_silent(page)
    assert page.hold(False) == 200
    talk_both_ways(page, phone)
    assert stage.gateway.records("leg.violation", call_uid(stage)) == []


def test_a_hold_by_the_phone_silences_the_page_and_resume_brings_it_back(
    stage: Stage, page: SipJsPage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", play=stage.long_tone, srtp="mandatory")
    page.call("601")
    phone.do("hold")
    page.wait_reported("INVITE")
    assert is_silent(page)
    phone.do("resume")
    page.page.wait_for_function("() => sipjs.received().filter(([from]) => from === 'INVITE').length === 2")
    talk_both_ways(page, phone)


def is_silent(page: SipJsPage) -> bool:
    samples = page.listen(2.0)
    return peak(heard(samples, RATE), RATE)[1] == 0 or abs(samples).max() < 500


def test_a_re_invite_without_a_description_is_answered_with_an_offer_and_the_call_goes_on(
    page: SipJsPage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory")
    page.call("601")
    assert page.ask_for_offer() == 200
    talk_both_ways(page, phone)


def test_a_browser_that_restarts_ice_gets_new_credentials_and_talks_on(
    page: SipJsPage, phones: Callable[..., Phone]
) -> None:
    """What a page does when the network changes under it; DTLS and keys stay."""
    phone = phones("601", srtp="mandatory")
    page.call("601")
    name = "() => sipjs.connection().remoteDescription.sdp.match(/a=ice-ufrag:(\\S+)/)[1]"
    before = page.page.evaluate(name)
    page.page.evaluate("() => sipjs.connection().restartIce()")
    assert page.page.evaluate("() => sipjs.hold(false)") == 200
    assert page.page.evaluate(name) != before
    talk_both_ways(page, phone)
    assert page.page.evaluate("() => sipjs.connection()?.iceConnectionState ?? 'closed'") in ("connected", "closed")


@pytest.mark.parametrize(
    ("number", "options", "port", "suffix", "grade"),
    [
        pytest.param("600", {}, "sip_port", "", "CLEARTEXT", marks=pytest.mark.slow),
        ("601", {"srtp": "mandatory"}, "sip_tls_port", ";transport=tls", "HOP_BY_HOP"),
    ],
)
def test_a_trunk_calls_the_page_and_the_invite_says_the_grade(
    stage: Stage,
    page: SipJsPage,
    phones: Callable[..., Phone],
    number: str,
    options: dict[str, str],
    port: str,
    suffix: str,
    grade: str,
) -> None:
    phone = phones(number, **options)
    phone.do("call", uri=f"sip:100@127.0.0.1:{getattr(stage.setup, port)}{suffix}")
    page.wait_reported("INVITE")
    assert page.reports[0][1].startswith(f"grade={grade};")
    page.answer()
    talk_both_ways(page, phone)


def test_an_incoming_call_can_be_refused(stage: Stage, page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_reported("INVITE")
    page.hang_up()
    phone.wait("state", text="DISCONNECTED", status=480)
    page.wait_state("Terminated")


@pytest.mark.slow
def test_the_phone_hangs_up(stage: Stage, page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    phone.do("hangup")
    page.wait_state("Terminated")
    assert page.reason.startswith("BYE")
    assert last_final(stage) == "hangup-trunk"


@pytest.mark.slow
def test_a_call_nobody_answers_can_be_given_up(stage: Stage, page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phone = phones("600", answer=180)
    page.dial("600")
    page.wait_reported(180)
    page.hang_up()
    phone.wait("state", text="DISCONNECTED")
    page.wait_state("Terminated")
    assert last_final(stage) == "cancelled"


@pytest.mark.slow
def test_early_media_is_heard_before_the_answer(page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phones("600", early_status=183, answer=0)
    page.dial("600", earlyMedia=True)
    page.wait_connected()
    hear(page.listen(4.0), RATE, TRUNK_HERTZ)
    assert page.page.evaluate("() => sipjs.state()") == "Establishing"


def test_digits_reach_the_phone_by_rfc_4733(page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phone = phones("600")
    page.call("600")
    assert page.send_digits("19*#")
    for digit in "19*#":
        phone.wait("dtmf", digit=digit)


def test_a_refused_call_says_why(stage: Stage, page: SipJsPage, phones: Callable[..., Phone]) -> None:
    phones("604", srtp="off")
    page.dial("604")
    page.wait_state("Terminated")
    assert page.reason.startswith("488 ")
    assert last_final(stage) == "encryption-required"


def test_who_signed_out_is_called_no_more(stage: Stage, page: SipJsPage, phones: Callable[..., Phone]) -> None:
    page.sign_out()
    phone = phones("600")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    phone.wait("state", text="DISCONNECTED", status=480)
