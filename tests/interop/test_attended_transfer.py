"""Attended transfers through a running gateway: two calls of one page or phone become one, and nobody hears a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import BROWSER_HERTZ, Stage
from tests.interop.test_transfer import (
    COLLEAGUE,
    MAX_GAP_MS,
    PLAIN,
    STRICT,
    TALK_MS,
    TONES,
    A,
    B,
    bob,
    colleague,
    talk,
)
from tests.rig.chromium import RATE, SoftphonePage, begin_listening, heard_since
from tests.rig.gateway import REALM
from tests.rig.handover import hand_over
from tests.rig.phone import Phone
from tests.rig.referring import refer_replacing
from tests.rig.sipjs import PageServer, SipJsPage

pytestmark = pytest.mark.interop
__all__ = ["bob", "colleague"]

CALLS = {
    "plain with prefer": (PLAIN, {}, "603", {}),
    "strict with strict": (STRICT, {"srtp": "mandatory"}, "604", {"srtp": "mandatory"}),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, page_server: PageServer) -> Iterator[Stage]:
    """A gateway where a PBX has two phones and two people have pages, one of which may be of another origin."""
    made = Stage(
        tmp_path_factory.mktemp("attended"),
        inbound=[{"id": name, "dialled": number, "user": name} for name, number in (("alice", "100"), ("bob", "200"))],
        more_origins=(page_server.origin,),
    )
    made.setup.trunks["plain"]["networks"].append(f"{COLLEAGUE}/32")
    made.setup.write()
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


def dial_another(page: SoftphonePage, number: str) -> None:
    """A second call of the page; the first goes on hold."""
    page.click("add")
    page.dial(number)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["plain with prefer", "strict with strict"])
def test_a_page_joins_its_two_calls_by_jssip(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], which: str
) -> None:
    number, options, target, target_options = CALLS[which]
    first = phones(number, play=stage.tone_of(A), timeline=True, **options)
    second = phones(target, play=stage.tone_of(B), timeline=True, **target_options)
    page.call(number)
    talk(page)
    dial_another(page, target)
    second.wait("media")
    talk(page)
    told = refer_replacing(page.page, f"sip:{target}@{REALM}", 1, call=0)
    assert told[0] == 202
    assert told[-1] == 200
    talk(page)
    at_first, at_second = first.heard(*TONES), second.heard(*TONES)
    assert at_first.order == (BROWSER_HERTZ, B), "on hold it heard nobody, then the other phone"
    assert at_second.order == (BROWSER_HERTZ, A)
    assert at_second.gap_ms <= MAX_GAP_MS, at_second
    finals = [
        r["termination"] for r in stage.gateway.wait_records("call.final", len(stage.gateway.records("call.start")))
    ]
    assert finals[-2:] == ["transferred", "hangup-trunk"]


def test_a_page_joins_its_two_calls_by_its_own_button(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), timeline=True)
    page.call(PLAIN)
    talk(page)
    dial_another(page, "603")
    second.wait("media")
    talk(page)
    page.page.locator("#calls > li").get_by_role("button", name="Join").click()
    page.wait_state("ended")
    talk(page)
    assert first.heard(*TONES).order == (BROWSER_HERTZ, B)
    assert second.heard(*TONES).order == (BROWSER_HERTZ, A)


@pytest.mark.slow
def test_two_calls_of_which_one_could_be_listened_to_are_not_joined_and_go_on(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones(STRICT, play=stage.tone_of(B), timeline=True, srtp="mandatory")
    page.call(PLAIN)
    dial_another(page, STRICT)
    second.wait("media")
    talk(page)
    told = refer_replacing(page.page, f"sip:{STRICT}@{REALM}", 1, call=0)
    assert (told[0], told[-1]) == (202, 488)
    talk(page)
    assert page.page.evaluate("() => softphone.sessions().filter((s) => s.isEstablished()).length") == 2
    assert second.heard(*TONES).order == (BROWSER_HERTZ,)


def test_a_phone_joins_two_pages_it_has_called_through_its_trunk(
    stage: Stage, page: SoftphonePage, bob: SoftphonePage, colleague: Phone
) -> None:
    """Both pages play one tone, so each hears who joined it by that; the phone's own tone is another."""
    for call, (who, number) in enumerate(((page, "100"), (bob, "200"))):
        colleague.do("call", uri=f"sip:{number}@127.0.0.1:{stage.setup.sip_port}")
        who.wait_state("incoming")
        who.click("answer")
        who.wait_state("in-call")
        who.wait_connected()
        colleague.wait("media", call=call)
        begin_listening(who.page)
    talk(page)
    colleague.do("xfer_replaces", call=0, other=1)
    colleague.wait("transfer", status=200, final=True, call=0)
    talk(page)
    for who in (page, bob):
        heard = hand_over(heard_since(who.page), RATE, *TONES)
        assert heard.order == (B, BROWSER_HERTZ), heard
        assert heard.gap_ms <= MAX_GAP_MS, heard
    page.page.wait_for_function("() => document.querySelector('#peer').textContent.includes('bob')")
    bob.page.wait_for_function("() => document.querySelector('#peer').textContent.includes('alice')")
    page.click("hangup")
    bob.wait_state("ended")


@pytest.mark.slow
def test_a_phone_hands_a_page_over_to_somebody_it_speaks_with_behind_its_trunk(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], colleague: Phone
) -> None:
    """The dialog is none of the gateway's: it asks the trunk to replace it."""
    other = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    colleague.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    colleague.do("call", uri=f"sip:{PLAIN}@127.0.1.1:{stage.ports[PLAIN]}")
    colleague.wait("media", call=1)
    begin_listening(page.page)
    talk(page)
    colleague.do("xfer_replaces", call=0, other=1)
    other.wait("replaced", call=0)
    colleague.wait("transfer", status=200, final=True, call=0)
    talk(page)
    heard = hand_over(heard_since(page.page), RATE, *TONES)
    assert heard.order == (B, A), heard
    assert heard.gap_ms <= MAX_GAP_MS, heard
    assert other.heard(*TONES).order == (B, BROWSER_HERTZ)


def test_a_phone_lets_another_one_of_its_pbx_take_its_call_over(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], colleague: Phone
) -> None:
    """The other phone sends the INVITE with Replaces: the gateway hears of the transfer by nothing else."""
    other = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    colleague.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    colleague.do("call", uri=f"sip:{PLAIN}@127.0.1.1:{stage.ports[PLAIN]}")
    colleague.wait("media", call=1)
    begin_listening(page.page)
    talk(page)
    starts = len(stage.gateway.records("call.start"))
    colleague.do("xfer_replaces", call=1, other=0)
    colleague.wait("state", text="DISCONNECTED", call=0)
    talk(page)
    heard = hand_over(heard_since(page.page), RATE, *TONES)
    assert heard.order == (B, A), heard
    assert heard.gap_ms <= MAX_GAP_MS, heard
    assert other.heard(*TONES).order == (B, BROWSER_HERTZ)
    assert len(stage.gateway.records("call.start")) == starts


@pytest.fixture
def sip_js(stage: Stage, chromium: Browser, page_server: PageServer) -> Iterator[SipJsPage]:
    """A page on the other library."""
    opened = SipJsPage(chromium, page_server.origin).sign_in(stage.setup)
    yield opened
    opened.close()
    assert opened.errors == []


@pytest.mark.slow
def test_a_page_joins_its_two_calls_by_sip_js(stage: Stage, sip_js: SipJsPage, phones: Callable[..., Phone]) -> None:
    first = phones(PLAIN, play=stage.tone_of(A), timeline=True)
    second = phones("603", play=stage.tone_of(B), timeline=True)
    sip_js.call(PLAIN)
    sip_js.page.wait_for_timeout(TALK_MS)
    sip_js.call("603")
    sip_js.page.wait_for_timeout(TALK_MS)
    sip_js.select(0)
    told = sip_js.refer_replacing(1)
    assert (told[0], told[-1]) == (202, 200)
    sip_js.page.wait_for_timeout(TALK_MS)
    at_first, at_second = first.heard(*TONES), second.heard(*TONES)
    assert at_first.order == (BROWSER_HERTZ, B)
    assert at_second.order == (BROWSER_HERTZ, A)
    assert max(at_first.gap_ms, at_second.gap_ms) <= MAX_GAP_MS
