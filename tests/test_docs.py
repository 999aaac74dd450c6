"""What the documents name must exist, and what exists must be named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER
from gateway.cli.pictures import pictures, redrawn
from gateway.config.schema import GatewayConfig
from gateway.policy.header import report_of
from gateway.policy.model import effective_policy
from gateway.policy.posture import CallPosture
from tests.policy.vectors import browser

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
WEB_DEVELOPERS = (ROOT / "docs" / "web-developers.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("termination", Termination)
def test_every_reason_a_call_can_end_for_is_explained(termination: Termination) -> None:
    assert f"`{termination.slug}`" in OPERATIONS


@pytest.mark.parametrize("counter", Counter)
def test_every_counter_is_explained(counter: Counter) -> None:
    assert f"`{counter.value}`" in OPERATIONS


def test_the_readmes_configuration_is_one_the_gateway_reads() -> None:
    text = README.split("```yaml\n")[1].split("```")[0]
    config = GatewayConfig.model_validate(yaml.load(text, Loader=yaml.BaseLoader))  # noqa: S506 - text only
    assert set(config.trunks) == {"pbx", "old", "carrier"}


def test_the_headers_parameters_are_those_web_developers_read_of() -> None:
    posture, leg = CallPosture(), browser()
    posture.update(CALLER, leg)
    policy = effective_policy(Profile.STRICT, "pbx")
    report = report_of(posture, policy, leg, leg, seq=1, call_id="c-1", lost=frozenset({"trunk"}))
    report = replace(report, codes=(Code.MEDIA_PLAIN_RTP,), refused=(Code.MID_CRYPTO_REMOVED,), tone="beep")
    names = [part.partition("=")[0] for part in report.header.split(";")]
    grammar = WEB_DEVELOPERS.split("```abnf\n")[1].split("\ngrade ")[0]
    assert re.findall(r"(\w+)=", grammar) == names


@pytest.mark.parametrize("termination", [t for t in Termination if t.status != 200])
def test_every_status_a_page_can_meet_is_explained(termination: Termination) -> None:
    rows = [line for line in WEB_DEVELOPERS.splitlines() if line.startswith("| ") and str(termination.status) in line]
    assert any(str(termination.warning or "") in row for row in rows)


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_names_the_two_commands(command: str) -> None:
    assert command in README


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name
)
def test_relative_links_lead_somewhere(document: Path) -> None:
    for part in document.read_text().split("](")[1:]:
        target = part.split(")")[0].split("#")[0]
        if target and "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("name", ["architecture.md", "policy.md"])
def test_the_tables_are_drawn_as_the_code_has_them(name: str) -> None:
    document = (ROOT / "docs" / name).read_text()
    assert redrawn(document) == document, "run `make docs`"


def test_every_table_has_its_place() -> None:
    documents = [(ROOT / "docs" / name).read_text() for name in ("architecture.md", "policy.md")]
    assert all(any(picture in document for document in documents) for picture in pictures().values())
