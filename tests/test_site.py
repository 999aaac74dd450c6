"""A call goes on under the site it began with, whatever is loaded meanwhile; what begins later begins under the new."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.profiles import Profile
from gateway.call.machine.state import CallState
from gateway.policy.book import UNROUTED
from gateway.site import NOWHERE, Sites
from tests.call.office import Office, site
from tests.sites import made_site

pytestmark = pytest.mark.asyncio

MOVED = {"pbx": {"target": "sip:elsewhere.example;transport=tls", "security": "prefer"}}


def states(office: Office) -> list[CallState]:
    return [runner.state for runner in office.manager.index.runners]


async def test_a_call_keeps_its_site_and_the_next_one_begins_under_the_new(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=4)
    before = office.sites.current
    office.call("600")
    await office.settle()
    office.sites.current = after = site(tmp_path, realm="new.example", trunks=MOVED, calls=4)
    office.reply("INVITE", 180)
    await office.settle()
    (living,) = states(office)
    assert living.site is before
    assert (living.policy.profile, living.policy) == (Profile.STRICT, before.policies.standing("pbx"))
    office.call("600", key="in-2", call_id="call-2")
    await office.settle()
    (new,) = [state for state in states(office) if state is not living]
    assert (living.site, new.site) == (before, after)
    assert new.policy == after.policies.standing("pbx")
    first, second = [request for request, _ in office.sip.sent.values() if request.method == "INVITE"]
    assert (first.uri, second.uri) == ("sip:600@pbx.example", "sip:600@elsewhere.example")
    assert "@new.example" in str(second.from_.uri)


async def test_a_trunk_that_is_gone_from_the_new_site_still_carries_the_calls_it_has(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.call("600")
    office.sites.current = site(tmp_path, trunks={"old": {"target": "sip:127.0.0.3", "security": "legacy"}})
    await office.settle()
    assert office.methods == ["INVITE"]
    assert office.pool.opened == 1


async def test_where_a_call_has_no_trunk_it_leads_nowhere_and_is_held_to_the_strictest() -> None:
    bare = made_site()
    trunk = bare.trunk(UNROUTED)
    assert (trunk.name, trunk.target.host, trunk.security, trunk.networks) == (UNROUTED, NOWHERE, Profile.STRICT, ())
    assert bare.policies.standing(UNROUTED).demands_protection
    assert Sites(bare).current is bare
