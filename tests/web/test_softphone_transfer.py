"""Handing a call over, blind or by joining two calls: what the page asks for, shows, and does when it fails."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.scripted_gateway import ScriptedCall, SipText
from tests.web.test_softphone_calls import WEAK, other, press, talk, talk_to_two
from tests.web.test_softphone_page import CHROMIUM, ScriptedPage, browser, security, stage, visit

__all__ = ["browser", "stage", "visit"]  # fixtures

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

OVER = "terminated;reason=noresource"


async def transfer(stage: ScriptedPage, number: str = "602") -> tuple[ScriptedCall, SipText]:
    """601 is talked to, and handed over to a number; the REFER has come."""
    call = await talk(stage)
    await stage.page.click("#transfer")
    await stage.says("number-label", "Transfer 601 to")
    assert await stage.page.input_value("#number") == ""
    await stage.page.fill("#number", number)
    await stage.page.press("#number", "Enter")
    return call, await call.refer()


async def join(stage: ScriptedPage) -> tuple[ScriptedCall, ScriptedCall, SipText]:
    """601 on hold is joined with bob in front; the REFER has come, in the call with 601."""
    first = await talk(stage)
    await stage.page.click("#transfer")
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call, security("HOP_BY_HOP"))

    stage.gateway.script = answer
    await stage.page.fill("#number", "bob")
    await stage.page.click("#ask-first")
    await stage.says("peer", "bob")
    await stage.shows("call-state", state="in-call")
    await press(stage, "601", "Join")
    return first, calls[0], await first.refer()


async def test_a_blind_transfer_holds_the_call_and_refers_it_to_the_number(stage: ScriptedPage) -> None:
    call, refer = await transfer(stage)
    assert refer.get("Refer-To") == "<sip:602@example.com>"
    assert refer.get("Referred-By") == "<sip:alice@example.com>"
    order = [m.method for m in stage.gateway.requests if m.get("Call-ID") == call.call_id]
    assert order == ["INVITE", "ACK", "INVITE", "ACK", "REFER"]
    await stage.shows("call-state", state="held")
    await stage.says("reason", "Transferring to 602: asking…")
    await expect(stage.page.locator("#transfer")).to_be_hidden()


async def test_the_progress_of_a_transfer_is_told_in_words_until_the_two_are_connected(stage: ScriptedPage) -> None:
    call, refer = await transfer(stage)
    await call.notify(refer, "SIP/2.0 100 Trying")
    await stage.says("reason", "Transferring to 602: trying…")
    await call.notify(refer, "SIP/2.0 180 Ringing")
    await stage.says("reason", "Transferring to 602: ringing…")
    await call.notify(refer, "SIP/2.0 200 OK", state=OVER)
    await call.bye()
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "601 was transferred to 602.")
    assert len(stage.gateway.received("SIP/2.0 200", call.call_id)) == 4


async def test_a_gateway_that_forgets_to_say_goodbye_is_left(stage: ScriptedPage) -> None:
    call, refer = await transfer(stage)
    await call.notify(refer, "SIP/2.0 200 OK", state=OVER)
    await stage.says("reason", "601 was transferred to 602.")
    await stage.gateway.wait_until(lambda: bool(stage.gateway.received("BYE", call.call_id)))
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "601 was transferred to 602.")


@pytest.mark.parametrize(
    ("status_line", "headers", "words"),
    [
        ("SIP/2.0 488 Not Acceptable Here", (), "not as well protected."),
        (
            "SIP/2.0 488 Not Acceptable Here",
            (("Reason", 'SIP;cause=488;text="The other side would be less protected"'),),
            "The other side would be less protected.",
        ),
        ('SIP/2.0 403 Forbidden\r\nWarning: 399 gw "Not to <b>there</b>"', (), "Not to <b>there</b>."),
    ],
)
async def test_a_transfer_that_fails_says_why_and_the_call_is_resumed(
    stage: ScriptedPage, status_line: str, headers: tuple[tuple[str, str], ...], words: str
) -> None:
    call, refer = await transfer(stage)
    await call.notify(refer, "SIP/2.0 100 Trying")
    await call.notify(refer, status_line, *headers, state=OVER)
    await stage.says("reason", "The transfer to 602 failed.")
    await stage.says("reason", words)
    await stage.shows("call-state", state="in-call")
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", call.call_id)) == 3)
    assert "a=sendrecv" in stage.gateway.received("INVITE", call.call_id)[2].body
    await expect(stage.page.locator("#transfer")).to_be_visible()


async def test_a_refer_the_gateway_refuses_leaves_the_call_as_it_was(stage: ScriptedPage) -> None:
    stage.gateway.refer_status = (403, "Forbidden", ("Warning", '399 gw "This number is not allowed"'))
    await transfer(stage, "900")
    await stage.says("reason", "The transfer to 900 failed. This number is not allowed.")
    await stage.shows("call-state", state="in-call")


async def test_a_call_that_was_on_hold_before_stays_so_when_its_transfer_fails(stage: ScriptedPage) -> None:
    call = await talk(stage)
    await stage.page.click("#hold")
    await stage.page.click("#transfer")
    await stage.page.fill("#number", "602")
    await stage.page.press("#number", "Enter")
    await call.notify(await call.refer(), "SIP/2.0 603 Decline", state=OVER)
    await stage.says("reason", "The call was declined there.")
    await stage.shows("call-state", state="held")


async def test_a_subscription_that_ends_without_a_result_is_a_failure(stage: ScriptedPage) -> None:
    call, refer = await transfer(stage)
    await call.notify(refer, "SIP/2.0 180 Ringing", state="terminated;reason=timeout")
    await stage.says("reason", "The gateway did not say how it ended.")
    await stage.shows("call-state", state="in-call")


async def test_the_other_side_may_hang_up_while_it_is_handed_over(stage: ScriptedPage) -> None:
    call, refer = await transfer(stage)
    await call.notify(refer, "SIP/2.0 180 Ringing")
    await call.bye()
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "The other side hung up.")


@pytest.mark.parametrize(
    ("number", "words"), [("602@other.example", "Only numbers and names of example.com"), ("%", "not a number")]
)
async def test_what_cannot_be_called_cannot_be_transferred_to(stage: ScriptedPage, number: str, words: str) -> None:
    call = await talk(stage)
    await stage.page.click("#transfer")
    await stage.page.fill("#number", number)
    await stage.page.press("#number", "Enter")
    await stage.says("reason", words)
    await stage.shows("call-state", state="in-call")
    assert not stage.gateway.received("REFER", call.call_id)


async def test_escape_closes_the_form_and_digits_go_into_the_call_again(stage: ScriptedPage) -> None:
    await talk(stage)
    await stage.page.focus("#transfer")
    await stage.page.keyboard.press("Enter")
    await expect(stage.page.locator("#number")).to_be_focused()
    await stage.page.fill("#number", "")
    await stage.page.click('[data-digit="6"]')
    assert await stage.page.input_value("#number") == "6"
    await stage.page.focus("#number")
    await stage.page.keyboard.press("Escape")
    await expect(stage.page.locator("#dial-form")).to_be_hidden()
    await expect(stage.page.locator("#transfer")).to_be_focused()
    await stage.page.click('[data-digit="6"]')
    await stage.says("reason", "Keypad: 6")
    assert await stage.page.input_value("#number") == "6"


async def test_two_calls_are_joined_by_the_dialog_of_the_second(stage: ScriptedPage) -> None:
    _, second, refer = await join(stage)
    own = second.invite.get("From").partition("tag=")[2]
    replaces = f"{second.call_id}%3Bto-tag%3Dgw%3Bfrom-tag%3D{own}"
    assert refer.get("Refer-To") == f"<sip:bob@example.com?Replaces={replaces}>"
    await expect(other(stage, "601")).to_contain_text("Joining 601 and bob: asking…")


async def test_a_joined_call_that_came_in_is_named_as_its_other_end_knows_it(stage: ScriptedPage) -> None:
    first, second = await talk_to_two(stage)
    await press(stage, "601", "Join")
    refer = await first.refer()
    own = (await second.answered()).get("To").partition("tag=")[2]
    replaces = f"{second.call_id}%3Bto-tag%3Dcarol%3Bfrom-tag%3D{own}"
    assert refer.get("Refer-To") == f"<sip:carol@example.com?Replaces={replaces}>"


@pytest.mark.parametrize("told_first", [True, False])
async def test_joined_calls_end_and_say_who_goes_on(stage: ScriptedPage, told_first: bool) -> None:
    first, second, refer = await join(stage)
    await first.notify(refer, "SIP/2.0 100 Trying")
    await expect(other(stage, "601")).to_contain_text("Joining 601 and bob: trying…")
    if told_first:
        await first.notify(refer, "SIP/2.0 200 OK", state=OVER)
    await second.bye()
    await stage.shows("call-state", state="ended")
    if not told_first:
        await first.notify(refer, "SIP/2.0 200 OK", state=OVER)
    await first.bye()
    await stage.says("reason", "601 and bob are joined and go on without you.")
    await expect(other(stage, "601")).to_contain_text("601 and bob are joined and go on without you.")
    await stage.page.wait_for_function("() => softphone.sessions().length === 0")


async def test_when_two_calls_are_not_joined_both_are_still_there(stage: ScriptedPage) -> None:
    first, _, refer = await join(stage)
    await first.notify(refer, "SIP/2.0 488 Not Acceptable Here", state=OVER)
    held = other(stage, "601")
    await expect(held).to_contain_text("601 and bob were not joined. The call could not be carried on there")
    await expect(held).to_have_attribute("data-state", "held")
    await stage.says("peer", "bob")
    await stage.shows("call-state", state="in-call")
    await expect(held.get_by_role("button", name="Join")).to_be_visible()


async def test_the_first_call_is_resumed_when_the_second_was_lost_in_the_joining(stage: ScriptedPage) -> None:
    first, second, refer = await join(stage)
    await second.bye()
    await stage.shows("call-state", state="ended")
    await first.notify(refer, "SIP/2.0 481 Call Does Not Exist", state=OVER)
    await stage.says("peer", "601")
    await stage.shows("call-state", state="in-call")
    await stage.says("reason", "601 and bob were not joined. One of the two calls has ended.")


async def test_nobody_moves_the_user_of_this_page_by_refer(stage: ScriptedPage) -> None:
    call = await talk(stage)
    await call.inside("REFER", 1, ("Refer-To", "<sip:evil@example.com>"))
    await stage.gateway.wait_until(lambda: any(m.body.startswith("SIP/2.0 603") for m in stage.gateway.requests))
    assert len(stage.gateway.received("INVITE", call.call_id)) == 1
    await stage.shows("call-state", state="in-call")


async def test_a_call_that_would_replace_another_one_is_refused(stage: ScriptedPage) -> None:
    call = await talk(stage)
    tags = f"to-tag={call.invite.get('From').partition('tag=')[2]};from-tag=gw"
    intruder = await stage.gateway.invite(
        await stage.offer(), WEAK, ("Replaces", f"{call.call_id};{tags}"), call_id="intruder"
    )
    await stage.gateway.wait_until(lambda: bool(stage.gateway.received("SIP/2.0 486", intruder.call_id)))
    await stage.shows("call-state", state="in-call")
    await stage.says("peer", "601")
