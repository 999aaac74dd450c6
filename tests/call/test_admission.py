"""From an INVITE to a call: whose identity, where to, how many; whatever is refused leaves its two records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.errors import SipError
from gateway.call.admission import ATTEMPTS, MAX_TYPED, is_emergency_call
from gateway.sip.events import RequestReceived
from tests.call.machine_scene import BROWSER_FLOW
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, calls=200)


async def asked(office: Office, number: str = "600", key: str = "in-1", **fields: str) -> list[int]:
    found = invite(number, call_id=f"call-{key}")
    for name, value in fields.items():
        found = found.with_header(name.replace("_", "-"), value)
    office.request(found, key=key)
    await office.settle()
    return office.statuses(key)


async def test_who_says_to_be_somebody_else_is_refused_and_in_the_log(office: Office) -> None:
    assert await asked(office, From="<sip:bob@example.test>;tag=caller") == [403]
    assert office.audit.types() == ["call.start", "leg.violation", "call.final"]
    assert office.audit.records[-1]["termination"] == "identity-mismatch"


async def test_the_case_of_a_name_is_no_other_name(office: Office) -> None:
    assert await asked(office, From="<sip:Alice@example.test>;tag=caller") == []
    assert office.methods == ["INVITE"]


async def test_a_number_no_rule_knows_is_404_and_in_the_log(office: Office) -> None:
    assert await asked(office, "555") == [404]
    assert office.audit.types() == ["call.start", "call.final"]


async def test_an_invite_of_ours_that_comes_back_is_a_loop(office: Office) -> None:
    await asked(office)
    ((sent, _),) = office.sip.sent.values()
    mark = sent.headers.get("Gateway-Hop")
    assert mark
    assert await asked(office, key="in-2", Gateway_Hop=mark) == [482]


async def test_max_forwards_counts_down_and_never_up(office: Office) -> None:
    await asked(office, Max_Forwards="7")
    ((sent, _),) = office.sip.sent.values()
    assert sent.max_forwards == 6
    await asked(office, key="in-2", Max_Forwards="255")
    (_, (second, _)) = office.sip.sent.values()
    assert second.max_forwards is not None
    assert second.max_forwards < 71


async def test_who_dials_without_end_is_503_without_a_record(office: Office) -> None:
    object.__setattr__(office.services, "clock", lambda: 1000.0)  # no time passes, whatever the machine is busy with
    for number in range(ATTEMPTS.burst):
        await asked(office, "555", key=f"in-{number}")
    before = len(office.audit.records)
    with pytest.raises(SipError, match="too many calls"):
        office.manager._admission.admit(RequestReceived("more", invite("555"), BROWSER_FLOW), "alice")
    assert await asked(office, "555", key="more") == [503]
    assert len(office.audit.records) == before


async def test_what_was_typed_is_kept_cut(office: Office) -> None:
    await asked(office, "9" * 300)
    assert len(str(office.audit.records[0]["dialled"])) <= MAX_TYPED


async def test_an_emergency_number_is_known_whoever_dials_it(office: Office) -> None:
    assert is_emergency_call(invite("112"), office.sites)
    assert not is_emergency_call(invite("600"), office.sites)
    assert not is_emergency_call(replace(invite("112"), uri="tel:"), office.sites)
