"""The audit log cannot be written: new calls are refused, emergency calls are not, live calls stay (abuse C-28)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import EMERGENCY, PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]

BUFFER_MB = 0.02
"""Room for about twenty records."""


class Log:
    """The audit directory, which can be taken away and brought back."""

    def __init__(self, directory: Path) -> None:
        self._there, self._away = directory, directory.with_name("audit.away")

    def lose(self) -> None:
        self._there.rename(self._away)
        self._there.write_text("a file where the directory was")

    def restore(self) -> None:
        self._there.unlink()
        self._away.rename(self._there)


async def status_of(browser: ScriptedBrowser, scene: HostedScene) -> int:
    """What a new call gets whose trunk says busy when it is reached."""
    scene.scripts[PLAIN] = lambda request: [(486, b"")]
    response = await (await browser.invite(PLAIN)).final()
    del scene.scripts[PLAIN]
    return response.status


@pytest.mark.parametrize(
    ("policy", "at_once"), [("refuse_new", True), ("buffer_then_refuse_new", False)], ids=["refuse", "buffer"]
)
async def test_without_a_log_only_live_and_emergency_calls_go_on(tmp_path: Path, policy: str, at_once: bool) -> None:
    audit = {"directory": "audit", "on_unavailable": policy, "buffer_mb": BUFFER_MB}
    scene = await HostedScene(tmp_path, setup={"overrides": {"audit": audit}}).start()
    log = Log(tmp_path / "audit")
    alice, bob = await scene.browser(), await scene.browser("bob")
    live, trunk, uid = await scene.call(alice, SDES)
    await both_hear(live, trunk)
    log.lose()

    if not at_once:
        assert await status_of(bob, scene) == 486  # a first call still finds room in the buffer
        for _ in range(40):
            await (await bob.invite("999999")).final()
    refusal = await (await bob.invite(SDES)).final()
    assert refusal.status == 503
    assert "audit log" in (refusal.headers.get("Warning") or "")

    await both_hear(live, trunk)  # the live call is kept
    scene.answer_with(PLAIN)
    emergency = await bob.dial(EMERGENCY)
    await both_hear(emergency, scene.media[PLAIN])
    await emergency.hang_up()

    log.restore()
    await until(lambda: scene.host.gateway.audit.accepting_calls, "log accepted again")
    await live.hang_up()
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"
    assert scene.host.records("log.recovered") or scene.host.records("log.dropped")
    trunk.close()
    await scene.canary()
    await alice.close()
    await bob.close()
    await scene.stop()
