"""A trunk that agrees to keys and then changes its mind in mid-call."""

from __future__ import annotations

import itertools
import time

from gateway.demo.certificates import Pair
from gateway.sip.message import Request, Response
from tests.rig.trunk import Answer, FakeTrunk, description

MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
WAIT_SECONDS = 5.0


def key_line(tag: str = "1", fill: str = "B") -> str:
    """An SDES key of the trunk's own."""
    return f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{fill * 40}"


class ChangingTrunk:
    """Answers over TLS with SDES; `change` sends a re-INVITE in the last call and gives its final response."""

    def __init__(self, host: str, port: int, pair: Pair) -> None:
        self.trunk = FakeTrunk(host, port, self._script, transport="tls", pair=pair)
        self.invite: Request | None = None
        self._numbers = itertools.count(1)

    def start(self) -> ChangingTrunk:
        self.trunk.start()
        return self

    def stop(self) -> None:
        self.trunk.stop()

    def keyed(self, fill: str = "C") -> bytes:
        return description(self.trunk.host, key_line(fill=fill), proto="RTP/SAVP")

    def plain(self, direction: str = "sendrecv") -> bytes:
        return description(self.trunk.host, direction=direction)

    def _script(self, request: Request) -> list[Answer]:
        if not request.to.tag:
            self.invite = request
        lines = request.body.decode().splitlines()
        keys = [line for line in lines if line.startswith("a=crypto:") and " AES_CM_128_HMAC_SHA1_80 " in line]
        asked = next((line[2:] for line in lines if line[2:] in MIRROR), "sendrecv")
        direction = MIRROR.get(asked, "sendrecv")
        if not keys:
            return [(200, description(self.trunk.host, direction=direction))]
        tag = keys[0].removeprefix("a=crypto:").split()[0]
        return [(200, description(self.trunk.host, key_line(tag), proto="RTP/SAVP", direction=direction))]

    def change(self, body: bytes) -> Response:
        """A re-INVITE on the connection the gateway opened."""
        assert self.invite is not None
        number = next(self._numbers)
        before = len(self.trunk.responses)
        self.trunk.send(self._request("INVITE", number, body))
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for response in self.trunk.responses[before:]:
                if response.cseq.method == "INVITE" and response.status >= 200:
                    self.trunk.send(self._request("ACK", number, b""))
                    return response
            time.sleep(0.005)
        raise AssertionError("no answer to the re-INVITE")

    def _request(self, method: str, number: int, body: bytes) -> bytes:
        invite = self.invite
        assert invite is not None
        host, port = self.trunk.host, self.trunk.port
        assert invite.contact is not None
        lines = [
            f"{method} {invite.contact.uri} SIP/2.0",
            f"Via: SIP/2.0/TLS {host}:{port};branch=z9hG4bK{invite.call_id[:8]}{number}{method}",
            "Max-Forwards: 70",
            f"From: {invite.to};tag=faketrunk",
            f"To: {invite.from_}",
            f"Call-ID: {invite.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:trunk@{host}:{port};transport=tls>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
