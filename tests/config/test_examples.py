"""The examples a newcomer starts from are configurations that load, and the documents quote them word for word."""

from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.base.errors import SipError
from gateway.cli.commands import cli
from gateway.config.load import LoadedConfig, load_config, read_dialplan
from gateway.routing.numbers import normalise
from tests.config.files import NOW, Files, make_certificate

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DIALPLANS = sorted((ROOT / "dialplan").glob("*.yaml"))

USERS = "users:\n" + "".join(
    f"  {name}: {{realm: pbx.example.com, ha1_md5: {'0' * 32}, ha1_sha256: {'0' * 64}}}\n" for name in ("alice", "bob")
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/etc/sip-gateway as deploy/README.md makes it."""
    shutil.copy(DEPLOY / "gateway.yaml", tmp_path)
    shutil.copytree(ROOT / "dialplan", tmp_path / "dialplan")
    (tmp_path / "certs").mkdir()
    for name in ("web", "gateway", "ca"):
        make_certificate(tmp_path / "certs", name, now=datetime.datetime.now(datetime.UTC))
    users = tmp_path / "users.yaml"
    users.write_text(USERS)
    users.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return Path("gateway.yaml")


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def test_the_deployed_configuration_loads_without_a_warning(installed: Path) -> None:
    loaded = load_config(installed, environ={})
    assert isinstance(loaded, LoadedConfig)
    assert loaded.warnings == ()


def test_the_deployment_guide_quotes_the_configuration() -> None:
    assert blocks(DEPLOY / "README.md", "yaml") == [(DEPLOY / "gateway.yaml").read_text()]


def test_the_deployment_guide_shows_what_check_prints(installed: Path) -> None:
    (shown,) = blocks(DEPLOY / "README.md", "console")
    printed = CliRunner().invoke(cli, ["check", "--elsewhere", str(installed)]).stdout
    assert printed.endswith(shown.partition("...\n")[2])


@pytest.mark.parametrize("plan", DIALPLANS, ids=lambda p: p.stem)
def test_an_example_dialplan_fits_trunks_named_pbx_and_carrier(plan: Path, tmp_path: Path) -> None:
    files = Files(tmp_path, users=USERS, dialplan=plan.read_text())
    assert load_config(files.write(), environ={}, now=NOW).warnings == ()


def called(plan: str, dialled: str) -> str | None:
    try:
        number = normalise(dialled)
    except SipError:
        return None
    route = read_dialplan(ROOT / "dialplan" / f"{plan}.yaml").route_outbound(number)
    return route.number if route else None


@pytest.mark.parametrize(
    ("dialled", "sent"),
    [
        ("112", "112"),
        ("+49 30 1234567", "+49301234567"),
        ("030/1234567", None),
        ("(030) 123-4567", "+49301234567"),
        ("0151 2345678", "+491512345678"),
        ("0911 123456", "+49911123456"),
        ("+43 1 234567", "+431234567"),
    ],
)
def test_the_carrier_dialplan_sends_e164(dialled: str, sent: str | None) -> None:
    assert called("carrier", dialled) == sent


@pytest.mark.parametrize(
    "dialled",
    [
        "0900123456",
        "+49900123456",
        "0049900123456",
        "00900123456",
        "+900123456",
        "+1900123456",
        "0137123456",
        "0180512345",
        "11833",
        "+870123456",
        "+882123456",
        "100",
        "*97",
        "alice",
        "+49%39001",
        "+49900;phone-context=+49",
        "０９００１２３",  # noqa: RUF001
        "sip:+49900",
    ],
)
def test_the_carrier_dialplan_refuses_what_it_does_not_name(dialled: str) -> None:
    assert called("carrier", dialled) is None


@pytest.mark.parametrize(
    ("dialled", "sent"),
    [("112", "112"), ("+49301234", "00301234"), ("0301234", "00301234"), ("2001", "2001"), ("*97", "*97")],
)
def test_the_pbx_dialplan_speaks_the_numbers_of_the_pbx(dialled: str, sent: str) -> None:
    assert called("pbx", dialled) == sent


def documents() -> list[Path]:
    folders = (ROOT / name for name in ("bench", "certs", "deploy", "dialplan", "docs", "gateway"))
    inner = (path for folder in folders for path in folder.rglob("*.md") if "node_modules" not in path.parts)
    return sorted([*ROOT.glob("*.md"), *inner])


@pytest.mark.parametrize("document", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_in_the_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL))
    local = [link for link in links if ":" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []
