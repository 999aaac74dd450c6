"""No silence is made on the way: sound by its frequency and by its longest gap, through all that happens to a call.

What leaves the gateway is held to what comes in (`rig/passage.py`), and what is heard to what was sent: a listener may
miss no more than `MAX_GAP_MS` beyond the longest pause of whoever spoke, which on a busy machine is not ours.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNKS, Stage
from tests.interop.test_calls import call_uid
from tests.rig.audio import Samples, gaps, heard, peak, read_wav
from tests.rig.baresip import Baresip
from tests.rig.capture import Capture, Packet
from tests.rig.chromium import RATE, SoftphonePage, begin_listening, heard_since
from tests.rig.gateway import REALM, wait_for
from tests.rig.passage import Address, Passage, passage
from tests.rig.phone import Phone
from tests.rig.referring import refer
from tests.rig.tools import needs

pytestmark = pytest.mark.interop
log = logging.getLogger(__name__)

MAX_GAP_MS = 60
"""Three packets of 20 ms: what is lost then is filled in by who listens, and is not heard as a gap."""
PHONE_HERTZ, OTHER_HERTZ = 440.0, 700.0
TALK_MS = 2000
HOLD_MS = 1000
KINDS = {
    "pjsua2, plain": ("600", {}),
    "pjsua2, SDES": ("601", {"srtp": "mandatory"}),
    "baresip, plain": ("600", None),
    "baresip, SDES": ("603", None),
}
Talk = tuple[SoftphonePage, Phone | Baresip]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway whose workers can be drained."""
    made = Stage(tmp_path_factory.mktemp("gaps"), spare=1)
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


def test_a_silence_of_the_gateway_is_told_from_one_of_the_peer() -> None:
    us, phone, page = ("gateway", 1), ("phone", 2), ("page", 3)

    def at(moment: float, source: Address, destination: Address) -> Packet:
        return Packet(moment, source, destination, b"\x80\x00" + bytes(12))

    spoken = [n * 0.02 for n in range(50) if not 20 <= n < 30]  # the phone pauses for 0.2 s
    passed = [moment + 0.001 for moment in spoken if not 0.7 <= moment < 0.8]  # the gateway keeps 0.1 s to itself
    packets = [at(moment, phone, us) for moment in spoken] + [at(moment, us, page) for moment in passed]
    found = passage(packets, lambda address: address == phone, lambda address: address == page)
    assert (found.packets, found.pauses[:2]) == (35, (220.0, 20.0))
    assert found.hole == pytest.approx(101, abs=0.2)


@pytest.fixture
def called(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], tmp_path: Path
) -> Iterator[Callable[[str], Talk]]:
    """Calls a phone of some kind; the page and it hear each other's tone."""
    started: list[Baresip] = []

    def call(kind: str) -> Talk:
        number, options = KINDS[kind]
        phone: Phone | Baresip
        if options is not None:
            phone = phones(number, play=stage.tone_of(PHONE_HERTZ), timeline=True, **options)
        else:
            needs_it = "srtp-mand" if "SDES" in kind else ""
            tone, pair = stage.tone_of(PHONE_HERTZ, rate=8000), stage.setup.certificates.pbx
            host, port = TRUNKS[number][1], stage.ports[number]
            phone = Baresip(tmp_path / "baresip", number, host, port, pair, needs_it, tone).start()
            started.append(phone)
        page.call(number)
        page.page.wait_for_timeout(500)
        return page, phone

    yield call
    for phone in started:
        phone.stop()


def both_ways(stage: Stage, packets: list[Packet]) -> tuple[Passage, Passage]:
    """Towards the page and towards the phone."""
    of_page = {p.source for p in packets if is_browser_port(stage, p.destination) and not is_ours(stage, p.source)}

    def is_page(address: Address) -> bool:
        return address in of_page

    def is_phone(address: Address) -> bool:
        return not is_page(address) and not is_ours(stage, address)

    return passage(packets, is_phone, is_page), passage(packets, is_page, is_phone)


def is_browser_port(stage: Stage, address: Address) -> bool:
    return 0 <= address[1] - stage.setup.browser_port < stage.setup.workers + stage.setup.spare


def is_ours(stage: Stage, address: Address) -> bool:
    low, high = map(int, stage.setup.trunk_range.split("-"))
    return is_browser_port(stage, address) or low <= address[1] <= high


def is_whole(samples: Samples, rate: int, hertz: float, way: Passage, held: int) -> None:
    """The tone is heard, and not gone for longer than it was in what was sent, but for the holds."""
    sound = heard(samples, rate)
    assert peak(sound, rate)[0] == pytest.approx(hertz, abs=15)
    pause = longest_pause(way, held)
    found = sorted((1000 * length for _, length in gaps(sound, rate, MAX_GAP_MS / 1000)), reverse=True)
    log.info("gaps %s ms, pause %s ms", found, pause)
    assert all(gap <= MAX_GAP_MS + pause for gap in found[held:]), found


def longest_pause(way: Passage, held: int) -> float:
    """Of whoever spoke, without those of holds."""
    return next(pause for pause in way.pauses if not held or pause < HOLD_MS / 2)


def finish(stage: Stage, page: SoftphonePage, phone: Phone | Baresip) -> tuple[Samples, int]:
    """Hang up; what the phone heard."""
    page.click("hangup")
    page.wait_state("ended")
    stage.gateway.final(call_uid(stage))
    phone.stop()
    return read_wav(phone.recording)


def judge(stage: Stage, packets: list[Packet], at_page: Samples, at_phone: tuple[Samples, int], held: int = 0) -> None:
    to_page, to_phone = both_ways(stage, packets)
    log.info("to the page %s, to the phone %s", to_page, to_phone)
    assert min(to_page.packets, to_phone.packets) > TALK_MS / 20
    # Where the peers themselves get no processor for longer, neither does the gateway.
    stalls = (longest_pause(to_page, held), longest_pause(to_phone, held))
    assert max(to_page.hole, to_phone.hole) <= max(MAX_GAP_MS, *stalls), (to_page, to_phone)
    is_whole(at_page, RATE, PHONE_HERTZ, to_page, held)
    is_whole(*at_phone, BROWSER_HERTZ, to_phone, held)


def by_page(page: SoftphonePage, phone: Phone | Baresip) -> None:
    page.click("hold")
    page.wait_state("held")
    page.page.wait_for_timeout(HOLD_MS)
    page.click("hold")
    page.wait_state("in-call")


def by_phone(page: SoftphonePage, phone: Phone | Baresip) -> None:
    phone.do("hold")
    page.page.wait_for_timeout(HOLD_MS)
    phone.do("resume")


@pytest.mark.slow
@pytest.mark.parametrize("hold", [by_page, by_phone])
@pytest.mark.parametrize("kind", [pytest.param(k, marks=needs("baresip") if "baresip" in k else ()) for k in KINDS])
def test_a_hold_is_the_only_silence(
    stage: Stage,
    capture: Capture,
    called: Callable[[str], Talk],
    kind: str,
    hold: Callable[[SoftphonePage, Phone | Baresip], None],
) -> None:
    page, phone = called(kind)
    capture.start()
    begin_listening(page.page)
    page.page.wait_for_timeout(TALK_MS)
    hold(page, phone)
    page.page.wait_for_timeout(TALK_MS)
    at_page = heard_since(page.page)
    packets = capture.stop()
    judge(stage, packets, at_page, finish(stage, page, phone), held=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pjsua2, plain", "pjsua2, SDES"])
def test_a_phone_that_moves_to_another_port_is_heard_from_there_at_once(
    stage: Stage, capture: Capture, called: Callable[[str], Talk], kind: str
) -> None:
    page, phone = called(kind)
    capture.start()
    begin_listening(page.page)
    page.page.wait_for_timeout(TALK_MS)
    phone.do("move")
    page.page.wait_for_timeout(TALK_MS)
    at_page = heard_since(page.page)
    packets = capture.stop()
    phones = {p.source for p in packets if p.is_rtp and p.source[0] == TRUNKS[KINDS[kind][0]][1]}
    assert len(phones) == 2, "the phone stayed where it was"
    judge(stage, packets, at_page, finish(stage, page, phone))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(k, marks=needs("baresip") if "baresip" in k else ()) for k in KINDS])
def test_a_worker_that_is_drained_goes_on_without_a_gap(
    stage: Stage, capture: Capture, called: Callable[[str], Talk], kind: str
) -> None:
    page, phone = called(kind)
    capture.start()
    begin_listening(page.page)
    page.page.wait_for_timeout(TALK_MS)
    command = [sys.executable, "-m", "gateway", "workers", "drain", "all", "-c", str(stage.gateway.config)]
    # The worker that was drained before may not have given its port back yet.
    wait_for(lambda: subprocess.run(command, check=False, timeout=30).returncode == 0, 20, "nothing was drained")
    page.page.wait_for_timeout(TALK_MS)
    at_page = heard_since(page.page)
    packets = capture.stop()
    judge(stage, packets, at_page, finish(stage, page, phone))


@pytest.mark.slow
def test_a_call_that_is_handed_over_is_passed_on_from_the_next_packet(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], capture: Capture
) -> None:
    """The page hands its phone to another one: who stays hears the one, then the other."""
    first = phones("600", play=stage.tone_of(PHONE_HERTZ), timeline=True)
    second = phones("601", play=stage.tone_of(OTHER_HERTZ), timeline=True, srtp="mandatory")
    page.call("600")
    capture.start()
    page.page.wait_for_timeout(TALK_MS)
    assert refer(page.page, f"sip:601@{REALM}")[-1] == 200
    page.wait_state("ended")
    page.page.wait_for_timeout(TALK_MS)
    packets = capture.stop()
    host = TRUNKS["600"][1]
    to_first = passage(packets, lambda a: a[0] != host and not is_ours(stage, a), lambda a: a[0] == host)
    heard_by_first = first.heard(PHONE_HERTZ, OTHER_HERTZ, BROWSER_HERTZ)
    second.stop()
    log.info("%s %s", to_first, heard_by_first)
    assert to_first.hole <= max(MAX_GAP_MS, to_first.pauses[0])
    assert heard_by_first.order == (BROWSER_HERTZ, OTHER_HERTZ)
    assert heard_by_first.gap_ms <= MAX_GAP_MS + to_first.pauses[0]
