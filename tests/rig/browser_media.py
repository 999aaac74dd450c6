"""The media of a scripted browser: ICE as full agent, DTLS in either role, SRTP; each part can be held back or bent."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from aioice import stun

from tests.rig.media import FROM_BROWSER, Address, MediaEnd, family_of, line, lines_of
from tests.rig.srtp import CM_80, Certificate, DtlsPeer, Profile

CHECK_SECONDS = 0.2
TICK_SECONDS = 0.05
CONNECT_SECONDS = 5.0
Mangle = Callable[[bytes], list[bytes]]


class BrowserMedia(MediaEnd):
    """One peer connection.

    Args:
        setup: what the offer says: actpass, active (we are DTLS client) or passive (server).
        certificate: shown in the handshake.
        claimed: fingerprint written in the SDP, if not that of the certificate.
        profiles: SRTP profiles offered.
        mangle: what becomes of each DTLS datagram before it leaves.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        setup: str = "actpass",
        certificate: Certificate | None = None,
        claimed: str = "",
        profiles: tuple[Profile, ...] = (CM_80,),
        mangle: Mangle = lambda datagram: [datagram],
    ) -> None:
        super().__init__(FROM_BROWSER, host)
        self.setup, self.profiles, self._mangle = setup, profiles, mangle
        self.certificate = certificate or _shared_certificate()
        self.claimed = claimed or self.certificate.fingerprint
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)
        self.dtls: DtlsPeer | None = None
        self.checks_answered = 0
        self.remote_password = ""
        self._remote_ufrag = ""
        self._remote_fingerprint = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: list[bytes] = []
        self.before_dtls = asyncio.Event()
        """Cleared by a test that holds the handshake back."""
        self.before_dtls.set()
        self._valid, self._connected = asyncio.Event(), asyncio.Event()

    def description(self, *, setup: str = "", direction: str = "sendrecv") -> bytes:
        """Our SDP; as an answer with the role given."""
        lines = [
            "v=0",
            "o=- 42 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0",
            "c=IN IP4 0.0.0.0",
            "a=rtpmap:0 PCMU/8000",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:{self.claimed}",
            f"a=setup:{setup or self.setup}",
            "a=mid:0",
            "a=rtcp-mux",
            f"a={direction}",
        ]
        return ("\r\n".join(lines) + "\r\n").encode()

    def read(self, description: bytes, *, role: str = "") -> None:
        """Take the gateway's SDP and begin: checks at once, the handshake after the first answer."""
        text = description.decode()
        self._remote_ufrag, self.remote_password = line(text, "a=ice-ufrag:"), line(text, "a=ice-pwd:")
        self._remote_fingerprint = line(text, "a=fingerprint:")
        reachable = [found.split() for found in lines_of(text, "a=candidate:")]
        candidate = next(found for found in reachable if family_of(found[4]) == self.socket.family)
        self.target = (candidate[4], int(candidate[5]))
        theirs = line(text, "a=setup:")
        client = (role or {"active": "passive", "passive": "active"}[theirs]) == "active"
        if self.dtls is None:
            self.dtls = DtlsPeer(self.certificate, client=client, profiles=self.profiles)
            self._tasks = [self._loop.create_task(self._check_forever()), self._loop.create_task(self._shake_hands())]

    def stop_checks(self) -> None:
        """No more consent (RFC 7675)."""
        if self._tasks:
            self._tasks[0].cancel()

    def go_on_checking(self) -> None:
        """Checks again, by the credentials there are now."""
        self._tasks[0] = self._loop.create_task(self._check_forever())

    async def connected(self) -> None:
        """The handshake is done and the certificate is the signalled one."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._connected.wait()
        assert self.dtls is not None
        assert self.dtls.peer_fingerprint() == self._remote_fingerprint

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        super().close()

    def check(self) -> bytes:
        """A connectivity check that nominates (RFC 8445 7.1)."""
        message = stun.Message(
            stun.Method.BINDING,
            stun.Class.REQUEST,
            attributes={
                "USERNAME": f"{self._remote_ufrag}:{self.ufrag}",
                "PRIORITY": 1,
                "ICE-CONTROLLING": 7,
                "USE-CANDIDATE": None,
            },
        )
        message.add_message_integrity(self.remote_password.encode())
        return bytes(message)

    async def _check_forever(self) -> None:
        while True:
            self.send(self.check())
            await asyncio.sleep(CHECK_SECONDS)

    async def _shake_hands(self) -> None:
        assert self.dtls is not None
        await self._valid.wait()
        await self.before_dtls.wait()
        self._put(self.dtls.receive(b""))
        for early in self._waiting:
            self._handshake(early)
        while self.dtls.srtp is None and not self.dtls.failed:
            await asyncio.sleep(TICK_SECONDS)
            self._put(self.dtls.tick())

    def _put(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            for piece in self._mangle(datagram):
                self.send(piece)

    def _take(self, data: bytes, source: Address) -> None:
        if not data:
            return
        if data[0] < 4:
            self._stun(data)
        elif 19 < data[0] < 64:
            self._handshake(data)
        else:
            self._media(data, source)

    def _stun(self, data: bytes) -> None:
        message = stun.parse_message(data)
        if message.check_message_integrity(self.remote_password.encode()):
            self.checks_answered += 1
            self._valid.set()

    def _handshake(self, data: bytes) -> None:
        if self.dtls is None or not self.before_dtls.is_set():
            self._waiting.append(data)
            return
        self._put(self.dtls.receive(data))
        if self.dtls.srtp is not None and not self._connected.is_set():
            self.srtp = self.dtls.srtp
            self._connected.set()


_CERTIFICATES: list[Certificate] = []


def _shared_certificate() -> Certificate:
    """One certificate for every browser that needs no other: making one costs more than a call."""
    if not _CERTIFICATES:
        _CERTIFICATES.append(Certificate())
    return _CERTIFICATES[0]
