"""Each address of a message is parsed once on its whole way through the gateway."""

from __future__ import annotations

from collections import Counter as Tally
from pathlib import Path

import pytest

from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, sdes_answer, trunk_flow, vector
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


def answer(invite: bytes, status: int, extra: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """What the trunk answers to our INVITE, over its own proxy and with a name of its own."""
    lines = dict(line.split(": ", 1) for line in invite.decode().partition("\r\n\r\n")[0].split("\r\n")[1:])
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


async def test_each_value_of_an_invite_and_of_its_answers_is_parsed_once(tmp_path: Path) -> None:
    """Through the stack, admission and the machine, and in all that is sent because of it."""
    office = WiredOffice(tmp_path)
    contact = ("Contact: <sip:callee@127.0.0.2:5061>",)
    sdp = (*contact, "Content-Type: application/sdp")
    with counted_parsing() as counted:
        _trying, sent = await office.receive(invite(), BROWSER_FLOW)
        assert repeated(counted) == []
        await office.receive(answer(sent, 180, contact), trunk_flow())
        assert repeated(counted) == []
        ack, ok = await office.receive(
            answer(sent, 200, sdp, sdes_answer(sent.partition(b"\r\n\r\n")[2])), trunk_flow()
        )
        assert repeated(counted) == []
    assert (ack[:4], ok[:11]) == (b"ACK ", b"SIP/2.0 200")
