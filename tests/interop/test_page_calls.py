"""Two calls on one page through a real gateway: the second waits, is answered, swapped with the first and ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.conftest import TRUNK_HERTZ, Stage
from tests.rig.audio import heard, peak, write_tone
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.phone import Phone

pytestmark = pytest.mark.interop

OTHER_HERTZ = 700.0


def test_two_calls_are_swapped_and_only_the_one_in_front_is_heard(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phones("600", play=stage.long_tone)
    waiting = phones("603", play=write_tone(stage.directory / "other.wav", OTHER_HERTZ, rate=16000, seconds=60))
    page.call("600")
    waiting.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port}")
    page.page.wait_for_selector("#calls > li[data-state=incoming]", timeout=5000)
    assert page.state == "in-call"
    assert hears(page) == pytest.approx(TRUNK_HERTZ, abs=10)
    press(page, "Answer")
    page.wait_state("in-call")
    page.wait_connected()
    assert hears(page) == pytest.approx(OTHER_HERTZ, abs=10)
    press(page, "Resume")
    page.page.wait_for_function("() => softphone.sessions().map((s) => s.isOnHold().local).join() === 'false,true'")
    assert hears(page) == pytest.approx(TRUNK_HERTZ, abs=10)
    press(page, "Hang up")
    waiting.wait("state", text="DISCONNECTED")
    assert page.state == "in-call"
    assert hears(page) == pytest.approx(TRUNK_HERTZ, abs=10)


def press(page: SoftphonePage, button: str) -> None:
    """A button in the only line of the list."""
    page.page.locator("#calls > li").get_by_role("button", name=button).click()


def hears(page: SoftphonePage) -> float:
    """The tone the person hears now."""
    return peak(heard(page.listen(1.5), RATE), RATE)[0]
