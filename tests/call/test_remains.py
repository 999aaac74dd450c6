"""What is left when another site takes the place of one: former trunks of living calls, and users that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.call.sign_in import PASSWORD
from tests.call.machine_scene import BROWSER_FLOW
from tests.call.office import Office, site

pytestmark = pytest.mark.asyncio

MOVED = {
    "pbx": {"target": "sip:elsewhere.example;transport=tls"},
    "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
    "soft": {"target": "sip:soft.example;transport=tls", "security": "prefer"},
}


async def test_a_trunk_is_a_former_one_while_a_call_goes_over_it_that_began_before(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    before = office.sites.current
    office.call("600")
    await office.settle()
    remains = office.manager.remains
    assert remains.former_trunks() == []
    office.sites.current = site(tmp_path, calls=4)
    assert remains.former_trunks() == []  # nothing of it is different
    office.sites.current = site(tmp_path, trunks=MOVED, calls=4)
    assert remains.former_trunks() == [before.trunks["pbx"]]
    office.call("600", key="in-2", call_id="call-2")
    await office.settle()
    assert remains.former_trunks() == [before.trunks["pbx"]]
    for runner in list(office.manager.index.runners):
        office.manager.index.drop(runner)
    assert remains.former_trunks() == []


async def test_who_is_signed_in_by_what_counts_no_longer_is_signed_out_and_others_stay(tmp_path: Path) -> None:
    office = Office(tmp_path)
    identities, before = office.manager.location.identities, office.sites.current
    identities.forget(BROWSER_FLOW)
    assert identities.authenticate(BROWSER_FLOW, "alice", proof=PASSWORD)
    office.bind()
    assert await office.manager.location.locate("alice")
    office.sites.current = after = site(tmp_path, trunks=MOVED)
    office.manager.renew(before)
    assert identities.user_of(BROWSER_FLOW) == "alice"
    object.__setattr__(after, "users", {})
    office.manager.renew(before)
    assert identities.user_of(BROWSER_FLOW) is None
    assert await office.manager.location.locate("alice") == ()
    assert BROWSER_FLOW.id in office.sip.gone  # nothing needs its connection


async def test_a_connection_that_a_call_needs_is_closed_after_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    before, remains = office.sites.current, office.manager.remains
    office.manager.location.identities.authenticate(BROWSER_FLOW, "alice", proof=PASSWORD)
    office.call("600")
    await office.settle()
    office.sites.current = site(tmp_path)
    object.__setattr__(office.sites.current, "users", {})
    office.manager.renew(before)
    assert not remains.is_empty
    assert office.sip.gone == set()
    for runner in list(office.manager.index.runners):
        office.manager.index.drop(runner)
    remains.settle()
    assert office.sip.gone == {BROWSER_FLOW.id}
    assert remains.is_empty


async def test_a_request_inside_a_call_is_judged_by_the_site_of_the_call(tmp_path: Path) -> None:
    office = Office(tmp_path)
    before = office.sites.current
    flow = office.sip.flows["pbx"]
    office.sites.current = site(tmp_path, trunks={"old": MOVED["old"]})
    assert office.manager._acknowledges(flow, before)
    assert not office.manager._acknowledges(flow)
