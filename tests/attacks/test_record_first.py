"""The running gateway writes the record before it acts: the peer that is told reads the log at that moment.

Each write takes a while here, so that a gateway that does not wait for it is always caught.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.sip.message import Request
from tests.audit.disk import FailingDisk
from tests.rig.hosted import until
from tests.rig.hosted_scene import SDES, SDES_HOST, HostedScene
from tests.rig.media import TrunkMedia
from tests.rig.trunk import Answer, description

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]

SLOW = 0.1
"""Seconds a write takes: many times what a message on loopback needs."""


class Reader:
    """Reads the log when something arrives, and keeps what it found."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "audit" / "audit.jsonl"
        self.found: list[tuple[str, list[dict[str, Any]]]] = []

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]

    def look(self, request: Request) -> None:
        self.found.append((request.method, self.records()))

    def at(self, method: str, number: int = 0) -> list[dict[str, Any]]:
        """The log when the nth request of a method arrived."""
        return [records for name, records in self.found if name == method][number]


def of(records: list[dict[str, Any]], kind: str, leg: str = "") -> list[dict[str, Any]]:
    return [r for r in records if r["type"] == kind and leg in ("", r.get("leg"))]


@asynccontextmanager
async def slow_scene(
    directory: Path, disk: FailingDisk, script: Callable[[Request], list[Answer]] | None = None, **options: Any
) -> AsyncIterator[tuple[HostedScene, Reader]]:
    scene = await HostedScene(directory, **options).start()
    reader = Reader(directory)
    scene.trunks[SDES].look = reader.look
    if script is not None:
        scene.scripts[SDES] = script
    disk.delay = SLOW
    try:
        yield scene, reader
    finally:
        disk.delay = 0.0
        await scene.stop()


async def test_the_trunk_that_gets_the_weaker_invite_reads_in_the_log_that_it_comes(
    tmp_path: Path, disk: FailingDisk
) -> None:
    media = TrunkMedia(SDES_HOST)

    def script(request: Request) -> list[Answer]:
        return [(488, b"")] if b"RTP/SAVP" in request.body else [(200, media.answer(request))]

    async with slow_scene(tmp_path, disk, script, sdes_security="prefer") as (scene, reader):
        alice = await scene.browser()
        call = await alice.dial(SDES)
        (retry,) = of(reader.at("INVITE", 1), "leg.downgraded", "trunk")
        assert "media.savp_retry" in retry["codes"]
        assert of(reader.at("INVITE", 0), "call.start")
        assert not of(reader.at("INVITE", 0), "leg.downgraded")
        await call.hang_up()
        await alice.close()
    media.close()


async def test_nobody_is_called_before_the_start_of_the_call_is_in_the_log(tmp_path: Path, disk: FailingDisk) -> None:
    async with slow_scene(tmp_path, disk, lambda _request: [(486, b"")]) as (scene, reader):
        alice = await scene.browser()
        assert (await (await alice.invite(SDES)).final()).status == 486
        assert len(of(reader.at("INVITE"), "call.start")) == 1
        assert len(of(reader.records(), "call.final")) == 1, "and the caller is refused after the end is"
        await alice.close()


async def test_the_browser_that_gets_the_answer_finds_the_trunk_leg_in_the_log(
    tmp_path: Path, disk: FailingDisk
) -> None:
    async with slow_scene(tmp_path, disk) as (scene, reader):
        scene.answer_with(SDES)
        alice = await scene.browser()
        call = await alice.invite(SDES)
        assert (await call.final()).status == 200
        assert of(reader.records(), "leg.secured", "trunk")
        await call.media.connected()
        await call.hang_up()
        await alice.close()


async def test_the_browser_of_a_tolerated_call_finds_its_downgrade_in_the_log(
    tmp_path: Path, disk: FailingDisk
) -> None:
    plain = description(SDES_HOST)

    def script(request: Request) -> list[Answer]:
        return [(488, b"")] if b"RTP/SAVP" in request.body else [(200, plain)]

    async with slow_scene(tmp_path, disk, script, sdes_security="prefer") as (scene, reader):
        alice = await scene.browser()
        call = await alice.invite(SDES)
        assert (await call.final()).status == 200
        assert "media.plain_rtp" in of(reader.records(), "leg.downgraded", "trunk")[-1]["codes"]
        await alice.close()


async def test_a_violation_is_in_the_log_before_either_side_hears_of_it(tmp_path: Path, disk: FailingDisk) -> None:
    weak = description(SDES_HOST, proto="RTP/SAVP")
    async with slow_scene(tmp_path, disk, lambda _request: [(200, weak)]) as (scene, reader):
        alice = await scene.browser()
        assert (await (await alice.invite(SDES)).final()).status == 488
        assert of(reader.records(), "leg.violation", "trunk")
        await until(lambda: any(method == "BYE" for method, _ in reader.found), "BYE to the trunk")
        assert of(reader.at("BYE"), "leg.violation", "trunk")
        assert of(reader.at("BYE"), "call.final")
        await alice.close()


async def test_the_peer_that_gets_the_bye_finds_the_end_of_the_call_in_the_log(
    tmp_path: Path, disk: FailingDisk
) -> None:
    async with slow_scene(tmp_path, disk) as (scene, reader):
        scene.answer_with(SDES)
        alice = await scene.browser()
        call = await alice.dial(SDES)
        await call.hang_up()
        await until(lambda: any(method == "BYE" for method, _ in reader.found), "BYE to the trunk")
        (final,) = of(reader.at("BYE"), "call.final")
        assert final["termination"] == "hangup-browser"
        await alice.close()
