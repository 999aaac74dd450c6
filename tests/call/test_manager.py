"""What the manager answers before there is a call, or when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.facts import short_id
from tests.call.machine_scene import request
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.mark.parametrize("contact", ["", "<tel:+4930123>", "<mailto:a@example.test>"])
async def test_an_invite_that_says_not_where_its_dialog_goes_is_400_and_no_call(office: Office, contact: str) -> None:
    """RFC 3261 8.1.1.8 and 12.1.1."""
    office.request(invite(contact=contact), key="in-1")
    await office.settle()
    assert office.statuses("in-1") in ([400], [416])
    assert office.audit.types() == []
    assert office.manager.live_calls == 0


async def test_a_request_in_a_dialog_nobody_has_is_481(office: Office) -> None:
    office.request(request("BYE", to_tag="nobody"), key="bye")
    assert office.statuses("bye") == [481]


async def test_the_id_a_browser_is_told_leads_to_the_records_of_its_call(office: Office) -> None:
    office.call("700", key="in-1")
    await office.settle()
    office.reply("INVITE", 180)
    await office.settle()
    told = {response.headers.get("Call-Security") for key, response in office.sip.answers if key == "in-1"} - {None}
    uids = {str(record["call_uid"]) for record in office.audit.records if "call_uid" in record}
    assert len(uids) == 1
    assert told
    assert all(f";id={short_id(uid)};" in f"{value};" for value in told for uid in uids)
