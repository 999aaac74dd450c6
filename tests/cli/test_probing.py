"""`sip-gateway probe`: what is wrong with the question is UNKNOWN in one line, and no password is printed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.base.profiles import Profile
from gateway.base.values import HostPort
from gateway.cli import probing
from gateway.cli.commands import cli
from gateway.cli.probe_options import PASSWORD_VARIABLE
from gateway.cli.probe_tables import of_findings, of_result
from gateway.probe.calls import Door, Plan, TrunkSide
from gateway.probe.offers import Attempt, Findings
from gateway.probe.result import End, Status
from gateway.probe.result import Result as Probed
from gateway.probe.rtp import Offer
from gateway.probe.tones import Heard
from tests.config.files import Files

PASSWORD = "canary-password-Zq7"
UNKNOWN = int(Status.UNKNOWN)


def run(*arguments: str | Path, password: str = PASSWORD) -> Result:
    env = {PASSWORD_VARIABLE: password}
    result = CliRunner().invoke(cli, ["probe", *map(str, arguments)], prog_name="sip-gateway", env=env)
    assert "Traceback" not in result.output
    assert PASSWORD not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Files(tmp_path).write()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been called; every call goes well."""
    found: list[tuple[Any, ...]] = []

    async def browser(*what: Any) -> Probed:
        found.append(what)
        made = Probed("browser probe calls 600", status=200)
        made.ends = [End("browser", "PCMU", "dtls", 1000.0, Heard(3.0, -12.0, 1000.0, 1.0, 0, 0.0))]
        return made

    monkeypatch.setattr(probing, "browser_calls", browser)
    monkeypatch.setattr(probing, "trunk_calls", browser)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["600"],
        ["600", "--user", "probe"],
        ["600", "--user", "probe", "--url", "https://x/ws", "--realm", "x"],
        ["600", "--user", "probe", "--url", "wss://x/ws"],
        ["600", "--seconds", "0"],
        ["600", "--expect", "music"],
        ["600", "--no-such-option"],
        ["600", "--min-grade", "GOOD"],
        ["--offers"],
        ["--offers", "--trunk", "pbx"],
    ],
)
def test_a_question_that_cannot_be_put_is_unknown(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == UNKNOWN
    assert result.stdout == ""
    assert result.stderr


def test_without_aiortc_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = run("600", "--user", "probe")
    assert result.exit_code == UNKNOWN
    assert "pip install 'sip-gateway[probe]'" in result.stderr


def test_a_configuration_that_is_wrong_or_a_trunk_there_is_none_of_is_unknown(config: Path, tmp_path: Path) -> None:
    assert run("600", "-c", tmp_path / "none.yaml").exit_code == UNKNOWN
    assert run("600", "-c", config, "--user", "alice", "--from-trunk", "nobody").exit_code == UNKNOWN
    assert run("--offers", "--trunk", "nobody", "-c", config).exit_code == UNKNOWN


def test_no_password_is_unknown_and_tells_where_one_is_looked_for(config: Path) -> None:
    result = run("600", "-c", config, "--user", "alice", password="")
    assert result.exit_code == UNKNOWN
    assert PASSWORD_VARIABLE in result.stderr


def test_the_configuration_says_where_the_door_is(config: Path, called: list[tuple[Any, ...]]) -> None:
    assert run("600", "-c", config, "--user", "alice").exit_code == int(Status.OK)
    door, plan = called[0]
    assert isinstance(door, Door)
    assert isinstance(plan, Plan)
    assert door.url.startswith(("ws://", "wss://"))
    assert door.url.endswith("/ws")
    assert (door.user, door.password.reveal(), plan.number) == ("alice", PASSWORD, "600")
    assert PASSWORD not in repr(door)


def test_a_password_file_is_read_to_its_first_line(config: Path, called: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("first\r\nsecond\n")
    run("600", "-c", config, "--user", "alice", "--password-file", tmp_path / "password")
    assert called[0][0].password.reveal() == "first"


def test_another_gateway_is_reached_by_url_and_realm_alone(called: list[tuple[Any, ...]]) -> None:
    assert run("600", "--user", "alice", "--url", "wss://gw.example:8443/ws", "--realm", "x.example").exit_code == 0
    door = called[0][0]
    assert (door.origin, door.realm, door.tls) == ("https://gw.example:8443", "x.example", True)


def test_json_is_one_object_with_status_and_complaints(called: list[tuple[Any, ...]], config: Path) -> None:
    result = run("600", "-c", config, "--user", "alice", "--json", "--min-grade", "HOP_BY_HOP")
    told = json.loads(result.stdout)
    assert result.exit_code == int(Status.CRITICAL)
    assert told["status"] == "CRITICAL"
    assert told["complaints"] == ["the gateway did not say a grade: no Call-Security"]


def test_a_call_from_a_trunk_comes_from_one_of_its_networks(config: Path, called: list[tuple[Any, ...]]) -> None:
    assert run("100", "-c", config, "--user", "alice", "--from-trunk", "pbx", "--source", "127.0.0.9").exit_code == 0
    side = called[0][1]
    assert isinstance(side, TrunkSide)
    assert (side.name, side.source) == ("pbx", "127.0.0.9")
    assert isinstance(side.gateway, HostPort)


def test_a_result_for_people_says_how_it_went_first() -> None:
    found = Probed("browser probe calls 600", {"connect": 0.0123}, status=488, failure="488 Not Acceptable Here")
    first, *_ = of_result(found, Status.CRITICAL, [found.failure], steps=False)
    assert first.plain == "CRITICAL browser probe calls 600: 488 Not Acceptable Here"


def test_findings_for_people_end_with_what_is_recommended_and_what_was_done() -> None:
    found = Findings("pbx", "sip:pbx;transport=tls", "tls", options=200, server="Asterisk")
    found.attempts = [Attempt(Offer.SDES, works=True, status=200, protection="sdes,AES", packets=50)]
    found.recommended, found.because, found.steps = Profile.STRICT, "it takes SRTP", ["OPTIONS to pbx"]
    lines = [line.plain for line in of_findings(found)]
    assert "  sdes      works sdes,AES, 50 packets" in lines
    assert lines[-2:] == ["  recommended: security: strict (it takes SRTP)", "  1. OPTIONS to pbx"]
