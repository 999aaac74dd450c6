"""Records leave by POST, signed, and again until they are taken."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

import pytest

from gateway.audit.chain import examine
from gateway.audit.sinks import webhook
from gateway.audit.sinks.link import Link
from gateway.audit.sinks.plan import Records, SinkPlan, TlsPlan, WebhookPlan
from gateway.audit.sinks.sink import MAX_REFUSED, REFUSALS
from gateway.audit.sinks.webhook import WebhookLink
from gateway.base.counters import Counter
from gateway.base.values import Secret
from tests.audit.sinks.export_bench import ExportBench
from tests.audit.sinks.receivers import HOST, Papers
from tests.audit.sinks.webhook_server import HookServer

pytestmark = pytest.mark.asyncio

CANARY = "canary-3f9a-hook-secret"
TOKEN = "canary-77b1-url-token"

AT_ONCE = 0.0005
"""The first pause after a failure, where it takes many of them to come to something."""


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    (tmp_path / "papers").mkdir()
    return Papers(tmp_path / "papers")


def plan(papers: Papers, port: int, host: str = "localhost", records: Records = Records.ALL) -> SinkPlan:
    url = Secret(f"https://{host}:{port}/in?token={TOKEN}")
    to = WebhookPlan(url=url, secret=Secret(CANARY), tls=TlsPlan(ca=papers.ca))
    return SinkPlan(name="hook", to=to, records=records)


async def test_what_is_posted_is_signed_and_stands_as_in_the_file(tmp_path: Path, papers: Papers) -> None:
    server = await HookServer(papers.server_context("localhost")).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1, 2)
    await bench.checkpoint()
    await server.when(lambda: len(server.taken) == 4)
    await bench.stop()
    body = b"".join(body for _, body in server.asked)
    assert body == (tmp_path / "log" / "audit.jsonl").read_bytes()
    assert not any(examine(line).faults for line in body.splitlines(keepends=True))
    for headers, sent in server.asked:
        signed = headers["X-Audit-Timestamp"].encode() + b"." + sent
        digest = hmac.new(CANARY.encode(), signed, hashlib.sha256).hexdigest()
        assert headers["X-Audit-Signature"] == f"sha256={digest}"
        assert headers["X-Audit-Sink"] == "hook"
    assert server.asked[0][0]["X-Audit-Records"].startswith("1-")
    await server.stop()


@pytest.mark.parametrize("status", [500, 503, 429, 404, 401, 408, 302, 307])
async def test_all_but_2xx_means_again_and_no_redirection_is_followed(
    tmp_path: Path, papers: Papers, status: int
) -> None:
    server = await HookServer(papers.server_context("localhost")).start()
    server.statuses = [status, status]
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1)
    await bench.checkpoint()
    await server.when(lambda: server.taken)
    assert server.numbers == [1]
    assert server.places == ["POST /in"] * 3
    assert bench.counters[Counter.AUDIT_SINK_FAILED] == 2
    await bench.stop()
    await server.stop()


@pytest.mark.parametrize("refused", [{1}, {4}, {7}, {2, 3, 6}, {1, 2, 3, 4, 5, 6, 7}])
async def test_a_record_the_server_will_never_take_holds_no_other_up(
    tmp_path: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch, refused: set[int]
) -> None:
    monkeypatch.setattr(webhook.WebhookLink, "linger_seconds", 600.0)
    server = await HookServer(papers.server_context("localhost")).start()
    server.refused = frozenset(refused)
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port), back_off_seconds=AT_ONCE).start()
    await bench.write(*range(1, 8))
    await bench.checkpoint()
    await server.when(lambda: any(record["type"] == "log.checkpoint" for record in server.taken))
    assert server.numbers == [number for number in range(1, 8) if number not in refused]
    assert bench.counters[Counter.AUDIT_SINK_DROPPED] == len(refused)
    await bench.stop()
    told = [record for record in bench.records if record["type"] == "log.sink_dropped"]
    assert sum(record["dropped"] for record in told) == len(refused)
    assert {record["reason"] for record in told} == {"refused by the receiver"}
    await server.stop()


async def test_a_server_that_takes_nothing_loses_a_few_records_and_no_more(tmp_path: Path, papers: Papers) -> None:
    server = await HookServer(papers.server_context("localhost")).start()
    server.refused = frozenset(range(1, 30))
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port), back_off_seconds=AT_ONCE).start()
    await bench.write(*range(1, 30))
    await bench.checkpoint()
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_FAILED] > MAX_REFUSED * (REFUSALS - 1) + REFUSALS)
    assert bench.counters[Counter.AUDIT_SINK_DROPPED] == MAX_REFUSED
    assert not server.taken
    server.refused = frozenset()
    await server.when(lambda: 29 in server.numbers)
    assert server.numbers == list(range(MAX_REFUSED + 1, 30))
    await bench.stop()
    await server.stop()


async def test_a_server_that_does_not_answer_is_asked_again(tmp_path: Path, papers: Papers) -> None:
    def impatient(plan: SinkPlan) -> Link:
        assert isinstance(plan.to, WebhookPlan)
        return WebhookLink(plan.name, plan.to, answer_seconds=0.3)

    server = await HookServer(papers.server_context("localhost")).start()
    server.answers.clear()
    bench = ExportBench(tmp_path / "log")
    bench.export._link = impatient
    await bench.start()
    bench.export.use([plan(papers, server.port)])
    await bench.write(1)
    await bench.checkpoint()
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_FAILED] > 0)
    server.answers.set()
    await server.when(lambda: 1 in server.numbers)
    await bench.stop()
    await server.stop()


async def test_a_server_with_another_name_gets_nothing(tmp_path: Path, papers: Papers) -> None:
    server = await HookServer(papers.server_context("other.example.com")).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.checkpoint()
    await bench.until(lambda: bench.counters[Counter.AUDIT_SINK_FAILED] > 1)
    assert not server.asked
    await bench.stop()
    await server.stop()


async def test_records_wait_a_moment_for_each_other_and_a_checkpoint_for_nobody(
    tmp_path: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook.WebhookLink, "linger_seconds", 600.0)
    server = await HookServer(papers.server_context("localhost")).start()
    bench = await ExportBench(tmp_path / "log", plan(papers, server.port)).start()
    await bench.write(1, 2, 3)
    assert not server.asked
    await bench.checkpoint()
    await server.when(lambda: len(server.taken) == 5)
    assert len(server.asked) == 1
    await bench.write(4)
    await bench.stop()  # the end waits for nobody either
    assert server.numbers == [1, 2, 3, 4]
    await server.stop()


async def test_neither_the_secret_nor_the_url_is_ever_said(
    tmp_path: Path, papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await HookServer(papers.server_context("localhost")).start()
    server.statuses = [500]
    to = plan(papers, server.port)
    bench = await ExportBench(tmp_path / "log", to).start()
    await bench.write(1)
    await bench.checkpoint()
    await server.when(lambda: server.taken)
    await server.stop()
    await bench.write(2)
    await bench.checkpoint()
    await bench.until(lambda: bench.export.down == 1)
    bench.export.use([plan(papers, server.port, HOST + ".invalid")])
    await bench.checkpoint()
    await bench.until(lambda: bench.export.down == 1)
    await bench.stop()
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))
    said = repr(to) + str(to.to) + ours + "".join(file.read_text() for file in (tmp_path / "log").glob("*.json*"))
    sent = b"".join(body + repr(headers).encode() for headers, body in server.asked).decode()
    assert "state=up->down" in ours
    assert CANARY not in said + sent
    assert TOKEN not in said
