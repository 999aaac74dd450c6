"""A policy that wants the tone, to the page that plays it: who calls hears that a call will not be protected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import TRUNKS, Stage
from tests.rig.chromium import SoftphonePage
from tests.rig.trunk import FakeTrunk, description

pytestmark = [pytest.mark.interop, pytest.mark.slow]

POLICY = """version: 1
profiles:
  heard: {like: legacy, on_downgrade: {tone: insecure_beep}}
rules:
  - {id: plain, match: {trunk: plain}, profile: heard}
"""
LISTEN = """window.heard = [];
const Real = OscillatorNode;
window.OscillatorNode = class extends Real {
  constructor(context, options) { super(context, options); window.heard.push(options.frequency); }
};"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway whose policy wants the tone on one of its trunks."""
    directory = tmp_path_factory.mktemp("tone")
    policy: Path = directory / "policy.yaml"
    policy.write_text(POLICY)
    made = Stage(directory, overrides={"policy": str(policy)})
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.mark.parametrize(("number", "tones"), [("600", 1), ("609", 0)])
def test_the_tone_of_the_policy_sounds_while_it_rings(stage: Stage, chromium: Browser, number: str, tones: int) -> None:
    _, host, _, _ = TRUNKS[number]
    trunk = FakeTrunk(host, stage.ports[number], lambda _: [(180, b""), (200, description(host))]).start()
    page = SoftphonePage(chromium, stage.gateway.url, init_script=LISTEN).sign_in()
    page.dial(number)
    page.wait_state("in-call")
    page.wait_colour("red")
    heard = page.page.evaluate("() => window.heard")
    assert sum(heard[at : at + 3] == [880, 660, 440] for at in range(len(heard))) == tones
    page.click("hangup")
    page.wait_state("ended")
    page.close()
    trunk.stop()
