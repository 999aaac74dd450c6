"""The commands that ask the audit log, as somebody types them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.commands import cli
from tests.audit.history import History

pytestmark = pytest.mark.usefixtures("_elsewhere")


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gateway file lies where the command is typed."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    history = History(directory)
    history.some_calls(7)
    history.left_open()
    return history.leave()


def audit(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["audit", *map(str, words)], prog_name="sip-gateway")
    assert result.exit_code == code, result.output
    return result


def rows(*words: object) -> list[str]:
    """The rows of a table of calls, without heading and legend."""
    return audit("show", *words).stdout.split("\n\n")[0].splitlines()[1:]


def test_show_calls_is_a_row_for_each_call_and_the_meaning_of_their_codes(log: Path) -> None:
    found = rows(log, "--calls")
    assert len(found) == 8
    assert "alice -> +493*****56" in found[0]
    assert "pbx" in found[0]
    assert "30s" in found[0]
    assert found[-1].split()[-2:] == ["on", "HOP_BY_HOP"]
    assert "media.plain_rtp             the sound was not encrypted" in audit("show", log, "--calls").stdout


def test_show_downgraded_gives_the_calls_that_were_weak_or_that_somebody_tried_to_weaken(log: Path) -> None:
    found = [row.split()[2] for row in rows(log, "--downgraded")]
    assert found == [f"c-0000000{n}" for n in (2, 3, 4, 5, 6)]
    assert [row.split()[2] for row in rows(log, "--downgraded", "--trunk", "pbx")] == ["c-00000005"]
    assert [row.split()[2] for row in rows(log, "--grade", "key_exposed")] == ["c-00000003"]
    assert audit("show", log, "--downgraded", "--user", "bob").stdout == "no such call\n"


def test_show_downgraded_gives_records_when_they_are_asked_for(log: Path) -> None:
    kinds = {line.split()[3] for line in audit("show", log, "--downgraded", "--records").stdout.splitlines()}
    assert kinds == {"leg.downgraded", "leg.violation", "call.final"}
    assert all(
        json.loads(line)["type"] in kinds for line in audit("show", log, "--downgraded", "--json").stdout.splitlines()
    )


def test_show_knows_a_stretch_of_time_by_its_ends_and_by_its_length(log: Path) -> None:
    assert [row.split()[2] for row in rows(log, "--calls", "--until", "2026-11-01T08:00")] == ["c-00000001"]
    assert len(rows(log, "--calls", "--since", "2026-11-01T08:01:30Z", "--until", "2026-11-01")) == 7
    assert audit("show", log, "--calls", "--since", "24h", "--until", "1m").stdout == "no such call\n"
    assert "is no time" in audit("show", log, "--since", "soon", code=2).stderr
    assert audit("show", log, "--since", "99999w", "--records").stdout.count("\n") > 20


def test_call_tells_one_calls_story_by_any_name_it_has(log: Path) -> None:
    for name in ("c-00000004", "0000000400000000", "0000000400000000@trunk"):
        assert "Who could listen" in audit("call", name, log).stdout
    assert "has no call" in audit("call", "c-ffff", log, code=2).stderr
    assert "no call is named" in audit("call", "c-", log, code=2).stderr
    several = audit("call", "0000000", log, code=2).stderr
    assert "fits several calls: c-00000001, c-00000002" in several
    assert {
        json.loads(line)["call_uid"] for line in audit("call", "c-00000004", log, "--json").stdout.splitlines()
    } == {"0000000400000000"}


def test_without_a_file_the_log_is_the_one_the_gateway_file_names(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "which log is meant" in audit("show", code=2).stderr
    config = log.parent / "gateway.yaml"
    config.write_text("realm: x\naudit: {directory: log}\n")
    assert len(rows("--calls", "-c", config)) == 8
    monkeypatch.chdir(log.parent)
    assert len(rows("--calls")) == 8
    config.write_text("realm: x\n")
    assert "names no audit log" in audit("show", code=2).stderr


# --- is the log whole, and what came of it


def key_of(log: Path) -> Path:
    """The public key, kept elsewhere."""
    path = log.parent / "key.pem"
    path.write_text(audit("key", log).stdout)
    return path


def test_verify_says_in_one_word_that_a_log_is_as_it_was_written(log: Path) -> None:
    shown_ = audit("verify", log, "--key", key_of(log)).stdout
    assert shown_.startswith("INTACT: ")
    assert "8 begun, 7 ended, 1 without an end yet" in shown_
    whole = json.loads(audit("verify", log, "--json").stdout.splitlines()[-1])
    assert (whole["intact"], whole["findings"], whole["calls_open"]) == (True, 0, 1)


def test_verify_names_the_first_bad_record_by_file_and_line_and_exits_with_1(log: Path) -> None:
    lines = (log / "audit.jsonl").read_bytes().splitlines(keepends=True)
    (log / "audit.jsonl.1").write_bytes(b"".join(lines[:20]))
    (log / "audit.jsonl").write_bytes(b"".join([*lines[20:24], *lines[25:]]))
    result = audit("verify", log, code=1)
    assert result.stdout.startswith("audit.jsonl:5: record 26 (")
    assert "record 25 is missing" in result.stdout.splitlines()[0]
    assert "NOT INTACT: the first bad record is 26, at audit.jsonl:5" in result.stdout
    finding = json.loads(audit("verify", log, "--json", code=1).stdout.splitlines()[0])
    assert (finding["place"], finding["seq"]) == ("audit.jsonl:5", 26)


def test_verify_reads_rotated_and_compressed_files_as_one_log(log: Path) -> None:
    lines = (log / "audit.jsonl").read_bytes().splitlines(keepends=True)
    (log / "audit.jsonl.2.gz").write_bytes(gzip.compress(b"".join(lines[:10])))
    (log / "audit.jsonl.1").write_bytes(b"".join(lines[10:30]))
    (log / "audit.jsonl").write_bytes(b"".join(lines[30:]))
    assert f"INTACT: {len(lines)} records, 1 to {len(lines)}" in audit("verify", log).stdout
    (log / "audit.jsonl.1").unlink()
    assert "records 11 to 30 are missing" in audit("verify", log, code=1).stdout
    (log / "audit.jsonl.2.gz").write_bytes(gzip.compress(b"".join(lines[:10]))[:-20])
    assert "cannot be read" in audit("verify", log, code=1).stdout


def test_verify_finds_a_cut_end_by_what_is_beside_the_log_or_was_kept_elsewhere(log: Path) -> None:
    lines = (log / "audit.jsonl").read_bytes().splitlines(keepends=True)
    kept = log.parent / "kept.log"
    kept.write_bytes(b"".join(b"<134>1 2026-11-01 gw audit - " + ln for ln in lines if b'"log.checkpoint"' in ln))
    (log / "audit.jsonl").write_bytes(b"".join(lines[:-6]))
    assert f"but record {len(lines)} was in it: the end was cut off" in audit("verify", log, code=1).stdout
    (log / "audit.seq").unlink()
    assert "INTACT" in audit("verify", log).stdout, "nothing tells"
    assert "INTACT" in audit("verify", log, "--checkpoints", kept).stdout
    (log / "audit.jsonl").write_bytes(b"".join(lines[:-40]))
    cut = audit("verify", log, "--key", key_of(log), "--checkpoints", kept, code=1).stdout
    assert "a checkpoint kept elsewhere has record" in cut


def test_verify_does_not_take_another_logs_key_or_checkpoints(log: Path, tmp_path: Path) -> None:
    other = History(tmp_path / "other")
    other.secured()
    theirs = other.stop()
    assert "not signed with the key of the log" in audit("verify", log, "--key", theirs / "audit.key", code=1).stdout
    refused = audit("verify", log, "--checkpoints", theirs / "audit.jsonl", code=2).stderr
    assert "it has no checkpoint of this log" in refused
    assert "cannot be used" in audit("verify", log, "--key", log / "audit.jsonl", code=2).stderr


def test_report_writes_one_page_and_warns_of_a_log_that_is_not_intact(log: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    audit("report", log, "--month", "2026-11", "--html", page, "--key", key_of(log))
    text = page.read_text()
    assert "Call security, November 2026" in text
    assert "The signatures of its checkpoints are those of the key that was given." in text
    (log / "audit.jsonl").write_bytes((log / "audit.jsonl").read_bytes().replace(b'"alice"', b'"carol"', 1))
    assert "the log is not intact" in audit("report", log, "--month", "2026-11", "--html", page).stderr
    assert "NOT intact" in page.read_text()
    assert "is no month" in audit("report", log, "--month", "2026-13", "--html", page, code=2).stderr
    assert "cannot be written" in audit("report", log, "--html", tmp_path / "no" / "page", code=2).stderr


def test_cdr_gives_a_row_for_each_ended_call_that_is_asked_for(log: Path) -> None:
    found = list(csv.DictReader(io.StringIO(audit("cdr", log).stdout, newline="")))
    assert [row["call"] for row in found] == [f"c-0000000{n}" for n in range(1, 8)]
    assert {row["grade_worst"] for row in found} == {"HOP_BY_HOP", "CLEARTEXT", "KEY_EXPOSED", ""}
    as_json = [json.loads(line) for line in audit("cdr", log, "--json", "--downgraded").stdout.splitlines()]
    assert [row["call"] for row in as_json] == [f"c-0000000{n}" for n in range(2, 7)]
    assert as_json[0]["legs"][1]["keying"] == "plain"
