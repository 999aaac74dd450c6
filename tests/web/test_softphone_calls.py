"""Several calls on one page: one is heard, the others wait, and each says who could listen to it."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, expect

from tests.web.scripted_gateway import ScriptedCall
from tests.web.test_softphone_page import CHROMIUM, ScriptedPage, browser, security, stage, visit

__all__ = ["browser", "stage", "visit"]  # fixtures

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

WEAK = security("CLEARTEXT", "plain,none,udp")
ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')
MICROPHONES = """() => softphone.sessions().map((session) => session.connection.getSenders()[0].track.enabled)"""
HEARD = """() => softphone.sessions().map((session) => {
  const [receiver] = session.connection.getReceivers();
  return document.getElementById('remote-audio').srcObject.getTracks()[0] === receiver.track;
})"""


def other(stage: ScriptedPage, peer: str) -> Locator:
    """The line of the list that is about this party."""
    return stage.page.locator("#calls > li").filter(has=stage.page.get_by_text(peer, exact=True))


async def press(stage: ScriptedPage, peer: str, button: str) -> None:
    await other(stage, peer).get_by_role("button", name=button).click()


async def talk(stage: ScriptedPage, number: str = "601") -> ScriptedCall:
    """The page calls a number and is answered."""
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call, security("HOP_BY_HOP"))

    await stage.dial(answer, number)
    await stage.shows("call-state", state="in-call")
    await stage.says("peer", number)
    return calls[0]


async def talk_to_two(stage: ScriptedPage) -> tuple[ScriptedCall, ScriptedCall]:
    """601 is on hold, Carol is in front."""
    first = await talk(stage)
    second = await stage.call_in(WEAK)
    await press(stage, "Carol (carol)", "Answer")
    await stage.taken(second)
    await stage.shows("call-state", state="in-call")
    await stage.says("peer", "Carol (carol)")
    return first, second


async def test_a_second_call_waits_and_says_who_and_how_protected_while_the_first_goes_on(stage: ScriptedPage) -> None:
    await talk(stage)
    await stage.call_in(WEAK)
    waiting = other(stage, "Carol (carol)")
    await expect(waiting).to_have_attribute("data-state", "incoming")
    await expect(waiting).to_have_attribute("data-colour", "red")
    await expect(waiting).to_contain_text("Expected: Not encrypted all the way. Anyone on the network path")
    await stage.says("calls-news", "Carol (carol): Incoming call. Not encrypted all the way.")
    await stage.says("peer", "601")
    await stage.shows("call-state", state="in-call")
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    assert not [m for m in stage.gateway.requests if m.method == "INVITE" and ";tag=" in m.get("To")]


async def test_answering_the_second_holds_the_first_and_one_alone_is_heard(stage: ScriptedPage) -> None:
    first, _ = await talk_to_two(stage)
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) == 2)
    assert "a=sendonly" in stage.gateway.received("INVITE", first.call_id)[1].body
    held = other(stage, "601")
    await expect(held).to_have_attribute("data-state", "held")
    await expect(held).to_contain_text("On hold")
    await expect(held).to_contain_text(
        "Encrypted on every hop. Only this gateway and whoever carries the call beyond pbx."
    )
    assert await stage.page.evaluate(MICROPHONES) == [False, True]
    assert await stage.page.evaluate(HEARD) == [False, True]
    await stage.shows("security", grade="CLEARTEXT", colour="red")


async def test_calls_are_swapped_by_one_button_and_each_keeps_its_protection(stage: ScriptedPage) -> None:
    first, second = await talk_to_two(stage)
    await press(stage, "601", "Resume")
    await stage.says("peer", "601")
    await stage.shows("call-state", state="in-call")
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    await expect(other(stage, "Carol (carol)")).to_have_attribute("data-grade", "CLEARTEXT")
    await stage.says("calls-news", "601: In call. Encrypted on every hop. Carol (carol): On hold. Not encrypted all")
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) == 3)
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", second.call_id)) == 1)
    assert "a=sendrecv" in stage.gateway.received("INVITE", first.call_id)[2].body
    assert "a=sendonly" in stage.gateway.received("INVITE", second.call_id)[0].body
    assert await stage.page.evaluate(MICROPHONES) == [True, False]
    assert await stage.page.evaluate(HEARD) == [True, False]


async def test_swapping_faster_than_the_gateway_answers_ends_as_the_last_press_wants(stage: ScriptedPage) -> None:
    await talk_to_two(stage)
    for peer in ("601", "Carol (carol)", "601", "Carol (carol)", "601"):
        await press(stage, peer, "Resume")
    await stage.says("peer", "601")
    on_hold = "softphone.sessions().map((session) => session.isOnHold().local).join()"
    await stage.page.wait_for_function(f"() => {on_hold} === 'false,true'")
    assert await stage.page.evaluate(MICROPHONES) == [True, False]


async def test_nothing_is_said_into_a_call_that_cannot_be_held_yet(stage: ScriptedPage) -> None:
    released = asyncio.Event()

    async def slow(call: ScriptedCall) -> None:
        await released.wait()
        await stage.agree(call)

    first = await talk(stage)
    await stage.page.click("#hold")
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("ACK", first.call_id)) == 2)
    stage.gateway.change = slow
    await stage.page.click("#hold")
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) == 3)
    assert await stage.page.evaluate(MICROPHONES) == [True]
    second = await stage.call_in(WEAK)
    await press(stage, "Carol (carol)", "Answer")
    await stage.taken(second)
    await stage.shows("call-state", state="in-call")
    assert await stage.page.evaluate(MICROPHONES) == [False, True]
    released.set()
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) == 4)
    assert await stage.page.evaluate(MICROPHONES) == [False, True]


async def test_one_change_of_a_call_follows_the_other(stage: ScriptedPage) -> None:
    async def wait(_call: ScriptedCall) -> None:
        """Answered below, one by one."""

    async def change(number: int) -> ScriptedCall:
        await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) > number)
        return ScriptedCall(stage.gateway, stage.gateway.received("INVITE", first.call_id)[number])

    first = await talk(stage)
    stage.gateway.change = wait
    hold = "document.getElementById('hold').click()"
    await stage.page.evaluate(f"{hold}; {hold}")
    held = await change(1)
    assert "a=sendonly" in held.invite.body
    await stage.page.evaluate("new Promise((resolve) => setTimeout(resolve, 0))")
    assert len(stage.gateway.received("INVITE", first.call_id)) == 2
    await stage.agree(held)
    resumed = await change(2)
    assert "a=sendrecv" in resumed.invite.body
    await stage.agree(resumed)
    await stage.shows("call-state", state="in-call")


async def test_a_call_is_held_when_its_answer_was_acknowledged_and_not_before(stage: ScriptedPage) -> None:
    first = await talk(stage)
    second = await stage.call_in(WEAK)
    await press(stage, "Carol (carol)", "Answer")
    await stage.gateway.wait_until(lambda: bool(stage.gateway.received("SIP/2.0 200", second.call_id)))
    await press(stage, "601", "Resume")
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", first.call_id)) == 3)
    assert stage.gateway.received("INVITE", second.call_id) == []
    await stage.taken(second)
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", second.call_id)) == 1)


async def test_alt_a_answers_the_waiting_call_and_enter_does_not(stage: ScriptedPage) -> None:
    await talk(stage)
    second = await stage.call_in(WEAK)
    await expect(other(stage, "Carol (carol)")).to_contain_text("Alt+A answers")
    await stage.page.keyboard.press("Enter")
    await stage.page.keyboard.press("Alt+a")
    await stage.taken(second)
    await stage.says("peer", "Carol (carol)")
    await expect(stage.page.locator("#call-state")).to_be_focused()


async def test_the_second_half_of_a_double_click_presses_nothing(stage: ScriptedPage) -> None:
    """The line that was clicked first has given way to another one."""
    await talk_to_two(stage)
    button = other(stage, "601").get_by_role("button", name="Resume")
    await button.dispatch_event("click", {"bubbles": True, "detail": 2})
    await stage.says("peer", "Carol (carol)")
    await button.dispatch_event("click", {"bubbles": True, "detail": 1})
    await stage.says("peer", "601")


async def test_a_waiting_call_is_declined_and_the_talk_goes_on(stage: ScriptedPage) -> None:
    await talk(stage)
    await stage.call_in(WEAK)
    await press(stage, "Carol (carol)", "Decline")
    await stage.gateway.wait_for("SIP/2.0 603")
    await stage.says("peer", "601")
    await stage.shows("call-state", state="in-call")
    await stage.says("calls-news", "Carol (carol): Call ended. You declined the call.")


async def test_a_waiting_call_rings_when_the_talk_is_over(stage: ScriptedPage) -> None:
    first = await talk(stage)
    await stage.call_in(WEAK)
    await first.bye()
    await stage.says("peer", "Carol (carol)")
    await stage.shows("call-state", state="incoming")
    await expect(stage.page.locator("#answer")).to_be_visible()
    await expect(other(stage, "601")).to_contain_text("The other side hung up.")


TONES = """() => {
  window.levels = [];
  const ramp = AudioParam.prototype.linearRampToValueAtTime;
  AudioParam.prototype.linearRampToValueAtTime = function (value, time) {
    if (value > 0) window.levels.push(value);
    return ramp.call(this, value, time);
  };
}"""


async def test_nothing_rings_over_a_talk(stage: ScriptedPage) -> None:
    await stage.page.evaluate(TONES)
    first = await talk(stage)
    await stage.call_in(WEAK)
    await stage.page.wait_for_function("() => levels.length > 0")
    assert await stage.page.evaluate("Math.max(...levels)") < 0.02
    await first.bye()
    await stage.page.wait_for_function("() => Math.max(...levels) > 0.05")


async def test_a_fifth_call_hears_busy(stage: ScriptedPage) -> None:
    await talk(stage)
    for number in ("10", "11", "12"):
        await stage.call_in(WEAK, number=number, name=number)
        await expect(other(stage, number)).to_be_visible()
    fifth = await stage.call_in(WEAK, number="13", name="13")
    await stage.gateway.wait_until(lambda: bool(stage.gateway.received("SIP/2.0 486", fifth.call_id)))
    assert await stage.page.locator("#calls > li").count() == 3
    await stage.page.click("#add")
    await stage.page.fill("#number", "602")
    await stage.page.press("#number", "Enter")
    await stage.says("reason", "as many calls as this page can keep")


async def test_one_more_number_is_called_while_the_first_waits(stage: ScriptedPage) -> None:
    await talk(stage)
    await stage.page.click("#add")
    await expect(stage.page.locator("#number")).to_be_focused()
    await stage.dial(lambda call: call.respond(180, "Ringing", security("HOP_BY_HOP")), "bob")
    await stage.shows("call-state", state="ringing")
    await stage.says("peer", "bob")
    await expect(stage.page.locator("#dial-form")).to_be_hidden()
    await expect(other(stage, "601")).to_have_attribute("data-state", "held")


async def test_when_the_second_number_is_busy_the_first_can_be_resumed(stage: ScriptedPage) -> None:
    await talk(stage)
    await stage.page.click("#add")
    await stage.dial(lambda call: call.respond(486, "Busy Here"), "bob")
    await stage.says("reason", "The line is busy.")
    await press(stage, "601", "Resume")
    await stage.says("peer", "601")
    await stage.shows("call-state", state="in-call")
    assert await stage.page.evaluate(MICROPHONES) == [True]


async def test_a_call_that_is_answered_behind_another_one_is_held_at_once(stage: ScriptedPage) -> None:
    first, calls = await talk(stage), list[ScriptedCall]()

    async def ring(call: ScriptedCall) -> None:
        calls.append(call)
        await call.respond(180, "Ringing")

    await stage.page.click("#add")
    await stage.dial(ring, "bob")
    await stage.shows("call-state", state="ringing")
    await press(stage, "601", "Resume")
    await stage.says("peer", "601")
    await stage.answer(calls[0], security("HOP_BY_HOP"))
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("INVITE", calls[0].call_id)) == 2)
    requests = [m.method for m in stage.gateway.requests if m.get("Call-ID") == calls[0].call_id]
    assert requests[:3] == ["INVITE", "ACK", "INVITE"]
    await expect(other(stage, "bob")).to_have_attribute("data-state", "held")
    await stage.says("peer", "601")
    assert await stage.page.evaluate(MICROPHONES) == [True, False]
    assert first.ended.is_set() is False


async def test_each_call_has_its_own_time(stage: ScriptedPage) -> None:
    await talk_to_two(stage)
    await expect(other(stage, "601").locator(".duration")).to_have_text("00:02", timeout=8000)
    assert await stage.page.inner_text("#duration") in ("00:00", "00:01", "00:02")


async def test_another_microphone_is_taken_in_every_call(stage: ScriptedPage) -> None:
    await talk_to_two(stage)
    await stage.page.wait_for_function("() => document.getElementById('microphone').options.length > 2")
    before = "softphone.sessions().map((session) => session.connection.getSenders()[0].track.id)"
    tracks = await stage.page.evaluate(before)
    await stage.page.select_option("#microphone", index=2)
    await stage.page.wait_for_function(f"(tracks) => {before}.every((id) => !tracks.includes(id))", arg=tracks)
    assert await stage.page.evaluate(MICROPHONES) == [False, True]


async def test_every_call_ends_with_the_connection(stage: ScriptedPage) -> None:
    await talk_to_two(stage)
    await stage.gateway.drop()
    await stage.shows("call-state", state="ended")
    await expect(other(stage, "601")).to_contain_text("The connection to the gateway was lost")
    assert await stage.page.evaluate("softphone.sessions().length") == 0


async def test_leaving_the_page_is_asked_while_any_call_lives(stage: ScriptedPage) -> None:
    _, second = await talk_to_two(stage)
    await second.bye()
    await stage.shows("call-state", state="ended")
    event = "window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert await stage.page.evaluate(event) is False


async def test_a_call_answered_on_another_device_is_told_as_such_and_is_not_missed(stage: ScriptedPage) -> None:
    call = await stage.call_in(security("HOP_BY_HOP"))
    await stage.shows("call-state", state="incoming")
    await call.cancel(ELSEWHERE)
    await stage.shows("call-state", state="ended")
    await stage.says("call-state", "Call ended")
    await stage.says("reason", "Answered on another device.")
    await stage.says("security-title", "Not answered here")
    await stage.gateway.wait_for("SIP/2.0 487")


async def test_a_call_nobody_took_was_missed(stage: ScriptedPage) -> None:
    call = await stage.call_in(security("HOP_BY_HOP"))
    await stage.shows("call-state", state="incoming")
    await call.cancel(("Reason", 'SIP;cause=487;text="Request terminated"'))
    await stage.says("call-state", "Missed call")


async def test_a_waiting_call_taken_elsewhere_says_so_beside_the_talk(stage: ScriptedPage) -> None:
    await talk(stage)
    call = await stage.call_in(WEAK)
    await expect(other(stage, "Carol (carol)")).to_be_visible()
    await call.cancel(ELSEWHERE)
    await expect(other(stage, "Carol (carol)")).to_contain_text("Answered on another device.")
    await stage.says("calls-news", "Carol (carol): Call ended. Answered on another device.")
    await stage.says("peer", "601")


async def test_a_party_that_changes_on_hold_is_shown_with_its_new_protection(stage: ScriptedPage) -> None:
    first, _ = await talk_to_two(stage)
    moved = ("P-Asserted-Identity", '"Dora" <sip:dora@example.com>')
    await stage.gateway.wait_until(lambda: len(stage.gateway.received("ACK", first.call_id)) == 2)
    await first.inside("UPDATE", 1, WEAK, moved)
    held = other(stage, "Dora (dora)")
    await expect(held).to_have_attribute("data-grade", "CLEARTEXT")
    await stage.says("calls-news", "Dora (dora): On hold. You are connected with Dora (dora) now. Not encrypted")


async def test_a_new_party_and_its_protection_come_with_a_re_invite_too(stage: ScriptedPage) -> None:
    call = await talk(stage)
    await stage.shows("security", colour="green")
    moved = ("P-Asserted-Identity", '"Dora" <sip:dora@example.com>')
    agreed: str = await stage.page.evaluate("softphone.session().connection.remoteDescription.sdp")
    offer = agreed.replace("a=setup:active", "a=setup:actpass")
    await call.inside("INVITE", 1, WEAK, moved, body=offer, kind="application/sdp")
    await stage.says("peer", "Dora (dora)")
    await stage.says("reason", "You are connected with Dora (dora) now.")
    await stage.shows("security", grade="CLEARTEXT", colour="red")


async def test_a_page_of_360_pixels_shows_who_waits_without_scrolling_sideways(stage: ScriptedPage) -> None:
    await stage.page.set_viewport_size({"width": 360, "height": 640})
    await talk(stage)
    await stage.call_in(WEAK, name="Caroline with a very long name " * 3)
    await expect(stage.page.locator("#calls > li")).to_be_visible()
    assert await stage.page.evaluate("document.documentElement.scrollWidth") == 360
    await expect(stage.page.locator("#calls > li").get_by_role("button", name="Answer")).to_be_in_viewport()
