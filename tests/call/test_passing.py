"""What of one side's INVITE or answer reaches the other: what an administrator named, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.routing.dialplan import InboundRule
from gateway.routing.people import Person
from gateway.sip.events import AckReceived
from gateway.sip.message import Request, Response
from gateway.trunks.identity import Asserts, Passing, PrivacyMode, TrunkIdentity
from tests.call.machine_scene import BROWSER_FLOW, answer, browser_answer, sdes_answer, trunk_flow
from tests.call.office import Office, invite
from tests.call.test_flows import in_dialog

pytestmark = pytest.mark.asyncio

UUI = ("User-to-User", "56a390f3;encoding=hex")
ODD = ("X-Internal", "secret")
DIVERSION = ("Diversion", "<sip:4999@10.0.0.1>;reason=no-answer")
HISTORY = ("History-Info", "<sip:4999@10.0.0.1>;index=1")


def office(directory: Path, **trunks: Mapping[str, object]) -> Office:
    """These settings of its trunks; `100` rings alice, `400` the PBX."""
    made = Office(directory)
    site = made.sites.current
    changed = {name: replace(site.trunks[name], **settings) for name, settings in trunks.items()}  # type: ignore[arg-type]
    plan = replace(site.dialplan, inbound=(*site.dialplan.inbound, InboundRule("pbx", "400", to_trunk="pbx")))
    people = {"alice": Person(("+4930123451",), "Alice Example")}
    made.sites.current = replace(site, trunks={**site.trunks, **changed}, dialplan=plan, people=people)
    made.bind()
    return made


async def called(on: Office, number: str, *headers: tuple[str, str]) -> Request:
    """What is sent when the trunk without encryption calls."""
    request = invite(number, contact="<sip:stranger@127.0.0.3>").with_header("From", "<sip:4711@127.0.0.3>;tag=x")
    plain = Request("INVITE", request.uri, request.headers, answer("RTP/AVP")).with_added(headers)
    on.request(plain, flow=replace(trunk_flow("udp"), trunk="old"))
    await on.settle()
    return invited(on)


async def dialled(on: Office, *headers: tuple[str, str]) -> Request:
    on.request(invite().with_added(headers))
    await on.settle()
    return invited(on)


def invited(on: Office) -> Request:
    return [request for request, _ in on.sip.sent.values() if request.method == "INVITE"][-1]


def fields(message: Request, *names: str) -> dict[str, str | None]:
    return {name: message.headers.get(name) for name in names}


async def test_a_named_header_passes_to_the_trunk_and_from_it(tmp_path: Path) -> None:
    passing = {"pass_headers": ("User-to-User",)}
    sent = await dialled(office(tmp_path, pbx=passing), UUI, ODD)
    assert fields(sent, "User-to-User", "X-Internal") == {"User-to-User": UUI[1], "X-Internal": None}
    rung = await called(office(tmp_path, old=passing), "100", UUI, ODD)
    assert fields(rung, "User-to-User", "X-Internal") == {"User-to-User": UUI[1], "X-Internal": None}


async def test_nothing_passes_that_nobody_named(tmp_path: Path) -> None:
    assert fields(await dialled(office(tmp_path), UUI), "User-to-User") == {"User-to-User": None}
    assert fields(await called(office(tmp_path), "100", UUI), "User-to-User") == {"User-to-User": None}


async def test_from_trunk_to_trunk_passes_what_both_name(tmp_path: Path) -> None:
    one = {"pass_headers": ("User-to-User", "X-Internal")}
    sent = await called(office(tmp_path, old=one, pbx={"pass_headers": ("user-to-user", "X-Other")}), "400", UUI, ODD)
    assert fields(sent, "User-to-User", "X-Internal") == {"User-to-User": UUI[1], "X-Internal": None}
    assert fields(await called(office(tmp_path, old=one), "400", UUI), "User-to-User") == {"User-to-User": None}


async def test_a_named_header_of_an_answer_passes_back(tmp_path: Path) -> None:
    on = office(tmp_path, pbx={"pass_headers": ("User-to-User",)})
    sent = await dialled(on)
    body = sdes_answer(sent.body)
    on.reply("INVITE", 200, body)
    await on.settle()
    plain = on.sip.answers[-1][1]
    assert plain.status == 200
    assert plain.headers.get("User-to-User") is None
    on = office(tmp_path, pbx={"pass_headers": ("User-to-User",)})
    sent = await dialled(on)
    on.reply("INVITE", 200, sdes_answer(sent.body), headers=(UUI, ODD))
    await on.settle()
    passed = on.sip.answers[-1][1]
    assert (passed.headers.get("User-to-User"), passed.headers.get("X-Internal")) == (UUI[1], None)


@pytest.mark.parametrize("header", [DIVERSION, HISTORY], ids=["diversion", "history"])
async def test_who_was_called_before_is_told_by_policy_alone(tmp_path: Path, header: tuple[str, str]) -> None:
    on = TrunkIdentity(diversion=Passing.ON, history=Passing.ON)
    told = await called(office(tmp_path, old={"identity": on}), "100", header)
    assert (told.headers.get(header[0]) or "").startswith("<sip:4999@example.test>")
    for trunks in ({}, {"old": {"identity": on}}, {"pbx": {"identity": on}}):
        quiet = await called(office(tmp_path, **trunks), "400", header)
        assert quiet.headers.get(header[0]) is None
    through = await called(office(tmp_path, old={"identity": on}, pbx={"identity": on}), "400", header)
    assert (through.headers.get(header[0]) or "").startswith("<sip:4999@example.test>")


async def test_a_browsers_word_for_who_was_called_before_counts_nothing(tmp_path: Path) -> None:
    passes = TrunkIdentity(diversion=Passing.ON, history=Passing.ON)
    sent = await dialled(office(tmp_path, pbx={"identity": passes}), DIVERSION, HISTORY)
    assert fields(sent, "Diversion", "History-Info") == {"Diversion": None, "History-Info": None}


async def test_privacy_of_the_call_covers_who_was_called_before(tmp_path: Path) -> None:
    passes = TrunkIdentity(diversion=Passing.ON, history=Passing.ON)
    sent = await called(office(tmp_path, old={"identity": passes}), "100", DIVERSION, HISTORY, ("Privacy", "history"))
    assert fields(sent, "Diversion", "History-Info") == {
        "Diversion": None,
        "History-Info": "<sip:anonymous@anonymous.invalid>;index=1",
    }


async def test_between_trunks_privacy_is_acted_on_or_passed_as_the_second_is_trusted(tmp_path: Path) -> None:
    pai = ("P-Asserted-Identity", '"Bob" <sip:+49304711@pbx>')
    trusting = {"trust_identity": True}
    for mode, expected in (
        (PrivacyMode.ACT, {"P-Asserted-Identity": None, "Privacy": None}),
        (PrivacyMode.ON, {"P-Asserted-Identity": "<sip:+49304711@example.test>", "Privacy": "id"}),
    ):
        second = {"identity": TrunkIdentity(asserts=Asserts.ASSERTED, privacy=mode)}
        sent = await called(office(tmp_path, old=trusting, pbx=second), "400", pai, ("Privacy", "id"))
        assert fields(sent, "P-Asserted-Identity", "Privacy") == expected
        assert str(sent.from_.uri) == "sip:anonymous@anonymous.invalid"
    second = {"identity": TrunkIdentity(asserts=Asserts.ASSERTED)}
    believed = await called(office(tmp_path, old=trusting, pbx=second), "400", pai)
    assert believed.headers.get("P-Asserted-Identity") == "<sip:+49304711@example.test>"
    assert believed.from_.uri.user == "+49304711"
    claimed = await called(office(tmp_path, pbx=second), "400", pai)
    assert claimed.headers.get("P-Asserted-Identity") is None
    assert claimed.from_.uri.user == "4711"


@pytest.mark.parametrize("wish", [(), (("Privacy", "id"),)])
async def test_a_trunk_that_believes_us_is_told_who_answered(tmp_path: Path, wish: tuple[tuple[str, str], ...]) -> None:
    asserted = {"identity": TrunkIdentity(asserts=Asserts.ASSERTED, names=True)}
    for settings in (asserted, {}):
        on = office(tmp_path, old=settings)
        sent = await called(on, "100")
        on.reply("INVITE", 200, browser_answer(sent.body), headers=wish)
        await on.settle()
        answers = [response for key, response in on.sip.answers if key == "in-1" and response.status == 200]
        expected = '"Alice Example" <sip:+4930123451@example.test>' if settings and not wish else None
        assert answers[-1].headers.get("P-Asserted-Identity") == expected


PASSES = {"pass_headers": ("User-to-User",)}
REFUSAL = pytest.mark.parametrize("status", [302, 404, 486, 500, 603])


async def talking(on: Office) -> tuple[Request, Response]:
    """A call of the browser that is up: the INVITE the trunk got, and the 200 the browser got."""
    sent = await dialled(on)
    on.reply("INVITE", 200, sdes_answer(sent.body))
    await on.settle()
    answered = on.sip.answers[-1][1]
    ack = Request("ACK", sent.uri, invite().with_header("To", str(answered.headers.get("To"))).headers)
    on.manager.on_event(AckReceived("in-1", ack.with_header("CSeq", "1 ACK"), BROWSER_FLOW))
    return sent, answered


def last_bye(on: Office) -> Request:
    return [request for request, _ in on.sip.sent.values() if request.method == "BYE"][-1]


@pytest.mark.parametrize("settings", [PASSES, {}], ids=["named", "not named"])
async def test_a_named_header_of_a_bye_reaches_the_trunk(tmp_path: Path, settings: dict[str, object]) -> None:
    on = office(tmp_path, pbx=settings)
    _, answered = await talking(on)
    bye = invite().with_header("To", str(answered.headers.get("To"))).with_header("CSeq", "2 BYE")
    on.request(Request("BYE", bye.uri, bye.headers).with_added((UUI, ODD)), key="bye")
    await on.settle()
    expected = {"User-to-User": UUI[1] if settings else None, "X-Internal": None}
    assert fields(last_bye(on), "User-to-User", "X-Internal") == expected


@pytest.mark.parametrize("settings", [PASSES, {}], ids=["named", "not named"])
async def test_a_named_header_of_a_bye_reaches_the_browser(tmp_path: Path, settings: dict[str, object]) -> None:
    on = office(tmp_path, pbx=settings)
    sent, _ = await talking(on)
    flow = next(flow for request, flow in on.sip.sent.values() if request is sent)
    on.request(in_dialog(sent, "BYE").with_added((UUI, ODD)), key="bye", flow=flow)
    await on.settle()
    expected = {"User-to-User": UUI[1] if settings else None, "X-Internal": None}
    assert fields(last_bye(on), "User-to-User", "X-Internal") == expected


async def test_a_call_that_ends_by_itself_says_nothing_of_anybody(tmp_path: Path) -> None:
    on = office(tmp_path, pbx=PASSES)
    await talking(on)
    stopping = asyncio.create_task(on.manager.stop())
    await on.settle()
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    await on.settle()
    assert "User-to-User" not in last_bye(on).headers


@REFUSAL
async def test_a_named_header_of_a_refusal_reaches_the_caller(tmp_path: Path, status: int) -> None:
    for settings in (PASSES, {}):
        on = office(tmp_path, pbx=settings)
        await dialled(on)
        on.reply("INVITE", status, headers=(UUI, ODD))
        await on.settle()
        refused = on.sip.answers[-1][1]
        assert refused.status >= 400
        passed = refused.headers.get("User-to-User"), refused.headers.get("X-Internal")
        assert passed == (UUI[1] if settings else None, None)


@REFUSAL
async def test_a_refusal_between_trunks_passes_what_both_name(tmp_path: Path, status: int) -> None:
    one = {"pass_headers": ("User-to-User", "X-Internal")}
    on = office(tmp_path, old=PASSES, pbx=one)
    await called(on, "400")
    on.reply("INVITE", status, headers=(UUI, ODD))
    await on.settle()
    refused = on.sip.answers[-1][1]
    assert (refused.headers.get("User-to-User"), refused.headers.get("X-Internal")) == (UUI[1], None)


async def test_no_list_of_a_refusal_replaces_what_the_gateway_says_itself(tmp_path: Path) -> None:
    """Names that rest on identity or protection pass in no message (`sip/passing.NEVER`)."""
    on = office(tmp_path, pbx={"pass_headers": ("Warning", "Contact", "Via", "User-to-User")})
    await dialled(on)
    on.reply("INVITE", 486, headers=(UUI, ("Warning", '399 evil "x"'), ("Contact", "<sip:evil@192.0.2.66>")))
    await on.settle()
    refused = on.sip.answers[-1][1]
    assert "evil" not in bytes(refused).decode()
    assert len(refused.vias) == 1
