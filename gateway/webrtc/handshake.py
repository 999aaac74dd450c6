"""The DTLS handshake of one leg on the event loop: datagrams in and out, one timer, one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.keying import DtlsRole
from gateway.base.short import Short
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import DtlsEndpoint, DtlsIdentity, DtlsState, SrtpKeys

MAX_EARLY_DATAGRAMS = 8
"""DTLS datagrams kept until the fingerprint is known: a ClientHello in two pieces, and its repetitions."""


class Handshake:
    """The endpoint of a leg: it waits for the peer's fingerprint, and for ICE to find the peer.

    Args:
        send: takes a datagram for the peer.
        done: told once, when the handshake is complete or has failed.
        guarded: runs a step that the timer begins, so that an error nobody foresaw ends where it belongs.
        asked_again: told once, when the peer wanted another handshake after the one that is complete.
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        send: Callable[[bytes], None],
        done: Callable[[DtlsEndpoint], None],
        guarded: Callable[[Callable[[], None]], None],
        asked_again: Callable[[], None] = lambda: None,
    ) -> None:
        self._identity, self._send, self._done, self._guarded = identity, send, done, guarded
        self._asked_again = asked_again
        self._endpoint: DtlsEndpoint | None = None
        self._early: Short[bytes] = Short(MAX_EARLY_DATAGRAMS)
        self._timer: asyncio.TimerHandle | None = None
        self._validated = False
        self._told = self._told_again = False
        self._loop = asyncio.get_running_loop()

    def move_to(
        self,
        send: Callable[[bytes], None],
        done: Callable[[DtlsEndpoint], None],
        guarded: Callable[[Callable[[], None]], None],
        asked_again: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve somebody else from now on; the peer notices nothing, and what was told is not told again."""
        self._send, self._done, self._guarded, self._asked_again = send, done, guarded, asked_again
        if self._endpoint is not None:
            self._go_on(self._endpoint)

    @property
    def keys(self) -> SrtpKeys | None:
        """The SRTP keys of a complete handshake."""
        return self._endpoint.keys if self._endpoint is not None else None

    def start(self, role: DtlsRole, fingerprints: Sequence[Fingerprint], suites: Sequence[CryptoSuite]) -> None:
        """The peer's fingerprint is known: the handshake may run as soon as ICE has validated an address."""
        endpoint = self._endpoint = DtlsEndpoint(self._identity, role, fingerprints, suites)
        if self._validated:
            endpoint.start(self._loop.time())
        while self._early:
            endpoint.receive(self._early.popleft(), self._loop.time())
        self._go_on(endpoint)

    def validated(self) -> None:
        """ICE has found an address of the peer."""
        self._validated = True
        if self._endpoint is not None:
            self._endpoint.start(self._loop.time())
            self._go_on(self._endpoint)

    def receive(self, data: bytes) -> None:
        """Take a datagram of the peer."""
        if self._endpoint is None:
            self._early.append(data)
            return
        self._endpoint.receive(data, self._loop.time())
        self._go_on(self._endpoint)

    def close(self) -> None:
        """Say goodbye and stop; idempotent."""
        self._cancel_timer()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.close(self._loop.time())
            self._flush(endpoint)

    def abandon(self) -> None:
        """Stop without a word: another handshake takes its place, and the peer knows."""
        self._cancel_timer()
        self._endpoint = None
        self._early.clear()

    def handle_timer(self) -> None:
        """Repeat what was not answered, or give up (RFC 6347 4.2.4)."""
        self._timer = None
        if self._endpoint is not None:
            self._endpoint.handle_timer(self._loop.time())
            self._go_on(self._endpoint)

    def _go_on(self, endpoint: DtlsEndpoint) -> None:
        """Send what the handshake wrote, arm its one timer, tell its outcome once."""
        self._flush(endpoint)
        self._cancel_timer()
        deadline = endpoint.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._guarded, self.handle_timer)
        if endpoint.state in (DtlsState.CONNECTED, DtlsState.FAILED) and not self._told:
            self._told = True
            self._done(endpoint)
        if endpoint.asked_again and not self._told_again:
            self._told_again = True
            self._asked_again()

    def _flush(self, endpoint: DtlsEndpoint) -> None:
        for datagram in endpoint.take_datagrams():
            self._send(datagram)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
