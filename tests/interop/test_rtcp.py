"""What Chromium and pjsua2 make of the RTCP of the gateway: each leg is reported on for itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.rig.chromium import SoftphonePage
from tests.rig.phone import Event, Phone

pytestmark = [pytest.mark.interop, pytest.mark.slow]

REPORTED_SECONDS = 30.0
"""Both sides have sent reports, and answered those of the other, several times over."""
NEAR_MILLISECONDS = 200.0
"""A round trip on one machine, also a busy one."""
_STATS = """async () => {
  const stats = await window.softphone.session().connection.getStats();
  return [...stats.values()].filter((one) => one.type.startsWith('remote-') && one.kind === 'audio');
}"""


def of_browser(page: SoftphonePage) -> dict[str, dict[str, Any]]:
    """What Chromium was told by RTCP, by the kind of statistics."""
    return {one["type"]: one for one in page.page.evaluate(_STATS)}


def of_phone(phone: Phone) -> Event:
    phone.do("stats")
    return phone.wait("stats")


def wait_reported(page: SoftphonePage, phone: Phone) -> tuple[dict[str, dict[str, Any]], Event]:
    """Both know a round trip."""
    deadline = time.monotonic() + REPORTED_SECONDS
    while True:
        browser, told = of_browser(page), of_phone(phone)
        if browser.get("remote-inbound-rtp", {}).get("roundTripTime") is not None and told["round_trips"] > 0:
            return browser, told
        assert time.monotonic() < deadline, (browser, told)
        page.page.wait_for_timeout(500)


@pytest.mark.parametrize("number", ["600", "601"], ids=["plain", "SDES"])
def test_both_ends_read_our_reports(page: SoftphonePage, phones: Callable[..., Phone], number: str) -> None:
    phone = phones(number, srtp="mandatory" if number == "601" else "off")
    page.call(number)
    browser, told = wait_reported(page, phone)
    heard, sends = browser["remote-inbound-rtp"], browser["remote-outbound-rtp"]
    assert heard["roundTripTime"] * 1000 < NEAR_MILLISECONDS
    assert heard["packetsLost"] <= 5
    assert 0 <= heard["jitter"] < 0.1
    assert sends["packetsSent"] > 100
    assert sends["reportsSent"] >= 1
    assert told["reports"] >= 1
    assert 0 <= told["rtt"] < NEAR_MILLISECONDS
    assert told["sent_lost"] <= 5
    assert told["received"] > 100
    assert len(told["name"]) == 16, "ours, not the browser's"
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
