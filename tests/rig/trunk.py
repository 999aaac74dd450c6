"""A trunk that answers as the test says: for what no honest phone does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.demo.certificates import Pair
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Request, Response, create_response, parse_message

Answer = tuple[int, bytes]
"""Status and body."""
Script = Callable[[Request], Sequence[Answer]]


def description(host: str, *lines: str, proto: str = "RTP/AVP", port: int = 4002, direction: str = "sendrecv") -> bytes:
    """A PCMU phone's session description."""
    head = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {proto} 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        f"a={direction}",
    ]
    return ("\r\n".join([*head, *lines]) + "\r\n").encode()


@dataclass
class TrunkDialog:
    """A call the trunk makes."""

    call_id: str
    caller: str = "4930123"
    number: int = 1
    to_tag: str = ""


class FakeTrunk:
    """Listens on one address; INVITEs go to `script`, everything else is 200. Keeps every request it saw."""

    def __init__(
        self, host: str, port: int, script: Script, *, transport: str = "udp", pair: Pair | None = None
    ) -> None:
        self.host, self.port, self.script, self.transport = host, port, script, transport
        self.seen: list[Request] = []
        self.responses: list[Response] = []
        self.status = 200
        """What requests that are no INVITE are answered with."""
        self.more: tuple[tuple[str, str], ...] = ()
        """Further header fields of every answer."""
        self.registrar: Callable[[Request], Response] | None = None
        """Answers REGISTER; without one they are answered like everything else."""
        self.deaf = False
        """Swallows whatever comes: a PBX behind a firewall, or none at all."""
        self.look: Callable[[Request], None] = lambda _request: None
        """Called with each request as it arrives, before anything is answered, in the trunk's own thread."""
        self._ringing: dict[str, Request] = {}
        self._said: dict[str, Sequence[Answer]] = {}
        self._context: ssl.SSLContext | None = None
        if transport == "tls" and pair is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pair.certificate, pair.key)
        self._stop = threading.Event()
        self._sends: dict[int, Callable[[bytes], None]] = {}
        self._last: Callable[[bytes], None] | None = None
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.settimeout(0.1)
        self._threads: list[threading.Thread] = []

    def start(self) -> FakeTrunk:
        if self.transport != "udp":
            self._socket.listen(16)
        self._run(self._datagrams if self.transport == "udp" else self._accept)
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def methods(self) -> list[str]:
        return [request.method for request in self.seen]

    def send(self, data: bytes) -> None:
        """Something of our own on the connection the gateway opened last."""
        assert self._last is not None
        self._last(data)

    def request(
        self,
        method: str,
        number: str,
        gateway: tuple[str, int],
        call: TrunkDialog,
        body: bytes = b"",
        more: Sequence[str] = (),
    ) -> None:
        """Call in, cancel that, or say something in such a call, over UDP."""
        transaction = "INV" if method == "CANCEL" else method[:3]
        lines = [
            f"{method} sip:{number}@{gateway[0]}:{gateway[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{call.call_id}{call.number}{transaction};rport",
            "Max-Forwards: 70",
            f"From: <sip:{call.caller}@{self.host}>;tag=in{call.call_id}",
            f"To: <sip:{number}@{gateway[0]}>{call.to_tag}",
            f"Call-ID: {call.call_id}",
            f"CSeq: {call.number} {method}",
            f"Contact: <sip:trunk@{self.host}:{self.port}>",
            *more,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n").encode() + body, gateway)

    def answers(self, call: TrunkDialog) -> list[Response]:
        """What the gateway answered to the INVITE of such a call; notes its tag."""
        found = [r for r in self.responses if r.call_id == call.call_id and r.cseq.method == "INVITE"]
        for response in found:
            if response.to.tag:
                call.to_tag = f";tag={response.to.tag}"
        return found

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _datagrams(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                data, source = self._socket.recvfrom(65535)
                self._message(data, lambda out, to=source: self.datagram(out, to), stream=False)  # type: ignore[misc]

    def datagram(self, data: bytes, to: tuple[str, int]) -> None:
        """Anything at all, over UDP."""
        self._socket.sendto(data, to)

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                connection, _ = self._socket.accept()
                self._run(lambda c=connection: self._serve(c))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stream = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            stack.enter_context(stream)
            stream.settimeout(0.1)
            framer = StreamFramer()
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    data = stream.recv(65535)
                    if not data:
                        return
                    for message in framer.feed(data, 0.0):
                        self._message(message, stream.sendall, stream=True)

    def _message(self, data: bytes, send: Callable[[bytes], None], *, stream: bool) -> None:
        if self.deaf or not data.strip():
            return
        self._last = send
        message = parse_message(data, stream=stream)
        if isinstance(message, Response):
            self.responses.append(message)
            return
        self.look(message)
        self.seen.append(message)
        if message.method == "ACK":
            return
        if message.method == "REGISTER" and self.registrar is not None:
            send(bytes(self.registrar(message)))
            return
        answers = self._answers(message) if message.method == "INVITE" else [(self.status, b"")]
        for status, body in answers:
            send(bytes(self.answer(message, status, body)))
        if message.method == "INVITE" and all(status < 200 for status, _ in answers):
            self._ringing[message.call_id] = message
        if message.method == "CANCEL" and message.call_id in self._ringing:
            send(bytes(self.answer(self._ringing.pop(message.call_id), 487, b"")))

    def _answers(self, request: Request) -> Sequence[Answer]:
        """What the script says; an INVITE sent again hears what it heard before (RFC 3261 17.2.1)."""
        branch = request.vias[0].branch
        if not self._said.get(branch):
            self._said[branch] = self.script(request)
        return self._said[branch]

    def answer(self, request: Request, status: int, body: bytes) -> Response:
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return create_response(
            request,
            status,
            to_tag="" if status == 100 else "faketrunk",
            headers=(("Contact", f"<sip:trunk@{self.host}:{self.port}{suffix}>"), *self.more),
            body=body,
            content_type="application/sdp" if body else "",
        )
