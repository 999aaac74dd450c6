"""A caller written out message by message, to test the demonstration's phones from the other side."""

from __future__ import annotations

import base64
import itertools
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.demo.roles import BY_NAME

LIMIT = 10.0
KEY = bytes(range(30))
"""Master key and salt this caller sends (RFC 4568 6.1: 128 + 112 bits)."""

_numbers = itertools.count(1)


@contextmanager
def phone(role: str, address: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A phone in its own process, listening when this returns."""
    command = [sys.executable, "-m", "gateway.demo.pbx", "--role", role, "--address", address, *arguments]
    process = subprocess.Popen([*command, "--parent", str(os.getpid())], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line.startswith(("ready", "error"))) == "ready\n"
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT)
        if process.stdout is not None:
            process.stdout.close()


class DemoCaller:
    """Sends requests and reads messages over one connection or UDP socket."""

    def __init__(self, address: tuple[str, int], transport: str, tls: ssl.SSLContext | None = None) -> None:
        self.transport, self.address = transport.upper(), address
        self.socket = self._connect(tls)
        self.socket.settimeout(LIMIT)
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        self.rtp.settimeout(LIMIT)
        self.local = "{}:{}".format(*self.socket.getsockname())
        self._buffer = b""

    def _connect(self, tls: ssl.SSLContext | None) -> socket.socket:
        if self.transport == "UDP":
            plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            plain.bind(("127.0.0.1", 0))
            plain.connect(self.address)
            return plain
        connection = socket.create_connection(self.address, LIMIT)
        return tls.wrap_socket(connection, server_hostname="pbx.demo.test") if tls else connection

    def close(self) -> None:
        self.socket.close()
        self.rtp.close()

    def __enter__(self) -> DemoCaller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, method: str, dialog: str, *, to_tag: str = "", cseq: int = 1, body: str = "") -> None:
        to = f"<sip:phone@{self.address[0]}>" + (f";tag={to_tag}" if to_tag else "")
        lines = [
            f"{method} sip:phone@{self.address[0]}:{self.address[1]};transport={self.transport.lower()} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.local};branch=z9hG4bK{next(_numbers)};rport",
            "Max-Forwards: 70",
            f"From: <sip:caller@127.0.0.1>;tag={dialog}",
            f"To: {to}",
            f"Call-ID: {dialog}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:caller@{self.local};transport={self.transport.lower()}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def receive(self) -> str:
        """The next whole message."""
        if self.transport == "UDP":
            return self.socket.recv(65536).decode()
        while not (end := self._message_end()):
            data = self.socket.recv(65536)
            assert data, "the phone closed the connection"
            self._buffer += data
        message, self._buffer = self._buffer[:end], self._buffer[end:]
        return message.decode()

    def _message_end(self) -> int:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return 0
        length = int(header(head.decode(), "Content-Length") or 0)
        return len(head) + 4 + length if len(rest) >= length else 0

    def final(self, dialog: str) -> str:
        """The final response of this dialog's request; provisional and other dialogs' messages are passed over."""
        while True:
            message = self.receive()
            if message.startswith("SIP/2.0") and header(message, "Call-ID") == dialog and status(message) >= 200:
                return message

    def request(self, method: str) -> str:
        """The next request of that method the phone sends."""
        while not (message := self.receive()).startswith(f"{method} "):
            pass
        return message

    def invite(self, dialog: str, *, proto: str = "RTP/AVP", crypto: bool = False) -> str:
        """Calls and acknowledges; the final response."""
        self.send("INVITE", dialog, body=self.offer(proto, crypto))
        response = self.final(dialog)
        self.send("ACK", dialog, to_tag=to_tag(response))
        return response

    def offer(self, proto: str, crypto: bool) -> str:
        lines = [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m=audio {self.rtp.getsockname()[1]} {proto} 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
        ]
        if crypto:
            lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(KEY).decode()}")
        return "\r\n".join(lines) + "\r\n"

    def bye(self, dialog: str, response: str) -> int:
        self.send("BYE", dialog, to_tag=to_tag(response), cseq=2)
        return status(self.final(dialog))


def status(response: str) -> int:
    return int(response.split(" ")[1])


def header(message: str, name: str) -> str:
    for line in message.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name.lower():
            return value.strip()
    return ""


def to_tag(response: str) -> str:
    return header(response, "To").partition("tag=")[2].partition(";")[0]


def media_line(message: str) -> str:
    return next(line for line in message.split("\r\n") if line.startswith("m=audio"))


def media_address(message: str) -> tuple[str, int]:
    address = next(line for line in message.split("\r\n") if line.startswith("c=")).split(" ")[2]
    return address, int(media_line(message).split(" ")[1])


def crypto_key(message: str) -> bytes:
    line = next(line for line in message.split("\r\n") if line.startswith("a=crypto"))
    return base64.b64decode(line.partition("inline:")[2].split("|")[0].split(" ")[0])


def address_of(role: str, port: int) -> str:
    """The role's own loopback address with a port of the test's."""
    return f"{BY_NAME[role].address.host}:{port}"
