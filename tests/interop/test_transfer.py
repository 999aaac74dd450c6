"""Blind transfers through a running gateway: Chromium, pjsua2 and baresip, who hears whom, and for how long nobody."""

from __future__ import annotations

import shutil
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

pytestmark = pytest.mark.interop

A, B = 440.0, 700.0
"""What the first and the second phone play; a page plays `BROWSER_HERTZ`."""
TONES = (A, B, BROWSER_HERTZ)
MAX_GAP_MS = 200
TALK_MS = 1500
COLLEAGUE = "127.0.1.21"
"""A second phone of the PBX behind 600."""
PLAIN, STRICT = "600", "601"
RING_SECONDS = 4
needs_baresip = pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway where a PBX has two phones, where two people have pages, and where it does not ring for long."""
    made = Stage(
        tmp_path_factory.mktemp("transfer"),
        inbound=[{"id": name, "dialled": number, "user": name} for name, number in (("alice", "100"), ("bob", "200"))],
        overrides={"limits": {"ring_seconds": RING_SECONDS}},
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


@pytest.mark.parametrize("pair", PAIRS)
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
