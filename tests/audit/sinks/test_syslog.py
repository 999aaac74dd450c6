"""Records leave over TLS, to who has proved its name, and whatever becomes of the server the log goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.audit.chain import examine
from gateway.audit.sinks import syslog
from gateway.audit.sinks.plan import Form, Records, SinkPlan, SyslogPlan, TlsPlan
from gateway.base.counters import Counter
from tests.audit.sinks.export_bench import ExportBench
from tests.audit.sinks.receivers import HOST, NAME, Papers, SyslogServer

pytestmark = pytest.mark.asyncio


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    (tmp_path / "papers").mkdir()
    return Papers(tmp_path / "papers")


def plan(papers: Papers, port: int, *, name: str = NAME, tls: dict[str, Any] | None = None, **keys: Any) -> SinkPlan:
    believed = TlsPlan(ca=papers.ca, **(tls or {}))
    form = keys.pop("form", Form.JSON)
    to = SyslogPlan(host=HOST, port=port, server_name=name, tls=believed, form=form)
    return SinkPlan(name="siem", to=to, **keys)


async def test_each_line_arrives_as_it_stands_in_the_file_and_is_checked_there(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1, 2, 3, text='a"b]c\\d \u20ac')
    await server.until(4)
    await bench.stop()
    lines = (tmp_path / "log" / "audit.jsonl").read_bytes().splitlines()
    assert [found["text"] for found in server.messages] == lines
    assert not any(examine(found["text"] + b"\n").faults for found in server.messages)
    first = server.messages[0]
    assert (first["pri"], first["app"], first["id"]) == (b"110", b"sip-gateway", b"leg.verified")
    await server.stop()


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_a_server_that_does_not_prove_its_name_gets_nothing(tmp_path: Path, papers: Papers, wrong: str) -> None:
    context = papers.server_context("other.example.com") if wrong == "name" else papers.server_context(foreign=True)
    server = await SyslogServer(context).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1)
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_FAILED] >= 2)
    assert bench.export.down == 1
    assert bench.export.waiting == 2
    assert not server.messages
    await bench.stop()
    await server.stop()


async def test_a_server_that_asks_who_we_are_is_shown_our_certificate(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context(asks=True)).start()
    certificate, key = papers.client()
    tls = {"certificate": certificate, "key": key}
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port, tls=tls)).start()
    await bench.write(1)
    await server.until(2)
    await bench.stop()
    await server.stop()


async def test_what_waited_while_the_server_was_gone_comes_when_it_is_back(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1)
    await server.until(2)
    await server.stop()
    await bench.write(2)
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_FAILED] > 0)
    await bench.write(3, 4)
    again = await SyslogServer(papers.server_context(), server.port).start()
    await again.when(lambda: 4 in again.numbers)
    assert again.numbers in ([1, 2, 3, 4], [2, 3, 4])  # what was sent last may come twice, and in order
    assert bench.counters[Counter.AUDIT_SINK_DROPPED] == 0
    await bench.stop()
    await again.stop()


async def test_what_a_broken_connection_may_have_lost_is_sent_again(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1)
    await server.until(2)
    server.reads.clear()  # taken by the system, never read by the server
    await bench.write(2)
    await bench.until(lambda: bench.export.waiting == 0)
    await server.stop()
    again = await SyslogServer(papers.server_context(), server.port).start()
    await bench.write(3)
    await again.when(lambda: 3 in again.numbers)
    assert 2 in again.numbers
    await bench.stop()
    await again.stop()


async def test_a_server_that_does_not_read_costs_records_of_its_own_queue_only_and_the_log_tells(
    tmp_path: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "ANSWER_SECONDS", 0.3)
    server = await SyslogServer(papers.server_context()).start()
    server.reads.clear()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port, queue_records=100)).start()
    for _ in range(10):
        await bench.write(*range(100), pad="p" * 15000)
    await bench.checkpoint()
    assert sum("n" in record for record in bench.records) == 1000, "the file has all of it"
    assert bench.log.available
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_DROPPED] > 0)
    server.reads.set()
    await server.when(lambda: any(record["type"] == "log.checkpoint" for record in server.records))
    await server.when(lambda: any(record["type"] == "log.sink_dropped" for record in server.records))
    told = next(record for record in server.records if record["type"] == "log.sink_dropped")
    assert told["sink"] == "siem"
    assert told["dropped"] > 0
    assert told["first_seq"] <= told["last_seq"]
    await bench.stop()
    await server.stop()


async def test_checkpoints_are_all_a_sink_for_checkpoints_gets(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port, records=Records.CHECKPOINTS)).start()
    await bench.write(1, 2)
    await bench.checkpoint()
    await server.until(1)
    await bench.stop()
    assert {record["type"] for record in server.records} == {"log.checkpoint"}
    await server.stop()


async def test_a_restart_sends_what_the_run_before_had_not_delivered(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1)
    await server.until(2)
    await server.stop()
    await bench.until(lambda: bench.export.waiting == 0)
    await bench.write(2, 3)
    bench.log.close()
    for task in bench.export._tasks.values():  # a run that is killed flushes nothing
        task.cancel()
    bench.export._positions.close(bench.export._delivered())
    again = await SyslogServer(papers.server_context(), server.port).start()
    later = await ExportBench(tmp_path / "log", plan(papers, again.port)).start()
    await later.write(4)
    await again.when(lambda: 4 in again.numbers)
    assert again.numbers == [2, 3, 4]
    await later.stop()
    await bench.stop()
    await again.stop()


async def test_the_end_of_the_gateway_waits_for_the_last_record(tmp_path: Path, papers: Papers) -> None:
    server = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(*range(2000))
    await bench.stop()
    await server.when(lambda: len(server.numbers) == 2000)
    await server.stop()


async def test_other_sinks_take_over_without_a_restart(tmp_path: Path, papers: Papers) -> None:
    one = await SyslogServer(papers.server_context()).start()
    other = await SyslogServer(papers.server_context()).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, one.port)).start()
    await bench.write(1)
    await one.until(2)
    bench.export.use([plan(papers, other.port)])
    await bench.write(2)
    await other.when(lambda: 2 in other.numbers)
    assert one.numbers == [1]
    assert other.numbers == [2]
    bench.export.use([])
    await bench.write(3)
    await bench.stop()
    assert other.numbers == [2]
    await one.stop()
    await other.stop()


async def test_what_waited_for_a_server_goes_to_the_one_in_its_place(tmp_path: Path, papers: Papers) -> None:
    gone = await SyslogServer(papers.server_context()).start()
    await gone.stop()
    bench = await ExportBench(tmp_path / "log", plan(papers, gone.port)).start()
    await bench.write(1, 2)
    await bench.until(lambda: bench.export.down == 1)
    server = await SyslogServer(papers.server_context()).start()
    bench.export.use([plan(papers, server.port)])
    await bench.write(3)
    await server.when(lambda: 3 in server.numbers)
    assert server.numbers == [1, 2, 3]
    await bench.stop()
    await server.stop()
