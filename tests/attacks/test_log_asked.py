"""The log of a running gateway: it verifies while it is written, tells its calls, and shows where it was cut."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.commands import cli
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]


def asked(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["audit", *map(str, words)], prog_name="sip-gateway")
    assert result.exit_code == code, result.output
    return result.stdout


async def test_the_log_of_a_running_gateway_verifies_tells_its_calls_and_shows_where_it_was_cut(tmp_path: Path) -> None:
    scene = await HostedScene(tmp_path).start()
    log, kept = tmp_path / "audit", tmp_path / "kept.jsonl"
    try:
        plain, sdes = await scene.canary(PLAIN), await scene.canary(SDES)
        found = await asyncio.to_thread(asked, "verify", log)
        assert found.startswith("INTACT")
        assert "2 begun, 2 ended, 0 without an end yet" in found
    finally:
        await scene.stop()
    key = tmp_path / "audit.pem"
    key.write_text(asked("key", log))
    lines = (log / "audit.jsonl").read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(line for line in lines if b'"log.checkpoint"' in line))
    assert asked("verify", log, "--key", key, "--checkpoints", kept).startswith("INTACT")
    story = asked("call", plain["call_uid"], log)
    assert "Who could listen at its worst: anyone on the network on the way to or from this gateway" in story
    assert "between this gateway and the trunk plain: the sound was not encrypted [media.plain_rtp]" in story
    assert "the key was sent within the signalling (SDES)" in asked("call", sdes["call_uid"], log)
    rows = list(csv.DictReader(io.StringIO(asked("cdr", log), newline="")))
    assert [(row["trunk"], row["grade_worst"]) for row in rows] == [("plain", "CLEARTEXT"), ("sdes", "HOP_BY_HOP")]
    assert [row["suites"].split("; ")[1] for row in rows] == ["trunk: none", "trunk: AES_CM_128_HMAC_SHA1_80"]
    (log / "audit.jsonl").write_bytes(b"".join(lines[:-4]))
    assert "the end was cut off" in asked("verify", log, code=1)
    (log / "audit.seq").unlink()
    assert "the end was cut off" in asked("verify", log, "--key", key, "--checkpoints", kept, code=1)
