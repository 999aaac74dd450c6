"""The handshake of a probe that plays a trunk: DTLS-SRTP on the port of its media, without ICE (RFC 5763)."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable

from gateway.base.crypto_suite import SUITES
from gateway.base.errors import SdpError
from gateway.sdp.association import Association
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import DtlsEndpoint, DtlsIdentity, SrtpKeys
from gateway.webrtc.handshake import Handshake

KEYED_SECONDS = 5.0
"""How long the other side may take for its part of the handshake."""


def is_dtls(datagram: bytes) -> bool:
    """Whether a datagram is DTLS by its first octet (RFC 7983)."""
    return bool(datagram) and 19 < datagram[0] < 64


class Handshaking:
    """One handshake.

    Args:
        send: takes a datagram for the peer.
        keyed: is given the keys.
    """

    def __init__(self, send: Callable[[bytes], None], keyed: Callable[[SrtpKeys], None]) -> None:
        self._identity = DtlsIdentity.generate(datetime.datetime.now(datetime.UTC))
        self._handshake = Handshake(self._identity, send, self._done, lambda step: step())
        self._keyed = keyed
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the certificate that is shown."""
        return self._identity.fingerprint

    def begin(self, association: Association) -> None:
        """The peer is described."""
        self._handshake.start(association.dtls_role, tuple(association.fingerprints), SUITES)
        self._handshake.validated()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram of the peer."""
        self._handshake.receive(datagram)

    async def over(self) -> None:
        """Wait for the keys.

        Raises:
            SdpError: there are none, and why.
        """
        try:
            why = await asyncio.wait_for(asyncio.shield(self._over), KEYED_SECONDS)
        except TimeoutError:
            why = "no handshake"
        if why:
            raise SdpError(f"DTLS: {why}")

    def close(self) -> None:
        """Say goodbye."""
        self._handshake.close()

    def _done(self, endpoint: DtlsEndpoint) -> None:
        if endpoint.keys is not None:
            self._keyed(endpoint.keys)
        if not self._over.done():
            self._over.set_result("" if endpoint.keys is not None else str(endpoint.failure or "failed"))
