"""Somebody else's decoder reads what a running gateway exports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.base.values import HostPort
from gateway.hep.packet import Frame, Kind, Sender, encode
from tests.hep.collectors import send_to
from tests.reload.scene import running
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST
from tests.rig.kamailio_capture import KamailioCapture, SipRow
from tests.rig.tools import needs

pytestmark = [needs("kamailio")]


@pytest.mark.asyncio
async def test_a_capture_node_of_homer_reads_every_message_of_a_call_and_a_report(tmp_path: Path) -> None:
    node = KamailioCapture(tmp_path / "kamailio")
    await asyncio.to_thread(node.start)
    try:
        hep = {"collector": f"{node.host}:{node.port}", "capture_id": 4711}
        async with running(tmp_path / "gateway", setup={"overrides": {"hep": hep}}) as scene:
            browser = await scene.browser()
            call, trunk, _ = await scene.call(browser, PLAIN)
            await call.hang_up()

            def in_call() -> list[SipRow]:
                return [row for row in node.messages() if row.correlation == call.call_id]

            await until(
                lambda: {row.what for row in in_call()} >= {"INVITE", "200", "ACK", "BYE"}, in_call, seconds=20.0
            )
            rows = in_call()
            ours, theirs = f"127.0.0.1:{scene.setup.sip_port}", f"{PLAIN_HOST}:{scene.ports[PLAIN]}"
            assert (ours, theirs, "INVITE") in {(row.source, row.destination, row.what) for row in rows}
            assert (theirs, ours, "200") in {(row.source, row.destination, row.what) for row in rows}
            assert len({row.call_id for row in rows}) == 2
            assert {row.node for row in node.messages()} == {"homer:4711"}
            trunk.hush()
            await browser.close()
        place = HostPort("192.0.2.1", 4000)
        report = Frame(kind=Kind.RTCP_JSON, at=1, source=place, destination=place, correlation="a@b")
        send_to(HostPort(node.host, node.port), encode(report, b'{"type":200}', Sender(1)))
        await until(node.reports, "a report", seconds=20.0)
        assert [(row.correlation, row.payload) for row in node.reports()] == [("a@b", '{"type":200}')]
    finally:
        await asyncio.to_thread(node.stop)
