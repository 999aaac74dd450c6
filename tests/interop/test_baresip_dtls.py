"""baresip as a trunk's phone that is keyed by DTLS-SRTP: it calls and is called, and nothing is heard on the wire."""

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
def echo(stage: Stage, tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    """Starts a baresip behind a number; it ends with the test."""
    started: list[Baresip] = []

    def start(number: str, encryption: str = "dtls_srtp") -> Baresip:
        _, host, transport, _ = TRUNKS[number]
        port = stage.ports[number] - (transport == "tls")  # it listens for TLS on the next one
        phone = Baresip(tmp_path / f"baresip-{number}", number, host, port, stage.setup.certificates.pbx, encryption)
        started.append(phone)
        return phone.start()

    yield start
    for phone in started:
        phone.stop()


@pytest.mark.parametrize(
    ("number", "grade"),
    [pytest.param("610", "HOP_BY_HOP", id="over TLS"), pytest.param("611", "UNAUTHENTICATED", id="over UDP")],
)
def test_the_browser_hears_itself_over_dtls(
    stage: Stage, page: SoftphonePage, echo: Callable[..., Baresip], capture: Capture, number: str, grade: str
) -> None:
    phone = echo(number)
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
    assert not any(tones)
