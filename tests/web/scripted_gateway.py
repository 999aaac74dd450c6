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
    """One call of the page, either way, and the responses and requests a test sends about it."""

    def __init__(self, gateway: ScriptedGateway, invite: SipText, *, incoming: bool = False) -> None:
        self.gateway, self.invite, self.ended = gateway, invite, asyncio.Event()
        self.incoming = incoming
        self._number = 100

    @property
    def call_id(self) -> str:
        return self.invite.get("Call-ID")

    async def respond(self, status: int, reason: str, *headers: Header, sdp: str = "") -> None:
        await self.gateway.send(respond(self.invite, status, reason, *headers, sdp=sdp))

    async def bye(self, *headers: Header) -> None:
        self._number += 1
        await self.inside("BYE", self._number, *headers)

    async def cancel(self, *headers: Header) -> None:
        """Takes a call to the page back before it was answered."""
        fields = [self.invite.all(name)[0] for name in ("Via", "Max-Forwards", "From", "To", "Call-ID")]
        lines = [*fields, ("CSeq", "1 CANCEL"), *headers]
        await self.gateway.send(SipText(self.invite.start.replace("INVITE", "CANCEL", 1), lines))

    async def answered(self) -> SipText:
        """The page's 200 to a call to it, acknowledged."""
        await self.gateway.wait_until(lambda: self._answer() is not None)
        answer = self._answer()
        assert answer is not None
        await self.inside("ACK", 1)
        return answer

    def _answer(self) -> SipText | None:
        answers = self.gateway.received("SIP/2.0 200", self.call_id)
        return next((answer for answer in answers if answer.get("CSeq") == "1 INVITE"), None)

    async def inside(self, method: str, number: int, *headers: Header, body: str = "", kind: str = "") -> None:
        """A request inside the call."""
        lines = [
            ("Via", f"SIP/2.0/WS gateway.invalid;branch=z9hG4bK{self.call_id}{method.lower()}{number}"),
            ("Max-Forwards", "70"),
            *self._sides(),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<{GATEWAY}>"),
            *headers,
            *([("Content-Type", kind)] if kind else []),
        ]
        await self.gateway.send(SipText(f"{method} {self._target()} SIP/2.0", lines, body))

    def _sides(self) -> list[Header]:
        if not self.incoming:
            return [("From", self.invite.get("To") + ";tag=gw"), ("To", self.invite.get("From"))]
        answer = self._answer()
        assert answer is not None, "the page has not answered this call"
        return [("From", self.invite.get("From")), ("To", answer.get("To"))]

    def _target(self) -> str:
        contact = self._answer() if self.incoming else self.invite
        assert contact is not None
        return contact.get("Contact").strip("<").partition(">")[0]

    async def refer(self) -> SipText:
        """The last REFER of the page in this call."""
        await self.gateway.wait_until(lambda: bool(self.gateway.received("REFER", self.call_id)))
        return self.gateway.received("REFER", self.call_id)[-1]

    async def notify(
        self, refer: SipText, status_line: str, *headers: Header, state: str = "active;expires=60"
    ) -> None:
        """How the call a REFER asked for goes (RFC 3515 2.4.4)."""
        self._number += 1
        event = ("Event", f"refer;id={refer.get('CSeq').partition(' ')[0]}")
        fields = (event, ("Subscription-State", state), *headers)
        await self.inside(
            "NOTIFY", self._number, *fields, body=status_line + "\r\n", kind="message/sipfrag;version=2.0"
        )


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
        self.change: Script | None = None
        """What answers a re-INVITE; `script` without it."""
        self.refer_status: tuple[int, str, *tuple[Header, ...]] = (202, "Accepted")
        self.info_status = (200, "OK")
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

    def received(self, start: str, call_id: str) -> list[SipText]:
        """What the page has sent in a call and starts like this."""
        return [m for m in self.requests if m.start.startswith(start) and m.get("Call-ID") == call_id]

    async def invite(
        self,
        sdp: str,
        *headers: Header,
        caller: str = '"Carol" <sip:carol@example.com>',
        call_id: str = "incoming",
    ) -> ScriptedCall:
        """Calls the page."""
        register = next(r for r in self.requests if r.method == "REGISTER")
        target = register.get("Contact").strip("<").partition(">")[0]
        lines = [
            ("Via", f"SIP/2.0/WS gateway.invalid;branch=z9hG4bK{call_id}invite"),
            ("Max-Forwards", "70"),
            ("From", caller + ";tag=carol"),
            ("To", "<sip:alice@example.com>"),
            ("Call-ID", call_id),
            ("CSeq", "1 INVITE"),
            ("Contact", f"<{GATEWAY}>"),
            ("Content-Type", "application/sdp"),
            *headers,
        ]
        call = self._calls[call_id] = ScriptedCall(self, SipText(f"INVITE {target} SIP/2.0", lines, sdp), incoming=True)
        await self.send(call.invite)
        return call

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
        elif message.method == "REFER":
            await self.send(respond(message, *self.refer_status))
        elif message.method == "INFO":
            await self.send(respond(message, *self.info_status))

    def _start(self, invite: SipText) -> None:
        again = ";tag=" in invite.get("To")
        script = self.change if again and self.change is not None else self.script
        if script is None:
            return
        call = ScriptedCall(self, invite)
        if not again:
            self._calls[call.call_id] = call
        task = asyncio.get_running_loop().create_task(self._run(script, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, script: Script, call: ScriptedCall) -> None:
        await script(call)
