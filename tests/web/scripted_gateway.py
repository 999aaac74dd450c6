"""A gateway reduced to a script: answers a softphone's SIP over WebSocket just as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

Header = tuple[str, str]
REGINFO = "urn:ietf:params:xml:ns:reginfo"
GATEWAY = "sip:gateway@127.0.0.1;transport=ws"


@dataclass
class SipText:
    """A SIP message as a start line, headers and a body."""

    start: str
    headers: list[Header] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, text: str) -> SipText:
        head, _, body = text.partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = [line.partition(":") for line in lines]
        return cls(start, [(name.strip(), value.strip()) for name, _, value in pairs], body)

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def all(self, name: str) -> list[Header]:
        return [(key, value) for key, value in self.headers if key.lower() == name.lower()]

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    def __str__(self) -> str:
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(f"Content-Length: {len(self.body.encode())}")
        return "\r\n".join(lines) + "\r\n\r\n" + self.body


class ScriptedCall:
    """One INVITE of the page and the responses and requests a test sends about it."""

    def __init__(self, gateway: ScriptedGateway, invite: SipText) -> None:
        self.gateway, self.invite, self.ended = gateway, invite, asyncio.Event()

    async def respond(self, status: int, reason: str, *headers: Header, sdp: str = "") -> None:
        await self.gateway.send(respond(self.invite, status, reason, *headers, sdp=sdp))

    async def bye(self, *headers: Header) -> None:
        await self.inside("BYE", 1, *headers)

    async def inside(self, method: str, number: int, *headers: Header) -> None:
        """A request inside the call."""
        lines = [
            ("Via", f"SIP/2.0/WS gateway.invalid;branch=z9hG4bK{method.lower()}{number}"),
            ("Max-Forwards", "70"),
            ("From", self.invite.get("To") + ";tag=gw"),
            ("To", self.invite.get("From")),
            ("Call-ID", self.invite.get("Call-ID")),
            ("CSeq", f"{number} {method}"),
            *headers,
        ]
        target = self.invite.get("Contact").strip("<>").partition(">")[0]
        await self.gateway.send(SipText(f"{method} {target} SIP/2.0", lines))


def respond(request: SipText, status: int, reason: str, *headers: Header, sdp: str = "") -> SipText:
    to = request.get("To")
    response = SipText(f"SIP/2.0 {status} {reason}", request.all("Via") + request.all("From"))
    response.headers.append(("To", to if "tag=" in to or status == 100 else to + ";tag=gw"))
    response.headers += request.all("Call-ID") + request.all("CSeq") + [("Contact", f"<{GATEWAY}>"), *headers]
    if sdp:
        response.headers.append(("Content-Type", "application/sdp"))
        response.body = sdp
    return response


Script = Callable[[ScriptedCall], Awaitable[None]]


class ScriptedGateway:
    """Accepts every REGISTER (or refuses each) and runs `script` on every INVITE."""

    def __init__(self) -> None:
        self.register_status = (200, "OK")
        self.script: Script | None = None
        self.requests: list[SipText] = []
        self._arrived = asyncio.Event()
        self._socket: web.WebSocketResponse | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[str, ScriptedCall] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("sip",))
        await socket.prepare(request)
        self._socket = socket
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._receive(SipText.parse(message.data))
        return socket

    async def send(self, message: SipText) -> None:
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_str(str(message))

    async def wait_for(self, start: str) -> None:
        """Until the page has sent a message that starts like this."""
        await self.wait_until(lambda: any(message.start.startswith(start) for message in self.requests))

    async def wait_until(self, true: Callable[[], bool]) -> None:
        """Until what the page has sent makes it so; JsSIP waits two seconds before it connects again."""
        async with asyncio.timeout(8):
            while not true():
                self._arrived.clear()
                await self._arrived.wait()

    async def drop(self) -> None:
        """Closes the page's connection as a dying network would."""
        if self._socket is not None:
            await self._socket.close(code=1011)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def invite(self, sdp: str, *headers: Header, caller: str = '"Carol" <sip:carol@example.com>') -> None:
        """Calls the page."""
        register = next(r for r in self.requests if r.method == "REGISTER")
        target = register.get("Contact").strip("<").partition(">")[0]
        lines = [
            ("Via", "SIP/2.0/WS gateway.invalid;branch=z9hG4bKinvite"),
            ("Max-Forwards", "70"),
            ("From", caller + ";tag=carol"),
            ("To", "<sip:alice@example.com>"),
            ("Call-ID", "incoming"),
            ("CSeq", "1 INVITE"),
            ("Contact", f"<{GATEWAY}>"),
            ("Content-Type", "application/sdp"),
            *headers,
        ]
        await self.send(SipText(f"INVITE {target} SIP/2.0", lines, sdp))

    async def tell_where_calls_ring(self, *contacts: tuple[str, str, str], namespace: str = REGINFO) -> None:
        """A NOTIFY of the reg event: state, event and q of Contacts, the page's own one first."""
        register = next(r for r in reversed(self.requests) if r.method == "REGISTER")
        target = register.get("Contact").strip("<").partition(">")[0]
        uris = [target, *(f"sip:other{number}@x.invalid" for number in range(1, len(contacts)))]
        listed = "".join(
            f'<contact id="{number}" state="{state}" event="{event}" q="{q}"><uri>{uri}</uri></contact>'
            for number, (uri, (state, event, q)) in enumerate(zip(uris, contacts, strict=True))
        )
        lines = [
            ("Via", f"SIP/2.0/WS gateway.invalid;branch=z9hG4bKnotify{len(self.requests)}"),
            ("Max-Forwards", "70"),
            ("From", "<sip:alice@example.com>;tag=gw"),
            ("To", "<sip:alice@example.com>"),
            ("Call-ID", f"notify-{len(self.requests)}"),
            ("CSeq", "1 NOTIFY"),
            ("Contact", f"<{GATEWAY}>"),
            ("Event", "reg"),
            ("Subscription-State", "terminated"),
            ("Content-Type", "application/reginfo+xml"),
        ]
        body = f'<reginfo xmlns="{namespace}" version="0" state="full"><registration>{listed}</registration></reginfo>'
        await self.send(SipText(f"NOTIFY {target} SIP/2.0", lines, body))

    def registers(self) -> list[SipText]:
        return [message for message in self.requests if message.method == "REGISTER"]

    async def _receive(self, message: SipText) -> None:
        self.requests.append(message)
        self._arrived.set()
        if message.method == "REGISTER":
            bound = [("Contact", message.get("Contact"))] if ";expires=0" not in message.get("Contact") else []
            answer = respond(message, *self.register_status, *bound)
            answer.headers.remove(("Contact", f"<{GATEWAY}>"))  # here Contacts are bindings
            await self.send(answer)
        elif message.method == "INVITE":
            self._start(message)
        elif message.method in ("BYE", "CANCEL"):
            await self.send(respond(message, 200, "OK"))
            call = self._calls.get(message.get("Call-ID"))
            if call is not None:
                call.ended.set()
        elif message.method == "UPDATE":
            await self.send(respond(message, 200, "OK"))

    def _start(self, invite: SipText) -> None:
        if self.script is None:
            return
        call = self._calls[invite.get("Call-ID")] = ScriptedCall(self, invite)
        task = asyncio.get_running_loop().create_task(self._run(self.script, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, script: Script, call: ScriptedCall) -> None:
        await script(call)
