"""The event socket on loopback: who is let in, what is told in which order, who is cut (RFC 6455)."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import pytest
from aiohttp import web

from gateway.base.counters import Counter, Counters
from gateway.base.grades import Grade
from gateway.base.values import HostPort, LegId
from gateway.call.run.bulletin import Bulletin, Shown, Sounds
from gateway.call.run.listening import Listening
from gateway.net.events import MAX_MESSAGE, MAX_WAITING, RESYNCS, SUBPROTOCOL, Close, EventChannel, EventSockets
from gateway.policy.header import Report
from gateway.quality.leg import score
from gateway.quality.told import CallQuality, Side
from gateway.sip.flow import Flow
from gateway.site import ConnectionShares
from gateway.web.gate import Gate
from tests.net.harness import until
from tests.net.test_websocket import CLOSE, ORIGIN, PING, PONG, TEXT, Browser
from tests.quality.measures import after
from tests.sites import made_web

pytestmark = pytest.mark.asyncio

POLICY = 1008
ALICE, BOB = (Flow(number, "wss", HostPort("127.0.0.1", 1), HostPort("127.0.0.1", 2)) for number in (1, 2))


def shown(call: str = "c-1", *, seq: int = 1, grade: Grade = Grade.HOP_BY_HOP, scope: str = "to pbx") -> Shown:
    report = Report(
        grade=grade, worst=grade, scope=scope, browser="a", trunk="b", seq=seq, policy="strict/1", call_id=call
    )
    return Shown(report, f"sip-{call}", answered=True)


class Watched:
    """Event sockets behind a real HTTP server; who is on which connection is for the test to say."""

    def __init__(self, **patience: Any) -> None:
        self.counters, self.users = Counters(), {ALICE.id: "alice", BOB.id: "bob"}
        numbers = itertools.count()
        self.board = Bulletin()
        self.listening = Listening(
            lambda length: f"{next(numbers):0{length}}", lambda flow: self.users.get(flow.id), self.board
        )
        settings = made_web(address="127.0.0.1:0", origins=[ORIGIN])
        clock = asyncio.get_running_loop().time
        self.sockets = EventSockets(self.listening, lambda: settings, self.counters, clock, **patience)
        application = web.Application()
        application.router.add_get("/ws", self.sockets.handle)
        self._runner = web.AppRunner(application)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self._gate = Gate(self._runner.server, self.counters)
        self._gate.open(HostPort("127.0.0.1", 0))
        self.web = self._gate.local
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sockets.stop()
        await self._gate.close()
        await self._runner.cleanup()
        assert len(self.sockets) == 0

    @asynccontextmanager
    async def page(self, *, subprotocol: str = SUBPROTOCOL, **options: Any) -> AsyncIterator[Browser]:
        """A page that has opened the socket and said nothing."""
        browser = await Browser.open(self.web, subprotocol=subprotocol, **options)
        try:
            yield browser
        finally:
            await browser.close()

    @asynccontextmanager
    async def signed_in(self, flow: Flow = ALICE) -> AsyncIterator[tuple[Browser, dict[str, Any]]]:
        """A page that has shown its ticket, and the state it got."""
        async with self.page() as browser:
            browser.send(hello(self.listening.ticket(flow) or ""))
            yield browser, await told(browser)


def hello(ticket: object) -> bytes:
    return json.dumps({"v": 1, "type": "hello", "ticket": ticket}).encode()


async def told(browser: Browser) -> dict[str, Any]:
    opcode, payload = await browser.frame()
    assert opcode == TEXT, (opcode, payload)
    found = json.loads(payload)
    assert isinstance(found, dict)
    return found


async def closed(browser: Browser) -> tuple[int, str]:
    """Code and reason of the close frame, whatever is said before it."""
    while True:
        opcode, payload = await browser.frame()
        if opcode == CLOSE:
            return int.from_bytes(payload[:2], "big"), payload[2:].decode()


QUALITY = CallQuality((Side("browser", True, score(after(10, 0.3), None, "opus")),))
SOUNDS = Sounds("c-1", "sip-c-1", QUALITY)


async def test_how_a_call_sounds_is_told_as_it_turns_and_stands_in_the_whole_state() -> None:
    async with Watched() as gateway:
        gateway.board.show("alice", ("u1", LegId(1)), shown("c-1"))
        async with gateway.signed_in() as (browser, state):
            assert state["quality"] == []
            gateway.board.show_quality(("u1", LegId(1)), SOUNDS)
            message = await told(browser)
            assert (message["type"], message["seq"]) == ("call.quality", 2)
            assert message["call"] == SOUNDS.as_dict()
            assert (message["call"]["quality"], message["call"]["where"]) == ("bad", "browser")
        async with gateway.signed_in() as (_, state):
            assert state["quality"] == [SOUNDS.as_dict()]
        async with gateway.signed_in(BOB) as (_, state):
            assert state["quality"] == []


# --- the door


async def test_a_ticket_opens_it_and_brings_the_whole_state_of_its_user_and_nothing_of_others() -> None:
    async with Watched() as gateway:
        gateway.board.show("alice", ("u1", LegId(1)), shown("c-1"))
        gateway.board.show("bob", ("u1", LegId(2)), shown("c-2"))
        async with gateway.signed_in() as (_, state):
            assert (state["v"], state["type"], state["seq"]) == (1, "state", 1)
            assert [call["call_id"] for call in state["calls"]] == ["c-1"]
            assert state["calls"][0] == shown("c-1").as_dict()
        async with gateway.signed_in(BOB) as (_, state):
            assert [call["call_id"] for call in state["calls"]] == ["c-2"]


@pytest.mark.parametrize(
    "said",
    [
        hello(""),
        hello("0" * 32 + "x"),
        hello(None),
        hello(["0" * 32]),
        b"{}",
        b"[]",
        b"null",
        b"0",
        b"",
        b"\x00",
        b"[" * 400,
        b'{"v":1,"type":"resync"}',
        b'{"v":1,"type":"hello"}',
        b'{"v":1,"ticket":"00000000000000000000000000000000"}',
        b"REGISTER sip:pbx.example.com SIP/2.0\r\n\r\n",
    ],
)
async def test_whoever_shows_no_good_ticket_is_told_so_and_cut(said: bytes) -> None:
    async with Watched() as gateway:
        gateway.listening.ticket(ALICE)
        async with gateway.page() as browser:
            browser.send(said)
            assert await closed(browser) == (Close.TICKET, "no good ticket")
        assert gateway.counters[Counter.EVENTS_REFUSED] == 1


async def test_a_ticket_that_was_shown_opens_no_second_socket() -> None:
    async with Watched() as gateway:
        ticket = gateway.listening.ticket(ALICE) or ""
        async with gateway.page() as one, gateway.page() as other:
            one.send(hello(ticket))
            await told(one)
            other.send(hello(ticket))
            assert (await closed(other))[0] == Close.TICKET


async def test_the_state_brings_the_ticket_for_the_next_time() -> None:
    async with Watched() as gateway:
        async with gateway.signed_in() as (_, state):
            next_time = state["ticket"]
        async with gateway.page() as again:
            again.send(hello(next_time))
            assert (await told(again))["type"] == "state"


async def test_who_says_nothing_is_cut_in_time() -> None:
    async with Watched(hello_seconds=0.05) as gateway, gateway.page() as browser:
        assert await closed(browser) == (Close.TICKET, "no ticket in time")


@pytest.mark.parametrize("origin", [None, "null", "https://evil.test", f"{ORIGIN}.evil.test", f"{ORIGIN}/"])
async def test_no_other_origin_opens_it(origin: str | None) -> None:
    """Else any page the user visits could look on, had it a ticket (cross-site WebSocket hijacking)."""
    async with Watched() as gateway, gateway.page(origin=origin) as browser:
        assert browser.status == 403


@pytest.mark.parametrize("subprotocol", ["sip", "", "chat", "Call-Security"])
async def test_what_asks_for_another_subprotocol_is_refused(subprotocol: str) -> None:
    async with Watched() as gateway, gateway.page(subprotocol=subprotocol) as browser:
        assert browser.status == 400


async def test_a_message_beyond_the_limit_ends_it() -> None:
    async with Watched() as gateway, gateway.page() as browser:
        browser.send(b"x" * (MAX_MESSAGE + 1))
        assert (await closed(browser))[0] in (1009, Close.TICKET)


async def test_a_user_has_so_many_and_strangers_make_room() -> None:
    async with Watched(connections=ConnectionShares(signed_in_per_user=1, strangers_per_source=1)) as gateway:
        async with gateway.signed_in(), gateway.page() as second:
            second.send(hello(gateway.listening.ticket(ALICE) or ""))
            assert (await closed(second))[0] == Close.TOO_MANY
        async with gateway.page() as oldest, gateway.page():
            assert (await closed(oldest))[0] == POLICY


# --- what is told


async def test_each_change_is_told_in_order_and_numbered() -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        gateway.board.show("alice", ("u1", LegId(1)), shown())
        gateway.board.show("alice", ("u1", LegId(1)), shown(seq=2, grade=Grade.CLEARTEXT))
        gateway.board.show("bob", ("u9", LegId(1)), shown("c-9"))
        gateway.board.take_down(("u1", LegId(1)))
        messages = [await told(browser) for _ in range(3)]
        assert [(m["seq"], m["type"]) for m in messages] == [
            (2, "call.security"),
            (3, "call.security"),
            (4, "call.ended"),
        ]
        assert messages[1]["call"]["grade"] == "CLEARTEXT"
        assert (messages[2]["call_id"], messages[2]["sip_call_id"]) == ("c-1", "sip-c-1")


async def test_who_missed_a_number_gets_the_whole_state_again_but_not_as_often_as_it_likes() -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        gateway.board.show("alice", ("u1", LegId(1)), shown())
        await told(browser)
        for number in range(int(RESYNCS.burst)):
            browser.send(b'{"v":1,"type":"resync"}')
            state = await told(browser)
            assert (state["type"], state["seq"], len(state["calls"])) == ("state", 3 + number, 1)
            assert "ticket" not in state
        browser.send(b'{"v":1,"type":"resync"}')
        assert (await closed(browser))[0] == POLICY


@pytest.mark.parametrize("said", [b"{}", b'{"v":1,"type":"hello","ticket":"x"}', b"OPTIONS sip:x SIP/2.0", b"[1]"])
async def test_what_is_no_request_of_ours_ends_it(said: bytes) -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        browser.send(said)
        assert (await closed(browser))[0] == POLICY


async def test_text_of_other_people_stays_text() -> None:
    """What a trunk or an administrator wrote is JSON, whatever is in it."""
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        gateway.board.show("alice", ("u1", LegId(1)), shown(scope='to "}]<script>\u2028é'))
        scope = (await told(browser))["call"]["scope"]
        assert "<script>" in scope
        assert '"' not in scope


async def test_a_page_is_asked_for_a_sign_of_life_and_cut_when_it_gives_none() -> None:
    async with Watched(ping_interval=0.05, pong_deadline=0.1) as gateway, gateway.signed_in() as (browser, _):
        opcode, payload = await browser.frame()
        assert opcode == PING
        browser.send(payload, PONG)
        assert (await browser.frame())[0] == PING
        await gateway_counts(gateway, Counter.WEBSOCKET_DEAD)


async def gateway_counts(gateway: Watched, counter: Counter) -> None:
    await until(lambda: gateway.counters[counter] == 1)


# --- authority that ends


async def test_the_end_of_the_sip_connection_ends_it_and_nothing_more_is_told() -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _), gateway.signed_in(BOB) as (other, _):
        del gateway.users[ALICE.id]
        gateway.listening.flow_closed(ALICE)
        gateway.board.show("alice", ("u1", LegId(1)), shown())
        assert (await browser.frame())[0] == CLOSE
        gateway.board.show("bob", ("u1", LegId(2)), shown())
        assert (await told(other))["type"] == "call.security"


@pytest.mark.parametrize("now", [None, "bob"])
async def test_a_proof_that_has_run_out_shows_nothing_more(now: str | None) -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        gateway.users.pop(ALICE.id)
        if now is not None:
            gateway.users[ALICE.id] = now
        gateway.board.show("alice", ("u1", LegId(1)), shown())
        opcode, payload = await browser.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, Close.SIGNED_OUT)


async def test_a_proof_that_has_run_out_is_noticed_in_silence_too() -> None:
    async with Watched(ping_interval=0.05) as gateway, gateway.signed_in() as (browser, _):
        gateway.users.pop(ALICE.id)
        assert (await closed(browser))[0] == Close.SIGNED_OUT


# --- back-pressure


async def test_a_page_that_does_not_read_is_cut_and_told_and_nobody_else_waits() -> None:
    async with Watched() as gateway, gateway.signed_in() as (slow, _), gateway.signed_in() as (quick, _):
        (channel, *_) = gateway.sockets._channels
        for number in range(MAX_WAITING + 1):  # nothing is written before this loop lets go
            channel.say("call.security", call=shown(seq=number).as_dict())
        assert not channel.is_open
        assert await closed(slow) == (Close.TOO_SLOW, "too slow")
        assert gateway.counters[Counter.EVENTS_CUT] == 1
        gateway.board.show("alice", ("u1", LegId(1)), shown())
        assert (await told(quick))["type"] == "call.security"


async def test_a_page_that_never_reads_again_holds_no_memory_and_is_gone_in_time() -> None:
    async with Watched() as gateway, gateway.signed_in() as (_, _):
        (channel,) = gateway.sockets._channels
        big = shown(scope="x" * 120).as_dict() | {"pad": "y" * 200_000}
        while channel.is_open:
            channel.say("call.security", call=big)
            await asyncio.sleep(0)
        assert gateway.counters[Counter.EVENTS_CUT] == 1
        assert len(channel._waiting) == 0
        await until(lambda: len(gateway.sockets) == 0)


async def test_a_closed_channel_says_nothing_and_closes_once() -> None:
    async with Watched() as gateway, gateway.signed_in() as (browser, _):
        (channel,) = gateway.sockets._channels
        assert isinstance(channel, EventChannel)
        channel.close(Close.SIGNED_OUT, "signed out")
        channel.close(Close.TOO_SLOW, "too slow")
        channel.say("state", calls=[])
        assert await closed(browser) == (Close.SIGNED_OUT, "signed out")
