"""`refer` of JsSIP and of SIP.js as any page may call it: what each library writes, and how it takes our NOTIFYs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from gateway.sip.refer import ReferTo
from gateway.sip.replaces import Replaces
from tests.rig.referring import REFER
from tests.rig.sipjs import PageServer
from tests.web.scripted_gateway import ScriptedCall, SipText
from tests.web.test_softphone_calls import talk, talk_to_two
from tests.web.test_softphone_page import CHROMIUM, ScriptedPage, browser, stage, visit

__all__ = ["browser", "stage", "visit"]  # fixtures

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

OVER = "terminated;reason=noresource"


async def tell(call: ScriptedCall, *status_lines: str) -> ReferTo:
    """Answer the REFER in this call and tell how it goes; what it asks for."""
    refer = await call.refer()
    *progress, last = status_lines
    for line in progress:
        await call.notify(refer, line)
    await call.notify(refer, last, state=OVER)
    return ReferTo.parse(refer.get("Refer-To"))


def our_tag(call: ScriptedCall) -> str:
    """The tag of the gateway in a call, as the page's messages have it."""
    ack = call.gateway.received("ACK" if not call.incoming else "SIP/2.0 200", call.call_id)[0]
    return _tag(ack, "From" if call.incoming else "To")


def page_tag(call: ScriptedCall) -> str:
    ack = call.gateway.received("ACK" if not call.incoming else "SIP/2.0 200", call.call_id)[0]
    return _tag(ack, "To" if call.incoming else "From")


def _tag(message: SipText, name: str) -> str:
    return message.get(name).partition(";tag=")[2].partition(";")[0]


async def test_jssip_is_told_how_a_blind_transfer_goes(stage: ScriptedPage) -> None:
    call = await talk(stage)
    told = asyncio.create_task(stage.page.evaluate(REFER, [0, "sip:602@example.com", None]))
    asked = await tell(call, "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 486 Busy Here")
    assert str(asked.uri) == "sip:602@example.com"
    assert await told == [202, 100, 180, 486]


async def test_jssip_names_a_call_it_made_as_we_know_it(stage: ScriptedPage) -> None:
    first, second = await talk_to_two(stage)
    told = asyncio.create_task(stage.page.evaluate(REFER, [1, "sip:601@example.com", 0]))
    asked = await tell(second, "SIP/2.0 100 Trying", "SIP/2.0 200 OK")
    assert asked.replaces == Replaces(first.call_id, our_tag(first), page_tag(first))
    assert await told == [202, 100, 200]


async def test_jssip_names_a_call_that_came_in_the_other_way_round_and_it_is_found(stage: ScriptedPage) -> None:
    first, second = await talk_to_two(stage)
    told = asyncio.create_task(stage.page.evaluate(REFER, [0, "sip:carol@example.com", 1]))
    asked = await tell(first, "SIP/2.0 200 OK")
    assert asked.replaces is not None
    known = (second.call_id, our_tag(second), page_tag(second))
    assert known not in asked.replaces.keys
    assert known in asked.replaces.keys_either_way
    assert await told == [202, 200]


@pytest_asyncio.fixture(loop_scope="module")
async def sipjs(browser: Browser, visit: ScriptedPage) -> AsyncIterator[tuple[Page, ScriptedPage]]:
    """The SIP.js page, signed in to the scripted gateway of the softphone page beside it."""
    served = PageServer().start()
    page = await browser.new_page()
    await page.goto(served.origin)
    server = visit.page.url.replace("http", "ws", 1) + "ws"
    await page.evaluate(
        "(server) => sipjs.signIn({user: 'alice', password: 'x', realm: 'example.com', server})", server
    )
    yield page, visit
    await page.close()
    served.stop()


async def called(page: Page, stage: ScriptedPage, number: str) -> ScriptedCall:
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call)

    stage.gateway.script = answer
    await page.evaluate("(target) => sipjs.call(target)", f"sip:{number}@example.com")
    await page.wait_for_function("() => sipjs.state() === 'Established'")
    return calls[0]


def refer(page: Page, wish: dict[str, Any]) -> asyncio.Future[Any]:
    return asyncio.create_task(page.evaluate("(wish) => sipjs.refer(wish)", wish))


async def test_sip_js_is_told_how_a_blind_transfer_goes(sipjs: tuple[Page, ScriptedPage]) -> None:
    page, stage = sipjs
    call = await called(page, stage, "601")
    told = refer(page, {"target": "sip:602@example.com"})
    asked = await tell(call, "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK")
    assert str(asked.uri) == "sip:602@example.com"
    assert await told == [202, 100, 180, 200]


async def test_sip_js_names_a_call_as_we_know_it_at_our_own_address(sipjs: tuple[Page, ScriptedPage]) -> None:
    """Its Refer-To is our Contact: only Replaces says who is meant."""
    page, stage = sipjs
    first, second = await called(page, stage, "601"), await called(page, stage, "602")
    await page.evaluate("() => sipjs.select(0)")
    told = refer(page, {"other": 1})
    asked = await tell(first, "SIP/2.0 403 Forbidden")
    assert asked.uri.user == "gateway"
    assert asked.replaces == Replaces(second.call_id, our_tag(second), page_tag(second))
    assert await told == [202, 403]
