"""Chromium to Chromium through the gateway, and one user on three pages: who rings, who hears whom, what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Playwright

from gateway.cli.commands import cli
from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.interop.test_calls import hear
from tests.rig.audio import write_tone
from tests.rig.chromium import RATE, SoftphonePage, launch
from tests.rig.gateway import wait_for
from tests.rig.phone import Phone

pytestmark = pytest.mark.interop

OTHER_HERTZ = 700.0
PAGES = 3
ELSEWHERE = "Answered on another device."


@pytest.fixture(scope="module")
def other_chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium that speaks another tone."""
    tone = write_tone(tmp_path_factory.mktemp("other") / "other.wav", OTHER_HERTZ, rate=48000, seconds=130)
    browser = launch(playwright, tone)
    yield browser
    browser.close()


@pytest.fixture
def pages(stage: Stage, other_chromium: Browser) -> Iterator[Callable[..., list[SoftphonePage]]]:
    """Opens pages of one user in the other browser; they end with the test."""
    opened: list[SoftphonePage] = []

    def open_pages(user: str, count: int = PAGES) -> list[SoftphonePage]:
        made = [SoftphonePage(other_chromium, stage.gateway.url).sign_in(user) for _ in range(count)]
        opened.extend(made)
        return made

    yield open_pages
    for one in opened:
        one.close()
        assert one.errors == []


def last_call(stage: Stage) -> str:
    return str(stage.gateway.records("call.start")[-1]["call_uid"])


def final_of(stage: Stage, uid: str) -> dict[str, Any]:
    wait_for(lambda: bool(stage.gateway.records("call.final", uid)), 10.0, "the call has no end")
    (final,) = stage.gateway.records("call.final", uid)
    return final


def shown(stage: Stage, uid: str) -> str:
    """What an administrator reads of a call."""
    directory = stage.setup.directory / "audit"
    return CliRunner().invoke(cli, ["audit", "show", str(directory), "--call", uid]).output


def test_two_browsers_hear_each_other_see_each_other_and_are_recorded(
    stage: Stage, page: SoftphonePage, pages: Callable[..., list[SoftphonePage]]
) -> None:
    (bob,) = pages("bob", 1)
    page.dial("bob")
    bob.wait_state("incoming", 5)
    assert "alice" in bob.text("peer")
    bob.click("answer")
    for one in (page, bob):
        one.wait_state("in-call")
        one.wait_connected()
        one.wait_colour("green")
        assert one.grade == "HOP_BY_HOP"
        assert one.text("peer-kind") == "In a browser"
    assert "bob" in page.text("peer")
    heard_by_alice, heard_by_bob = page.listen(4.0), bob.listen(4.0)
    hear(heard_by_alice, RATE, OTHER_HERTZ)
    hear(heard_by_bob, RATE, BROWSER_HERTZ)
    uid = last_call(stage)
    bob.click("hangup")
    page.wait_state("ended")
    final = final_of(stage, uid)
    assert {key: final[key] for key in ("dir", "trunk", "user", "from", "to", "grade_worst", "termination")} == {
        "dir": "internal",
        "trunk": "-",
        "user": "alice",
        "from": "alice",
        "to": "bob",
        "grade_worst": "HOP_BY_HOP",
        "termination": "hangup-browser",
    }
    assert final["legs"] == {"browser": "HOP_BY_HOP", "browser-2": "HOP_BY_HOP"}
    assert final["codec"] == "opus/48000"
    assert set(final["counters"]) == {"browser", "browser-2"}
    secured = stage.gateway.records("leg.secured", uid)
    assert {(r["leg"], r["leg_id"]) for r in secured} == {("browser", 1), ("browser", 2)}
    verified = {r["leg_id"] for r in stage.gateway.records("leg.verified", uid)}
    assert verified == {1, 2}
    words = shown(stage, uid)
    assert "internal alice -> bob" in words
    assert "browser leg 1 allowed, HOP_BY_HOP, dtls" in words
    assert "browser leg 2 allowed, HOP_BY_HOP, dtls" in words


@pytest.mark.slow
def test_hold_and_resume_between_two_browsers(
    stage: Stage, page: SoftphonePage, pages: Callable[..., list[SoftphonePage]]
) -> None:
    (bob,) = pages("bob", 1)
    page.dial("bob")
    bob.wait_state("incoming", 5)
    bob.click("answer")
    page.wait_state("in-call")
    bob.wait_connected()
    page.click("hold")
    bob.page.wait_for_function("() => softphone.session().isOnHold().remote", timeout=5000)
    page.click("hold")
    bob.page.wait_for_function("() => !softphone.session().isOnHold().remote", timeout=5000)
    hear(bob.listen(4.0), RATE, BROWSER_HERTZ)
    hear(page.listen(4.0), RATE, OTHER_HERTZ)
    page.click("hangup")
    bob.wait_state("ended")


def one_answers(stage: Stage, ringing: list[SoftphonePage]) -> str:
    """All ring, the second answers, the others stop and say why; gives the call."""
    for one in ringing:
        one.wait_state("incoming", 5)
    first, answering, last = ringing
    answering.click("answer")
    answering.wait_state("in-call")
    answering.wait_connected()
    for other in (first, last):
        other.wait_state("ended", 5)
        assert other.text("reason") == ELSEWHERE
    return last_call(stage)


def nothing_left_of_the_losers(stage: Stage, uid: str, kinds: set[str]) -> None:
    final = final_of(stage, uid)
    assert set(final["legs"].values()) == {"HOP_BY_HOP"} if kinds == {"browser"} else True
    moved = {label for label, counted in final["counters"].items() if counted}
    assert len(moved) == 2
    assert len(final["counters"]) == PAGES + 1
    assert {r["leg_id"] for r in stage.gateway.records("leg.secured", uid) if r["leg"] == "browser"} <= {1, 2, 3, 4}
    assert len(stage.gateway.records("call.final", uid)) == 1


def test_three_pages_of_a_user_ring_for_another_user_and_one_answers(
    stage: Stage, page: SoftphonePage, pages: Callable[..., list[SoftphonePage]]
) -> None:
    ringing = pages("bob")
    page.dial("bob")
    uid = one_answers(stage, ringing)
    page.wait_state("in-call")
    hear(page.listen(4.0), RATE, OTHER_HERTZ)
    hear(ringing[1].listen(4.0), RATE, BROWSER_HERTZ)
    page.click("hangup")
    ringing[1].wait_state("ended")
    nothing_left_of_the_losers(stage, uid, {"browser"})


@pytest.mark.slow
def test_three_pages_of_a_user_ring_for_a_trunk_and_one_answers(
    stage: Stage, pages: Callable[..., list[SoftphonePage]], phones: Callable[..., Phone]
) -> None:
    ringing = pages("alice")
    phone = phones("600", play=stage.long_tone)
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    uid = one_answers(stage, ringing)
    hear(ringing[1].listen(4.0), RATE, TRUNK_HERTZ)
    ringing[1].click("hangup")
    phone.wait("state", text="DISCONNECTED")
    nothing_left_of_the_losers(stage, uid, {"browser", "trunk"})


@pytest.mark.slow
def test_a_page_that_closes_while_it_rings_leaves_the_others_ringing_and_a_decline_ends_it_for_all(
    stage: Stage, page: SoftphonePage, pages: Callable[..., list[SoftphonePage]]
) -> None:
    first, second, third = pages("bob")
    page.dial("bob")
    for one in (first, second, third):
        one.wait_state("incoming", 5)
    first.page.goto("about:blank")
    wait_for(lambda: "state=closed" in stage.gateway.log, 10.0, "the gateway never saw the page go")
    assert (second.state, third.state) == ("incoming", "incoming")
    second.click("reject")
    third.wait_state("ended", 5)
    page.wait_state("ended", 5)
    assert "declined" in page.text("reason")


@pytest.mark.slow
def test_a_caller_who_gives_up_stops_all_pages(page: SoftphonePage, pages: Callable[..., list[SoftphonePage]]) -> None:
    ringing = pages("bob")
    page.dial("bob")
    for one in ringing:
        one.wait_state("incoming", 5)
    page.click("hangup")
    for one in ringing:
        one.wait_state("ended", 5)
        assert one.text("reason") == "The caller hung up before you answered."


def test_nobody_of_that_name_and_nobody_there_are_told_apart(page: SoftphonePage) -> None:
    page.dial("nobody")
    page.wait_state("ended", 5)
    unknown = page.text("reason")
    page.dial("bob")
    page.wait_state("ended", 5)
    assert page.text("reason") != unknown
