"""The board and the alert rules load as they are, and whatever they ask for is at /metrics of a running gateway."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.rig.hosted import HostedGateway, until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene

DEPLOY = Path(__file__).parents[1] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "sip-gateway.json").read_text())
RULES = DEPLOY / "prometheus" / "sip-gateway.rules.yaml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def asked() -> dict[str, str]:
    """Every expression of board and rules, with where it stands."""
    found = {rule["expr"]: rule["alert"] for rule in ALERTS}
    for panel in BOARD["panels"]:
        found |= {target["expr"]: panel["title"] for target in panel.get("targets", ())}
    return found


def shown(host: HostedGateway) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples at /metrics, by name and by the values of their labels in the order of those."""
    page = host.gateway.web._metrics.render().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page):
        found.setdefault(family.name + ("_total" if family.type == "counter" else ""), {})
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.asyncio
async def test_metrics_say_what_the_log_says_and_have_all_that_board_and_rules_ask_for(tmp_path: Path) -> None:
    scene = await HostedScene(tmp_path).start()
    try:
        for number in (PLAIN, SDES, PLAIN):
            await scene.canary(number)
        await until(lambda: scene.host.gateway.audit.lag_seconds == 0, "all records are in the file")
        found, records = shown(scene.host), scene.host.records()
        assert found["sip_gateway_audit_records_total"] == {
            (kind,): number for kind, number in Counter(record["type"] for record in records).items()
        }
        legs = Counter((grade, kind) for r in records if r["type"] == "call.final" for kind, grade in r["legs"].items())
        assert {key: number for key, number in found["sip_gateway_legs_total"].items() if number} == legs
        downgrades = Counter(
            (r["decision"], code, r["trunk"])
            for r in records
            if r["type"] in ("leg.downgraded", "leg.violation")
            for code in r["codes"]
        )
        assert found["sip_gateway_downgrades_total"] == downgrades
        assert set(downgrades) == {("allowed", "media.plain_rtp", "plain")}
        assert found["sip_gateway_calls_ended_total"][()] == found["sip_gateway_audit_records_total"]["call.final",]
        for counter, kind in (("legs_secured", "leg.secured"), ("legs_downgraded", "leg.downgraded")):
            assert found[f"sip_gateway_{counter}_total"][()] == sum(r["type"] == kind for r in records)
        for expression, place in asked().items():
            for name in re.findall(r"\bsip_gateway_\w+", expression):
                assert name in found, f"{place}: {name}"
        people = ("alice", "bob")
        assert not any(
            person in label for values in found.values() for key in values for label in key for person in people
        )
    finally:
        await scene.stop()


def test_the_board_needs_no_edits() -> None:
    sources = {json.dumps(panel["datasource"]) for panel in BOARD["panels"] if panel["type"] != "row"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["datasource", "instance"]
    assert "__inputs" not in BOARD
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len(set(places)) == len(places)


def test_each_alert_says_how_bad_it_is_and_what_it_means() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
