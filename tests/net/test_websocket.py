"""SIP over WebSocket on loopback sockets, spoken frame by frame (RFC 6455, RFC 7118)."""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from aiohttp import web

from gateway.base.counters import Counter
from gateway.base.values import HostPort
from gateway.net.channel import MAX_WRITE_BUFFER, StreamLimits
from gateway.net.websocket import ALL_STRANGERS, MAX_MESSAGE, STRANGER_MESSAGES, SipWebSocket
from gateway.sip.message import Response, parse_message
from gateway.site import ConnectionShares
from gateway.web.gate import Gate
from tests.certificates import dns, make_certificate
from tests.net.harness import MALFORMED, PATIENCE, Gateway, options, until
from tests.sites import made_web

pytestmark = pytest.mark.asyncio

ORIGIN = "https://pbx.example.com"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x01\x02\x03\x04"


def browser_options(call_id: str = "c1", body: str = "") -> bytes:
    return options(call_id=call_id, transport="WS", via="df7jal23ls0d.invalid", body=body)


class Served(Gateway):
    """The endpoint with its WebSocket resource behind a real HTTP server."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, missing_origin: bool = False, **patience: Any) -> None:
        limits = patience.pop("limits", None)
        super().__init__(trunks={}, limits=limits)
        self._tls = tls
        self.gate: Gate | None = None
        settings = made_web(address="127.0.0.1:0", origins=[ORIGIN], allow_missing_origin=missing_origin)
        self.resource = SipWebSocket(self.endpoint, settings, self.counters, limits=limits, **patience)
        application = web.Application()
        application.router.add_get("/ws", self.resource.handle)
        self._runner = web.AppRunner(application)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._runner.setup()
        assert self._runner.server is not None
        self.gate = Gate(self._runner.server, self.counters, context=self._tls)
        self.gate.open(HostPort("127.0.0.1", 0))
        self.web = self.gate.local
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if self.gate is not None:
            await self.gate.close()
        await self._runner.cleanup()


class Browser:
    """A WebSocket client that sends just the octets a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status, self.head = 0, ""

    @classmethod
    async def open(
        cls,
        address: HostPort,
        *,
        origin: str | None = ORIGIN,
        subprotocol: str | None = "sip",
        extra: tuple[str, ...] = (),
        key: str = base64.b64encode(bytes(16)).decode(),
        **transport: Any,
    ) -> Self:
        browser = cls(*await asyncio.open_connection(address.host, address.port, **transport))
        lines = ["GET /ws HTTP/1.1", f"Host: {address}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *extra]
        lines += [f"Origin: {origin}"] if origin is not None else []
        lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol is not None else []
        browser.writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            browser.head = (await browser.reader.readuntil(b"\r\n\r\n")).decode()
        browser.status = int(browser.head.split(" ")[1])
        return browser

    def send(self, payload: bytes, opcode: int = TEXT, *, final: bool = True) -> None:
        length = len(payload)
        if length < 126:
            size = bytes([0x80 | length])
        elif length <= 0xFFFF:
            size = bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            size = bytes([0x80 | 127]) + struct.pack(">Q", length)
        masked = bytes(octet ^ MASK[i % 4] for i, octet in enumerate(payload))
        self.writer.write(bytes([opcode | (0x80 if final else 0)]) + size + MASK + masked)

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(length)

    async def response(self) -> Response:
        opcode, payload = await self.frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        message = parse_message(payload, stream=False)
        assert isinstance(message, Response)
        return message

    async def closed_with(self) -> int:
        """The code of the close frame that comes next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2], "big")

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return


# --- the handshake -----------------------------------------------------------------------------------------------


async def test_an_allowed_origin_with_the_sip_subprotocol_is_let_in() -> None:
    async with Served() as gateway:
        browser = await Browser.open(
            gateway.web, subprotocol="chat, sip", extra=("Sec-WebSocket-Extensions: permessage-deflate",)
        )
        assert browser.status == 101
        assert "Sec-WebSocket-Protocol: sip\r\n" in browser.head
        assert "Extensions" not in browser.head
        await browser.close()


@pytest.mark.parametrize("subprotocol", [None, "", "chat", "SIP", "sipx", "xmpp, mqtt"])
async def test_without_the_sip_subprotocol_there_is_no_upgrade(subprotocol: str | None) -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web, subprotocol=subprotocol)
        assert browser.status == 400
        assert gateway.counters[Counter.WEBSOCKET_REFUSED] == 1
        assert not gateway.endpoint._channels
        await browser.close()


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://pbx.example.com",
        "https://pbx.example.com:8443",
        "https://pbx.example.com.evil.example",
        "https://PBX.example.com",
        "https://pbx.example.com/",
        "null",
        "",
        None,
    ],
)
async def test_any_other_origin_is_forbidden(origin: str | None) -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web, origin=origin)
        assert browser.status == 403
        assert gateway.counters[Counter.WEBSOCKET_REFUSED] == 1
        await browser.close()


async def test_two_origins_are_one_too_many() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web, extra=(f"Origin: {ORIGIN}",))
        assert browser.status == 403
        await browser.close()


async def test_a_missing_origin_is_let_in_only_when_configured_so() -> None:
    async with Served(missing_origin=True) as gateway:
        nobody = await Browser.open(gateway.web, origin=None)
        evil = await Browser.open(gateway.web, origin="https://evil.example")
        assert (nobody.status, evil.status) == (101, 403)
        await nobody.close()
        await evil.close()


@pytest.mark.parametrize("key", ["", "AAAA", "!!!", base64.b64encode(bytes(17)).decode(), "é"])
async def test_a_broken_handshake_is_refused_and_frees_its_place(key: str) -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web, key=key)
        assert browser.status == 400
        good = await Browser.open(gateway.web)
        assert good.status == 101
        assert gateway.resource.shares.strangers == 1
        await browser.close()
        await good.close()


async def test_plain_websocket_is_for_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Served() as gateway:
        far = HostPort("192.0.2.7", 4711)
        monkeypatch.setattr("gateway.net.opening.address_of", lambda _transport, _which: far)
        browser = await Browser.open(gateway.web)
        assert browser.status == 403
        await browser.close()


async def test_a_secure_websocket_is_a_secure_flow(tmp_path: Path) -> None:
    certificate, key = make_certificate(alternative_names=dns("gw.example")).write(tmp_path, "web")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    async with Served(tls=server) as gateway:
        browser = await Browser.open(gateway.web, ssl=client)
        browser.send(browser_options())
        assert (await browser.response()).status == 200
        flow = gateway.requests[0].flow
        assert (flow.transport, flow.trunk, flow.local) == ("wss", None, gateway.web)
        assert flow.tls is not None
        assert flow.tls.version == "TLSv1.3"
        assert not flow.tls.verified  # the browser verified us, not we it
        await browser.close()
        await until(lambda: gateway.closed)


# --- messages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
async def test_a_message_may_be_text_or_binary_and_is_answered_on_its_flow(opcode: int) -> None:
    async with Served() as gateway:
        browser, other = await Browser.open(gateway.web), await Browser.open(gateway.web)
        browser.send(browser_options(), opcode)
        assert (await browser.response()).call_id == "c1"
        other.send(browser_options("c2"), opcode)
        assert (await other.response()).call_id == "c2"
        first, second = (event.flow for event in gateway.requests)
        assert first != second
        assert (first.transport, first.trunk, first.local) == ("ws", None, gateway.web)
        await browser.close()
        await other.close()


async def test_octets_that_are_no_utf_8_pass_in_binary_both_ways() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        latin = browser_options().replace(b"From: <", b'From: "J\xfcrgen" <')
        browser.send(latin, BINARY)
        opcode, payload = await browser.frame()
        assert opcode == BINARY
        assert b'"J\xfcrgen"' in payload
        await browser.close()


async def test_content_length_may_be_left_out() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options().replace(b"Content-Length: 0\r\n", b""))
        assert (await browser.response()).status == 200
        await browser.close()


async def test_a_message_in_fragments_is_one_message() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        request = browser_options(body="x" * 1000)
        browser.send(request[:10], TEXT, final=False)
        browser.send(request[10:500], CONTINUATION, final=False)
        browser.send(b"between", PING)
        browser.send(request[500:], CONTINUATION)
        assert await browser.frame() == (PONG, b"between")
        assert (await browser.response()).status == 200
        await browser.close()


async def test_only_the_first_of_two_messages_in_a_frame_counts() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options("first") + browser_options("second"))
        browser.send(browser_options("third"))
        assert [(await browser.response()).call_id for _ in range(2)] == ["first", "third"]
        await browser.close()


async def test_a_malformed_request_is_answered_and_counted_and_the_flow_stays() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(MALFORMED)
        assert (await browser.response()).status == 400
        browser.send(b'{"not": "sip"}')
        browser.send(browser_options())
        assert (await browser.response()).status == 200
        assert gateway.counters[Counter.SIP_MALFORMED] == 2
        await browser.close()


async def test_a_message_of_64_kb_passes_and_a_larger_one_ends_the_connection() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        room = MAX_MESSAGE - len(browser_options(body="x" * 10_000)) + 10_000
        browser.send(browser_options(body="x" * room))
        assert (await browser.response()).status == 200
        browser.send(b"x" * (MAX_MESSAGE + 1))
        assert await browser.closed_with() == 1009
        await until(lambda: gateway.closed)
        assert gateway.counters[Counter.SIP_OVERSIZE] == 1
        await browser.close()


async def test_fragments_do_not_get_around_the_size_limit() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        for number in range(5):
            browser.send(b"x" * (MAX_MESSAGE // 4), TEXT if number == 0 else CONTINUATION, final=False)
        assert await browser.closed_with() == 1009
        await browser.close()


async def test_text_that_is_no_utf_8_ends_the_connection() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options().replace(b"From: <", b'From: "\xff" <'))
        assert await browser.closed_with() == 1007
        assert gateway.counters[Counter.SIP_MALFORMED] == 1
        await browser.close()


@pytest.mark.parametrize("raw", [b"\xf1\x80", b"\x83\x80" + MASK, b"\x81\x05hello", b"\x89\xfe\x00\x80" + MASK])
async def test_frames_that_break_the_protocol_end_the_connection(raw: bytes) -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.writer.write(raw + bytes(200))
        async with asyncio.timeout(PATIENCE):
            await browser.reader.read()
        await until(lambda: gateway.closed)
        await browser.close()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_keepalive_of_line_ends_is_answered_by_one(opcode: int) -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(b"\r\n", opcode)
        browser.send(b"\r\n\r\n", opcode)
        assert await browser.frame() == (TEXT, b"\r\n")
        browser.send(b"", opcode)
        browser.send(browser_options(), opcode)
        assert (await browser.response()).status == 200
        assert gateway.counters[Counter.SIP_MALFORMED] == 0
        await browser.close()


# --- liveness and the end ----------------------------------------------------------------------------------------


QUICK = StreamLimits(message=0.2, first_browser_message=0.2, signed_in=0.5)


async def test_a_stranger_that_says_nothing_is_closed_in_time_with_a_code() -> None:
    async with Served(limits=QUICK) as gateway:
        browser = await Browser.open(gateway.web)
        assert await browser.closed_with() == 1008
        await gateway.until_counted(Counter.CONNECTION_TIMEOUT)
        await browser.close()
        await until(lambda: gateway.closed)


async def test_a_stranger_that_talks_but_does_not_sign_in_is_closed_in_time_with_a_code() -> None:
    async with Served(limits=QUICK) as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options())
        assert (await browser.response()).status == 200
        assert await browser.closed_with() == 1008
        assert gateway.counters[Counter.WEBSOCKET_NOT_SIGNED_IN] == 1
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 0
        await browser.close()


async def test_a_stranger_that_does_not_answer_the_close_is_cut() -> None:
    async with Served(limits=QUICK) as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(b"half", final=False)
        assert await browser.closed_with() == 1008
        async with asyncio.timeout(PATIENCE):
            await browser.reader.read()  # to the end, though we never closed
        await until(lambda: gateway.closed)
        await browser.close()


async def test_who_signed_in_stays_however_long_it_is_silent() -> None:
    async with Served(limits=QUICK) as gateway:
        browser, other = await Browser.open(gateway.web), await Browser.open(gateway.web)
        browser.send(browser_options())
        await browser.response()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        assert await other.closed_with() == 1008
        browser.send(browser_options("later"))
        assert (await browser.response()).status == 200
        for each in (browser, other):
            await each.close()


@pytest.mark.parametrize("alive", [b"", b"still here"])
async def test_a_message_begun_has_to_end_in_time_whatever_comes_between(alive: bytes) -> None:
    """Also of who is signed in, and while its pongs show life."""
    async with Served(limits=QUICK, ping_interval=0.05) as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options())
        await browser.response()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        browser.send(browser_options("begun")[:20], final=False)
        opcode, payload = PING, b""
        while opcode == PING:
            browser.send(payload or alive, PONG)
            opcode, payload = await browser.frame()
        assert (opcode, payload[:2]) == (CLOSE, (1008).to_bytes(2, "big"))
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 1
        await browser.close()


async def test_half_a_frame_has_to_end_in_time_though_octets_drip_in() -> None:
    async with Served(limits=QUICK) as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options())
        await browser.response()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        browser.writer.write(b"\x81\xff" + (50_000).to_bytes(8, "big") + MASK)
        begun = asyncio.get_running_loop().time()
        while not gateway.counters[Counter.CONNECTION_TIMEOUT]:
            browser.writer.write(b"x")
            await asyncio.sleep(0.01)  # dripping is the attack
            assert asyncio.get_running_loop().time() - begun < PATIENCE
        assert await browser.closed_with() == 1008
        await browser.close()


async def test_the_limits_come_in_an_order_in_which_each_can_be_reached() -> None:
    limits = StreamLimits()
    assert limits.handshake < limits.first_browser_message < limits.signed_in
    assert limits.message < limits.signed_in


# --- shares and turns --------------------------------------------------------------------------------------------


async def test_the_oldest_stranger_of_an_address_makes_room_for_a_newcomer() -> None:
    async with Served(connections=ConnectionShares(strangers_per_source=4)) as gateway:
        browsers = [await Browser.open(gateway.web) for _ in range(6)]
        assert [await browser.closed_with() for browser in browsers[:2]] == [1008, 1008]
        assert gateway.counters[Counter.WEBSOCKET_EVICTED] == 2
        browsers[5].send(browser_options())
        assert (await browsers[5].response()).status == 200
        for browser in browsers:
            await browser.close()
        await until(lambda: gateway.resource.shares.strangers == 0)


async def test_strangers_never_make_who_is_signed_in_give_way() -> None:
    async with Served(connections=ConnectionShares(strangers_per_source=4)) as gateway:
        user = await Browser.open(gateway.web)
        user.send(browser_options())
        await user.response()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        strangers = [await Browser.open(gateway.web) for _ in range(20)]
        user.send(browser_options("later"))
        assert (await user.response()).status == 200
        for browser in (user, *strangers):
            await browser.close()
        await until(lambda: gateway.resource.shares.signed_in == 0)


@pytest.mark.parametrize(
    "limits", [{"signed_in": 2}, {"signed_in_per_source": 2}, {"signed_in_per_user": 2}], ids=lambda d: next(iter(d))
)
async def test_each_share_of_users_has_its_limit_and_each_end_makes_room(limits: dict[str, int]) -> None:
    async with Served(connections=ConnectionShares(**limits)) as gateway:
        browsers = [await Browser.open(gateway.web) for _ in range(3)]
        for number, browser in enumerate(browsers):
            browser.send(browser_options(f"c{number}"))
            await browser.response()
        flows = [event.flow for event in gateway.requests]
        assert [gateway.endpoint.signed_in(flow, "alice") for flow in flows] == [True, True, False]
        await browsers[0].close()
        await until(lambda: gateway.resource.shares.signed_in == 1)
        assert gateway.endpoint.signed_in(flows[2], "alice")
        for browser in browsers[1:]:
            await browser.close()


async def test_a_stranger_is_read_no_faster_than_its_rate_and_nothing_is_lost() -> None:
    count = STRANGER_MESSAGES.burst + 10
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        began = asyncio.get_running_loop().time()
        for number in range(count):
            browser.send(browser_options(f"c{number}"))
        assert [(await browser.response()).call_id for _ in range(count)] == [f"c{n}" for n in range(count)]
        assert asyncio.get_running_loop().time() - began >= 9 / STRANGER_MESSAGES.per_second
        await browser.close()


async def test_who_is_signed_in_is_read_faster_than_a_stranger() -> None:
    count = STRANGER_MESSAGES.burst * 5
    async with Served() as gateway:
        browser, clock = await Browser.open(gateway.web), asyncio.get_running_loop().time
        browser.send(browser_options())
        await browser.response()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        began = clock()
        for number in range(count):
            browser.send(browser_options(f"c{number}"))
        for _ in range(count):
            await browser.response()
        assert clock() - began < (count - STRANGER_MESSAGES.burst) / STRANGER_MESSAGES.per_second
        await browser.close()


async def test_messages_of_others_come_in_between_those_of_one_that_sent_many() -> None:
    async with Served() as gateway:
        busy, other = await Browser.open(gateway.web), await Browser.open(gateway.web)
        for number in range(STRANGER_MESSAGES.burst):
            busy.send(browser_options(f"busy-{number}"))
        other.send(browser_options("other"))
        await other.response()
        order = [event.request.call_id for event in gateway.requests]
        assert order.index("other") < STRANGER_MESSAGES.burst - 1
        for _ in range(STRANGER_MESSAGES.burst):
            await busy.response()
        await busy.close()
        await other.close()


async def test_all_strangers_together_leave_most_of_the_loop_to_users() -> None:
    assert ALL_STRANGERS.per_second <= 500


async def test_a_silent_browser_is_asked_and_cut_when_it_gives_no_sign() -> None:
    async with Served(ping_interval=0.05, pong_deadline=0.05) as gateway:
        browser = await Browser.open(gateway.web)
        assert (await browser.frame())[0] == PING
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await browser.frame()
        assert gateway.counters[Counter.WEBSOCKET_DEAD] == 1
        assert len(gateway.closed) == 1
        await browser.close()


async def test_a_browser_that_pongs_stays() -> None:
    async with Served(ping_interval=0.02, pong_deadline=2.0) as gateway:
        browser = await Browser.open(gateway.web)
        for _ in range(3):
            opcode, payload = await browser.frame()
            assert opcode == PING
            browser.send(payload, PONG)
        assert gateway.counters[Counter.WEBSOCKET_DEAD] == 0
        assert not gateway.closed
        await browser.close()


async def test_a_browser_that_closes_is_answered_and_its_flow_is_told_once() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options())
        await browser.response()
        browser.send((1000).to_bytes(2, "big"), CLOSE)
        assert await browser.closed_with() == 1000
        await until(lambda: gateway.closed)
        assert gateway.closed == [gateway.requests[0].flow]
        await browser.close()
        assert len(gateway.closed) == 1


async def test_a_lost_connection_frees_the_flow() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(browser_options())
        await browser.response()
        browser.writer.transport.abort()
        await until(lambda: gateway.closed)
        assert not gateway.endpoint._channels


async def test_a_browser_that_does_not_read_is_cut_at_the_high_water_mark() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web, limit=1024)
        browser.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (channel,) = gateway.endpoint._channels
        for _ in range(200):
            channel.send(b"x" * (MAX_WRITE_BUFFER // 4))
            await asyncio.sleep(0)
        await until(lambda: gateway.closed)
        await browser.close()


async def test_a_browser_that_reads_may_get_any_amount() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        (channel,) = gateway.endpoint._channels
        for _ in range(8):
            channel.send(b"x" * (MAX_WRITE_BUFFER // 4))
            assert len((await browser.frame())[1]) == MAX_WRITE_BUFFER // 4
        assert not gateway.closed
        await browser.close()


async def test_a_failing_listener_of_events_ends_the_flow_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Served() as gateway:
        bad, good = await Browser.open(gateway.web), await Browser.open(gateway.web)
        with monkeypatch.context() as patched:
            patched.setattr("tests.net.harness.create_response", None)
            bad.send(browser_options("bad"))
            await until(lambda: gateway.closed)
        good.send(browser_options("good"))
        assert (await good.response()).status == 200
        await bad.close()
        await good.close()


async def test_stop_closes_every_websocket() -> None:
    tasks = asyncio.all_tasks()
    async with Served() as gateway:
        browsers = [await Browser.open(gateway.web) for _ in range(3)]
    assert len(gateway.closed) == 3
    for browser in browsers:
        assert await browser.closed_with() == 1001
        await browser.close()
    await until(lambda: asyncio.all_tasks() == tasks)


async def test_a_server_that_stops_first_frees_the_flows_too() -> None:
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        gateway._runner._shutdown_timeout = 0.05
        await gateway._runner.cleanup()
        assert len(gateway.closed) == 1
        assert not gateway.endpoint._channels
        await browser.close()
