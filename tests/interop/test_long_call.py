"""One call of 100 s. It mostly waits, so `make test` runs it beside the other tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.interop.test_calls import TALK_SECONDS, call_uid, hear
from tests.rig.audio import gaps, heard, read_wav
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.phone import Phone

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(200)]

LONG_CALL_SECONDS = 100
"""JsSIP refreshes its session after 45 s and again after 90 s with an UPDATE that has no body."""
MAX_GAP_BESIDE_OTHERS = 1.0
"""The machine is busy with the other tests meanwhile; a refresh that broke media would be silent for good."""


def test_a_call_of_100_seconds_outlives_its_session_refreshes(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory", play=stage.long_tone)
    page.call("601")
    page.page.wait_for_timeout(LONG_CALL_SECONDS * 1000)
    assert page.state == "in-call"
    hear(page.listen(TALK_SECONDS), RATE, TRUNK_HERTZ, MAX_GAP_BESIDE_OTHERS)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    recorded, rate = read_wav(phone.recording)
    assert gaps(heard(recorded, rate), rate, MAX_GAP_BESIDE_OTHERS) == []
    hear(recorded[-int((TALK_SECONDS + 1) * rate) :], rate, BROWSER_HERTZ, MAX_GAP_BESIDE_OTHERS)
    assert stage.gateway.log.count("sent=200 UPDATE") >= 2
    final = stage.gateway.final(call_uid(stage))
    assert final["duration"] >= LONG_CALL_SECONDS
    assert final["termination"] == "hangup-browser"
