"""Memory of a call: what gateway and relay worker hold more with many calls than with few, each heard both ways.

Browsers speak SIP over WebSocket, with ICE and a DTLS handshake for each call; the trunk takes TLS and SDES keys, so
that both legs are encrypted. What is told is private memory (`smaps_rollup`), which no other process shares; sockets,
four a call at most, hold memory of the kernel besides while packets wait in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.rate import LoadMedia, children
from gateway.process import RETURN_SECONDS
from gateway.sip.message import Request
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.media import CM_80, TrunkMedia
from tests.rig.ports import free_port
from tests.rig.trunk import Answer, FakeTrunk

HOST = "127.0.3.1"
NUMBER = "701"
FEW = 50
"""Calls before it counts: what is loaded, cached and reserved by the first ones is not theirs."""
CALLS_OF_A_USER = 20
TRUNK_PORTS = "12000-19999"
"""Enough for any number of calls that is asked for, and out of the way of what tests use."""
AT_ONCE = 4
"""Calls that are set up beside each other."""
PACKETS = 25
"""Each way and call: half a second of talk, by which every direction has its keys, its stream and its lane."""
SETTLE_SECONDS = 10.0 + RETURN_SECONDS + 2.0
"""A handshake that is over keeps its state for 10 s, in case the peer repeats itself; then its memory is given back."""


@dataclass(frozen=True)
class Held:
    """Private memory in kilobytes, by process."""

    gateway: float
    worker: float


class Stand:
    """A gateway with its trunk and its browsers.

    Args:
        count: calls there will be.
    """

    def __init__(self, directory: Path, count: int) -> None:
        port = free_port(host=HOST)
        setup = GatewaySetup(directory, trunks={}, outbound=[{"id": "b", "dialled": NUMBER, "trunk": "bench"}])
        setup.inbound, files = [], setup.certificates
        setup.trunks = {
            "bench": {
                "target": f"sip:{HOST}:{port};transport=tls",
                "security": "strict",
                "networks": [f"{HOST}/32"],
                "tls": {"ca": str(files.ca.certificate), "names": ["pbx.demo.test"]},
            }
        }
        setup.users = tuple(f"caller{number}" for number in range(count // CALLS_OF_A_USER + 1))
        setup.log_level, setup.trunk_range = "INFO", TRUNK_PORTS
        setup.overrides = {"limits": {"calls": count + 10, "calls_per_user": 2 * CALLS_OF_A_USER}}
        self.process = GatewayProcess(setup)
        self._trunk = FakeTrunk(HOST, port, self._answer, transport="tls", pair=files.pbx)
        self._loop = asyncio.get_running_loop()
        self.trunks: list[TrunkMedia] = []
        self.calls: list[BrowserCall] = []
        self._browsers: list[ScriptedBrowser] = []

    async def start(self) -> None:
        self._trunk.start()
        self.process.start()
        for user in self.process.setup.users:
            self._browsers.append(await ScriptedBrowser(self.process.setup.origin, user).sign_in())

    async def stop(self) -> None:
        for browser in self._browsers:
            await browser.close()
        self.process.stop()
        self._trunk.stop()
        for media in self.trunks:
            media.close()

    async def call_until(self, count: int) -> None:
        """Have so many calls in all, each of which has been heard both ways."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                await self._call(self._browsers[number % len(self._browsers)])

        await asyncio.gather(*(one(number) for number in range(len(self.calls), count)))
        for _ in range(PACKETS):
            for end in (*(call.media for call in self.calls), *self.trunks):
                end.say()
                await asyncio.sleep(0)
            for end in (*(call.media for call in self.calls), *self.trunks):
                end.heard.clear()
                end.wire.clear()

    async def _call(self, browser: ScriptedBrowser) -> None:
        call = await browser.invite(NUMBER, LoadMedia(host=HOST))
        response = await call.final()
        if response.status != 200:
            raise ConnectionError(f"{response.status} {response.reason}")
        await call.media.connected()
        self.calls.append(call)

    def _answer(self, request: Request) -> list[Answer]:
        """In the trunk's own thread; sockets of media belong to the loop."""
        return [(200, asyncio.run_coroutine_threadsafe(self._described(request), self._loop).result(5))]

    async def _described(self, request: Request) -> bytes:
        media = TrunkMedia(HOST, CM_80)
        self.trunks.append(media)
        return media.answer(request)

    async def held(self) -> Held:
        """What both hold when all that is under way has come to rest."""
        await asyncio.sleep(SETTLE_SECONDS)
        if gone := self.process.records("call.final"):
            raise ConnectionError(f"{len(gone)} calls have ended, the first one as {gone[0]['termination']}")
        (worker,) = children(self.process.pid)
        return Held(private_kilobytes(self.process.pid), private_kilobytes(worker))


def private_kilobytes(pid: int) -> float:
    """Memory of a process that no other one shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")))


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        stand = Stand(Path(directory), count)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stand.stop)
            await stand.start()
            await stand.call_until(FEW)
            few = await stand.held()
            await stand.call_until(count)
            many = await stand.held()
    more = count - FEW
    gateway, worker = (many.gateway - few.gateway) / more, (many.worker - few.worker) / more
    print(f"memory: {count} calls, DTLS-SRTP to SDES over TLS; private memory a call, beyond that of {FEW} calls")
    print(f"  gateway {gateway:6.1f} kB   relay worker {worker:6.1f} kB   together {gateway + worker:6.1f} kB")
    for name, held in ((FEW, few), (count, many)):
        print(
            f"  with {name:4d} calls: gateway {held.gateway / 1024:.1f} MB, worker {held.worker / 1024:.1f} MB",
            flush=True,
        )
