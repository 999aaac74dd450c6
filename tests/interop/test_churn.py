"""Two hundred calls that end in every way: whatever a call held is given back, and the log counts them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.base.counters import Counter as Name
from gateway.sip.message import Request
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import MORE, PLAIN, PLAIN_HOST, SDES, HostedScene
from tests.rig.trunk import Answer, TrunkDialog, description

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

ANSWER, RING, REFUSE = f"{MORE}1", f"{MORE}2", f"{MORE}3"
USERS = tuple(f"user{n}" for n in range(10))
SPREAD = {
    "answered": (4, "hangup-browser"),
    "cancelled": (4, "cancelled"),
    "rejected": (3, "busy"),
    "timed out": (3, "ring-timeout"),
    "vanished talking": (2, "flow-lost"),
    "vanished ringing": (2, "flow-lost"),
    "called": (1, "hangup-browser"),
    "called in vain": (1, "busy"),
}
"""Of the twenty calls of one user: how many of each kind, and how the log names their end."""
CALLS = len(USERS) * sum(count for count, _ in SPREAD.values())


def trunk_answers(request: Request) -> list[Answer]:
    dialled = request.request_uri.user
    if dialled == ANSWER:
        return [(180, b""), (200, description(PLAIN_HOST))]
    return [(180, b"")] if dialled == RING else [(486, b"")]


class Caller:
    """One user who calls, is called, and now and then is gone."""

    def __init__(self, scene: HostedScene, user: str) -> None:
        self.scene, self.user = scene, user
        self.browser: ScriptedBrowser

    async def live(self) -> None:
        self.browser = await self.scene.browser(self.user)
        try:
            for kind, (count, _) in SPREAD.items():
                for number in range(count):
                    await self._one(kind, number)
        finally:
            await self.browser.close()

    async def _one(self, kind: str, number: int) -> None:
        match kind.split():
            case ["answered"]:
                call = await self.browser.dial(ANSWER)
                call.media.say()
                await call.hang_up()
            case ["vanished", "talking"]:
                await self.browser.dial(ANSWER)
                await self._vanish()
            case ["called", *vain]:
                await self._called(f"{self.user}-{number}{''.join(vain)}", answers=not vain)
            case _:
                await self._in_vain(kind)

    async def _in_vain(self, kind: str) -> None:
        call = await self.browser.invite(REFUSE if kind == "rejected" else RING)
        while kind != "rejected" and (await call.provisional()).status != 180:
            pass
        if kind == "vanished ringing":
            await self._vanish()
            return
        if kind == "cancelled":
            await call.cancel()
        wanted = {"cancelled": 487, "rejected": 486, "timed out": 408}[kind]
        assert (await call.final()).status == wanted

    async def _vanish(self) -> None:
        await self.browser.vanish()
        self.browser = await self.scene.browser(self.user)

    async def _called(self, call_id: str, *, answers: bool) -> None:
        trunk, gateway = self.scene.trunks[PLAIN], ("127.0.0.1", self.scene.setup.sip_port)
        dialog = TrunkDialog(call_id)
        trunk.request("INVITE", self.user, gateway, dialog, description(PLAIN_HOST))
        async with asyncio.timeout(5):
            call = await self.browser.incoming.get()
        if answers:
            await call.accept()
        else:
            await call.refuse()
        await until(lambda: any(r.status >= 200 for r in trunk.answers(dialog)), "a final answer to the trunk")
        trunk.request("ACK", self.user, gateway, dialog)
        if answers:
            await call.media.connected()
            await call.hang_up()
        else:
            call.media.close()


def bound(ports: range) -> set[int]:
    """Which of the UDP ports somebody on this machine has."""
    rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(row.split()[1].split(":")[1], 16) for row in rows} & set(ports)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[HostedScene]:
    """Ten users, and a gateway that lets nobody ring for more than a second."""
    setup: dict[str, Any] = {
        "users": (*USERS, "bob"),
        "overrides": {"limits": {"ring_seconds": 1}},
        "trunk_ports": 600,
        "inbound": [{"id": "all", "dialled": "user*", "user": "*"}],
    }
    made = await HostedScene(tmp_path, setup=setup).start()
    yield made
    await made.stop()


async def test_two_hundred_calls_of_every_kind_leave_nothing_behind(scene: HostedScene) -> None:
    host, counters = scene.host, scene.host.gateway.counters
    ports = host.gateway.sites.current.media.trunk_ports
    await scene.canary(PLAIN)
    await scene.canary(SDES)
    scene.scripts[PLAIN] = trunk_answers
    scene.media.pop(SDES).close()
    scene.media.pop(PLAIN).close()
    before, known = host.holdings(), {r["call_uid"] for r in host.records("call.start")}
    await asyncio.gather(*(Caller(scene, user).live() for user in USERS))
    await host.returned_to(before, 10.0)
    assert bound(ports) == set()
    starts = [r["call_uid"] for r in host.records("call.start") if r["call_uid"] not in known]
    finals = [r for r in host.records("call.final") if r["call_uid"] not in known]
    assert len(starts) == len(set(starts)) == len(finals) == CALLS == 200
    assert set(starts) == {r["call_uid"] for r in finals}
    expected: Counter[str] = Counter()
    for count, termination in SPREAD.values():
        expected[termination] += count * len(USERS)
    assert Counter(r["termination"] for r in finals) == expected
    assert counters[Name.CALLS_STARTED] == counters[Name.CALLS_ENDED] == CALLS + 2
    assert "Traceback" not in host.log
    scene.scripts.clear()
    await scene.canary()
