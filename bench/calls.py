"""CPU of the gateway process per call set up and ended: SIP on both legs, DTLS, SDES over TLS, policy and audit.

The ratio is taken within the same run against a call that is refused by the dialplan: SIP on one leg and two records.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import cpu_seconds
from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.media import TrunkMedia
from tests.rig.ports import free_port
from tests.rig.srtp import CM_80
from tests.rig.trunk import FakeTrunk

HOST = "127.0.3.1"
NUMBER, UNKNOWN = "701", "999999"
CALLS_OF_A_USER = 40
"""Nobody may begin more than a few calls a second: as many users take turns as keep each below what is let through."""


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        await _measure(Path(directory), count)


async def _measure(directory: Path, count: int) -> None:
    port = free_port(host=HOST)
    setup = GatewaySetup(directory, trunks={}, outbound=[{"id": "b", "dialled": NUMBER, "trunk": "bench"}])
    setup.log_level = "INFO"
    files = setup.certificates
    setup.trunks = {
        "bench": {
            "target": f"sip:{HOST}:{port};transport=tls",
            "security": "strict",
            "networks": [f"{HOST}/32"],
            "tls": {"ca": str(files.ca.certificate), "names": ["pbx.demo.test"]},
        }
    }
    media = TrunkMedia(HOST, CM_80)
    trunk = FakeTrunk(HOST, port, lambda r: [(200, media.answer(r))], transport="tls", pair=files.pbx).start()
    setup.users += tuple(f"caller{number}" for number in range(2 * count // CALLS_OF_A_USER))
    gateway = GatewayProcess(setup).start()
    try:
        async with contextlib.AsyncExitStack() as stack:
            browsers = []
            for user in setup.users:
                browsers.append(await ScriptedBrowser(setup.origin, user).sign_in())
                stack.push_async_callback(browsers[-1].close)
            turns = itertools.cycle(browsers)
            refused = await _refused(turns, gateway.pid, count)
            answered, waits = await _answered(turns, gateway.pid, count)
    finally:
        gateway.stop()
        trunk.stop()
        media.close()
    print(f"calls: {count} of each kind, one after the other; CPU of the gateway process")
    print(f"  {'refused by the dialplan (404)':40s} {refused * 1e3:6.2f} ms/call")
    ratio = answered / refused
    print(f"  {'DTLS-SRTP to SDES over TLS, answered':40s} {answered * 1e3:6.2f} ms/call  {ratio:.2f} x refused")
    print(f"  {'INVITE to 200':40s} {_spread([wait.answered for wait in waits])}")
    print(f"  {'INVITE to media keyed at the browser':40s} {_spread([wait.keyed for wait in waits])}")


@dataclass(frozen=True)
class Wait:
    """Seconds from the INVITE of a call."""

    answered: float
    keyed: float


def _spread(seconds: list[float]) -> str:
    median, late, worst = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1], max(seconds)
    return f"{median * 1e3:6.2f} ms median, {late * 1e3:.1f} ms p95, {worst * 1e3:.1f} ms worst"


async def _refused(turns: Iterator[ScriptedBrowser], pid: int, count: int) -> float:
    before = cpu_seconds(pid)
    for _ in range(count):
        call = await next(turns).invite(UNKNOWN)
        await call.final()
    return (cpu_seconds(pid) - before) / count


async def _answered(turns: Iterator[ScriptedBrowser], pid: int, count: int) -> tuple[float, list[Wait]]:
    before, waits = cpu_seconds(pid), []
    for _ in range(count):
        start = time.monotonic()
        call = await next(turns).invite(NUMBER)
        response = await call.final()
        answered = time.monotonic() - start
        assert response.status == 200, (response.status, response.reason)
        await call.media.connected()
        waits.append(Wait(answered, time.monotonic() - start))
        await call.hang_up()
    return (cpu_seconds(pid) - before) / count, waits
