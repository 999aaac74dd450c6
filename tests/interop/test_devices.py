"""What real devices and carriers send, over real sockets: each message is answered as docs/interop.md says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from gateway.sip.message import Request
from gateway.trunks import breaker
from tests.interop.devices import BETWEEN, HOST, SDP, OddTrunk, message
from tests.outside import outside, outside_or_skip
from tests.rig.browser import ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import GatewaySetup
from tests.rig.hosted import HostedGateway
from tests.rig.ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]
CALLS_IN_ALL = 250
"""Room for each to have ports of its own: they rest after a call, longer than a fast machine takes for all of them."""


@dataclass
class DeviceStage:
    host: HostedGateway
    trunk: OddTrunk
    alice: ScriptedBrowser
    bob: ScriptedBrowser
    carol: ScriptedBrowser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DeviceStage]:
    port = free_port(host=HOST)
    trunk = {"target": f"sip:{HOST}:{port}", "security": "legacy", "networks": [f"{HOST}/32"]}
    inbound = [
        {"id": f"in{place}", "dialled": dialled, "user": user}
        for place, (dialled, user) in enumerate(
            (("100", "bob"), ("+4930100", "bob"), ("+49100", "bob"), ("101", "carol"))
        )
    ]
    setup = GatewaySetup(
        tmp_path_factory.mktemp("devices"),
        trunks={"odd": trunk},
        outbound=[{"id": "odd", "dialled": "7*", "trunk": "odd"}],
        inbound=inbound,
        users=("alice", "bob", "carol"),
        sip=("udp",),
        overrides={"limits": {"calls": 100}},
        trunk_ports=2 * CALLS_IN_ALL,
    )
    patience = pytest.MonkeyPatch()
    patience.setattr(breaker, "MAX_RETRY_AFTER", 0.0)  # one says 503 and when to come back; the next comes at once
    host = await HostedGateway(setup).start()
    odd = await OddTrunk.open(port, ("127.0.0.1", setup.sip_port))
    users = [await ScriptedBrowser(setup.origin, name).sign_in() for name in setup.users]
    yield DeviceStage(host, odd, *users)
    for user in users:
        await user.close()
    odd.close()
    await host.stop()
    patience.undo()


# --- answers to a call from a browser


def answer(*lines: str, status: str = "200 OK", body: str = SDP, to: str = "<sip:700@127.0.2.1>;tag=odd") -> str:
    own = ["Via: SIP/2.0/UDP x;branch=y;rport", "From: x", f"To: {to}", "Call-ID: x", "CSeq: x"]
    named = {line.partition(":")[0].lower() for line in lines}
    defaults = ["Contact: <sip:trunk@127.0.2.1:19010>"] * ("contact" not in named)
    defaults += ["Content-Type: application/sdp"] * (bool(body) and "content-type" not in named)
    return message(f"SIP/2.0 {status}", *own, *defaults, *lines, body=body)


def parts(*more: tuple[str, str, str], kind: str = "mixed", boundary: str = "frontier") -> tuple[str, str]:
    """Content-Type line and body: the description behind other parts."""
    pieces = [*more, ("application/sdp", "session;handling=required", SDP)]
    body = "preamble\r\n"
    for content, disposition, data in pieces:
        head = f"Content-Type: {content}\r\n" + f"Content-Disposition: {disposition}\r\n" * bool(disposition)
        body += f"--{boundary}\r\n{head}\r\n{data}\r\n"
    return f'Content-Type: multipart/{kind};boundary="{boundary}"', body + f"--{boundary}--\r\nepilogue"


MIXED, MIXED_BODY = parts(("application/QSIG;version=iso", "signal;handling=optional", "\x01\x02"))
RELATED, RELATED_BODY = parts(("application/isup", "", "\x01"), kind="related", boundary="=_1")
BAD_TO = '"never closed <sip:700@127.0.2.1>;tag=odd'
EARLY = answer("Content-Type: application/isup", status="183 Session Progress", body="\x01\x02")

ANSWERS: dict[str, tuple[int, str]] = {
    "multipart/mixed": (200, answer(MIXED, "MIME-Version: 1.0", body=MIXED_BODY)),
    "multipart/related, a part without a word": (200, answer(RELATED, body=RELATED_BODY)),
    "early signalling alone": (200, EARLY + "---\n" + answer()),
    "early multipart": (200, answer(MIXED, status="183 x", body=MIXED_BODY) + "---\n" + answer(body="")),
    "busy with a multipart body": (486, answer(MIXED, status="486 Busy Here", body=MIXED_BODY)),
    "no Content-Type": (200, answer("Content-Type:")),
    "Content-Type with parameters": (200, answer("Content-Type: application/SDP; charset=utf-8;x")),
    "repeated cosmetic lines": (200, answer("User-Agent: a", "user-agent: b", "Organization: c", "Organization: d")),
    "repeated and odd Date": (200, answer("Date: never", "Date: Thu, 01 Jan 1970 00:00:00 GMT")),
    "empty and odd lists": (200, answer("Allow:", "Supported: ,", 'Warning: 399 "x', "Accept: ;")),
    "bare Contact": (200, answer('Contact: sip:ue@127.0.2.1:19010;+sip.instance="<urn:x:1>";+g.y="a;b,c"')),
    "quotes in a URI parameter": (200, answer('Contact: <sip:trunk@127.0.2.1:19010;info="a=b/c;d">')),
    "user parameters in Contact": (200, answer("Contact: <sip:+4930;cpc=x;tgrp=7@127.0.2.1:19010>")),
    "a parameter twice in Contact": (200, answer("Contact: <sip:t@127.0.2.1:19010;ob;ob;transport=udp;transport=UDP>")),
    "Contact nobody can read": (200, answer("Contact: <sip:@@@>")),
    "unquoted comma in To": (200, answer(to="Doe, Jane <sip:700@127.0.2.1>;tag=odd")),
    "at and colon in the name of To": (200, answer(to="Desk: a@b <sip:700@127.0.2.1>;tag=odd")),
    "doubled quotes in To": (200, answer(to='""anonymous"" <sip:700@127.0.2.1>;tag=odd')),
    "Record-Route without brackets": (200, answer("Record-Route: sip:127.0.2.1:19010;lr")),
    "strict Record-Route": (200, answer("Record-Route: <sip:127.0.2.1:19010>")),
    "a name that leads into the networks": (200, answer(body=SDP.replace("4 127.0.2.1", "4 127.0.513"))),
    "a name that leads elsewhere": (488, answer(body=SDP.replace("c=IN IP4 127.0.2.1", "c=IN IP4 localhost"))),
    "a name nobody has": (488, answer(body=SDP.replace("c=IN IP4 127.0.2.1", "c=IN IP4 no-such-host.invalid"))),
    "no reason phrase": (200, answer(status="200 ")),
    "timer of the peer's own": (200, answer("Session-Expires: 1800;refresher=uas", "Supported: timer")),
    "Content-Length cut short": (200, answer().replace("sendrecv\r\n", "sendrecv\r\n\0\0").replace(
        f"Content-Length: {len(SDP) + 2}", f"Content-Length: {len(SDP)}")),
    "To nobody can read": (502, answer(to=BAD_TO)),
    "two To": (502, answer("To: <sip:x@y>;tag=other")),
    "Record-Route nobody can read": (502, answer("Record-Route: <sip:a@b")),
    "a line that is none": (502, answer("this is no header")),
    "Content-Length beyond the datagram": (502, answer().replace(
        f"Content-Length: {len(SDP)}", f"Content-Length: {len(SDP) + 7}")),
    "ringing nobody can read": (200, answer(status="180 x", to=BAD_TO, body="") + "---\n" + answer()),
    "busy nobody can read": (486, answer(status="486 x", to=BAD_TO, body="")),
    "redirection nobody can read": (480, answer(status="302 x", to=BAD_TO, body="")),
    "declined with a bad Contact": (603, answer("Contact: <<>>", status="603 Decline", body="")),
}  # fmt: skip
"""Text of the answer (several behind one another) and what the browser hears in the end."""


async def dialled(stage: DeviceStage, text: str) -> tuple[int, list[str]]:
    """A browser's call that is answered so: its final status, and what the trunk was sent after the answer."""
    call = await stage.alice.invite("700", BrowserMedia())
    invite = await stage.trunk.request("INVITE")
    for one in BETWEEN.split(text):
        stage.trunk.answer(invite, one)
    final = await call.final()
    await stage.trunk.request("ACK")
    if final.status == 200:
        assert b"multipart" not in bytes(final)
        await call.hang_up()
        await stage.trunk.request("BYE")
    elif final.status in (488, 502):
        await stage.trunk.request("BYE")  # never a call only the trunk is in
    sent = [m.method for m in stage.trunk.kept if isinstance(m, Request) and m.call_id == invite.call_id]
    return final.status, sent


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_odd_answer_is_taken_for_what_it_says(stage: DeviceStage, name: str) -> None:
    expected, text = ANSWERS[name]
    status, sent = await dialled(stage, text)
    assert status == expected
    assert sent == (["INVITE", "ACK"] if expected in (480, 486, 603) else ["INVITE", "ACK", "BYE"])


# --- calls from a trunk


def invite(*lines: str, uri: str = "sip:100@127.0.0.1", from_: str = "<sip:4930123@127.0.2.1>", body: str = SDP) -> str:
    named = {line.partition(":")[0].lower() for line in lines}
    own = [] if "via" in named else ["Via: SIP/2.0/UDP 127.0.2.1:19010;branch=x;rport"]
    own += [f"From: {from_};tag=far", "To: <sip:100@127.0.0.1>", "Call-ID: x", "CSeq: 7 INVITE"]
    own += ["Contact: <sip:trunk@127.0.2.1:19010>"] * ("contact" not in named)
    own += ["Content-Type: application/sdp"] * (bool(body) and "content-type" not in named)
    return message(f"INVITE {uri} SIP/2.0", *own, *lines, body=body)


INSISTS, INSISTS_BODY = parts(("application/isup", "signal;handling=required", "\x01"))
CALLS: dict[str, tuple[int, str]] = {
    "multipart/mixed": (200, invite(MIXED, body=MIXED_BODY)),
    "multipart/related, a part without a word": (200, invite(RELATED, body=RELATED_BODY)),
    "a required part nobody knows": (415, invite(INSISTS, body=INSISTS_BODY)),
    "a body nobody knows": (415, invite("Content-Type: application/x", body="x")),
    "no Content-Type": (200, invite("Content-Type:")),
    "repeated cosmetic lines": (200, invite("User-Agent: a", "User-Agent: b", "Subject: c", "s: d")),
    "two Max-Forwards": (200, invite("Max-Forwards: 70", "Max-Forwards: 0")),
    "no hops left": (483, invite("Max-Forwards: 0")),
    "ported number": (200, invite(uri="sip:+4930100;npdi;rn=+4930555@127.0.0.1;user=phone")),
    "trunk group": (200, invite(uri="sip:100;tgrp=a;trunk-context=b.example@127.0.0.1")),
    "number in a context": (200, invite(uri="sip:100;phone-context=+49@127.0.0.1;user=phone")),
    "number in a context of nobody": (404, invite(uri="sip:100;phone-context=x.example@127.0.0.1")),
    "tel with subaddress": (200, invite(uri="tel:+49-30-100;isub=77?/3")),
    "visual separators": (200, invite(uri="sip:+49.30.(100)@127.0.0.1")),
    "caller with a category": (200, invite(from_="<sip:+4930777;cpc=payphone@carrier.example;user=phone>")),
    "caller with a comma": (200, invite(from_="Doe, Jane <sip:+4930777@127.0.2.1>")),
    "caller with an at": (200, invite(from_="jane@doe.example <sip:+4930777@127.0.2.1>")),
    "caller with a backslash": (200, invite(from_='"Jane\\ Doe\\"" <sip:+4930777@127.0.2.1>')),
    "caller with an open quote": (400, invite(from_='"Jane <sip:+4930777@127.0.2.1>')),
    "Require: timer": (200, invite("Require: timer", "Supported: timer", "Session-Expires: 600;refresher=uac")),
    "a session of a second": (422, invite("Supported: timer", "Session-Expires: 1")),
    "Require: 100rel": (200, invite("Require: 100rel")),
    "Require: precondition": (420, invite("Require: precondition")),
    "a parameter twice": (200, invite("Contact: <sip:t@127.0.2.1:19010;transport=udp;transport=udp>")),
    "two transports": (400, invite("Contact: <sip:t@127.0.2.1:19010;transport=udp;transport=tcp>")),
    "Accept without descriptions": (406, invite("Accept: text/plain")),
    "no branch": (200, invite("Via: SIP/2.0/UDP 127.0.2.1:19010")),
    "neither branch nor Contact": (200, invite("Via: SIP/2.0/UDP 127.0.2.1:19010").replace(
        "Contact: <sip:trunk@127.0.2.1:19010>\r\n", "").replace(
        "<sip:4930123@127.0.2.1>", "<sip:4930123@127.0.2.1:19010>")),
    "Content-Length beyond the datagram": (400, invite().replace(
        f"Content-Length: {len(SDP)}", f"Content-Length: {len(SDP) + 2}")),
}  # fmt: skip


async def called(stage: DeviceStage, text: str, user: ScriptedBrowser) -> int:
    """A trunk's call that is answered if it rings; its final status."""
    call_id = stage.trunk.call(text)
    final = asyncio.ensure_future(stage.trunk.response(call_id))
    rings = asyncio.ensure_future(user.incoming.get())
    await asyncio.wait((final, rings), return_when=asyncio.FIRST_COMPLETED)
    if not rings.done():
        rings.cancel()
        stage.trunk.acknowledge(final.result())
        return final.result().status
    call = rings.result()
    assert call.offer is not None
    assert b"multipart" not in bytes(call.offer)
    await call.accept()
    response = await final
    assert b"multipart" not in bytes(response)
    stage.trunk.acknowledge(response)
    stage.trunk.acknowledge(response, "BYE")
    await call.end()
    return response.status


@pytest.mark.parametrize("name", CALLS)
async def test_an_odd_call_rings_or_is_refused_for_its_reason(stage: DeviceStage, name: str) -> None:
    expected, text = CALLS[name]
    assert await called(stage, text, stage.bob) == expected


async def test_a_fork_to_two_users_rings_both(stage: DeviceStage) -> None:
    call_id = stage.trunk.call(invite())
    second = invite(uri="sip:101@127.0.0.1").replace("Call-ID: x", f"Call-ID: {call_id}").replace(
        "branch=x", "branch=z9hG4bKsecond" + call_id).replace(":19010", f":{stage.trunk.port}")  # fmt: skip
    stage.trunk.send(second.encode())
    rung = [await asyncio.wait_for(user.incoming.get(), 5) for user in (stage.bob, stage.carol)]
    for call in rung:
        await call.refuse()
        stage.trunk.acknowledge(await stage.trunk.response(call_id))


async def test_a_serial_fork_is_served(stage: DeviceStage) -> None:
    call_id = stage.trunk.call(invite())
    for turn in range(3):
        call = await asyncio.wait_for(stage.bob.incoming.get(), 5)
        await call.refuse(480)
        stage.trunk.acknowledge(await stage.trunk.response(call_id))
        again = invite().replace("Call-ID: x", f"Call-ID: {call_id}").replace(":19010", f":{stage.trunk.port}")
        if turn < 2:
            stage.trunk.send(again.replace("branch=x", f"branch=z9hG4bKturn{turn}{call_id}").encode())


async def test_the_caller_is_the_number_without_its_parameters(stage: DeviceStage) -> None:
    stage.trunk.call(CALLS["caller with a category"][1])
    call = await asyncio.wait_for(stage.bob.incoming.get(), 5)
    assert call.offer is not None
    assert call.offer.from_.uri.user == "+4930777"
    await call.refuse()


# --- messages others have collected, where they lie beside the project

REFUSED_ANSWERS = {"63": 486, "64": 480, "68": 502, "69d": 503}
"""Numbers of files with answers that do not make a call: busy, a redirection, a body cut off, out of service."""
REFUSED_CALLS = {"88": 404}
"""A URI without a user."""
OF_A_DIALOG = ("93", "94")
"""INFO and REFER of a dialog that does not exist here: 481."""


def collected() -> list[str]:
    found = outside("field")
    return sorted(path.stem for path in found.glob("*.sip")) if found else [""]


@pytest.mark.parametrize("name", collected())
async def test_a_collected_message_is_answered_by_its_kind(stage: DeviceStage, name: str) -> None:
    text = (outside_or_skip("field") / f"{name}.sip").read_bytes().decode("utf-8", "surrogateescape")
    number = name.partition("-")[0]
    if text.startswith("SIP/"):
        status, sent = await dialled(stage, text)
        assert status == REFUSED_ANSWERS.get(number, 200)
        assert "ACK" in sent
    elif text.startswith("INVITE") and not BETWEEN.search(text):
        assert await called(stage, text, stage.bob) == REFUSED_CALLS.get(number, 200)
    elif number in OF_A_DIALOG:
        assert (await stage.trunk.response(stage.trunk.call(text))).status == 481
    else:
        await both_ring(stage, text)


async def both_ring(stage: DeviceStage, text: str) -> None:
    for one in BETWEEN.split(text):
        stage.trunk.send(one.replace(":19010", f":{stage.trunk.port}").encode())
    for user in (stage.bob, stage.carol):
        await (await asyncio.wait_for(user.incoming.get(), 5)).refuse()


async def test_afterwards_nothing_is_left(stage: DeviceStage) -> None:
    async with asyncio.timeout(10):
        while stage.host.gateway.manager.live_calls:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "Traceback" not in stage.host.log
