"""People in the log go by pseudonyms, and can be forgotten without a line being touched."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.audit.log import FILE_NAME
from gateway.audit.people import KEYS_NAME, erase, names_in
from gateway.audit.pseudonym import is_pseudonym, restored
from gateway.base.errors import ConfigError
from gateway.cli.audit.following import follow_log
from gateway.cli.commands import cli
from tests.audit import samples
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk
from tests.config.files import Files

MONTH = 31 * 86_400
CALL = {"type": "call.start", "call_uid": "one", "user": "alice", "from": "alice", "to": "+493*****56", "trunk": "pbx"}


def opened(directory: Path) -> AuditBench:
    made = AuditBench(directory, buffer_octets=1 << 20, pseudonyms=True)
    made.log.open()
    return made


@pytest.fixture
def bench(tmp_path: Path) -> AuditBench:
    return opened(tmp_path)


def shown(directory: Path) -> list[dict[str, Any]]:
    """As somebody who may see names reads the log."""
    names = names_in(directory)
    return [json.loads(restored(line, names)) for line in (directory / FILE_NAME).read_bytes().splitlines()]


def test_the_log_has_pseudonyms_and_the_tables_give_the_names_back(bench: AuditBench) -> None:
    bench.write(CALL)
    (record,) = bench.records
    assert all(is_pseudonym(record[name]) for name in ("user", "from", "to"))
    assert record["user"] == record["from"] != record["to"]
    assert record["trunk"] == "pbx"
    assert {name: shown(bench.directory)[0][name] for name in CALL} == CALL
    assert broken(bench.lines) == []


def test_no_name_is_in_any_file_of_the_log_in_clear(bench: AuditBench) -> None:
    for record in samples.every_record():
        bench.write(record)
    for path in bench.directory.iterdir():
        content = path.read_bytes()
        assert not re.search(rb"alice|mallory|boss@x|\+493|\bbob\b", content), path.name


def test_every_name_in_every_type_of_record_comes_back(bench: AuditBench, tmp_path: Path) -> None:
    plain = AuditBench(tmp_path / "plain", buffer_octets=1 << 20)
    plain.log.open()
    for record in samples.every_record():
        bench.write(record)
        plain.write(record)
    apart = {"prev_hash", "hash"}
    assert [{k: v for k, v in record.items() if k not in apart} for record in shown(bench.directory)] == [
        {k: v for k, v in record.items() if k not in apart} for record in plain.records
    ]


def test_only_the_gateway_may_read_the_tables(bench: AuditBench) -> None:
    bench.write(CALL)
    for path in bench.directory.glob("people*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_is_called_the_same_all_month_also_after_a_restart_and_otherwise_the_next(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write(CALL)
    first.log.close()
    second = opened(tmp_path)
    second.write(CALL)
    second.clock.seconds += MONTH
    second.write(CALL)
    found = [
        record["user"] for path in sorted(tmp_path.glob("audit*.jsonl")) for record in _records(path, "call.start")
    ]
    assert found[0] == found[1] != found[2]
    assert len(list(tmp_path.glob("people-*.jsonl"))) == 2
    assert set(names_in(tmp_path)) >= {name.encode() for name in found}


def _records(path: Path, kind: str) -> list[dict[str, Any]]:
    return [found for line in path.read_bytes().splitlines() if (found := json.loads(line))["type"] == kind]


def test_who_is_erased_is_known_no_more_and_the_chain_holds(bench: AuditBench) -> None:
    bench.write(CALL)
    bench.write({"type": "auth.ok", "user": "bob"})
    before = bench.lines
    called = bench.records[0]["user"]
    assert erase(bench.directory, "ALICE") == (called,)
    assert bench.lines == before
    assert broken(bench.lines) == []
    assert shown(bench.directory)[0]["user"] == called
    assert shown(bench.directory)[1]["user"] == "bob"
    assert b'"hmac"' not in (bench.directory / KEYS_NAME).read_bytes()
    assert erase(bench.directory, "alice") == ()


def test_somebody_may_be_erased_by_pseudonym(bench: AuditBench) -> None:
    bench.write(CALL)
    called = bench.records[0]["to"]
    assert erase(bench.directory, called) == (called,)
    assert shown(bench.directory)[0]["to"] == called


def test_a_running_gateway_calls_everybody_otherwise_after_an_erasure_and_says_so(bench: AuditBench) -> None:
    bench.write(CALL)
    old = bench.records[0]["user"]
    erase(bench.directory, "alice")
    bench.write({"type": "x"})  # with this one it is noticed
    bench.write(CALL)
    assert [record["type"] for record in bench.records] == ["call.start", "x", "admin.erase", "call.start"]
    new = bench.records[-1]["user"]
    assert new != old
    assert shown(bench.directory)[0]["user"] == old
    assert shown(bench.directory)[-1]["user"] == "alice"
    assert broken(bench.lines) == []


def test_a_gateway_that_was_stopped_meanwhile_does_not_bring_them_back(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write(CALL)
    old = first.records[0]["user"]
    first.log.close()
    erase(tmp_path, "alice")
    second = opened(tmp_path)
    second.write(CALL)
    assert second.records[-1]["user"] != old
    assert old.encode() not in names_in(tmp_path)


def test_a_crash_does_not_hide_people_twice(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write({"type": "admin.start", "recovered": 0})
    first.write(CALL)
    first.writer.close_files()
    second = opened(tmp_path)
    (final,) = (record for record in shown(tmp_path) if record["type"] == "call.final")
    assert (final["user"], final["to"]) == ("alice", "+493*****56")
    second.log.close()


def test_a_table_that_cannot_be_written_holds_the_record_back(bench: AuditBench) -> None:
    (bench.directory / "people-2030-03.jsonl").mkdir()
    assert not bench.write(CALL)
    assert not bench.log.available
    assert bench.write({"type": "x"}) is False
    (bench.directory / "people-2030-03.jsonl").rmdir()
    assert bench.retry()
    assert shown(bench.directory)[0]["user"] == "alice"
    assert broken(bench.lines) == []


def test_an_erasure_that_cannot_be_written_leaves_the_tables_as_they_were(
    bench: AuditBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(CALL)
    monkeypatch.setattr("gateway.audit.people.os.fsync", _fails)
    with pytest.raises(ConfigError, match="nobody was forgotten"):
        erase(bench.directory, "alice")
    assert shown(bench.directory)[0]["user"] == "alice"


def _fails(_fd: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "junk", [b"", b"\n\n", b"garbage\n", b"[1]\n", b'{"p":1}\n', b'{"month":7,"names":"zz"}\n', b"\xff"]
)
def test_what_is_no_table_names_nobody_and_stops_nothing(bench: AuditBench, junk: bytes) -> None:
    bench.write(CALL)
    for path in [*bench.directory.glob("people-*"), bench.directory / KEYS_NAME]:
        path.write_bytes(junk + path.read_bytes() + junk)
    assert shown(bench.directory)[0]["user"] == "alice"
    bench.log.close()
    again = opened(bench.directory)
    again.write(CALL)
    assert shown(bench.directory)[-1]["user"] == "alice"


def test_without_the_key_of_the_month_the_table_is_worth_nothing(bench: AuditBench) -> None:
    bench.write(CALL)
    (bench.directory / KEYS_NAME).unlink()
    assert names_in(bench.directory) == {}


def test_a_full_disk_keeps_names_and_records_together(bench: AuditBench, disk: FailingDisk) -> None:
    disk.room = 100
    assert not bench.write(CALL)
    disk.room = None
    assert bench.retry()
    assert shown(bench.directory)[0]["user"] == "alice"


@pytest.mark.parametrize("held", [False, True])
def test_the_command_erases_unless_there_is_a_legal_hold(tmp_path: Path, held: bool) -> None:
    files = Files(tmp_path)
    kept = "audit: {directory: audit, retention: {hold: true}}"
    files.gateway = files.gateway.replace("audit: {directory: audit}", kept) if held else files.gateway
    made = opened(tmp_path / "audit")
    made.write(CALL)
    made.log.close()
    result = CliRunner().invoke(cli, ["audit", "erase", str(files.write()), "Alice"], prog_name="sip-gateway")
    assert (result.exit_code, "legal hold" in result.output) == ((2, True) if held else (0, False)), result.output
    assert shown(made.directory)[0]["user"] == ("alice" if held else made.records[0]["user"])
    if not held:
        assert made.records[0]["user"] in result.output
        assert CliRunner().invoke(cli, ["audit", "erase", str(files.write()), "alice"]).exit_code == 2


def test_the_command_line_shows_names_as_long_as_they_are_known_and_no_heartbeats(bench: AuditBench) -> None:
    bench.write(CALL)
    bench.clock.seconds += 60
    bench.log.watch()
    place = str(bench.directory)
    told = CliRunner().invoke(cli, ["audit", "show", place, "--user", "alice"], prog_name="sip-gateway").output
    assert "alice -> +493*****56" in told
    everything = CliRunner().invoke(cli, ["audit", "show", place], prog_name="sip-gateway").output
    assert everything.splitlines() == told.splitlines()
    stands = CliRunner().invoke(cli, ["audit", "show", place, "--json"], prog_name="sip-gateway").output
    assert stands.encode() == b"".join(bench.lines)
    erase(bench.directory, "alice")
    after = CliRunner().invoke(cli, ["audit", "show", place], prog_name="sip-gateway").output
    assert f"{bench.records[0]['user']} -> +493*****56" in after


def test_who_follows_the_log_is_told_names_that_come_while_it_grows(bench: AuditBench) -> None:
    bench.write({"type": "x"})
    following = follow_log(bench.directory, wait=lambda _seconds: _grow(bench))
    assert "alice -> +493*****56" in next(following).plain
    following.close()


def _grow(bench: AuditBench) -> None:
    bench.write(CALL)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_tables_that_root_rewrites_still_belong_to_the_gateway(bench: AuditBench) -> None:
    bench.write(CALL)
    for path in (bench.directory, *bench.directory.glob("people*")):
        os.chown(path, 65534, 65534)
    (bench.directory / "people.lock").unlink()
    assert erase(bench.directory, "alice")
    assert {path.stat().st_uid for path in bench.directory.glob("people*")} == {65534}
