"""Blind transfers through a running gateway: Chromium, pjsua2 and baresip, who hears whom, and for how long nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import BROWSER_HERTZ, TRUNKS, Stage
from tests.interop.test_calls import call_uid
from tests.rig.baresip import Baresip
from tests.rig.chromium import RATE, SoftphonePage, begin_listening, heard_since
from tests.rig.gateway import REALM
from tests.rig.handover import HandOver, hand_over
from tests.rig.phone import Phone
from tests.rig.ports import free_sip_port
from tests.rig.referring import refer
from tests.rig.sipjs import PageServer, SipJsPage
from tests.rig.tools import needs

pytestmark = pytest.mark.interop
log = logging.getLogger(__name__)

A, B = 440.0, 700.0
"""What the first and the second phone play; a page plays `BROWSER_HERTZ`."""
TONES = (A, B, BROWSER_HERTZ)
MAX_GAP_MS = 200
TALK_MS = 1500
COLLEAGUE = "127.0.1.21"
"""A second phone of the PBX behind 600."""
PLAIN, STRICT = "600", "601"
RING_SECONDS = 4
needs_baresip = needs("baresip")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, page_server: PageServer) -> Iterator[Stage]:
    """A gateway where a PBX has two phones, where two people have pages, and where it does not ring for long."""
    made = Stage(
        tmp_path_factory.mktemp("transfer"),
        inbound=[{"id": name, "dialled": number, "user": name} for name, number in (("alice", "100"), ("bob", "200"))],
        overrides={"limits": {"ring_seconds": RING_SECONDS}},
        more_origins=(page_server.origin,),
    )
    made.setup.trunks["plain"]["networks"].append(f"{COLLEAGUE}/32")
    made.setup.write()
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def baresip(stage: Stage, tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    """Starts baresips behind numbers of the stage; they play the second tone and end with the test."""
    started: list[Baresip] = []

    def start(number: str, encryption: str = "") -> Baresip:
        _, host, _, _ = TRUNKS[number]
        pair, tone = stage.setup.certificates.pbx, stage.tone_of(B, rate=8000)
        made = Baresip(tmp_path / f"baresip-{number}", number, host, stage.ports[number], pair, encryption, tone)
        started.append(made.start())
        return made

    yield start
    for made in started:
        made.stop()


def talk(page: SoftphonePage) -> None:
    """Let the tones run, as people do."""
    page.page.wait_for_timeout(TALK_MS)


def passed_on(heard: HandOver, before: float, after: float) -> None:
    """Whoever stayed heard first the one, then the other, and nobody but for a moment."""
    assert heard.order == (before, after), heard
    log.info("handed over with a gap of %s ms", heard.gap_ms)
    assert heard.gap_ms <= MAX_GAP_MS, heard


def records(stage: Stage, kind: str) -> list[dict[str, Any]]:
    """Those of the call that began last."""
    return stage.gateway.records(kind, call_uid(stage))


PAIRS = {
    "plain to prefer": (PLAIN, {}, "603", {"srtp": "optional"}),
    "plain to strict": (PLAIN, {}, STRICT, {"srtp": "mandatory"}),
    "strict to strict": (STRICT, {"srtp": "mandatory"}, "604", {"srtp": "mandatory"}),
    "prefer to plain network, both keyed": ("603", {"srtp": "optional"}, "602", {"srtp": "optional"}),
}
TRIED_ALWAYS = "plain to prefer"


@pytest.mark.parametrize(
    "pair", [pytest.param(pair, marks=() if pair == TRIED_ALWAYS else pytest.mark.slow) for pair in PAIRS]
)
def test_a_page_hands_a_phone_over_to_another_one_without_a_gap(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], pair: str
) -> None:
    number, options, target, target_options = PAIRS[pair]
    first = phones(number, play=stage.tone_of(A), timeline=True, **options)
    second = phones(target, play=stage.tone_of(B), timeline=True, early_status=180, **target_options)
    page.call(number)
    talk(page)
    told = refer(page.page, f"sip:{target}@{REALM}")
    assert (told[:2], told[-1]) == ([202, 100], 200)
    page.wait_state("ended")
    talk(page)
    passed_on(first.heard(*TONES), BROWSER_HERTZ, B)
    assert second.heard(*TONES).order == (A,)
    assert stage.gateway.final(call_uid(stage))["termination"] == "hangup-trunk"
    assert [r["decision"] for r in records(stage, "call.transfer")] == ["allowed"]


@pytest.mark.slow
@needs_baresip
def test_a_page_hands_a_phone_over_to_baresip(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], baresip: Callable[..., Baresip]
) -> None:
    first, second = phones(PLAIN, play=stage.tone_of(A), timeline=True), baresip("603")
    page.call(PLAIN)
    talk(page)
    told = refer(page.page, f"sip:603@{REALM}")
    assert (told[:2], told[-1]) == ([202, 100], 200)
    page.wait_state("ended")
    talk(page)
    passed_on(first.heard(*TONES), BROWSER_HERTZ, B)
    assert [call.order for call in second.heard(*TONES)] == [(A,)]


@pytest.fixture
def colleague(stage: Stage) -> Iterator[Phone]:
    """A second phone of the PBX behind 600; it plays the second tone, for it is the one who asks."""
    made = Phone(
        stage.directory / "phones",
        f"colleague-{free_sip_port(COLLEAGUE)}",
        host=COLLEAGUE,
        port=free_sip_port(COLLEAGUE),
        play=stage.tone_of(B),
        timeline=True,
    ).start()
    yield made
    made.stop()


@pytest.mark.slow
def test_a_phone_hands_a_page_over_to_another_one_of_its_pbx(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], colleague: Phone
) -> None:
    other = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    colleague.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    begin_listening(page.page)
    talk(page)
    colleague.do("xfer", uri=f"sip:{PLAIN}@127.0.0.1:{stage.setup.sip_port}")
    colleague.wait("transfer", status=200, final=True)
    other.wait("state", text="CONFIRMED")
    page.page.wait_for_function("(number) => document.querySelector('#peer').textContent.includes(number)", arg=PLAIN)
    talk(page)
    passed_on(hand_over(heard_since(page.page), RATE, *TONES), B, A)
    page.click("hangup")
    other.wait("state", text="DISCONNECTED")
    assert other.heard(*TONES).order == (BROWSER_HERTZ,)
    assert colleague.heard(*TONES).order == (BROWSER_HERTZ,)


@pytest.fixture
def bob(stage: Stage, chromium: Browser) -> Iterator[SoftphonePage]:
    """A second person's page."""
    opened = SoftphonePage(chromium, stage.gateway.url).sign_in("bob")
    yield opened
    opened.close()
    assert opened.errors == []


def in_call(page: SoftphonePage, phone: Phone, stage: Stage) -> None:
    """The phone calls the page's number, and the person answers."""
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()


SAYS = "(words) => document.querySelector('#reason').textContent.includes(words)"


def transfer_by_button(page: SoftphonePage, number: str) -> None:
    """What a person does: Transfer, the number, Transfer."""
    page.click("transfer")
    page.page.fill("#number", number)
    page.click("call")


def test_the_button_of_the_page_hands_a_phone_over_and_says_so(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    """The page holds the call first, so who stays hears nobody for a while; then it hears the target."""
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), timeline=True)
    page.call(PLAIN)
    talk(page)
    transfer_by_button(page, "603")
    page.wait_state("ended")
    assert page.text("reason") == "600 was transferred to 603."
    talk(page)
    assert first.heard(*TONES).order == (BROWSER_HERTZ, B)
    assert second.heard(*TONES).order == (A,)


@pytest.mark.slow
def test_after_a_transfer_to_a_busy_phone_the_two_speak_on(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    phones("603", answer=486)
    page.call(PLAIN)
    transfer_by_button(page, "603")
    page.page.wait_for_function(SAYS, arg="The transfer to 603 failed. The line is busy there.")
    page.wait_state("in-call")
    begin_listening(page.page)
    talk(page)
    assert hand_over(heard_since(page.page), RATE, *TONES).order == (A,)
    page.click("hangup")
    first.wait("state", text="DISCONNECTED")
    assert first.heard(*TONES).order[-1] == BROWSER_HERTZ
    assert stage.gateway.final(call_uid(stage))["termination"] == "hangup-browser"


@pytest.mark.slow
def test_a_target_nobody_answers_is_given_up_and_the_call_goes_on(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phones(PLAIN, play=stage.tone_of(A))
    second = phones("603", answer=180)
    page.call(PLAIN)
    assert refer(page.page, f"sip:603@{REALM}") == [202, 100, 180, 408]
    second.wait("state", text="DISCONNECTED")
    assert page.state == "in-call"
    page.click("hangup")


def test_a_target_less_protected_than_the_call_is_refused_in_words_and_the_call_goes_on(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    """Policy refuses what the trunk itself would take, because the call it would belong to is strict."""
    phones(STRICT, play=stage.tone_of(A), srtp="mandatory")
    phones(PLAIN, play=stage.tone_of(B))
    page.call(STRICT)
    page.wait_colour("green")
    transfer_by_button(page, PLAIN)
    page.page.wait_for_function(SAYS, arg="Policy requires encryption this trunk's signalling cannot protect.")
    page.wait_state("in-call")
    assert (page.grade, page.colour) == ("HOP_BY_HOP", "green")
    begin_listening(page.page)
    talk(page)
    assert hand_over(heard_since(page.page), RATE, *TONES).order == (A,)
    page.click("hangup")
    assert "mid.transfer_weaker" in str(records(stage, "leg.violation"))


@pytest.mark.parametrize("number", ["112900", "*21*666#", "00900123456"])
def test_a_number_outside_the_dialplan_is_403_and_recorded(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], number: str
) -> None:
    phones(PLAIN, play=stage.tone_of(A))
    page.call(PLAIN)
    assert refer(page.page, f"sip:{number.replace('#', '%23')}@{REALM}")[0] in (403, 404)
    assert page.state == "in-call"
    page.click("hangup")


def test_a_phone_hands_a_page_over_to_another_page_which_hears_it_and_is_told_who_it_is(
    stage: Stage, page: SoftphonePage, bob: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    in_call(page, first, stage)
    begin_listening(page.page)
    talk(page)
    first.do("xfer", uri=f"sip:200@127.0.0.1:{stage.setup.sip_port}")
    bob.wait_state("incoming")
    assert "alice" in bob.text("peer")
    bob.click("answer")
    first.wait("transfer", status=200, final=True)
    bob.wait_state("in-call")
    bob.wait_connected()
    page.page.wait_for_function("() => document.querySelector('#peer').textContent.includes('bob')")
    page.wait_colour("green")
    bob.wait_colour("green")
    begin_listening(bob.page)
    talk(bob)
    assert hand_over(heard_since(bob.page), RATE, *TONES).order == (BROWSER_HERTZ,)
    heard = hand_over(heard_since(page.page), RATE, *TONES)
    log.info("handed over with a gap of %s ms", heard.gap_ms)
    assert heard.order == (A, BROWSER_HERTZ), heard
    bob.click("hangup")
    page.wait_state("ended")
    assert first.heard(*TONES).order == (BROWSER_HERTZ,)


@pytest.mark.slow
def test_a_page_hands_a_phone_over_to_another_page(
    stage: Stage, page: SoftphonePage, bob: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    page.call(PLAIN)
    transfer_by_button(page, "bob")
    bob.wait_state("incoming")
    assert bob.text("peer") != "bob"
    bob.click("answer")
    page.wait_state("ended")
    bob.wait_state("in-call")
    bob.wait_connected()
    bob.wait_colour("red")
    begin_listening(bob.page)
    talk(bob)
    assert hand_over(heard_since(bob.page), RATE, *TONES).order == (A,)
    bob.click("hangup")
    first.wait("state", text="DISCONNECTED")
    assert first.heard(*TONES).order[-1] == BROWSER_HERTZ


@pytest.mark.slow
def test_a_page_that_closes_right_after_its_refer_does_not_stop_the_search(
    stage: Stage, chromium: Browser, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), answer=180, timeline=True)
    page = SoftphonePage(chromium, stage.gateway.url).sign_in()
    page.call(PLAIN)
    page.page.evaluate(f"() => {{ softphone.session().refer('sip:603@{REALM}'); }}")
    second.wait("incoming")
    page.close()
    second.do("answer")
    second.wait("state", text="CONFIRMED")
    first.wait("media")
    time.sleep(TALK_MS / 1000)
    assert first.heard(*TONES).order[-1] == B
    assert second.heard(*TONES).order == (A,)


@pytest.mark.slow
def test_a_page_that_hangs_up_right_after_its_refer_does_not_stop_the_search(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), answer=180, timeline=True)
    page.call(PLAIN)
    page.page.evaluate(f"() => {{ softphone.session().refer('sip:603@{REALM}'); }}")
    second.wait("incoming")
    page.click("hangup")
    page.wait_state("ended")
    second.do("answer")
    second.wait("state", text="CONFIRMED")
    talk(page)
    assert first.heard(*TONES).order == (BROWSER_HERTZ, B)
    assert second.heard(*TONES).order == (A,)


@pytest.mark.slow
def test_who_stays_hangs_up_during_the_search_and_everybody_is_let_go(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A))
    second = phones("603", answer=180)
    page.call(PLAIN)
    page.page.evaluate(f"() => {{ softphone.session().refer('sip:603@{REALM}'); }}")
    second.wait("incoming")
    first.do("hangup")
    page.wait_state("ended")
    second.wait("state", text="DISCONNECTED")
    assert stage.gateway.final(call_uid(stage))["termination"] == "hangup-trunk"


@needs_baresip
@pytest.mark.slow
def test_baresip_hands_a_page_over_to_another_page(
    stage: Stage, page: SoftphonePage, bob: SoftphonePage, baresip: Callable[..., Baresip]
) -> None:
    other = baresip(PLAIN)
    page.call(PLAIN)
    assert page.colour == "red"
    begin_listening(page.page)
    talk(page)
    other.do("transfer", f"sip:200@127.0.0.1:{stage.setup.sip_port}")
    bob.wait_state("incoming")
    bob.click("answer")
    page.page.wait_for_function("() => document.querySelector('#peer').textContent.includes('bob')")
    page.wait_colour("green")
    bob.wait_state("in-call")
    bob.wait_connected()
    talk(bob)
    passed_on(hand_over(heard_since(page.page), RATE, *TONES), B, BROWSER_HERTZ)
    page.click("hangup")
    bob.wait_state("ended")
    assert [call.order for call in other.heard(*TONES)] == [(BROWSER_HERTZ,)]


@pytest.fixture
def sipjs(stage: Stage, chromium: Browser, page_server: PageServer) -> Iterator[SipJsPage]:
    """Alice on a page with SIP.js."""
    opened = SipJsPage(chromium, page_server.origin).sign_in(stage.setup)
    yield opened
    opened.close()
    assert opened.errors == []


@pytest.mark.slow
def test_a_page_on_sipjs_hands_a_phone_over(stage: Stage, sipjs: SipJsPage, phones: Callable[..., Phone]) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), timeline=True, early_status=180)
    sipjs.call(PLAIN)
    sipjs.page.wait_for_timeout(TALK_MS)
    told = sipjs.refer("603")
    assert (told[:2], told[-1]) == ([202, 100], 200)
    sipjs.wait_state("Terminated")
    sipjs.page.wait_for_timeout(TALK_MS)
    passed_on(first.heard(*TONES), BROWSER_HERTZ, B)
    assert second.heard(*TONES).order == (A,)


@pytest.mark.slow
def test_a_page_on_sipjs_that_stays_hears_the_new_party_and_is_told_by_re_invite(
    stage: Stage, sipjs: SipJsPage, bob: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    sipjs.call(PLAIN)
    begin_listening(sipjs.page)
    sipjs.page.wait_for_timeout(TALK_MS)
    first.do("xfer", uri=f"sip:200@127.0.0.1:{stage.setup.sip_port}")
    bob.wait_state("incoming")
    bob.click("answer")
    bob.wait_connected()
    sipjs.page.wait_for_function("() => sipjs.received().at(-1)[1].startsWith('grade=HOP_BY_HOP;')")
    talk(bob)
    passed_on(hand_over(heard_since(sipjs.page), RATE, *TONES), A, BROWSER_HERTZ)
    bob.click("hangup")
    sipjs.wait_state("Terminated")


@pytest.mark.slow
def test_a_phone_that_holds_the_page_hands_it_over_and_the_page_hears_and_speaks_again(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], colleague: Phone
) -> None:
    other = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    in_call(page, colleague, stage)
    colleague.do("hold")
    page.wait_state("held")
    begin_listening(page.page)
    colleague.do("xfer", uri=f"sip:{PLAIN}@127.0.0.1:{stage.setup.sip_port}")
    colleague.wait("transfer", status=200, final=True)
    page.wait_state("in-call")
    talk(page)
    assert hand_over(heard_since(page.page), RATE, *TONES).order[-1] == A
    page.click("hangup")
    other.wait("state", text="DISCONNECTED")
    assert other.heard(*TONES).order == (BROWSER_HERTZ,)
