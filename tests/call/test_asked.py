"""What comes of a call's request goes to that call; a challenge of a trunk is answered with the trunk's own login."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.values import Secret
from gateway.sip.digest_client import Login
from gateway.sip.events import RequestTimeout, ResponseReceived
from gateway.sip.message import create_response
from tests.call.machine_scene import sdes_answer, trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio

PASSWORD = "canary-of-acme"
CHALLENGE = (("Proxy-Authenticate", 'Digest realm="carrier", nonce="n1", qop="auth", algorithm=SHA-256'),)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    site = office.sites.current
    pbx = replace(site.trunks["pbx"], auth=Login("acme", Secret(PASSWORD)))
    office.sites.current = replace(site, trunks={**site.trunks, "pbx": pbx})
    office.sip.flows["pbx"] = replace(trunk_flow(), initiated=True)
    return office


def challenge(office: Office) -> None:
    key, (request, flow) = [(k, v) for k, v in office.sip.sent.items() if v[0].method == "INVITE"][-1]
    response = create_response(request, 407, to_tag="proxy", headers=CHALLENGE)
    office.manager.on_event(ResponseReceived(key, response, flow))


async def test_an_invite_that_is_challenged_goes_once_more_and_the_call_is_answered(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    office.call("600")
    await office.settle()
    challenge(office)
    await office.settle()
    first, again = (request for request, _ in office.sip.sent.values() if request.method == "INVITE")
    assert "Proxy-Authorization" not in first.headers
    assert 'username="acme"' in str(again.headers.get("Proxy-Authorization"))
    office.reply("INVITE", 200, sdes_answer(again.body))
    await office.settle()
    assert office.statuses("in-1") == [200]
    assert PASSWORD not in caplog.text
    assert not [record for record in office.audit.records if PASSWORD in str(record)]


async def test_a_wrong_password_is_tried_once_and_ends_the_call_with_its_reason(office: Office) -> None:
    office.call("600")
    await office.settle()
    for _ in range(2):
        challenge(office)
        await office.settle()
    assert office.methods.count("INVITE") == 2
    (status,) = office.statuses("in-1")
    assert status >= 400
    assert not len(office.services.agent)


async def test_a_trunk_without_login_refuses_by_its_challenge(office: Office) -> None:
    site = office.sites.current
    office.sites.current = replace(site, trunks={**site.trunks, "pbx": replace(site.trunks["pbx"], auth=None)})
    office.call("600")
    await office.settle()
    challenge(office)
    await office.settle()
    assert office.methods.count("INVITE") == 1
    assert len(office.statuses("in-1")) == 1


async def test_a_request_without_an_answer_is_told_once(office: Office) -> None:
    office.call("600")
    await office.settle()
    (key,) = [key for key, (request, _) in office.sip.sent.items() if request.method == "INVITE"]
    office.manager.on_event(RequestTimeout(key))
    office.manager.on_event(RequestTimeout(key))
    await office.settle()
    assert len(office.statuses("in-1")) == 1
