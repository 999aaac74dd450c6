"""A gateway whose files are changed while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.base.errors import ConfigError
from gateway.reload.reloader import Reloaded
from tests.rig.hosted_scene import HostedScene


class ReloadScene(HostedScene):
    """A hosted gateway, its trunks, and the files it was started with."""

    async def reload(self, **overrides: Any) -> Reloaded:
        """Write the files as `setup` is now, with these sections of the gateway file, and load them."""
        self.setup.overrides.update(overrides)
        self.setup.write()
        return await self.host.gateway.reloader.reload("test")

    async def mistakes(self) -> str:
        """What is told of files that cannot be loaded."""
        try:
            await self.host.gateway.reloader.reload("test")
        except ConfigError as error:
            return str(error)
        raise AssertionError("it was loaded")

    def told(self, reloaded: Reloaded) -> list[str]:
        """The differences, in words."""
        return [str(change) for change in reloaded.changes]


@asynccontextmanager
async def running(directory: Path, **options: Any) -> AsyncIterator[ReloadScene]:
    """Such a gateway, with everything that belongs to it."""
    scene = ReloadScene(directory, **options)
    await scene.start()
    try:
        yield scene
    finally:
        await scene.stop()
