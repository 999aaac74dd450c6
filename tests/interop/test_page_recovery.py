"""The softphone page in Chromium whose WebSocket is cut in mid-call: it comes back, says so, and nobody goes silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import BROWSER_HERTZ, CABLE_PORT, TRUNK_HERTZ, Stage
from tests.interop.test_calls import TALK_SECONDS, call_uid, hear
from tests.rig.audio import gaps, heard, peak, read_wav
from tests.rig.chromium import RATE, SoftphonePage, begin_listening, heard_since
from tests.rig.cut import Cable
from tests.rig.gateway import wait_for
from tests.rig.phone import Phone

pytestmark = pytest.mark.interop

KEPT_SECONDS = 5
MAX_GAP = 0.5
"""Seconds of silence; a restart of ICE by itself leaves none, and people wait for two at most."""
NAME = "() => softphone.session().connection.localDescription.sdp.match(/a=ice-ufrag:(\\S+)/)[1]"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway that keeps calls, and lets in the page that is loaded through the cable."""
    made = Stage(
        tmp_path_factory.mktemp("recovery"),
        reconnect_seconds=KEPT_SECONDS,
        more_origins=(f"https://127.0.0.1:{CABLE_PORT}",),
    )
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def page(stage: Stage, cable: Cable, chromium: Browser) -> Iterator[SoftphonePage]:
    opened = SoftphonePage(
        chromium, f"https://127.0.0.1:{CABLE_PORT}/?raw=1"
    ).sign_in()  # a steady tone counts as noise
    yield opened
    opened.close()
    assert opened.errors == []


def wait_words(page: SoftphonePage, words: str, seconds: float = 10) -> None:
    script = "([words]) => document.querySelector('#reason').textContent.includes(words)"
    page.page.wait_for_function(script, arg=[words], timeout=seconds * 1000)


def end_heard(page: SoftphonePage, phone: Phone) -> None:
    """Both have heard each other all the time, and after the change too; the page hangs up."""
    assert peak(heard(page.listen(2.5), RATE), RATE)[0] == pytest.approx(TRUNK_HERTZ, abs=15)
    phone.wait_recorded(TALK_SECONDS)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    recorded, rate = read_wav(phone.recording)
    hear(recorded, rate, BROWSER_HERTZ, max_gap=MAX_GAP)


def test_a_call_outlives_its_websocket_and_both_hear_each_other_all_the_time(
    stage: Stage, cable: Cable, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory", play=stage.long_tone)
    page.call("601")
    page.wait_colour("green")
    before = page.page.evaluate(NAME)
    begin_listening(page.page)
    cable.cut()
    wait_words(page, "The connection is interrupted.")
    assert page.state == "in-call"
    wait_words(page, "The connection is back.")
    assert page.text("registration") == "Signed in as alice"
    page.page.wait_for_timeout(1000)
    sound = heard(heard_since(page.page), RATE)
    assert peak(sound, RATE)[0] == pytest.approx(TRUNK_HERTZ, abs=15)
    assert gaps(sound, RATE, MAX_GAP) == []
    assert page.page.evaluate(NAME) != before, "ICE has begun anew"
    uid = call_uid(stage)
    end_heard(page, phone)  # over the new connection
    assert stage.gateway.final(uid)["termination"] == "hangup-browser"
    assert len(stage.gateway.records("leg.moved", uid)) == 1
    assert [r["leg"] for r in stage.gateway.records("leg.secured", uid)].count("browser") == 1, "keyed once"


@pytest.mark.slow
def test_a_hold_that_was_wanted_while_nobody_heard_it_is_made_when_the_connection_is_back(
    stage: Stage, cable: Cable, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory", play=stage.long_tone)
    page.call("601")
    cable.cut()
    wait_words(page, "The connection is interrupted.")
    page.click("hold")
    page.wait_state("held")
    wait_words(page, "The connection is back.")
    wait_for(lambda: "a=sendonly" in phone.log, 5, "the phone was never told of the hold")
    page.click("hold")
    page.wait_state("in-call")
    assert peak(heard(page.listen(2.0), RATE), RATE)[0] == pytest.approx(TRUNK_HERTZ, abs=15)


@pytest.mark.slow
def test_who_hangs_up_meanwhile_says_goodbye_when_the_connection_is_back(
    stage: Stage, cable: Cable, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("600", play=stage.long_tone)
    page.call("600")
    uid = call_uid(stage)
    cable.cut()
    wait_words(page, "The connection is interrupted.")
    page.click("hangup")
    page.wait_state("ended")
    assert page.text("reason") == "You hung up."
    phone.wait("state", text="DISCONNECTED")
    assert stage.gateway.final(uid)["termination"] == "hangup-browser"


@pytest.mark.slow
def test_a_dead_websocket_that_nobody_closed_is_given_up_when_the_network_has_changed(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory", play=stage.long_tone)
    page.call("601")
    page.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    wait_words(page, "The connection is back.")
    end_heard(page, phone)


@pytest.mark.slow
def test_a_page_that_finds_no_way_back_says_that_the_call_is_lost(
    stage: Stage, cable: Cable, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("600", play=stage.long_tone)
    page.call("600")
    uid = call_uid(stage)
    cable.stop()
    page.wait_state("ended", seconds=KEPT_SECONDS + 5)
    assert page.text("reason") == "The connection to the gateway was lost, and the call with it."
    phone.wait("state", text="DISCONNECTED")
    assert stage.gateway.final(uid)["termination"] == "flow-lost"
