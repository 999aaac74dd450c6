"""Calls at a rate: browsers that speak SIP over WebSocket, with ICE and a DTLS handshake for each call, to SIPp as the
trunk; set-up times and CPU of everything between, beside Kamailio + rtpengine in the same run.

What is measured has one core for itself; browsers and trunk have the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aioice import stun

from bench.bridge import CORE, HOST, PORTS, Bridge, is_here
from bench.load import cpu_seconds
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.media import Address
from tests.rig.ports import free_port

NUMBER = "701"
USERS = 64
"""Callers that take turns: none begins more calls a second than one user may."""
CHECK_SECONDS = 5.0
"""Between connectivity checks after the first (RFC 7675 5.1)."""
OWN_CORE = 0


class Measured(Protocol):
    """A system under load."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str: ...

    @property
    def users(self) -> Sequence[str]: ...

    @property
    def parts(self) -> Mapping[str, int]: ...


class Product:
    """This gateway, with policy, audit log and TLS as they are shipped.

    Args:
        trunk: UDP port of the trunk.
    """

    name = "gateway"

    def __init__(self, trunk: int) -> None:
        self._directory = tempfile.TemporaryDirectory()
        setup = GatewaySetup(Path(self._directory.name), trunks={}, outbound=[])
        setup.outbound = [{"id": "all", "dialled": NUMBER, "trunk": "sipp"}]
        networks = [f"{HOST}/32"]
        setup.trunks = {"sipp": {"target": f"sip:{HOST}:{trunk}", "security": "legacy", "networks": networks}}
        setup.inbound = []
        setup.log_level, setup.trunk_ports, setup.tls_web = "INFO", PORTS, False
        setup.users = self.users = tuple(f"caller{number}" for number in range(USERS))
        self._process = GatewayProcess(setup)
        self.origin = setup.origin

    @property
    def parts(self) -> Mapping[str, int]:
        """Gateway and relay worker."""
        (worker,) = children(self._process.pid)
        return {"gateway": self._process.pid, "worker": worker}

    def start(self) -> Product:
        """Begin, and move to the core that is measured."""
        self._process.start()
        for part in self.parts.values():
            for thread in Path(f"/proc/{part}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {CORE})
        return self

    def stop(self) -> None:
        """End it."""
        self._process.stop()
        self._directory.cleanup()


class LoadMedia(BrowserMedia):
    """A browser's media that also answers the checks of an ICE agent that is no lite one, and then rests."""

    def description(self, *, setup: str = "", direction: str = "sendrecv") -> bytes:
        host, port = self.address
        candidate = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\n".encode()
        text = super().description(setup=setup, direction=direction)
        text = text.replace(b"c=IN IP4 0.0.0.0", f"c=IN IP4 {host}".encode()).replace(b"audio 9 ", b"audio %d " % port)
        return text + candidate

    async def _check_forever(self) -> None:
        while True:
            self.send(self.check())
            await asyncio.sleep(CHECK_SECONDS if self._valid.is_set() else 0.05)

    def _take(self, data: bytes, source: Address) -> None:
        if data[:2] != b"\x00\x01":
            super()._take(data, source)
            return
        asked = stun.parse_message(data)
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = source
        answer.add_message_integrity(self.password.encode())
        self.send(bytes(answer), source)

    def _stun(self, data: bytes) -> None:
        if data[:2] == b"\x01\x01":
            super()._stun(data)


@dataclass
class Result:
    """What came of one load."""

    planned: int
    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    """Seconds from INVITE to 200."""
    keyed: list[float] = field(default_factory=list)
    """Seconds from INVITE to the end of the handshake."""
    failures: list[str] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU per call that was made, by part."""

    @property
    def total(self) -> float:
        """CPU per call of all parts."""
        return sum(self.cpu.values())


async def main(rate: float, seconds: float) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {OWN_CORE})
    port = free_port(host=HOST)
    trunk = _sipp(port)
    try:
        ours = await _measured(Product(port).start(), rate, seconds)
        theirs = await _measured(Bridge(port).start(), rate, seconds) if is_here() else None
    finally:
        trunk.terminate()
        trunk.wait()
    _print(rate, ours, theirs)


def _sipp(port: int) -> subprocess.Popen[bytes]:
    """SIPp, which answers whoever calls."""
    command = ["sipp", "-sn", "uas", "-i", HOST, "-p", str(port), "-nostdin"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd=tempfile.gettempdir())


async def _measured(system: Product | Bridge, rate: float, seconds: float) -> Result:
    try:
        async with contextlib.AsyncExitStack() as stack:
            browsers = []
            for user in system.users:
                browsers.append(await ScriptedBrowser(system.origin, user).sign_in())
                stack.push_async_callback(browsers[-1].close)
            await _load(system, browsers, rate / 2, 2.0)  # what is loaded at the first call
            return await _load(system, browsers, rate, seconds)
    finally:
        system.stop()


async def _load(system: Measured, browsers: Sequence[ScriptedBrowser], rate: float, seconds: float) -> Result:
    """Begin calls at their time, whatever has become of those before."""
    result = Result(int(rate * seconds))
    before, start, calls = _cpu(system.parts), time.monotonic(), []
    for number in range(result.planned):
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(_call(browsers[number % len(browsers)], result)))
    await asyncio.gather(*calls)
    result.seconds = time.monotonic() - start
    after = _cpu(system.parts)
    result.cpu = {part: (after[part] - before[part]) / max(1, len(result.keyed)) for part in before}
    return result


async def _call(browser: ScriptedBrowser, result: Result) -> None:
    """One call: answered, keyed, hung up."""
    began, call = time.monotonic(), None
    try:
        call = await browser.invite(NUMBER, LoadMedia(host=HOST))
        response = await call.final()
        if response.status != 200:
            raise ConnectionError(f"{response.status} {response.reason}")
        answered = time.monotonic() - began
        await call.media.connected()
        result.answered.append(answered)
        result.keyed.append(time.monotonic() - began)
        await call.hang_up()
    except (AssertionError, IndexError, OSError, TimeoutError) as error:
        result.failures.append(f"{type(error).__name__}: {error}")
    finally:
        _forget(browser, call)


def _forget(browser: ScriptedBrowser, call: BrowserCall | None) -> None:
    if call is not None:
        call.media.close()
        browser.calls.pop(call.call_id, None)


def _cpu(parts: Mapping[str, int]) -> dict[str, float]:
    """Of each part with what it has started; only Kamailio starts processes."""
    whole = {name: [pid, *(_descendants(pid) if name == "kamailio" else ())] for name, pid in parts.items()}
    return {name: sum(map(cpu_seconds, pids)) for name, pids in whole.items()}


def children(pid: int) -> list[int]:
    """Processes a process has started."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in (child, *_descendants(child))]


def _print(rate: float, ours: Result, theirs: Result | None) -> None:
    length = ours.planned / rate
    print(f"rate: {rate:g} calls/s for {length:g} s, SIP over WebSocket, ICE and DTLS-SRTP to UDP and RTP; one core")
    for name, result in (("gateway", ours), ("Kamailio + rtpengine", theirs)):
        if result is None:
            print(f"  {name}: not installed (kamailio-websocket-modules, rtpengine-daemon)")
            continue
        parts = ", ".join(f"{part} {cpu * 1e3:.1f}" for part, cpu in result.cpu.items())
        failed = f"{len(result.failures)} of {result.planned} failed"
        print(f"  {name:22s} {failed}; CPU {result.total * 1e3:5.1f} ms/call ({parts})")
        print(f"  {'':22s} INVITE to 200 {_percentiles(result.answered)}; to media keyed {_percentiles(result.keyed)}")
        for failure in sorted(set(result.failures))[:3]:
            print(f"  {'':22s} {failure}")
    if theirs is not None and theirs.total:
        print(f"  ratio of CPU per call  {ours.total / theirs.total:.2f}")


def _percentiles(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "-"
    points = statistics.quantiles(seconds, n=100)
    return f"p50 {points[49] * 1e3:.1f}, p95 {points[94] * 1e3:.1f}, p99 {points[98] * 1e3:.1f} ms"
