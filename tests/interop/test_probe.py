"""`sip-gateway probe` as an administrator runs it: a gateway process and the phones of the demonstration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.cli.probe_options import PASSWORD_VARIABLE
from gateway.demo.roles import BY_NAME
from tests.demo.caller import address_of, phone
from tests.rig.gateway import PASSWORD, GatewayProcess, GatewaySetup
from tests.rig.ports import free_port

pytest.importorskip("pjsua2", reason="pjsua2 has no build for this Python or machine")
pytestmark = pytest.mark.interop

ECHO, OSRTP = "600", "602"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    setup = GatewaySetup(tmp_path_factory.mktemp("probe"), trunks={}, outbound=[])
    with ExitStack() as phones:
        for number, name in ((ECHO, "echo"), (OSRTP, "osrtp")):
            role = BY_NAME[name]
            address = address_of(name, free_port(host=role.address.host))
            phones.enter_context(phone(name, address))
            suffix = "" if role.transport == "udp" else f";transport={role.transport}"
            setup.trunks[name] = {
                "target": f"sip:{address}{suffix}",
                "security": role.security.value,
                "networks": [f"{role.address.host}/32"],
            }
            setup.outbound.append({"id": name, "dialled": number, "trunk": name})
        process = GatewayProcess(setup).start()
        yield process
        assert process.stop() == 0


def probe(gateway: GatewayProcess, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and what `--json` says."""
    run = [sys.executable, "-m", "gateway", "probe", "--config", str(gateway.config), "--user", "alice", "--json"]
    environment = {**os.environ, PASSWORD_VARIABLE: PASSWORD}
    found = subprocess.run([*run, *arguments], capture_output=True, text=True, timeout=60, env=environment)
    assert PASSWORD not in found.stdout + found.stderr
    assert found.stderr == ""
    return found.returncode, json.loads(found.stdout)


def test_an_echo_over_a_legacy_trunk_is_measured_and_graded(gateway: GatewayProcess) -> None:
    code, told = probe(gateway, ECHO, "--trunk", "echo", "--expect", "echo", "--seconds", "1.5")
    assert (code, told["status"], told["complaints"]) == (0, "OK", [])
    (end,) = told["ends"]
    assert abs(end["heard_hz"] - 1000) < 15
    assert end["purity"] > 0.5
    assert end["protection"] == "dtls"
    assert told["call_security"]["grade"] == "CLEARTEXT"
    assert {leg["kind"]: leg["codes"] for leg in told["legs"]} == {"browser": [], "trunk": ["media.plain_rtp"]}
    assert set(told["seconds"]) >= {"connect", "sign_in", "answer", "ice", "dtls", "first_audio"}


@pytest.mark.slow
def test_a_grade_that_is_demanded_and_missing_is_critical(gateway: GatewayProcess) -> None:
    code, told = probe(gateway, OSRTP, "--min-grade", "HOP_BY_HOP", "--codec", "PCMU", "--seconds", "1")
    assert code == 2
    assert told["complaints"] == ["the call is KEY_EXPOSED, not HOP_BY_HOP"]
    assert told["ends"][0]["codec"] == "PCMU"


@pytest.mark.slow
@pytest.mark.parametrize(("trunk", "number", "profile"), [("echo", ECHO, "legacy"), ("osrtp", OSRTP, "prefer")])
def test_the_offers_a_phone_takes_are_found_out(gateway: GatewayProcess, trunk: str, number: str, profile: str) -> None:
    code, told = probe(gateway, "--trunk", trunk, "--offers", number)
    assert (code, told["recommended"]) == (0, profile)
    assert all(attempt["packets"] > 20 for attempt in told["attempts"] if attempt["works"])


@pytest.mark.slow
def test_a_call_from_a_trunk_is_heard_at_both_ends(gateway: GatewayProcess) -> None:
    code, told = probe(gateway, "100", "--from-trunk", "echo")
    assert (code, told["complaints"]) == (0, [])
    assert [end["protection"] for end in told["ends"]] == ["dtls", "plain"]
