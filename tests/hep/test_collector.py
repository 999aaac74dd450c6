"""Packets on their way to a collector: it gets them in order, and its being slow or gone costs nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.sinks.plan import TlsPlan
from gateway.base.counters import Counter, Counters
from gateway.base.values import HostPort
from gateway.hep import collector as module
from gateway.hep.collector import Collector
from gateway.hep.packet import Frame, Kind, Sender, encode
from gateway.hep.plan import HepPlan, HepTransport
from tests.audit.sinks.receivers import NAME, Papers
from tests.hep.collectors import HOST, DatagramCollector, HepCollector, StreamCollector

UDP, TCP, TLS = HepTransport.UDP, HepTransport.TCP, HepTransport.TLS


def plan(port: int, transport: HepTransport = UDP, **keys: Any) -> HepPlan:
    return HepPlan(host=HOST, port=port, transport=transport, **keys)


def packet(number: int) -> bytes:
    place = HostPort("192.0.2.1", number)
    return encode(Frame(kind=Kind.SIP, at=0, source=place, destination=place), b"x" * 400, Sender(1))


def numbers(collector: HepCollector) -> list[int]:
    return [found.source.port for found in collector.packets]


@asynccontextmanager
async def running(wanted: HepPlan, counters: Counters | None = None) -> AsyncIterator[Collector]:
    collector = Collector(wanted, counters or Counters(), back_off_seconds=0.02)
    task = asyncio.get_running_loop().create_task(collector.run())
    try:
        yield collector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def in_time(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - the collector tells nobody
            await asyncio.sleep(0.005)


Start = Callable[[], Awaitable[HepCollector]]


@pytest.mark.parametrize("transport", [UDP, TCP, TLS])
@pytest.mark.asyncio
async def test_packets_arrive_in_their_order(transport: HepTransport, tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    there: DatagramCollector | StreamCollector = (
        DatagramCollector()
        if transport is UDP
        else StreamCollector(papers.server_context(NAME) if transport is TLS else None)
    )
    await there.start()
    counters = Counters()
    tls = {"server_name": NAME, "tls": TlsPlan(ca=papers.ca)} if transport is TLS else {}
    async with running(plan(there.port, transport, **tls), counters) as collector:
        for number in range(100):
            collector.offer(packet(number))
        await there.until(100)
        await collector.flush()
        assert numbers(there) == list(range(100))
        assert (counters[Counter.HEP_SENT], counters[Counter.HEP_DROPPED], collector.waiting) == (100, 0, 0)
    await there.stop()


@pytest.mark.parametrize("wrong", ["name", "authority"])
@pytest.mark.asyncio
async def test_a_collector_that_does_not_prove_its_name_gets_nothing(wrong: str, tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    context = papers.server_context(foreign=wrong == "authority")
    there = await StreamCollector(context).start()
    name = "other.example.com" if wrong == "name" else NAME
    async with running(plan(there.port, TLS, server_name=name, tls=TlsPlan(ca=papers.ca))) as collector:
        collector.offer(packet(1))
        await in_time(lambda: collector.is_down)
        assert there.packets == []
    await there.stop()


@pytest.mark.parametrize("transport", [UDP, TCP])
@pytest.mark.asyncio
async def test_what_waits_for_a_collector_that_is_gone_comes_when_it_is_back(transport: HepTransport) -> None:
    make = DatagramCollector if transport is UDP else lambda port=0: StreamCollector(port=port)
    there = await make().start()
    port = there.port
    await there.stop()
    counters = Counters()
    async with running(plan(port, transport), counters) as collector:
        for number in range(20):
            collector.offer(packet(number))
        await in_time(lambda: collector.is_down and counters[Counter.HEP_FAILED] > 1)
        back = await make(port).start()
        await back.when(lambda: set(numbers(back)) >= set(range(1, 20)))
        await in_time(lambda: not collector.is_down)
    await back.stop()


@pytest.mark.asyncio
async def test_a_collector_that_does_not_read_costs_packets_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_OCTETS", 100_000)
    there = await StreamCollector().start()
    there.reads.clear()
    counters = Counters()
    async with running(plan(there.port, TCP), counters) as collector:
        offered = 0
        async with asyncio.timeout(20):
            while not counters[Counter.HEP_DROPPED]:
                collector.offer(packet(offered))
                offered += 1
                if offered % 50 == 0:
                    await asyncio.sleep(0)
        assert not collector.has_room
        assert collector.waiting * 400 < 110_000
        there.reads.set()
        await collector.flush()
        await there.until(offered - counters[Counter.HEP_DROPPED])
    await there.stop()


@pytest.mark.asyncio
async def test_as_many_packets_wait_as_may_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_PACKETS", 3)
    counters = Counters()
    collector = Collector(plan(9), counters)
    for number in range(5):
        collector.offer(packet(number))
    assert (collector.waiting, counters[Counter.HEP_DROPPED]) == (3, 2)


@pytest.mark.asyncio
async def test_a_host_that_cannot_be_found_is_a_collector_that_is_down() -> None:
    counters = Counters()
    wanted = HepPlan(host="collector.invalid", port=9060)
    async with running(wanted, counters) as collector:
        collector.offer(packet(1))
        await in_time(lambda: counters[Counter.HEP_FAILED])
        assert collector.is_down


@pytest.mark.asyncio
async def test_a_defect_of_the_way_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        most = 1
        sent = 0

        async def send(self, packets: Any) -> None:
            self.sent += 1
            if self.sent == 1:
                raise RuntimeError("nobody foresaw this")

        async def close(self) -> None: ...

    link = Broken()
    collector = Collector(plan(9), Counters(), link=lambda _: link, back_off_seconds=0.001)
    task = asyncio.get_running_loop().create_task(collector.run())
    collector.offer(packet(1))
    await asyncio.wait_for(collector.flush(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "hep failed" in caplog.text
    assert link.sent == 2
