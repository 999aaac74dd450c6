"""CPU of the gateway process per call set up and ended: SIP on both legs, DTLS, SDES over TLS, policy and audit.

The ratio is taken within the same run against a call that is refused by the dialplan: SIP on one leg and two records.
"""

from __future__ import annotations

import statistics
import tempfile
import time
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
    gateway = GatewayProcess(setup).start()
    try:
        browser = await ScriptedBrowser(setup.origin).sign_in()
        refused = await _refused(browser, gateway.pid, count)
        answered, waits = await _answered(browser, gateway.pid, count)
        await browser.close()
    finally:
        gateway.stop()
        trunk.stop()
        media.close()
    print(f"calls: {count} of each kind, one after the other; CPU of the gateway process")
    print(f"  {'refused by the dialplan (404)':40s} {refused * 1e3:6.2f} ms/call")
    ratio = answered / refused
    print(f"  {'DTLS-SRTP to SDES over TLS, answered':40s} {answered * 1e3:6.2f} ms/call  {ratio:.2f} x refused")
    median, worst = statistics.median(waits) * 1e3, max(waits) * 1e3
    print(f"  {'INVITE to media keyed at the browser':40s} {median:6.2f} ms median, {worst:.1f} ms worst")


async def _refused(browser: ScriptedBrowser, pid: int, count: int) -> float:
    before = cpu_seconds(pid)
    for _ in range(count):
        call = await browser.invite(UNKNOWN)
        await call.final()
    return (cpu_seconds(pid) - before) / count


async def _answered(browser: ScriptedBrowser, pid: int, count: int) -> tuple[float, list[float]]:
    before, waits = cpu_seconds(pid), []
    for _ in range(count):
        start = time.monotonic()
        call = await browser.dial(NUMBER)
        waits.append(time.monotonic() - start)
        await call.hang_up()
    return (cpu_seconds(pid) - before) / count, waits
