"""Each address of a message is parsed once on its whole way through the gateway."""

from __future__ import annotations

from collections import Counter as Tally
from pathlib import Path

import pytest

from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, sdes_answer, trunk_flow, vector
from tests.call.machine_scene import answer as answered
from tests.call.wired import WiredOffice, counted_parsing

pytestmark = pytest.mark.asyncio

URI = "sip:600@example.test"


def invite() -> bytes:
    """A browser's INVITE in which no value stands twice."""
    lines = messages.fields(
        "INVITE",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bK1",
        from_="<sip:alice@example.test>;tag=caller",
        to='"Six" <sip:600@example.test;user=phone>',
        call_id="call-1",
        contact="<sip:alice@client.invalid;transport=ws>",
        extra=("Content-Type: application/sdp", "Allow: INVITE, ACK, BYE, CANCEL"),
    )
    return messages.octets("INVITE", URI, lines, vector("chromium_offer"))


def written(message: bytes) -> dict[str, str]:
    """The header fields of what we sent, unparsed."""
    return dict(line.split(": ", 1) for line in message.decode().partition("\r\n\r\n")[0].split("\r\n")[1:])


def answer(invite: bytes, status: int, extra: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """What the trunk answers to our INVITE, over its own proxy and with a name of its own."""
    lines = written(invite)
    told = [
        f"Via: {lines['Via']}",
        "Record-Route: <sip:edge.pbx.example:5061;transport=tls;lr>",
        f"From: {lines['From']}",
        f"To: {lines['To']};tag=callee",
        f"Call-ID: {lines['Call-ID']}",
        f"CSeq: {lines['CSeq']}",
        *extra,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([f"SIP/2.0 {status} OK", *told, "", ""]).encode() + body


def repeated(counted: Tally[tuple[str, str]]) -> list[tuple[str, str]]:
    """What was parsed more than once since the last look, which this is."""
    again = [value for value, times in counted.items() if times > 1]
    counted.clear()
    return again


def inside(method: str, ok: bytes) -> bytes:
    """A request of the browser in the dialog that our 200 made."""
    ours = written(ok)
    lines = messages.fields(
        method,
        via=f"SIP/2.0/WSS client.invalid;branch=z9hG4bK{method}",
        from_=ours["From"],
        to=ours["To"],
        call_id="call-1",
        cseq=1 if method == "ACK" else 2,
    )
    return messages.octets(method, ours["Contact"].strip("<>"), lines)


async def test_each_value_of_a_call_to_a_trunk_is_parsed_once(tmp_path: Path) -> None:
    """Through the stack, admission and the machine, and in all that is sent because of it."""
    office = WiredOffice(tmp_path)
    contact = ("Contact: <sip:callee@127.0.0.2:5061>",)
    sdp = (*contact, "Content-Type: application/sdp")
    with counted_parsing() as counted:
        _trying, sent = await office.receive(invite(), BROWSER_FLOW)
        assert repeated(counted) == []
        await office.receive(answer(sent, 180, contact), trunk_flow())
        assert repeated(counted) == []
        accepted = answer(sent, 200, sdp, sdes_answer(sent.partition(b"\r\n\r\n")[2]))
        ack, ok = await office.receive(accepted, trunk_flow())
        assert repeated(counted) == []
        await office.receive(inside("ACK", ok), BROWSER_FLOW)
        assert repeated(counted) == []
        ended, bye = await office.receive(inside("BYE", ok), BROWSER_FLOW)
        assert repeated(counted) == []
    assert [sent[:11] for sent in (ok, ended)] == [b"SIP/2.0 200"] * 2
    assert [sent[:4] for sent in (ack, bye)] == [b"ACK ", b"BYE "]


async def test_each_value_of_a_call_from_a_trunk_is_parsed_once(tmp_path: Path) -> None:
    office = WiredOffice(tmp_path)
    here = messages.fields(
        "REGISTER",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bKreg",
        from_="<sip:alice@example.test>;tag=reg",
        to='"Me" <sip:alice@example.test;user=ip>',
        call_id="register",
        contact="<sip:alice@client.invalid;transport=ws>",
    )
    lines = messages.fields(
        "INVITE",
        via="SIP/2.0/TLS 127.0.0.2:5061;branch=z9hG4bKin",
        from_='"Bob" <sip:4711@pbx.example>;tag=pbx',
        to="<sip:100@example.test;user=phone>",
        call_id="in-call",
        contact="<sip:pbx@127.0.0.2:5061>",
        extra=("Record-Route: <sip:edge.pbx.example:5061;transport=tls;lr>", "Content-Type: application/sdp"),
    )
    offer = answered("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40)
    with counted_parsing() as counted:
        await office.receive(messages.octets("REGISTER", "sip:example.test", here), BROWSER_FLOW)
        assert repeated(counted) == []
        _trying, sent = await office.receive(messages.octets("INVITE", "sip:100@gw", lines, offer), trunk_flow())
        assert repeated(counted) == []
    assert sent.startswith(b"INVITE sip:alice@client.invalid;transport=ws SIP/2.0\r\n")
