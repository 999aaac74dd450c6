"""Two trunks at one PBX: a dialog knows its trunk, whatever the address could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.net.admission import TrunkSources
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.trunks.model import Trunk
from tests.call.machine_scene import answer
from tests.call.office import Office
from tests.call.test_flows import in_dialog
from tests.config.test_load import files, load
from tests.config.test_references import two_trunks

__all__ = ["files"]
pytestmark = pytest.mark.asyncio

PBX = HostPort("192.0.2.10", 5060)
LAYOUTS = {
    "old is outbound only": (
        'target: "sip:192.0.2.10;transport=tls", networks: [192.0.2.10/32]',
        "target: sip:192.0.2.10, security: legacy",
    ),
    "one network for both": (
        'target: "sip:192.0.2.10;transport=tls", networks: [192.0.2.10/32]',
        "target: sip:192.0.2.10, security: legacy, networks: [192.0.2.10/32]",
    ),
    "a narrow network in a wide one": (
        "target: sip:192.0.2.10, security: legacy, networks: [192.0.2.10/32]",
        "target: sip:pbx.example, security: legacy, networks: [192.0.2.0/24]",
    ),
}


def came_in(trunks: dict[str, Trunk], transport: TransportName, names: dict[str, str]) -> Flow:
    """A message from the PBX as the endpoint sees it, in the names of the office's trunks."""
    sources = TrunkSources(trunks)
    sources.learn("carrier", PBX.host)
    first, *rest = (names[name] for name in sources.find(PBX.host, transport))
    return Flow(8, transport, HostPort("127.0.0.1", 5060), PBX, first, also=frozenset(rest))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("method", ["BYE", "INVITE"])
async def test_a_dialog_is_its_own_trunks_although_the_address_fits_another(
    files: Path, tmp_path: Path, layout: tuple[str, str], method: str
) -> None:
    two_trunks(files, *layout)  # type: ignore[arg-type]
    trunks = load(files).site.trunks  # type: ignore[arg-type]
    office = Office(tmp_path)
    names = {"pbx": "pbx", "carrier": "old"}
    office.sip.flows["old"] = Flow(7, "udp", HostPort("127.0.0.1", 5060), PBX, "old")
    office.call("700")
    await office.settle()
    sent: Request = [request for request, _ in office.sip.sent.values()][-1]
    phone = answer().replace(b"127.0.0.2", PBX.host.encode())
    office.reply("INVITE", 200, phone)
    await office.settle()
    assert "call.final" not in office.audit.types()
    body = phone if method == "INVITE" else b""
    office.request(in_dialog(sent, method, body), key="in", flow=came_in(dict(trunks), "udp", names))
    await office.settle()
    assert office.statuses("in") in ([200], [491])  # 491: the caller has not acknowledged yet
    assert ("call.final" in office.audit.types()) is (method == "BYE")
