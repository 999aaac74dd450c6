"""Connections an attacker makes: raw octets out, whole SIP messages in, over UDP, TCP, TLS and WebSocket."""

from __future__ import annotations

import base64
import contextlib
import secrets
import select
import socket
import ssl
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from gateway.sip.framing import PING, StreamFramer

Address = tuple[str, int]
RECEIVE = 65536
TEXT, BINARY, CLOSE, PINGED, PONGED = 1, 2, 8, 9, 10
BROWSER_HOST = "attacker.invalid"


class AttackWire(ABC):
    """One connection. `receive` gives a message, `b""` when the gateway closed, None when nothing came in time."""

    transport = ""
    via = ""
    """What stands in Via before the parameters."""

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def receive(self, seconds: float) -> bytes | None: ...

    @abstractmethod
    def close(self) -> None: ...


class UdpWire(AttackWire):
    """Datagrams from an address of our choice."""

    transport = "udp"

    def __init__(self, gateway: Address, source: str, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, port))
        self._socket.connect(gateway)
        self.via = f"SIP/2.0/UDP {source}:{self._socket.getsockname()[1]}"

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    def receive(self, seconds: float) -> bytes | None:
        self._socket.settimeout(max(seconds, 0.001))
        try:
            return self._socket.recv(RECEIVE)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def close(self) -> None:
        self._socket.close()


class StreamWire(AttackWire):
    """A TCP connection from an address of our choice, with TLS when given a context."""

    def __init__(self, gateway: Address, source: str, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(gateway, 5, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        self.transport = "tls" if context else "tcp"
        self.via = f"SIP/2.0/{self.transport.upper()} {source}:{self.socket.getsockname()[1]}"
        self._framer = StreamFramer()
        self._messages: list[bytes] = []

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # closed meanwhile: `receive` tells
            self.socket.sendall(data)

    def receive(self, seconds: float) -> bytes | None:
        end = time.monotonic() + seconds
        while not self._messages:
            data = receive_some(self.socket, end)
            if not data:
                return data
            self._messages = [m for m in self._framer.feed(data, 0.0) if m != PING]
        return self._messages.pop(0)

    def close(self) -> None:
        self.socket.close()


class WebSocketWire(AttackWire):
    """A WebSocket with the frames in our hand (RFC 6455)."""

    transport = "wss"
    via = f"SIP/2.0/WSS {BROWSER_HOST}"

    def __init__(
        self,
        gateway: Address,
        context: ssl.SSLContext | None,
        origin: str,
        source: str = "",
        *,
        path: str = "/ws",
        protocol: str = "sip",
    ) -> None:
        opening = handshake(path, origin=origin, protocol=protocol)
        self.status, self.head, self.socket, rest = upgrade(gateway, context, opening, source)
        assert self.status == 101, self.head
        self._buffer = rest
        self.close_code = 0

    def send(self, data: bytes) -> None:
        """As one frame: text when it is UTF-8 (RFC 7118 5.1)."""
        try:
            data.decode()
        except UnicodeDecodeError:
            self.send_frame(data, BINARY)
        else:
            self.send_frame(data, TEXT)

    def send_frame(self, data: bytes, opcode: int = TEXT, *, final: bool = True, masked: bool = True) -> None:
        self.send_raw(frame(data, opcode, final=final, masked=masked))

    def send_raw(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def receive(self, seconds: float) -> bytes | None:
        end = time.monotonic() + seconds
        while True:
            opcode, payload = self._frame(end)
            if opcode is None or opcode < 0:
                return None if opcode is None else b""
            if opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
                return b""
            if opcode == PINGED:
                self.send_frame(payload, PONGED)
            elif opcode in (TEXT, BINARY) and payload.strip(b"\r\n"):
                return payload

    def _frame(self, end: float) -> tuple[int | None, bytes]:
        """Opcode and payload of the next frame; -1 when the connection ended, None when time ran out."""
        while (taken := unframe(self._buffer)) is None:
            data = receive_some(self.socket, end)
            if not data:
                return (None if data is None else -1), b""
            self._buffer += data
        opcode, payload, self._buffer = taken
        return opcode, payload

    def close(self) -> None:
        self.socket.close()


def receive_some(sock: socket.socket, end: float) -> bytes | None:
    """Some octets, b"" at the end of the connection, None when the time is up."""
    sock.settimeout(max(end - time.monotonic(), 0.001))
    try:
        return sock.recv(RECEIVE)
    except TimeoutError:
        return None
    except OSError:  # a reset, or TLS cut without close_notify, is an end as well
        return b""


def frame(data: bytes, opcode: int = TEXT, *, final: bool = True, masked: bool = True) -> bytes:
    """A client's frame (RFC 6455 5.2)."""
    first = (0x80 if final else 0) | opcode
    mask_bit = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask_bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(data))
    if not masked:
        return head + data
    key = secrets.token_bytes(4)
    pad = (key * (len(data) // 4 + 1))[: len(data)]
    return head + key + (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


def unframe(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode, payload and the rest of a server's frame; None while it is incomplete."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size >= 126:
        at += 2 if size == 126 else 8
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        return None
    return data[0] & 0x0F, data[at : at + size], data[at + size :]


def handshake(
    path: str = "/ws",
    *,
    origin: str | None = None,
    protocol: str | None = "sip",
    extra: Sequence[str] = (),
    host: str = "127.0.0.1",
    version: str = "13",
) -> bytes:
    """The opening handshake of a browser, or something like it (RFC 6455 4.1)."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
        f"Sec-WebSocket-Version: {version}",
        *([f"Origin: {origin}"] if origin is not None else []),
        *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol is not None else []),
        *extra,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def upgrade(
    gateway: Address, context: ssl.SSLContext | None, request: bytes, source: str = ""
) -> tuple[int, bytes, socket.socket, bytes]:
    """Send an HTTP request; the status, the head, the connection and what followed the head.

    The status is 0 if there was none; who is too much is cut off while it is still talking.
    """
    sock = connect(gateway, context, source)
    with contextlib.suppress(OSError):
        sock.sendall(request)
    data, end = b"", time.monotonic() + 5
    while b"\r\n\r\n" not in data:
        more = receive_some(sock, end)
        if not more:
            return 0, data, sock, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head, sock, rest


def connect(gateway: Address, context: ssl.SSLContext | None, source: str = "") -> socket.socket:
    """A TCP or TLS connection, from an address of our choice."""
    plain = socket.create_connection(gateway, 5, source_address=(source, 0) if source else None)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain


def has_ended(sock: socket.socket, seconds: float) -> bool:
    """Whether the other side ends the connection in that time; what it says before is read and dropped."""
    end = time.monotonic() + seconds
    while (data := receive_some(sock, end)) is not None:
        if not data:
            return True
    return False


def is_readable(sock: socket.socket) -> bool:
    """Whether something has come in already."""
    return bool(select.select([sock], [], [], 0)[0])
