"""A scripted browser: SIP over a secure WebSocket, and calls whose every part a test can bend."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp

from gateway.sip.message import Request, Response, create_response, parse_message
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import PASSWORD, REALM

WAIT_SECONDS = 5.0
VIA_HOST = "browser.invalid"
SDP = "application/sdp"


class ScriptedBrowser:
    """One signed-in user on one WebSocket."""

    def __init__(
        self, origin: str, user: str = "alice", password: str = PASSWORD, *, instance: str = "", name: str = ""
    ) -> None:
        self.origin, self.user, self.password = origin, user, password
        self.instance = instance
        """What `+sip.instance` says; "" for a library that gives none."""
        self.contact = f"<sip:{name or user}@{VIA_HOST};transport=ws>"
        self.token = ""
        """Sent with each REGISTER in place of a password."""
        self.incoming: asyncio.Queue[BrowserCall] = asyncio.Queue()
        self.calls: dict[str, BrowserCall] = {}
        self.authorizations: list[str] = []
        """Every Authorization header sent."""
        self._answers: dict[str, asyncio.Queue[Response]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._dead: list[tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse, asyncio.Task[None]]] = []
        """Connections nobody has noticed the end of."""

    async def open(self, *, query: str = "", headers: dict[str, str] | None = None) -> ScriptedBrowser:
        """Open the WebSocket, with that query and those HTTP headers."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        url = self.origin.replace("http", "ws", 1) + f"/ws{query}"
        self._socket = await self._session.ws_connect(url, protocols=["sip"], origin=self.origin, headers=headers)
        self._reader = asyncio.create_task(self._read())
        return self

    async def sign_in(self) -> ScriptedBrowser:
        """Open and register with digest (RFC 7616 3.4, MD5 as JsSIP does)."""
        await self.open()
        response = await self.register()
        assert response.status == 200, response.status
        return self

    async def register(self) -> Response:
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        aor = f"sip:{self.user}@{REALM}"
        device = f';reg-id=1;+sip.instance="<urn:uuid:{self.instance}>"' if self.instance else ""
        common = [("Contact", self.contact + device), ("Expires", "600")]
        if self.token:
            common.append(("Authorization", f"Bearer {self.token}"))
        response = await self.exchange("REGISTER", f"sip:{REALM}", call_id, 1, f"<{aor}>;tag={tag}", f"<{aor}>", common)
        if response.status != 401 or self.token or not self.password:
            return response
        challenges = response.headers.get_all("WWW-Authenticate")
        challenge = next((c for c in challenges if "MD5" in c), challenges[-1])
        self.authorizations.append(self._authorization(challenge))
        headers = [*common, ("Authorization", self.authorizations[-1])]
        return await self.exchange("REGISTER", f"sip:{REALM}", call_id, 2, f"<{aor}>;tag={tag}", f"<{aor}>", headers)

    def _authorization(self, challenge: str) -> str:
        nonce = challenge.split('nonce="')[1].split('"')[0]
        uri, count, client = f"sip:{REALM}", "00000001", secrets.token_hex(8)
        first = _md5(f"{self.user}:{REALM}:{self.password}")
        proof = _md5(f"{first}:{nonce}:{count}:{client}:auth:{_md5(f'REGISTER:{uri}')}")
        return (
            f'Digest username="{self.user}", realm="{REALM}", nonce="{nonce}", uri="{uri}", response="{proof}", '
            f'algorithm=MD5, qop=auth, nc={count}, cnonce="{client}"'
        )

    async def invite(self, number: str, media: BrowserMedia | None = None, **options: Any) -> BrowserCall:
        """Send an INVITE; `options` are those of the media."""
        call = BrowserCall(self, media or BrowserMedia(**options), secrets.token_hex(8))
        call.uri = f"sip:{number}@{REALM}"
        call.remote = f"<{call.uri}>"
        self.calls[call.call_id] = call
        await call.invite()
        return call

    async def dial(self, number: str, media: BrowserMedia | None = None, **options: Any) -> BrowserCall:
        """A call that is answered and keyed."""
        call = await self.invite(number, media, **options)
        response = await call.final()
        assert response.status == 200, (response.status, response.reason)
        await call.media.connected()
        return call

    async def exchange(
        self,
        method: str,
        uri: str,
        call_id: str,
        number: int,
        from_: str,
        to: str,
        headers: list[tuple[str, str]],
        body: bytes = b"",
    ) -> Response:
        """Send a request outside of the transaction rules and wait for its final response."""
        branch = await self.send(method, uri, call_id, number, from_, to, headers, body)
        return await self.final(branch)

    async def final(self, branch: str) -> Response:
        async with asyncio.timeout(WAIT_SECONDS):
            while (response := await self._answers[branch].get()).status < 200:
                pass
        return response

    async def provisional(self, branch: str, seconds: float = WAIT_SECONDS) -> Response:
        async with asyncio.timeout(seconds):
            return await self._answers[branch].get()

    async def send(
        self,
        method: str,
        uri: str,
        call_id: str,
        number: int,
        from_: str,
        to: str,
        headers: list[tuple[str, str]],
        body: bytes = b"",
        branch: str = "",
    ) -> str:
        """Put a request on the WebSocket; returns its branch."""
        branch = branch or "z9hG4bK" + secrets.token_hex(8)
        self._answers.setdefault(branch, asyncio.Queue())
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/WSS {VIA_HOST};branch={branch}",
            "Max-Forwards: 70",
            f"From: {from_}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            *(f"{name}: {value}" for name, value in headers),
            f"Content-Length: {len(body)}",
        ]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return branch

    async def write(self, data: bytes) -> None:
        assert self._socket is not None
        await self._socket.send_str(data.decode())

    async def _read(self) -> None:
        assert self._socket is not None
        async for frame in self._socket:
            data = frame.data if isinstance(frame.data, bytes) else str(frame.data).encode()
            message = parse_message(data, stream=False)
            if isinstance(message, Response):
                queue = self._answers.get(str(message.via.params.get("branch")))
                if queue is not None and message.cseq.method != "CANCEL":
                    queue.put_nowait(message)
            else:
                await self._request(message)

    async def _request(self, request: Request) -> None:
        call = self.calls.get(request.call_id)
        if call is None and request.method == "INVITE":
            call = BrowserCall(self, BrowserMedia(), request.call_id)
            self.calls[call.call_id] = call
            call.receive_invite(request)
            self.incoming.put_nowait(call)
        elif call is not None:
            await call.request_in(request)
        elif request.method != "ACK":
            await self.write(bytes(create_response(request, 481)))

    async def vanish(self) -> None:
        """Be gone without a close frame, as after a crash or in a tunnel."""
        await self.lose()
        await self.close()

    async def lose(self) -> None:
        """Lose the connection without a close frame; calls and their media are still there."""
        assert self._socket is not None
        self._socket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        await self._hang_up_line()

    async def come_back(self) -> ScriptedBrowser:
        """Open a new connection and register as the same device; the one before may still seem to be there."""
        if self._session is not None and self._socket is not None and self._reader is not None:
            self._dead.append((self._session, self._socket, self._reader))
        return await self.sign_in()

    async def close(self) -> None:
        """Sign off without a word, as a closed tab does."""
        for call in self.calls.values():
            call.media.close()
        await self._hang_up_line()

    async def _hang_up_line(self) -> None:
        for session, _, reader in self._dead:
            reader.cancel()
            await session.close()
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()


class BrowserCall:
    """One call of a scripted browser."""

    def __init__(self, browser: ScriptedBrowser, media: BrowserMedia, call_id: str) -> None:
        self.browser, self.media, self.call_id = browser, media, call_id
        self.tag = secrets.token_hex(4)
        self.local = f"<sip:{browser.user}@{REALM}>;tag={self.tag}"
        self.uri, self.remote = "", ""
        self.number = 1
        self.seen: list[Request] = []
        self.offer: Request | None = None
        self.ended: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        self._branch = ""
        self._contact = ("Contact", browser.contact)

    async def invite(self, more: Sequence[tuple[str, str]] = ()) -> None:
        headers = [self._contact, *more, ("Content-Type", SDP)]
        self._branch = await self._send("INVITE", headers, self.media.description())

    async def final(self) -> Response:
        """The final response of our INVITE, acknowledged; a 200 starts the media."""
        response = await self.browser.final(self._branch)
        self.remote = str(response.headers.get("To"))
        if response.status >= 300:
            await self._send("ACK", [], branch=self._branch)
            self.media.close()
            return response
        if response.contact is not None:
            self.uri = str(response.contact.uri)
        await self._send("ACK", [])
        if response.body:
            self.media.read(response.body)
        return response

    async def provisional(self, seconds: float = WAIT_SECONDS) -> Response:
        return await self.browser.provisional(self._branch, seconds)

    async def cancel(self) -> None:
        await self._send("CANCEL", [], branch=self._branch)

    def receive_invite(self, request: Request) -> None:
        self.offer, self.number = request, 0
        self.remote = str(request.headers.get("From"))
        self.local = f"{request.headers.get('To')};tag={self.tag}"
        if request.contact is not None:
            self.uri = str(request.contact.uri)

    async def accept(self, role: str = "active") -> None:
        """Answer the call we were offered, in that DTLS role."""
        assert self.offer is not None
        self.media.read(self.offer.body, role=role)
        await self._respond(self.offer, 200, self.media.description(setup=role))

    async def ring(self) -> None:
        """Say that it rings."""
        assert self.offer is not None
        await self._respond(self.offer, 180)

    async def refuse(self, status: int = 486) -> None:
        assert self.offer is not None
        await self._respond(self.offer, status)

    async def request(
        self,
        method: str,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        *,
        ack: bool = True,
        kind: str = SDP,
    ) -> Response:
        """Any request inside the dialog, and its final response; a 2xx to INVITE is acknowledged.

        Args:
            kind: type of the body.
        """
        self.number += 1
        extra = [self._contact, *headers, *([("Content-Type", kind)] if body else [])]
        branch = await self._send(method, extra, body)
        response = await self.browser.final(branch)
        if method == "INVITE" and ack:
            await self._send("ACK", [], branch="" if response.status < 300 else branch)
        return response

    async def hang_up(self) -> None:
        response = await self.request("BYE")
        assert response.status == 200, response.status
        self.media.close()

    async def request_in(self, request: Request) -> None:
        """What the gateway asks in the dialog: agreed to, and kept."""
        self.seen.append(request)
        if request.method in ("BYE", "CANCEL") and not self.ended.done():
            self.ended.set_result(request)
        if request.method == "INVITE":
            client = self.media.dtls is None or self.media.dtls.client
            await self._respond(request, 200, self.media.description(setup="active" if client else "passive"))
        elif request.method != "ACK":
            await self._respond(request, 200)
        if request.method == "CANCEL" and self.offer is not None:
            await self._respond(self.offer, 487)

    async def end(self, seconds: float = WAIT_SECONDS) -> Request:
        """Wait for the gateway's BYE or CANCEL."""
        async with asyncio.timeout(seconds):
            request = await asyncio.shield(self.ended)
        self.media.close()
        return request

    async def _send(self, method: str, headers: list[tuple[str, str]], body: bytes = b"", branch: str = "") -> str:
        return await self.browser.send(
            method, self.uri, self.call_id, self.number, self.local, self.remote, headers, body, branch
        )

    async def _respond(self, request: Request, status: int, body: bytes = b"") -> None:
        response = create_response(
            request, status, to_tag=self.tag, headers=(self._contact,), body=body, content_type=SDP if body else ""
        )
        with contextlib.suppress(ConnectionError):
            await self.browser.write(bytes(response))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
