"""One gateway for the tests of a file, and what every attack must leave behind: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from tests.attacks.target import Target
from tests.audit.disk import disk
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene
from tests.rig.media import MediaEnd

__all__ = ["disk"]

Strangers = Callable[..., MediaEnd]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """The gateway of a module."""
    made = await HostedScene(tmp_path_factory.mktemp("scene")).start()
    await made.canary(PLAIN)
    await made.canary(SDES)  # connections to the trunks are open from here on
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def alice(scene: HostedScene) -> AsyncIterator[ScriptedBrowser]:
    """A signed-in browser. When the test is over nothing of it may be held, and a clean call must work."""
    before = scene.host.holdings()
    browser = await scene.browser()
    yield browser
    await browser.close()
    for number in (PLAIN, SDES):
        scene.scripts.pop(number, None)
    media, scene.media = scene.media, {}
    for end in media.values():
        end.close()
    await until(lambda: scene.host.gateway.manager.live_calls == 0, "calls still live")
    await scene.canary()
    scene.media.pop(SDES).close()
    await scene.host.returned_to(before)


@pytest_asyncio.fixture(loop_scope="module")
async def stranger() -> AsyncIterator[Strangers]:
    """Makes ends of media that are nobody's peer; closed with the test."""
    made: list[MediaEnd] = []

    def make(host: str, mark: bytes = b"injected-by-a-stranger-123456789") -> MediaEnd:
        made.append(MediaEnd(mark, host))
        return made[-1]

    yield make
    for end in made:
        end.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The gateway of a module as a process of its own; whatever was done to it, it stops in order with a clean log."""
    made = Target(tmp_path_factory.mktemp("target")).start()
    yield made
    made.stop()
