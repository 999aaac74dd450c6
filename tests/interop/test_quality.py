"""A real browser and a real phone: how their call sounds, by their own reports, in table, page and log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.conftest import Stage
from tests.interop.test_calls import call_uid
from tests.rig.chromium import SoftphonePage
from tests.rig.gateway import wait_for
from tests.rig.phone import Phone

pytestmark = [pytest.mark.interop, pytest.mark.slow]

FIRST_LOOK_MS = 25_000
"""The default stretch of ten seconds, and what a loaded machine takes."""


def legs_now(stage: Stage) -> dict[str, Any]:
    """The legs of the one call, by `sip-gateway calls`."""
    command = [sys.executable, "-m", "gateway", "calls", "--json", "-c", str(stage.setup.directory / "gateway.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    return {leg["kind"]: leg for leg in row["legs"]}


def test_a_good_line_is_good_for_the_page_the_table_and_the_log(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("601", srtp="mandatory")
    page.call("601")
    page.page.wait_for_function(
        "() => document.querySelector('#quality').textContent === 'The sound is good.'", timeout=FIRST_LOOK_MS
    )
    legs = legs_now(stage)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    uid = call_uid(stage)
    wait_for(lambda: stage.gateway.records("call.final", uid), 5, "no call.final")
    (final,) = stage.gateway.records("call.final", uid)
    for kind in ("browser", "trunk"):
        assert legs[kind]["packets"]["received"] > 300
        assert legs[kind]["sound"]["mos"] > 4.0
        assert legs[kind]["quality"] == "good"
        figures = final["quality"][kind]
        assert figures["mos"] > 4.0
        assert figures["bad_seconds"] == 0
        assert figures["heard"]["loss_percent"] < 2
        assert figures["sent"]["packets"] > 100, "the peer has reported what it gets"
        assert 0 <= figures["rtt_ms"] < 500
    page.page.wait_for_function("() => document.querySelector('#quality').textContent === ''")
