"""A page says when calls do not ring on it any more, and never takes its place back by itself."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.test_softphone_page import CHROMIUM, ScriptedPage, browser, stage, visit

__all__ = ["browser", "stage", "visit"]  # fixtures

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

BOUND, DISPLACED = ("active", "registered", "1.0"), ("terminated", "rejected", "0.0")


async def displace(stage: ScriptedPage) -> None:
    await stage.gateway.tell_where_calls_ring(DISPLACED, BOUND)
    await stage.shows("standing", place="displaced")


async def test_a_page_that_rings_says_nothing_of_it_whoever_else_does(stage: ScriptedPage) -> None:
    await expect(stage.page.locator("#standing")).to_be_hidden()
    await stage.gateway.tell_where_calls_ring(BOUND, BOUND)
    await stage.gateway.wait_for("SIP/2.0 200")
    await expect(stage.page.locator("#standing")).to_be_hidden()


async def test_the_page_that_was_displaced_says_so_and_offers_to_ring(stage: ScriptedPage) -> None:
    await displace(stage)
    await stage.says("standing-words", "Another of your pages took over")
    await expect(stage.page.locator("#ring-here")).to_be_visible()
    await stage.gateway.wait_for("SIP/2.0 200")
    await stage.says("registration", "Signed in as alice")
    assert len(stage.gateway.registers()) == 1


async def test_ring_here_registers_again(stage: ScriptedPage) -> None:
    await displace(stage)
    await stage.page.click("#ring-here")
    await until_registers(stage, 2)
    assert ";expires=0" not in stage.gateway.registers()[-1].get("Contact")
    await stage.gateway.tell_where_calls_ring(BOUND, BOUND)
    await expect(stage.page.locator("#standing")).to_be_hidden()
    await stage.shows("registration", state="registered")


async def test_a_page_whose_contact_is_gone_registers_again_at_once(stage: ScriptedPage) -> None:
    await displace(stage)
    await stage.gateway.tell_where_calls_ring(("terminated", "deactivated", "0.0"))
    await until_registers(stage, 2)
    assert ";expires=0" not in stage.gateway.registers()[-1].get("Contact")
    await expect(stage.page.locator("#standing")).to_be_hidden()


async def test_a_page_that_another_one_signed_out_waits_for_its_user(stage: ScriptedPage) -> None:
    await stage.gateway.tell_where_calls_ring(("terminated", "unregistered", "0.0"))
    await stage.says("standing-words", "calls do not ring here")
    assert len(stage.gateway.registers()) == 1
    await stage.page.click("#ring-here")
    await until_registers(stage, 2)
    await stage.gateway.tell_where_calls_ring(BOUND)
    await expect(stage.page.locator("#standing")).to_be_hidden()


async def test_a_displaced_page_that_reconnects_is_bound_again_and_says_nothing(stage: ScriptedPage) -> None:
    await displace(stage)
    await stage.gateway.drop()
    await until_registers(stage, 2)
    await expect(stage.page.locator("#standing")).to_be_hidden()


@pytest.mark.parametrize("namespace", ["urn:else", 'x"><broken', "x<"])
async def test_a_document_that_cannot_be_read_changes_nothing(stage: ScriptedPage, namespace: str) -> None:
    await displace(stage)
    await stage.gateway.tell_where_calls_ring(BOUND, namespace=namespace)
    await stage.gateway.wait_until(lambda: sum(r.start.startswith("SIP/2.0 200") for r in stage.gateway.requests) == 2)
    await stage.shows("standing", place="displaced")


async def test_whoever_signs_out_is_told_nothing_of_it_at_the_next_sign_in(stage: ScriptedPage) -> None:
    await displace(stage)
    await stage.page.click("#sign-out")
    await expect(stage.page.locator("#standing")).to_be_hidden()
    await stage.sign_in()
    await stage.shows("registration", state="registered")
    await expect(stage.page.locator("#standing")).to_be_hidden()


async def until_registers(stage: ScriptedPage, count: int) -> None:
    """Until the page has sent so many REGISTER requests."""
    await stage.gateway.wait_until(lambda: len(stage.gateway.registers()) >= count)
