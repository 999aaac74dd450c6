"""The running gateway of a soak, its trunks and browsers, and the life of each call: begun, talked, hung up, again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from secrets import SystemRandom
from typing import Any

import aiohttp

from bench.rate import children
from bench.soak.talk import Floor, Talk, Voice, WiredBrowser, WiredTrunk
from gateway.sip.message import Request
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.media import CM_80
from tests.rig.ports import free_port
from tests.rig.trunk import Answer, FakeTrunk

HOST = "127.0.3.1"
PLAIN, SDES = "7", "8"
"""First digits of what is dialled: a trunk over UDP with RTP, one over TLS with SRTP. The others tell the call."""
TRUNK_PORTS = "12000-19999"
USERS = 64
RATE = 10.0
"""Calls a second that are begun at first, and ended in the end."""
ON_THE_WAY_SECONDS = 0.5
"""From the last word of a call to its BYE: what is on its way arrives."""
REST_SECONDS = 1.0
"""From the end of a call to the next one in its place."""
ANSWER_SECONDS = 10.0


@dataclass
class Tally:
    """What has become of the calls."""

    begun: int = 0
    ended: int = 0
    sent: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)


class Stand:
    """Everything of one soak.

    Args:
        directory: where files and logs of the gateway are.
        calls: at a time.
        life: between how many seconds a call lasts.
    """

    def __init__(self, directory: Path, calls: int, life: tuple[float, float]) -> None:
        self.calls, self._random = calls, SystemRandom()
        self._life = life
        self.tally = Tally()
        self._phones: dict[str, WiredTrunk] = {}
        """By what was dialled."""
        setup = GatewaySetup(directory, trunks={}, outbound=[], inbound=[])
        ports = {kind: free_port(host=HOST) for kind in (PLAIN, SDES)}
        files = setup.certificates
        tls = {"ca": str(files.ca.certificate), "names": ["pbx.demo.test"]}
        setup.trunks = {
            "plain": self._trunk_of(ports[PLAIN], "", "legacy"),
            "sdes": self._trunk_of(ports[SDES], ";transport=tls", "strict") | {"tls": tls},
        }
        setup.outbound = [
            {"id": name, "dialled": f"{digit}*", "trunk": name} for digit, name in ((PLAIN, "plain"), (SDES, "sdes"))
        ]
        setup.users = tuple(f"caller{number}" for number in range(USERS))
        setup.log_level, setup.trunk_range = "INFO", TRUNK_PORTS
        setup.overrides = {"limits": {"calls": calls + 50, "calls_per_user": 1000}}
        self.gateway = GatewayProcess(setup)
        self._trunks = [
            FakeTrunk(HOST, ports[PLAIN], self._answer),
            FakeTrunk(HOST, ports[SDES], self._answer, transport="tls", pair=files.pbx),
        ]
        self._loop = asyncio.get_running_loop()
        self._browsers: list[ScriptedBrowser] = []
        self._over = asyncio.Event()
        self._lives: list[asyncio.Task[None]] = []

    @staticmethod
    def _trunk_of(port: int, suffix: str, profile: str) -> dict[str, Any]:
        return {"target": f"sip:{HOST}:{port}{suffix}", "security": profile, "networks": [f"{HOST}/32"]}

    async def start(self) -> None:
        """Bring everything up, without a call."""
        self.floor = Floor()
        for trunk in self._trunks:
            trunk.start()
        self.gateway.start()
        for user in self.gateway.setup.users:
            self._browsers.append(await ScriptedBrowser(self.gateway.setup.origin, user).sign_in())

    async def warm_up(self) -> None:
        """A call over each trunk, whose connection then stays."""
        life, self._life = self._life, (1.0, 1.0)
        for number in range(2):
            await self._one(number)
        self._life = life

    def begin(self) -> None:
        """From now on there are calls."""
        self._lives = [self._loop.create_task(self._live(number)) for number in range(self.calls)]

    async def end(self) -> None:
        """Hang up every call."""
        self._over.set()
        await asyncio.gather(*self._lives)

    async def stop(self) -> None:
        """End everything else."""
        for browser in self._browsers:
            await browser.close()
        await self.floor.close()
        self.gateway.stop()
        for trunk in self._trunks:
            trunk.stop()

    @property
    def live(self) -> int:
        return self.tally.begun - self.tally.ended - len(self.tally.failures)

    @property
    def pids(self) -> tuple[int, int]:
        """Gateway and relay worker."""
        (worker,) = children(self.gateway.pid)
        return self.gateway.pid, worker

    async def metrics(self) -> dict[str, float]:
        """The gateway's own counters that have no labels."""
        url = f"{self.gateway.setup.origin}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as response:
            lines = (await response.text()).splitlines()
        pairs = (line.split() for line in lines if line and not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value in pairs}

    async def _live(self, number: int) -> None:
        """One place for a call: one after the other."""
        await self._within(number / RATE)
        while not self._over.is_set():
            await self._one(number)
            await self._within(REST_SECONDS + self._random.random())

    async def _one(self, number: int) -> None:
        self.tally.begun += 1
        browser = self._browsers[number % len(self._browsers)]
        dialled = f"{(PLAIN, SDES)[number % 2]}{number:05d}"
        call: BrowserCall | None = None
        try:
            call = await browser.invite(dialled, WiredBrowser(self.floor.browsers, _host(1, number)))
            await self._talk(number, call, self._phones[await _answered(call, dialled)])
            await call.hang_up()
            self.tally.ended += 1
        except (AssertionError, KeyError, OSError, TimeoutError) as error:
            self.tally.failures.append(f"{type(error).__name__}: {error}")
        finally:
            if call is not None:
                call.media.close()
                browser.calls.pop(call.call_id, None)
            phone = self._phones.pop(dialled, None)
            if phone is not None:
                phone.close()

    async def _talk(self, number: int, call: BrowserCall, phone: WiredTrunk) -> None:
        heard, media = self.floor.heard, call.media
        assert isinstance(media, WiredBrowser)
        talk = Talk(Voice(2 * number, media, heard), Voice(2 * number + 1, phone, heard))
        self.floor.add(talk)
        try:
            await self._within(self._random.uniform(*self._life))
        finally:
            self.floor.remove(talk)
        if self._over.is_set():
            await asyncio.sleep(number / RATE / 3)
        await asyncio.sleep(ON_THE_WAY_SECONDS)
        self.tally.sent += talk.browser.sent + talk.phone.sent
        self.tally.lost += talk.lost

    async def _within(self, seconds: float) -> None:
        """Wait so long, or until it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def _answer(self, request: Request) -> list[Answer]:
        """In the trunk's own thread; the ends of media belong to the loop."""
        made = asyncio.run_coroutine_threadsafe(self._described(request), self._loop)
        return [(200, made.result(ANSWER_SECONDS))]

    async def _described(self, request: Request) -> bytes:
        dialled = request.uri.partition(":")[2].partition("@")[0]
        number = int(dialled[1:])
        phone = self._phones[dialled] = WiredTrunk(
            self.floor.phones, _host(2, number), CM_80 if dialled.startswith(SDES) else None
        )
        return phone.answer(request)


async def _answered(call: BrowserCall, dialled: str) -> str:
    """Wait until it is answered and keyed."""
    response = await call.final()
    if response.status != 200:
        raise ConnectionError(f"{response.status} {response.reason}")
    await call.media.connected()
    return dialled


def _host(side: int, number: int) -> str:
    """An address that is this end's alone."""
    return f"127.{side}.{(number + 1) >> 8}.{(number + 1) & 0xFF}"
