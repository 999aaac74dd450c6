"""baresip as a trunk's phone, called from the softphone in Chromium: plain, optional and mandatory SDES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNKS, Stage
from tests.interop.test_calls import call_uid, hear
from tests.rig.baresip import Baresip
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("baresip"),
]


@pytest.fixture
def echo(stage: Stage, tmp_path: Path) -> Iterator[Callable[[str, str], Baresip]]:
    """Starts a baresip behind a number; it ends with the test."""
    started: list[Baresip] = []

    def start(number: str, encryption: str) -> Baresip:
        host, pair = TRUNKS[number][1], stage.setup.certificates.pbx
        phone = Baresip(tmp_path / f"baresip-{number}", number, host, stage.ports[number], pair, encryption)
        started.append(phone)
        return phone.start()

    yield start
    for phone in started:
        phone.stop()


@pytest.mark.parametrize(
    ("number", "encryption", "grade", "clear"),
    [
        pytest.param("600", "", "CLEARTEXT", True, id="plain over UDP"),
        pytest.param("603", "srtp-mand", "KEY_EXPOSED", False, id="SDES over UDP"),
        pytest.param("602", "srtp", "KEY_EXPOSED", False, id="SDES in RTP/AVP over TCP"),
    ],
)
def test_the_browser_hears_itself_from_baresip(
    stage: Stage,
    page: SoftphonePage,
    echo: Callable[[str, str], Baresip],
    capture: Capture,
    number: str,
    encryption: str,
    grade: str,
    clear: bool,
) -> None:
    phone = echo(number, encryption)
    capture.start()
    page.call(number)
    hear(page.listen(4.0), RATE, BROWSER_HERTZ)
    assert page.grade == grade
    page.click("hangup")
    page.wait_state("ended")
    final = stage.gateway.final(call_uid(stage))
    assert (final["termination"], final["grade_worst"]) == ("hangup-browser", grade)
    tones = [clear_tone(packets) for flow, packets in rtp_flows(capture.stop()).items() if phone.carries(flow)]
    assert tones
    assert {tone > 0 for tone in tones} == {clear}


def test_baresip_that_insists_on_keys_gets_no_plain_call(
    stage: Stage, page: SoftphonePage, echo: Callable[[str, str], Baresip]
) -> None:
    echo("600", "srtp-mand")
    page.dial("600")
    page.wait_state("ended")
    final = stage.gateway.final(call_uid(stage))
    assert final["sip_status"] == 488
