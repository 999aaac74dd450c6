"""A running gateway exports its messages; no secret is among them, and a collector that is gone costs no call."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.base.counters import Counter
from gateway.hep.packet import Kind
from gateway.sip.message import Request, parse_message
from tests.hep.collectors import DatagramCollector, StreamCollector
from tests.hep.decoder import HepPacket
from tests.reload.scene import ReloadScene, running
from tests.rig.gateway import PASSWORD
from tests.rig.hosted_scene import PLAIN, SDES, SDES_HOST, both_hear
from tests.rig.ports import free_port

DIGIT, HEP_PASSWORD = "7391842", "canary-hep-key-9x"
_SECRETS = re.compile(rb"inline:([A-Za-z0-9+/=]{20,})|ice-pwd:(\S+)")


def exporting(place: str, **keys: Any) -> dict[str, Any]:
    return {"setup": {"overrides": {"hep": {"collector": place, "password": HEP_PASSWORD, **keys}}}}


def words(packets: list[HepPacket], correlation: str = "") -> set[str]:
    """What the messages say in short, each with who says it."""
    found = set()
    for packet in packets:
        if packet.kind == Kind.SIP and correlation in ("", packet.correlation):
            message = parse_message(packet.payload, stream=True)
            what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
            found.add(f"{'tcp' if packet.protocol == 6 else 'udp'} {what}")
    return found


async def whole_call(scene: ReloadScene, number: str) -> tuple[str, set[bytes]]:
    """A call with digits, from sign-in to its end: its Call-ID and every secret that was in a description."""
    browser = await scene.browser()
    call, trunk, uid = await scene.call(browser, number)
    await both_hear(call, trunk)
    await call.request("INFO", f"Signal={DIGIT}\r\nDuration=100\r\n".encode(), kind="application/dtmf-relay")
    trunk.hush()
    await call.hang_up()
    await scene.host.final(uid)
    await browser.close()
    bodies = [call.media.description(), *(request.body for request in scene.trunks[number].seen)]
    if number in scene.media and scene.trunks[number].seen:
        invite = next(request for request in scene.trunks[number].seen if request.method == "INVITE")
        bodies.append(trunk.answer(invite))
    found = {secret for body in bodies for groups in _SECRETS.findall(body) for secret in groups if secret}
    return call.call_id, found


@pytest.mark.asyncio
async def test_a_call_is_exported_from_invite_to_the_answer_to_bye_on_both_legs_without_a_secret(
    tmp_path: Path,
) -> None:
    collector = await DatagramCollector().start()
    async with running(tmp_path, **exporting(collector.place, people="names")) as scene:
        call_id, secrets = await whole_call(scene, SDES)
        wanted = {f"tcp {what}" for what in ("INVITE", "200 INVITE", "ACK", "INFO", "BYE", "200 BYE")}
        await collector.when(lambda: words(collector.packets, call_id) >= wanted)
        ours = [packet for packet in collector.packets if packet.correlation == call_id]
        assert (
            len({parse_message(packet.payload, stream=True).call_id for packet in ours if packet.kind == Kind.SIP}) == 2
        )
        await collector.when(lambda: len(collector.of_kind(Kind.QUALITY_JSON)) >= 2)
        told = [json.loads(packet.payload) for packet in collector.of_kind(Kind.QUALITY_JSON)]
        heard = {report["REPORT_NAME"]: report for report in told}
        assert {packet.correlation for packet in collector.of_kind(Kind.QUALITY_JSON)} == {call_id}
        assert heard["trunk-heard"]["MOS"] > 3
        assert heard["browser-heard"]["EXPECTED_PK"] >= 5
        assert heard["trunk-heard"]["SRC_IP"] == SDES_HOST
        octets = b"".join(packet.octets for packet in collector.packets)
        assert len(secrets) >= 3
        assert not [secret for secret in secrets if secret in octets]
        assert DIGIT.encode() not in octets
        assert PASSWORD.encode() not in octets
        assert b"response=" not in octets
        assert b"inline:***" in octets
        assert {packet.password for packet in collector.packets} == {HEP_PASSWORD}
        assert HEP_PASSWORD not in scene.host.log
        assert scene.host.gateway.counters[Counter.HEP_DROPPED] == 0
    await collector.stop()


@pytest.mark.asyncio
async def test_by_default_nobody_is_named_and_the_log_calls_them_the_same(tmp_path: Path) -> None:
    collector = await DatagramCollector().start()
    options = exporting(collector.place)
    options["setup"]["overrides"]["audit"] = {"directory": "audit"}
    async with running(tmp_path, **options) as scene:
        call_id, _ = await whole_call(scene, PLAIN)
        await collector.when(lambda: words(collector.packets, call_id) >= {"tcp 200 BYE", "udp BYE", "udp 200 BYE"})
        octets = b"".join(packet.payload for packet in collector.packets)
        assert b"alice" not in octets.lower()
        (start,) = scene.host.records("call.start")
        assert str(start["user"]).startswith("p-")
        assert f"sip:{start['user']}@".encode() in octets
    await collector.stop()


@pytest.mark.asyncio
async def test_without_a_collector_nobody_looks_on_and_a_reload_turns_it_on_moves_it_and_turns_it_off(
    tmp_path: Path,
) -> None:
    one, other = await DatagramCollector().start(), await StreamCollector().start()
    async with running(tmp_path) as scene:
        gateway = scene.host.gateway
        assert not gateway.endpoint.taps
        await scene.reload(hep={"collector": one.place})
        browser = await scene.browser()
        await one.when(lambda: words(one.packets) >= {"tcp REGISTER", "tcp 401 REGISTER", "tcp 200 REGISTER"})
        await scene.reload(hep={"collector": other.place, "transport": "tcp"})
        before = len(one.packets)
        await browser.register()
        await other.when(lambda: words(other.packets) >= {"tcp REGISTER", "tcp 200 REGISTER"})
        assert (len(one.packets), len(gateway.endpoint.taps)) == (before, 1)
        del scene.setup.overrides["hep"]
        await scene.reload()
        assert not gateway.endpoint.taps
        await browser.close()
    await one.stop()
    await other.stop()


@pytest.mark.parametrize("collector", ["gone", "deaf"])
@pytest.mark.asyncio
async def test_a_collector_that_is_gone_or_does_not_read_costs_no_call(collector: str, tmp_path: Path) -> None:
    there = StreamCollector(port=free_port())
    if collector == "deaf":
        await there.start()
        there.reads.clear()
    async with running(tmp_path, **exporting(there.place, transport="tcp")) as scene:
        async with asyncio.timeout(20):
            await scene.canary(PLAIN)
        if collector == "gone":
            assert scene.host.gateway.hep.is_down
            assert scene.host.gateway.hep.waiting > 10
    await there.stop()


@pytest.mark.asyncio
async def test_what_rtcp_reports_on_both_legs_is_exported_with_its_ports(tmp_path: Path) -> None:
    """Ours leave within a few seconds (RFC 3550 6.2): muxed towards the browser, on the next port towards the trunk."""
    collector = await DatagramCollector().start()
    async with running(tmp_path, **exporting(collector.place)) as scene:
        browser = await scene.browser()
        call, trunk, _ = await scene.call(browser, SDES)
        await both_hear(call, trunk)
        ends = {trunk.address[1] + 1, call.media.address[1]}
        await collector.when(lambda: {packet.destination.port for packet in collector.of_kind(Kind.RTCP_JSON)} >= ends)
        reports = [json.loads(packet.payload) for packet in collector.of_kind(Kind.RTCP_JSON)]
        assert {report["type"] for report in reports} <= {200, 201}
        assert all(report["report_blocks"][0]["packets_lost"] == 0 for report in reports if report["report_count"])
        assert {packet.correlation for packet in collector.of_kind(Kind.RTCP_JSON)} == {call.call_id}
        trunk.hush()
        await call.hang_up()
        await browser.close()
    await collector.stop()
