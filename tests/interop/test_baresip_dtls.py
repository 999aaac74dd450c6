"""baresip as a trunk's phone that is keyed by DTLS-SRTP: it calls and is called, and nothing is heard on the wire."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNKS, Stage
from tests.interop.test_calls import call_uid, hear
from tests.rig.baresip import Baresip
from tests.rig.capture import Capture, clear_tone, rtp_flows
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.gateway import wait_for
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("baresip"),
]


@pytest.fixture
def echo(stage: Stage, tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    """Starts a baresip behind a number; it ends with the test."""
    started: list[Baresip] = []

    def start(number: str, encryption: str = "dtls_srtp", *, ice: bool = False) -> Baresip:
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
    [
        pytest.param("610", "HOP_BY_HOP", id="over TLS"),
        pytest.param("611", "UNAUTHENTICATED", id="over UDP", marks=pytest.mark.slow),
    ],
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


@pytest.mark.slow
def test_a_phone_calls_the_browser_over_dtls(stage: Stage, page: SoftphonePage, echo: Callable[..., Baresip]) -> None:
    """Session-level attributes, actpass offered, RTCP with a handshake of its own."""
    phone = echo("611")
    phone.do("dial", f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    hear(page.listen(4.0), RATE, BROWSER_HERTZ)
    assert page.grade == "UNAUTHENTICATED"
    assert stage.gateway.records("leg.violation", call_uid(stage)) == []


@pytest.mark.slow
def test_a_hold_and_its_end_keep_the_association(
    stage: Stage, page: SoftphonePage, echo: Callable[..., Baresip]
) -> None:
    """The phone hears the browser again under the keys it has; version 1.0.0 itself stays silent after a hold."""
    phone = echo("611")
    page.call("611")
    hear(page.listen(4.0), RATE, BROWSER_HERTZ)
    page.click("hold")
    page.wait_state("held")
    _wait_hearing(phone, hears=False)
    page.click("hold")
    page.wait_state("in-call")
    _wait_hearing(phone, hears=True)
    assert phone.log.count("DTLS-SRTP complete") == 2, "one for RTP, one for RTCP"
    assert stage.gateway.records("leg.violation", call_uid(stage)) == []


def _wait_hearing(phone: Baresip, *, hears: bool) -> None:
    """Until it says so, by the rate of what it says from now on."""
    since = len(phone.log)

    def said() -> bool:
        rates = re.findall(r"audio=\d+/(\d+)", phone.log[since:])
        return bool(rates) and (int(rates[-1]) > 50_000) == hears

    wait_for(said, 8.0, lambda: phone.log[-2000:])


@pytest.mark.slow
def test_a_phone_that_checks_paths_is_heard_on_those(
    stage: Stage, page: SoftphonePage, echo: Callable[..., Baresip]
) -> None:
    echo("612", ice=True)
    page.call("612")
    hear(page.listen(4.0), RATE, BROWSER_HERTZ)
    assert page.grade == "UNAUTHENTICATED"


@pytest.mark.slow
def test_the_probe_finds_out_that_a_phone_takes_dtls(stage: Stage, echo: Callable[..., Baresip]) -> None:
    echo("611")
    run = [sys.executable, "-m", "gateway", "probe", "--config", str(stage.gateway.config), "--json"]
    told = subprocess.run(
        [*run, "--trunk", "dtlsudp", "--offers", "611"], capture_output=True, text=True, timeout=60, check=False
    )
    found = json.loads(told.stdout)
    assert [(a["offer"], a["protection"]) for a in found["attempts"] if a["works"]] == [
        ("dtls", "dtls,AEAD_AES_256_GCM")
    ]
    assert (found["recommended"], found["keying"]) == ("prefer", ["dtls"])
