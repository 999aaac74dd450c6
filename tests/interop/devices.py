"""Messages as odd devices and carriers write them, and a trunk that sends them over UDP as they are.

A message is a text. What ties it to one call (branch, Call-ID, CSeq, tags, the trunk's port) is put in as it is sent.
"""

from __future__ import annotations

import asyncio
import re
import secrets

from gateway.base.errors import SipError
from gateway.sip.message import Message, Request, Response, parse_message, salvage_response

HOST = "127.0.2.1"
PORT_IN_TEXTS = ":19010"
"""Stands for the trunk's port."""
PATIENCE = 5.0
SDP = (
    "v=0\r\no=- 7 7 IN IP4 127.0.2.1\r\ns=-\r\nc=IN IP4 127.0.2.1\r\nt=0 0\r\n"
    "m=audio 52000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
)
BETWEEN = re.compile(r"---\r?\n")
"""Stands between messages that belong to one another."""
_BRANCH = re.compile(r"branch=[^;\r\n]*")
_SENT_BY = re.compile(r"(?im)^(v(?:ia)?[ \t]*:[ \t]*SIP/2\.0/UDP )[^;\r\n]*")


class OddTrunk(asyncio.DatagramProtocol):
    """A UDP socket in the trunk's network; keeps what the gateway sends, and sends whatever a test wants."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[Message] = asyncio.Queue()
        self.kept: list[Message] = []
        self.port = 0
        self.gateway = ("127.0.0.1", 0)

    @classmethod
    async def open(cls, port: int, gateway: tuple[str, int]) -> OddTrunk:
        _, trunk = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=(HOST, port))
        trunk.port, trunk.gateway = port, gateway
        return trunk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message: Message | None = parse_message(data, stream=False)
        except SipError as error:
            message = _as_far_as_readable(data, error)  # a refusal repeats what was malformed
        if message is None:
            return
        self.kept.append(message)
        self.seen.put_nowait(message)

    def close(self) -> None:
        self._transport.close()

    def send(self, data: bytes) -> None:
        self._transport.sendto(data, self.gateway)  # type: ignore[attr-defined]

    async def request(self, method: str) -> Request:
        """The next request of that method; others that come before are answered 200 and passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.seen.get()
                if isinstance(message, Request):
                    if message.method not in ("ACK", "INVITE"):
                        self.send(plain_answer(message))
                    if message.method == method:
                        return message

    async def response(self, call_id: str) -> Response:
        """The final response to an INVITE of ours."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.seen.get()
                if isinstance(message, Response) and message.call_id == call_id and message.status >= 200:
                    return message
                if isinstance(message, Request) and message.method not in ("ACK", "INVITE"):
                    self.send(plain_answer(message))

    def answer(self, invite: Request, text: str) -> None:
        """Send a response as it is written, tied to this INVITE."""
        via = invite.via
        text = text.replace(PORT_IN_TEXTS, f":{self.port}")
        text = _SENT_BY.sub(rf"\g<1>{via.sent_by}", text, count=1)
        text = _BRANCH.sub(f"branch={via.branch}", text, count=1)
        for short, name, value in (
            ("f", "From", str(invite.headers.get("From"))),
            ("i", "Call-ID", invite.call_id),
            ("cseq", "CSeq", str(invite.cseq)),
        ):
            text = _put(text, rf"{name}|{short}", value)
        self.send(text.encode("utf-8", "surrogateescape"))

    def call(self, text: str) -> str:
        """Send an INVITE as it is written, as a call of its own; returns its Call-ID."""
        call_id = secrets.token_hex(8)
        text = text.replace(PORT_IN_TEXTS, f":{self.port}")
        text = _BRANCH.sub(f"branch=z9hG4bK{secrets.token_hex(8)}", text, count=1)
        text = re.sub(r"(?im)^Call-ID[ \t]*:[^\r\n]*", f"Call-ID: {call_id}", text, count=1)
        self.send(text.encode("utf-8", "surrogateescape"))
        return call_id

    def acknowledge(self, response: Response, method: str = "ACK") -> None:
        """End our side of a call: ACK, or BYE after it."""
        contact = response.contact
        uri = str(contact.uri) if contact is not None else "sip:gateway@127.0.0.1"
        number = response.cseq.number + (method == "BYE")
        lines = [
            f"{method} {uri} SIP/2.0",
            str("Via: " + _BRANCH.sub(f"branch=z9hG4bK{secrets.token_hex(8)}", str(response.headers.get("Via"))))
            if response.status < 300
            else f"Via: {response.headers.get('Via')}",
            *(f"{name}: {response.headers.get(name)}" for name in ("From", "To", "Call-ID")),
            f"CSeq: {number} {method}",
            "Content-Length: 0",
        ]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))


def _put(text: str, names: str, value: str) -> str:
    """The text with another value in the first header field of these names."""
    found = re.search(rf"(?im)^({names})[ \t]*:[^\r\n]*", text)
    return text if found is None else f"{text[: found.start()]}{found[1]}: {value}{text[found.end() :]}"


def _as_far_as_readable(data: bytes, error: SipError) -> Message | None:
    found = salvage_response(data, error)
    call_id = re.search(rb"(?m)^Call-ID: (\S+)", data)
    if found is not None and call_id is not None:
        found = found.with_header("Call-ID", call_id[1].decode())
    return found


def plain_answer(request: Request) -> bytes:
    lines = ["SIP/2.0 200 OK"]
    lines += [f"{name}: {request.headers.get(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()


def message(start: str, *lines: str, body: str = SDP, length: int | None = None) -> str:
    """A text with its body and the length of it."""
    size = len(body.encode("utf-8", "surrogateescape")) if length is None else length
    return "\r\n".join([start, *lines, f"Content-Length: {size}", "", ""]) + body
