"""A user of ours calls another: from what was dialled to the browsers that ring, and who is shown to whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.values import CALLER, LegKind
from gateway.call.machine.state import CallState
from gateway.routing.admission import MAX_RINGING_PER_USER
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from tests.call.machine_scene import BROWSER_FLOW, browser_answer
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio

BOBS = replace(BROWSER_FLOW, id=11)
OTHER_OF_BOB = replace(BROWSER_FLOW, id=12)
BOB = "<sip:bob@client.invalid;transport=ws>"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """Alice and bob are signed in."""
    made = Office(tmp_path, calls=20)
    made.bind()
    made.bind(BOB, BOBS, "bob")
    return made


async def dialled(office: Office, what: str, *, key: str = "in-1", **changes: str) -> list[int]:
    """Alice dials; what she is answered."""
    request = invite(what, call_id=f"call-{key}")
    for name, value in changes.items():
        request = request.with_header(name, value)
    office.request(request, key=key)
    await office.settle()
    return office.statuses(key)


def rung(office: Office) -> list[tuple[Request, Flow]]:
    """The INVITEs that went out, and where."""
    return [(request, flow) for request, flow in office.sip.sent.values() if request.method == "INVITE"]


def final(office: Office) -> object:
    return [record["termination"] for record in office.audit.records if record["type"] == "call.final"][-1]


def state(office: Office) -> CallState:
    (runner,) = office.manager.index.runners
    return runner.state


@pytest.mark.parametrize("what", ["bob", "201"])
async def test_a_user_is_called_by_name_or_extension_on_her_browser(office: Office, what: str) -> None:
    await dialled(office, what)
    ((request, flow),) = rung(office)
    assert flow.id == BOBS.id
    assert request.uri == "sip:bob@client.invalid;transport=ws"
    assert b"UDP/TLS/RTP/SAVPF" in request.body
    assert (state(office).trunk_id, str(state(office).policy.profile)) == ("-", "strict")
    assert {leg.kind for leg in state(office).legs.values()} == {LegKind.BROWSER}


async def test_all_browsers_of_the_callee_ring(office: Office) -> None:
    office.bind("<sip:bob2@client.invalid;transport=ws>", OTHER_OF_BOB, "bob")
    await dialled(office, "bob")
    assert sorted(flow.id for _, flow in rung(office)) == [BOBS.id, OTHER_OF_BOB.id]


async def test_the_callee_sees_who_calls_and_the_caller_sees_the_callee(office: Office) -> None:
    await dialled(office, "201", From='"The Boss" <sip:alice@example.test>;tag=caller')
    ((request, _),) = rung(office)
    assert (str(request.from_.uri), request.from_.display_name) == ("sip:alice@example.test", "")
    assert request.headers.get("P-Asserted-Identity") == "<sip:alice@example.test>"
    assert ';scope="to alice";' in str(request.headers.get("Call-Security"))
    office.reply("INVITE", 180)
    ringing = office.sip.answers[-1][1]
    assert ringing.headers.get("P-Asserted-Identity") == "<sip:bob@example.test>"
    assert ';scope="to bob";' in str(ringing.headers.get("Call-Security"))


async def test_who_asks_for_privacy_is_shown_as_nobody_and_recorded_by_name(office: Office) -> None:
    await dialled(office, "bob", Privacy="id")
    ((request, _),) = rung(office)
    assert str(request.from_.uri) == "sip:anonymous@example.test"
    assert b"alice" not in bytes(request)
    assert office.audit.records[0]["from"] == "alice"


async def test_the_records_name_both_users_and_what_was_dialled(office: Office) -> None:
    await dialled(office, "201")
    start = office.audit.records[0]
    assert {key: start[key] for key in ("type", "dir", "trunk", "user", "from", "to", "dialled")} == {
        "type": "call.start",
        "dir": "internal",
        "trunk": "-",
        "user": "alice",
        "from": "alice",
        "to": "bob",
        "dialled": "201",
    }


@pytest.mark.parametrize("what", ["nobody", "Bob", "BOB", "c%6frol", "carl", "998%00", "bob%20"])
async def test_a_name_that_is_no_users_is_refused_like_any_number_no_rule_names(office: Office, what: str) -> None:
    assert await dialled(office, what) == [404]
    assert rung(office) == []
    assert final(office) == "no-route"


@pytest.mark.parametrize(("host", "status"), [("other.example", 404), ("EXAMPLE.test", None)])
async def test_a_name_of_another_domain_is_nobody_of_ours(office: Office, host: str, status: int | None) -> None:
    request = invite("bob")
    office.request(Request("INVITE", f"sip:bob@{host}", request.headers, request.body))
    await office.settle()
    assert office.statuses("in-1") == ([status] if status else [])


async def test_a_user_who_is_not_signed_in_is_unavailable(office: Office) -> None:
    """By name, and by a rule whose user is the name."""
    for key, what in (("one", "carol"), ("two", "998")):
        assert await dialled(office, what, key=key) == [480]
    assert final(office) == "user-not-registered"


async def test_a_call_for_help_goes_to_a_trunk_though_a_user_is_called_like_the_number(office: Office) -> None:
    office.bind("<sip:999@client.invalid;transport=ws>", OTHER_OF_BOB, "999")
    await dialled(office, "999")
    ((_, flow),) = rung(office)
    assert (flow.trunk, state(office).policy.emergency) == ("pbx", True)


async def test_who_calls_herself_rings_her_other_browsers(office: Office) -> None:
    office.bind("<sip:alice2@client.invalid;transport=ws>", OTHER_OF_BOB, "alice")
    await dialled(office, "alice")
    ((_, flow),) = rung(office)
    assert flow.id == OTHER_OF_BOB.id


async def test_who_calls_herself_with_no_other_browser_is_busy(office: Office) -> None:
    assert await dialled(office, "alice") == [486]
    assert rung(office) == []
    assert final(office) == "user-busy"


async def test_a_user_under_another_name_than_her_own_calls_nobody(office: Office) -> None:
    assert await dialled(office, "bob", From="<sip:bob@example.test>;tag=caller") == [403]
    assert final(office) == "identity-mismatch"


async def test_a_fifth_call_that_rings_at_one_user_finds_her_busy_and_holds_nothing(office: Office) -> None:
    for number in range(MAX_RINGING_PER_USER):
        assert await dialled(office, "bob", key=f"in-{number}") == []
    assert await dialled(office, "bob", key="fifth") == [486]
    for number in range(MAX_RINGING_PER_USER):  # alice has the rest of her own calls still
        assert await dialled(office, "600", key=f"out-{number}") == []
    assert await dialled(office, "600", key="ninth") == [486]


async def test_the_end_of_a_call_frees_both_places(office: Office) -> None:
    for number in range(3 * MAX_RINGING_PER_USER):
        await dialled(office, "bob", key=f"in-{number}")
        office.reply("INVITE", 486)
        await office.settle()
        assert office.statuses(f"in-{number}")[-1] == 486
        assert final(office) == "busy"


async def test_an_answer_joins_the_two_browsers(office: Office) -> None:
    await dialled(office, "bob")
    ((request, _),) = rung(office)
    office.reply("INVITE", 200, browser_answer(request.body))
    await office.settle()
    assert office.statuses("in-1") == [200]
    call = state(office)
    assert [leg.id for leg in call.pair] == [CALLER, 2]
