"""A gateway that is registered at a carrier over real sockets: challenged, called, and gone at the end.

The registrar is a script with our digest server behind it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from gateway.base.values import Secret
from gateway.sip.auth import Credentials, DigestServer, compute_ha1
from gateway.sip.message import Request, Response, create_response
from gateway.trunks.registration import Standing
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, HostedScene
from tests.rig.trunk import TrunkDialog, description

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

REALM, USER, PASSWORD = "carrier.test", "acme-auth", "canary-carrier-password"
FLOW = 1


class CarrierRegistrar:
    """Challenges each REGISTER and binds what proves the password (RFC 3261 10.3)."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self._digest = DigestServer(REALM, Secret(b"k"), lambda length: f"{next(numbers):0{length}d}")
        self.contacts: list[str] = []
        self.refused = 0

    def __call__(self, request: Request) -> Response:
        outcome = self._digest.verify(request, FLOW, self._lookup, time.monotonic())
        if outcome.user is None:
            self.refused += 1
            values = self._digest.challenges(FLOW, time.monotonic(), stale=outcome.stale)
            headers = [("WWW-Authenticate", value) for value in values]
            return create_response(request, 401, to_tag="registrar", headers=headers)
        assert request.contact is not None
        self.contacts = [str(request.contact.uri)] if request.expires else []
        bound = [("Contact", f"<{uri}>;expires=120") for uri in self.contacts]
        return create_response(request, 200, to_tag="registrar", headers=bound)

    @staticmethod
    def _lookup(user: str) -> Credentials | None:
        hashes = (Secret(compute_ha1(USER, REALM, PASSWORD, name)) for name in ("MD5", "SHA-256"))
        return Credentials(REALM, *hashes) if user == USER else None


def registered_scene(directory: Path, password: str) -> HostedScene:
    """Its trunk in clear has no networks: only because we are registered there may it call in."""
    plain = {
        "networks": [],
        "registrations": [{"user": "acme", "expires": 120}],
        "auth": {"user": USER, "password": password, "realm": REALM},
    }
    return HostedScene(directory, setup={"inbound": [{"id": "acme", "dialled": "acme", "user": "alice"}]}, plain=plain)


async def test_a_carrier_calls_the_address_that_was_registered_there_and_forgets_it_when_we_stop(
    tmp_path: Path,
) -> None:
    scene, carrier = registered_scene(tmp_path, PASSWORD), CarrierRegistrar()
    scene.trunks[PLAIN].registrar = carrier
    await scene.start()
    try:
        await until(lambda: bool(carrier.contacts), "a registration")
        assert carrier.refused == 1
        browser = await scene.browser("alice")
        trunk, dialog = scene.trunks[PLAIN], TrunkDialog("carrier-1")
        trunk.request("INVITE", "acme", ("127.0.0.1", scene.setup.sip_port), dialog, description(PLAIN_HOST))
        async with asyncio.timeout(5):
            call = await browser.incoming.get()
        await call.refuse()
        await until(lambda: any(r.status >= 300 for r in trunk.answers(dialog)), "a final answer to the carrier")
        await browser.close()
        assert PASSWORD not in scene.host.log
    finally:
        await scene.stop()
    assert carrier.contacts == []


async def test_a_wrong_password_is_told_and_nobody_is_let_in(tmp_path: Path) -> None:
    scene, carrier = registered_scene(tmp_path, "wrong"), CarrierRegistrar()
    scene.trunks[PLAIN].registrar = carrier
    await scene.start()
    try:
        registrations = scene.host.gateway.registrations
        await until(lambda: registrations.shown()[0].standing is Standing.REFUSED, "a refusal")
        assert carrier.refused == 2
        assert "registration=trying->refused reason=401" in scene.host.log
    finally:
        await scene.stop()
