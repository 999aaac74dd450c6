"""The commands that ask the audit log, as somebody types them."""

from __future__ import annotations

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
    return history.stop()


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
