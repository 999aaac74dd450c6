"""A running gateway sends what it records, from its first record to its last, and to whom a reload says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.sinks.receivers import HOST, NAME, Papers, SyslogServer
from tests.reload.scene import running


@pytest.mark.asyncio
async def test_a_gateway_sends_its_log_and_a_reload_sends_it_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    papers = Papers(tmp_path / "papers")
    one = await SyslogServer(papers.server_context()).start()
    other = await SyslogServer(papers.server_context()).start()

    def audit(server: SyslogServer, name: str) -> dict[str, object]:
        to = {"address": f"{HOST}:{server.port}", "server_name": NAME, "tls": {"ca": str(papers.ca)}}
        return {"directory": "audit", "people": "names", "sinks": [{"name": name, "syslog": to}]}

    async with running(tmp_path) as scene:
        await scene.reload(audit=audit(one, "one"))
        browser = await scene.browser()
        await one.when(lambda: any(record["type"] == "auth.ok" for record in one.records))
        await scene.reload(audit=audit(other, "other"))
        await one.when(lambda: any(record["type"] == "policy.loaded" for record in one.records))
        await browser.close()
    await other.when(lambda: any(record["type"] == "admin.stop" for record in other.records))
    await other.when(lambda: other.records[-1]["type"] == "log.checkpoint")
    await one.stop()
    await other.stop()
