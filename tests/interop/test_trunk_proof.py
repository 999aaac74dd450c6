"""A real PBX stack (pjsua2) proves that it may call in: by its certificate, by a password, over TLS and UDP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.phone import Phone
from tests.rig.ports import free_port

pytest.importorskip("pjsua2", reason="pjsua2 has no build for this Python or machine")
pytestmark = pytest.mark.interop

OVER_TLS, OVER_UDP = "127.0.4.1", "127.0.4.2"
PASSWORD = "open sesame"
PROVED, UNPROVED, NO_CERTIFICATE = 480, 401, 403
"""Alice is signed in nowhere: whoever hears that has proved what is needed."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    setup = GatewaySetup(tmp_path_factory.mktemp("proof"), trunks={}, outbound=[], sip=("udp", "tls"), tls_web=False)
    setup.trunks = {
        "secure": {
            "target": f"sip:{OVER_TLS}:{free_port(host=OVER_TLS)};transport=tls",
            "networks": [f"{OVER_TLS}/32"],
            "tls": {"ca": str(setup.certificates.ca.certificate), "names": ["pbx.demo.test"]},
            "inbound": {"user": "secure", "password": PASSWORD, "certificate": True},
        },
        "plain": {
            "target": f"sip:{OVER_UDP}:{free_port(host=OVER_UDP)}",
            "security": "legacy",
            "networks": [f"{OVER_UDP}/32"],
            "inbound": {"user": "plain", "password": PASSWORD},
        },
    }
    made = GatewayProcess(setup).start()
    yield made
    assert made.stop() == 0


@pytest.mark.parametrize(
    ("host", "certified", "password", "status"),
    [
        pytest.param(OVER_TLS, True, PASSWORD, PROVED, id="certificate and password"),
        pytest.param(OVER_TLS, False, PASSWORD, NO_CERTIFICATE, id="no certificate"),
        pytest.param(OVER_TLS, True, "guess", UNPROVED, id="wrong password", marks=pytest.mark.slow),
        pytest.param(OVER_TLS, True, "", UNPROVED, id="no password", marks=pytest.mark.slow),
        pytest.param(OVER_UDP, False, PASSWORD, PROVED, id="password over UDP", marks=pytest.mark.slow),
        pytest.param(OVER_UDP, False, "guess", UNPROVED, id="wrong password over UDP", marks=pytest.mark.slow),
    ],
)
def test_a_pbx_calls_in_with_what_is_asked_of_it_and_not_without(
    gateway: GatewayProcess, tmp_path: Path, host: str, certified: bool, password: str, status: int
) -> None:
    setup, secure = gateway.setup, host == OVER_TLS
    options: dict[str, Any] = {"srtp": "mandatory" if secure else "off"}
    if certified:
        options |= {"certificate": setup.certificates.pbx.certificate, "key": setup.certificates.pbx.key}
    if password:
        options |= {"login": "secure" if secure else "plain", "password": password}
    before = len(gateway.records("call.start"))
    phone = Phone(
        tmp_path, "pbx", host=host, port=free_port(host=host), transport="tls" if secure else "udp", **options
    ).start()
    try:
        port, suffix = (setup.sip_tls_port, ";transport=tls") if secure else (setup.sip_port, "")
        phone.do("call", uri=f"sip:100@127.0.0.1:{port}{suffix}")
        assert phone.wait("state", text="DISCONNECTED")["status"] == status
    finally:
        phone.stop()
    assert len(gateway.records("call.start")) - before == (status == PROVED)
