"""Neither side of a call learns anything of the other: whatever a peer writes, the other one gets the same octets.

The same call is played twice by peers that differ in all that could give them away (hosts, Via, tags, Call-ID, Contact,
User-Agent, names, addresses, ICE and keys). What is sent to the one side must not depend on who the other one is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.sip.flow import Flow
from gateway.sip.message import Message, parse_message
from gateway.trunks.identity import Asserts, Passing, PrivacyMode, TrunkIdentity
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, answer, browser_answer, sdes_answer, trunk_flow, vector
from tests.call.wired import WiredOffice

pytestmark = pytest.mark.asyncio

TRUNK_FLOW = trunk_flow()


@dataclass(frozen=True)
class Household:
    """All that could tell one peer from another."""

    host: str
    address: str
    word: str
    digit: str

    @property
    def key(self) -> str:
        return self.digit * 40

    def headers(self) -> tuple[str, ...]:
        """What peers add of themselves, and of the way a message has come."""
        return (
            f"User-Agent: {self.word}Soft/7.1 ({self.host})",
            f"Server: {self.word}",
            f"Organization: {self.word}",
            f"Subject: {self.word}",
            f"Call-Info: <http://{self.host}/{self.word}>",
            f"P-Charging-Vector: icid-value={self.word};icid-generated-at={self.address}",
            f'P-Asserted-Identity: "{self.word}" <sip:{self.word}@{self.host}>',
            f'Remote-Party-ID: "{self.word}" <sip:{self.word}@{self.host}>',
            f"Diversion: {self.word} <sip:+4930777@{self.host}>;reason={self.word};x={self.word}",
            f"History-Info: <sip:+4930777@{self.host}?Reason=SIP%3Btext%3D{self.word}>;index=1",
            f"X-{self.word}: {self.word}",
            f"Identity: {self.word};info=<https://{self.host}/c.pem>",
            f"Geolocation: <cid:{self.word}@{self.host}>",
            f"Session-ID: {self.digit * 32}",
            f'Reason: Q.850;cause=16;text="{self.word}"',
            f'Warning: 399 {self.host} "{self.word}"',
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE",
        )


ONE, OTHER = (
    Household("box1.lan.example", "10.1.1.1", "Alpha", "7"),
    Household("srv9.corp.example", "172.16.9.9", "Omega", "8"),
)
QUIET = Household("peer.example", "192.0.2.77", "Quiet", "9")


@dataclass
class Play:
    """One call between a browser and a trunk; `sent` is what each was sent, in order."""

    office: WiredOffice
    browser: Household
    trunk: Household
    sent: dict[str, list[bytes]] = field(default_factory=lambda: {"browser": [], "trunk": []})

    async def says(self, side: str, data: bytes) -> None:
        flow = BROWSER_FLOW if side == "browser" else TRUNK_FLOW
        self.office.wire.stack.receive(flow, _parsed(data), self.office.wire.now)
        for event in self.office.wire.stack.take_events():
            self.office.manager.on_event(event)
        await self.office.settle()
        for to, sent in self.office.wire.stack.take_transmissions():
            self.sent[_side(to)].append(sent)

    def last(self, side: str, start: str) -> bytes:
        """The last message to a side that begins so."""
        return next(m for m in reversed(self.sent[side]) if m.startswith(start.encode()))

    def peer(self, side: str) -> Household:
        return self.browser if side == "browser" else self.trunk

    def begins(self, side: str, uri: str, from_: str, body: bytes) -> bytes:
        who = self.peer(side)
        lines = messages.fields(
            "INVITE",
            via=self.via(side, "first"),
            from_=f"{from_};tag=from-{who.word}",
            to=f"<{uri}>",
            call_id=f"{who.word}@{who.host}",
            contact=self.contact(side),
            extra=(*who.headers(), "Content-Type: application/sdp"),
        )
        return messages.octets("INVITE", uri, lines, body)

    def via(self, side: str, branch: str) -> str:
        who = self.peer(side)
        return f"SIP/2.0/{'WSS' if side == 'browser' else 'TLS'} {who.host};branch=z9hG4bK{who.word}{branch}"

    def contact(self, side: str) -> str:
        who = self.peer(side)
        return f"<sip:{who.word}@{who.host};transport={'ws' if side == 'browser' else 'tls'}>"

    def answers(self, side: str, request: bytes, status: int, body: bytes = b"") -> bytes:
        """A response to what we sent."""
        who, ours = self.peer(side), _written(request)
        told = [
            f"Via: {ours['Via']}",
            *([f"Record-Route: <sip:edge.{who.host};transport=tls;lr>"] if side == "trunk" else []),
            f"From: {ours['From']}",
            f"To: {ours['To']}" + ("" if "tag=" in ours["To"] else f";tag=to-{who.word}"),
            f"Call-ID: {ours['Call-ID']}",
            f"CSeq: {ours['CSeq']}",
            f"Contact: {self.contact(side)}",
            *who.headers(),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([f"SIP/2.0 {status} {who.word}", *told, "", ""]).encode() + body

    def inside(self, side: str, method: str, ours: bytes, cseq: int, body: bytes = b"") -> bytes:
        """A request in the dialog that a message of ours is of: our 2xx, or our request."""
        who, lines = self.peer(side), _written(ours)
        from_, to = lines["From"], lines["To"]
        if not ours.startswith(b"SIP"):
            from_, to = f"{to};tag=to-{who.word}", from_
        made = messages.fields(
            method,
            via=self.via(side, f"{method}{cseq}"),
            from_=from_,
            to=to,
            call_id=lines["Call-ID"],
            cseq=cseq,
            contact=self.contact(side),
            extra=(*who.headers(), *(["Content-Type: application/sdp"] if body else [])),
        )
        return messages.octets(method, lines["Contact"].strip("<>"), made, body)


def _parsed(data: bytes) -> Message:
    return parse_message(data, stream=True)


def _side(flow: Flow) -> str:
    return "browser" if flow.transport == "wss" else "trunk"


def _written(message: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in message.decode().partition("\r\n\r\n")[0].split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name, value)
    return found


def from_browser(who: Household, text: bytes) -> bytes:
    """A browser's description, with all in it that could tell one browser from another."""
    marked = text.replace(b"192.0.2.2", who.address.encode()).replace(b"192.0.2.99", who.address.encode())
    marked = re.sub(rb"a=ice-(ufrag|pwd):.*", lambda m: b"a=ice-" + m[1] + b":" + who.digit.encode() * 24, marked)
    marked = re.sub(rb"(o=- )\d+", rb"\g<1>" + who.digit.encode() * 15, marked)
    marked = re.sub(rb"s=-", b"s=" + who.word.encode(), marked)
    return re.sub(rb"cname:\S+", b"cname:" + who.word.encode(), marked)


def from_trunk(who: Household, text: bytes) -> bytes:
    """A trunk's, in the same way; its media address is a route, and no secret of the other side."""
    marked = text.replace(b"127.0.0.2", who.address.encode()).replace(b"A" * 40, who.key.encode())
    marked = marked.replace(b"B" * 40, who.key.encode()).replace(b" 4002 ", b" 40" + who.digit.encode() + b"2 ")
    return re.sub(rb"o=- 1 1", b"o=" + who.word.encode() + b" " + who.digit.encode() * 9 + b" 1", marked)


def body_of(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


def office(directory: Path) -> WiredOffice:
    """Everything a trunk can be told is switched on."""
    made = WiredOffice(directory)
    site = made.sites.current
    identity = TrunkIdentity(
        asserts=Asserts.ASSERTED, privacy=PrivacyMode.ON, names=True, diversion=Passing.ON, history=Passing.ON
    )
    pbx = replace(site.trunks["pbx"], identity=identity)
    made.sites.current = replace(site, trunks={**site.trunks, "pbx": pbx})
    made.bind()
    return made


async def outgoing(directory: Path, browser: Household, trunk: Household, *, refused: bool = False) -> Play:
    """Alice calls, the trunk rings, answers, puts on hold; then she hangs up. Or the trunk refuses."""
    play = Play(office(directory), browser, trunk)
    offer = from_browser(browser, vector("chromium_offer"))
    await play.says("browser", play.begins("browser", "sip:600@example.test", "<sip:alice@example.test>", offer))
    invite = play.last("trunk", "INVITE")
    await play.says("trunk", play.answers("trunk", invite, 180))
    if refused:
        await play.says("trunk", play.answers("trunk", invite, 486))
        return play
    sdp = from_trunk(trunk, sdes_answer(body_of(invite)))
    await play.says("trunk", play.answers("trunk", invite, 200, sdp))
    ok = play.last("browser", "SIP/2.0 200")
    await play.says("browser", play.inside("browser", "ACK", ok, 1))
    hold = sdp.replace(b"a=sendrecv", b"a=sendonly")
    await play.says("trunk", play.inside("trunk", "INVITE", invite, 7, hold))
    await play.says("browser", play.inside("browser", "BYE", ok, 2))
    return play


async def incoming(directory: Path, browser: Household, trunk: Household, *, refused: bool = False) -> Play:
    """The trunk calls alice, whose browser rings, answers and hangs up. Or declines."""
    play = Play(office(directory), browser, trunk)
    offer = from_trunk(trunk, answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40))
    await play.says("trunk", play.begins("trunk", "sip:100@gw", "<sip:4711@pbx.example>", offer))
    invite = play.last("browser", "INVITE")
    await play.says("browser", play.answers("browser", invite, 180))
    if refused:
        await play.says("browser", play.answers("browser", invite, 603))
        return play
    await play.says(
        "browser", play.answers("browser", invite, 200, from_browser(browser, browser_answer(body_of(invite))))
    )
    ok = play.last("trunk", "SIP/2.0 200")
    await play.says("trunk", play.inside("trunk", "ACK", ok, 1))
    await play.says("browser", play.inside("browser", "BYE", invite, 2))
    return play


CALLS = {"outgoing": outgoing, "incoming": incoming}


@pytest.mark.parametrize(
    ("side", "one", "other"),
    [("trunk", (ONE, QUIET), (OTHER, QUIET)), ("browser", (QUIET, ONE), (QUIET, OTHER))],
    ids=["trunk", "browser"],
)
@pytest.mark.parametrize("refused", [False, True], ids=["answered", "refused"])
@pytest.mark.parametrize("way", CALLS)
async def test_what_one_side_is_sent_does_not_depend_on_who_the_other_is(
    tmp_path: Path,
    way: str,
    refused: bool,
    side: str,
    one: tuple[Household, Household],
    other: tuple[Household, Household],
) -> None:
    first = await CALLS[way](tmp_path / "1", *one, refused=refused)
    second = await CALLS[way](tmp_path / "2", *other, refused=refused)
    assert first.sent[side] == second.sent[side]
    assert len(first.sent[side]) >= 2


@pytest.mark.parametrize("refused", [False, True], ids=["answered", "refused"])
@pytest.mark.parametrize("way", CALLS)
async def test_nothing_a_peer_wrote_is_found_on_the_other_side(tmp_path: Path, way: str, refused: bool) -> None:
    """The same by searching: hosts, addresses, names, keys, tags and branches."""
    play = await CALLS[way](tmp_path, ONE, OTHER, refused=refused)
    for side, foreign in (("trunk", ONE), ("browser", OTHER)):
        text = b"\n".join(play.sent[side]).lower()
        marks = (foreign.host, foreign.address, foreign.word, foreign.key, foreign.digit * 15)
        assert [mark for mark in marks if mark.lower().encode() in text] == []


@pytest.mark.parametrize("way", CALLS)
async def test_no_token_of_ours_stands_on_both_sides(tmp_path: Path, way: str) -> None:
    """Call-IDs, tags, branches, hop marks, session ids: who sees both sides cannot tell that they are one call."""
    play = await CALLS[way](tmp_path, ONE, OTHER)
    tokens = {
        side: set(re.findall(r"\b0\d{7,}\b|\bc-\w+", b"\n".join(sent).decode())) for side, sent in play.sent.items()
    }
    assert tokens["browser"]
    assert tokens["trunk"]
    assert tokens["browser"] & tokens["trunk"] == set()


async def test_no_product_names_itself(tmp_path: Path) -> None:
    play = await outgoing(tmp_path, ONE, OTHER)
    for message in (m for sent in play.sent.values() for m in sent):
        assert not {"User-Agent", "Server"} & set(_written(message))
