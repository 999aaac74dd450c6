"""A forged `Call-Security` never reaches a page (POLICY C-22): spoofing a good grade is an attack on who trusts it.

Whatever a trunk or another browser writes into a message of a call, each message the page gets has one report, and
that is the gateway's. A trunk gets none at all.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.policy.header import HEADER_NAME
from gateway.sip.message import Message, Request, Response
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import REALM
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, HostedScene
from tests.rig.trunk import TrunkDialog, description

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

MARK = "FORGED"
GOOD = f'grade=END_TO_END;worst=END_TO_END;scope="to {MARK}";browser="dtls,x,wss";trunk="dtls,x,wss";seq=999;id={MARK}'
FORGED = (
    ("Call-Security", GOOD),
    ("call-security", GOOD),
    ("CALL-SECURITY", f"{GOOD}, {GOOD}"),
    ("X-Call-Security", GOOD),
    ("Info-Package", "call-security"),
    ("Recv-Info", "call-security"),
)
LINES = (
    *(f"{name}: {value}" for name, value in FORGED),
    f"Call-Security : {GOOD}",
    f"Call-Security: {GOOD}\r\n ;x={MARK}",
    f"Call-Security\t: {GOOD}",
)
"""The same on the wire, with what only a forger writes."""
JSON = f'{{"v":1,"type":"call.security","grade":"END_TO_END","id":"{MARK}","seq":999}}'.encode()


def check_told(message: Message, grade: str = "CLEARTEXT") -> None:
    """One report, ours, and nothing of the forged one anywhere in the message."""
    reports = message.headers.get_all(HEADER_NAME)
    assert len(reports) == 1, (message, reports)
    assert reports[0].startswith(f"grade={grade};"), reports
    check_clean(message)


def check_clean(message: Message) -> None:
    assert MARK not in bytes(message).decode("utf-8", "replace")


async def acknowledge(call: BrowserCall, answer: Response) -> None:
    assert answer.contact is not None
    call.uri, call.remote = str(answer.contact.uri), str(answer.headers.get("To"))
    await call.browser.send("ACK", call.uri, call.call_id, call.number, call.local, call.remote, [])


async def told_by(call: BrowserCall, method: str) -> Request:
    await until(lambda: any(seen.method == method for seen in call.seen), f"no {method}")
    return next(seen for seen in call.seen if seen.method == method)


async def test_what_a_called_trunk_forges_in_its_answers_does_not_reach_the_page(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    trunk = scene.answer_with(PLAIN)
    scene.trunks[PLAIN].more = FORGED
    scene.scripts[PLAIN] = lambda request: [(180, b""), (183, trunk.answer(request)), (200, trunk.answer(request))]
    try:
        call = await alice.invite(PLAIN)
        seen = [await call.provisional()]
        while seen[-1].status < 200:
            seen.append(await call.provisional())
        assert [response.status for response in seen] == [100, 180, 183, 200]
        for response in seen[1:]:
            check_told(response)
    finally:
        scene.trunks[PLAIN].more = ()
    invites = [request for request in scene.trunks[PLAIN].seen if request.method == "INVITE"]
    assert invites[-1].headers.get(HEADER_NAME) is None
    await acknowledge(call, seen[-1])
    await call.hang_up()


async def test_what_a_calling_trunk_forges_in_any_request_does_not_reach_the_page(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    trunk, dialog = scene.trunks[PLAIN], TrunkDialog("forger")
    gateway = ("127.0.0.1", scene.setup.sip_port)

    def say(method: str, body: bytes = b"", more: tuple[str, ...] = LINES) -> None:
        trunk.request(method, "100", gateway, dialog, body, more)

    say("INVITE", description(PLAIN_HOST))
    call = await asyncio.wait_for(alice.incoming.get(), 5)
    assert call.offer is not None
    check_told(call.offer)
    await call.accept()
    await until(lambda: any(r.status == 200 for r in trunk.answers(dialog)), "no answer")
    say("ACK")
    await call.media.connected()
    for method, body in (("INVITE", description(PLAIN_HOST, direction="sendonly")), ("UPDATE", b""), ("OPTIONS", b"")):
        dialog.number += 1
        say(method, body)
        await until(lambda: any(r.cseq.number == dialog.number and r.status >= 200 for r in trunk.responses), method)
        if method == "INVITE":
            say("ACK")
    check_told(await told_by(call, "INVITE"))
    dialog.number += 1
    say("INFO", more=(*LINES, "Content-Type: application/json"), body=b"")
    await until(lambda: any(r.cseq.method == "INFO" for r in trunk.responses), "no answer to INFO")
    assert [r.status for r in trunk.responses if r.cseq.method == "INFO"] == [469]
    dialog.number += 1
    say("BYE")
    check_told(await call.end())
    for request in call.seen:
        check_clean(request)
    assert all(response.headers.get(HEADER_NAME) is None for response in trunk.responses)


async def test_what_a_browser_forges_does_not_reach_the_browser_it_calls(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    bob = await scene.browser("bob")
    call = BrowserCall(alice, BrowserMedia(), "forged-by-alice")
    call.uri = f"sip:bob@{REALM}"
    call.remote = f"<{call.uri}>"
    alice.calls[call.call_id] = call
    await call.invite([(name, value) for name, value in FORGED if name.strip() != "Info-Package"])
    ringing = await asyncio.wait_for(bob.incoming.get(), 5)
    assert ringing.offer is not None
    check_told(ringing.offer, "HOP_BY_HOP")
    await ringing.accept()
    check_told(await call.final(), "HOP_BY_HOP")
    await asyncio.gather(call.media.connected(), ringing.media.connected())
    refused = await call.request("INFO", JSON, (FORGED[0], FORGED[4]), kind="application/json")
    assert refused.status == 469
    held = call.media.description().replace(b"a=sendrecv", b"a=sendonly")
    changed = await call.request("INVITE", held, FORGED[:4])
    check_told(changed, "HOP_BY_HOP")
    check_told(await told_by(ringing, "INVITE"), "HOP_BY_HOP")
    assert (await call.request("BYE", headers=FORGED[:4])).status == 200
    check_told(await ringing.end(), "HOP_BY_HOP")
    for request in ringing.seen:
        check_clean(request)
    call.media.close()
    await bob.close()
