"""How the page hears of protection besides the headers of calls: by INFO, and by the tone policy may want."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.scripted_gateway import Header, ScriptedCall
from tests.web.test_softphone_page import ScriptedPage, browser, security, stage, visit

__all__ = ["browser", "stage", "visit"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEEP = [880, 660, 440]
LISTEN = """() => {
  window.heard = [];
  const Real = OscillatorNode;
  window.OscillatorNode = class extends Real {
    constructor(context, options) { super(context, options); window.heard.push(options.frequency); }
  };
}"""


def toned(grade: str = "CLEARTEXT") -> Header:
    name, value = security(grade)
    return name, f"{value};tone=insecure_beep"


async def beeps(stage: ScriptedPage) -> int:
    """How often the tone sounded: no other one ends with this burst."""
    found: list[int] = await stage.page.evaluate("() => window.heard")
    return sum(found[at : at + len(BEEP)] == BEEP for at in range(len(found)))


async def inform(call: ScriptedCall, number: int, package: str = "call-security", **fields: Any) -> None:
    report = {"v": 1, "type": "call.security", "call_id": "c-1", "seq": number, "grade": "CLEARTEXT"} | fields
    headers = (("Info-Package", package),)
    await call.inside("INFO", number, *headers, body=json.dumps(report), kind="application/json")


async def test_the_page_asks_for_the_package_in_its_calls_and_in_its_answers(stage: ScriptedPage) -> None:
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call, security("HOP_BY_HOP"))

    await stage.dial(answer)
    await stage.shows("call-state", state="in-call")
    assert calls[0].invite.get("Recv-Info") == "call-security"
    await stage.page.click("#hangup")
    await stage.shows("call-state", state="ended")
    incoming = await stage.call_in(security("HOP_BY_HOP"))
    await stage.shows("call-state", state="incoming")
    await stage.page.click("#answer")
    await stage.taken(incoming)
    assert (await incoming.answered()).get("Recv-Info") == "call-security"


async def test_an_info_of_the_package_turns_the_page_and_one_of_another_does_not(stage: ScriptedPage) -> None:
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call, security("HOP_BY_HOP"))

    await stage.dial(answer)
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    (call,) = calls
    await inform(call, 50, package="weather")
    await stage.gateway.wait_until(lambda: len(answers(stage, call, 50)) == 1)
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    await inform(call, 51)
    await stage.shows("security", grade="CLEARTEXT", colour="red")
    assert [answer.start for answer in answers(stage, call, 51)] == ["SIP/2.0 200 OK"]
    await inform(call, 52, grade="HOP_BY_HOP", seq=1)
    await stage.gateway.wait_until(lambda: len(answers(stage, call, 52)) == 1)
    await stage.shows("security", grade="CLEARTEXT", colour="red")


async def test_a_change_that_was_refused_is_said_on_the_page_and_the_colour_stays(stage: ScriptedPage) -> None:
    calls: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        calls.append(call)
        await stage.answer(call, security("HOP_BY_HOP"))

    await stage.dial(answer)
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    legs = ["dtls,pending,wss", "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,verified"]
    await inform(calls[0], 50, grade="HOP_BY_HOP", seq=9, legs=legs, refused=["mid.crypto_removed"])
    await stage.says("security-notes", "The other side tried to protect it less, and was refused.")
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")


def answers(stage: ScriptedPage, call: ScriptedCall, number: int) -> list[Any]:
    found = stage.gateway.received("SIP/2.0 200", call.call_id)
    return [answer for answer in found if answer.get("CSeq") == f"{number} INFO"]


async def test_the_tone_sounds_before_somebody_answers_a_call_that_will_not_be_protected(stage: ScriptedPage) -> None:
    await stage.page.evaluate(LISTEN)

    async def ring(call: ScriptedCall) -> None:
        await call.respond(180, "Ringing", toned())
        await call.ended.wait()
        await call.respond(487, "Request Terminated")

    await stage.dial(ring)
    await stage.shows("call-state", state="ringing")
    await until_heard(stage)
    await stage.shows("call-state", state="ringing")
    await stage.page.click("#hangup")
    await stage.shows("call-state", state="ended")
    assert await beeps(stage) == 1


async def until_heard(stage: ScriptedPage) -> None:
    await stage.page.wait_for_function("() => window.heard.includes(440)", timeout=5000)


async def test_the_tone_of_a_call_to_the_page_sounds_when_it_is_answered_and_not_while_it_rings(
    stage: ScriptedPage,
) -> None:
    await stage.page.evaluate(LISTEN)
    call = await stage.call_in(toned())
    await stage.shows("call-state", state="incoming")
    await stage.page.wait_for_function("() => window.heard.length > 0")  # the chime
    assert await beeps(stage) == 0
    await stage.page.click("#answer")
    await stage.taken(call)
    await until_heard(stage)
    assert await beeps(stage) == 1


async def test_a_call_as_policy_wants_it_has_no_tone(stage: ScriptedPage) -> None:
    await stage.page.evaluate(LISTEN)
    await stage.dial(lambda call: stage.answer(call, security("CLEARTEXT")))
    await stage.shows("security", grade="CLEARTEXT", colour="red")
    assert await beeps(stage) == 0
