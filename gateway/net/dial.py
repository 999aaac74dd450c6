"""Connections to trunks: one per trunk, opened on demand, over TLS only to a verified peer (RFC 5922).

A failed verification is told with its X.509 reason and never followed by another try without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.base.counters import Counters
from gateway.base.errors import OLD_TLS, ConfigError, TransportError
from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.net.admission import Claim, TrunkSources, normal_host
from gateway.net.channel import Pump, StreamLimits
from gateway.net.stream import StreamChannel
from gateway.sip.flow import Flow
from gateway.trunks.model import Trunk
from gateway.trunks.target import is_ip_literal
from gateway.trunks.tls import client_context

MAX_ADDRESSES = 8
"""Addresses of one target that are tried."""
OLD_TLS_REASONS = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"})
"""OpenSSL's words for a peer that speaks no TLS from 1.2 on."""
TLS_SHUTDOWN = 1.0
"""Seconds a peer has to answer our close_notify."""

log = logging.getLogger(__name__)


class Dialer:
    """Opens and keeps the connections of the gateway to its trunks."""

    def __init__(
        self, pump: Pump, counters: Counters, limits: StreamLimits, trunks: Mapping[str, Trunk], sources: TrunkSources
    ) -> None:
        self._pump, self._counters, self._limits = pump, counters, limits
        self._sources = sources
        self._expected = {name: trunk.peer for name, trunk in trunks.items()}
        self.targets = {name: trunk.target for name, trunk in trunks.items()}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._trunks = trunks
        self._live: dict[str, StreamChannel] = {}
        self._again: dict[tuple[str, TransportName, HostPort], StreamChannel] = {}
        """Connections opened for requests inside dialogs; dead ones go when a new one comes."""
        self._locks = {name: asyncio.Lock() for name in trunks}

    def load(self, trunks: Mapping[str, Trunk]) -> None:
        """Read the certificates of all TLS trunks, so that a bad file is told at start and not at the first call.

        Raises:
            ConfigError: a file cannot be read or used.
        """
        self._contexts = {n: client_context(t.tls) for n, t in trunks.items() if self.targets[n].transport == "tls"}

    async def resolve(self, trunk: str) -> list[HostPort]:
        """The addresses of a trunk's target.

        Raises:
            TransportError: the name has none, or the resolver does not answer in time.
        """
        target = self.targets[trunk]
        hosts = [target.host] if is_ip_literal(target.host) else await self._look_up(trunk, target.host)
        for host in hosts:
            self._sources.learn(trunk, host)
        return [HostPort(host, target.port) for host in hosts]

    async def _look_up(self, trunk: str, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.handshake):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: resolving {host} took too long") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: no host name at all (IDNA)
            raise TransportError(f"trunk {trunk}: {host} cannot be resolved") from error
        return [normal_host(str(entry[4][0])) for entry in found[:MAX_ADDRESSES]]

    async def connect(self, trunk: str) -> Flow:
        """The flow of a live connection to the trunk, opened if there is none.

        Raises:
            TransportError: no address can be reached, or none proves to be the trunk (`verification` says why).
        """
        if trunk not in self._locks:
            raise TransportError(f"there is no trunk {trunk}")
        try:
            async with asyncio.timeout(self._limits.handshake), self._locks[trunk]:
                live = self._live.get(trunk)
                if live is None or not live.is_usable:
                    live = self._live[trunk] = await self._open(trunk)
                return live.flow
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: no connection in time") from error

    async def reconnect(self, trunk: str, lost: Flow, place: HostPort | None) -> Flow:
        """A connection in place of `lost`, over the same transport and verified to the same names (RFC 3261 18.1.1).

        Tried in order: `place`, where the dialog says its requests go; the address we had connected to; the target of
        the trunk, if that is reached over the same transport. One connection serves all calls that go to one place.

        Raises:
            TransportError: none of them can be reached, or none proves to be the trunk.
        """
        if trunk not in self._locks or lost.transport not in ("tcp", "tls"):
            raise TransportError(f"trunk {trunk}: nothing to connect to")
        try:
            async with asyncio.timeout(self._limits.handshake), self._locks[trunk]:
                channel = await self._reopen(trunk, lost, place)
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: no connection in time") from error
        return channel.flow

    async def _reopen(self, trunk: str, lost: Flow, place: HostPort | None) -> StreamChannel:
        places = [found for found in (place, lost.remote if lost.initiated else None) if found is not None]
        if self.targets[trunk].transport == lost.transport:
            with contextlib.suppress(TransportError):
                places += await self.resolve(trunk)
        places = list(dict.fromkeys(places))[:MAX_ADDRESSES]
        channel = await self._first_of(trunk, lost.transport, places)
        self._again = {key: value for key, value in self._again.items() if value.is_usable}
        self._again[trunk, lost.transport, channel.flow.remote] = channel
        return channel

    def _live_at(self, trunk: str, transport: TransportName, address: HostPort) -> StreamChannel | None:
        """A usable connection to this place, whatever it was opened for."""
        for channel in (self._live.get(trunk), self._again.get((trunk, transport, address))):
            if channel is not None and channel.is_usable:
                flow = channel.flow
                if (flow.transport, flow.remote) == (transport, address):
                    return channel
        return None

    async def _open(self, trunk: str) -> StreamChannel:
        return await self._first_of(trunk, self.targets[trunk].transport, await self.resolve(trunk))

    async def _first_of(self, trunk: str, transport: TransportName, addresses: Sequence[HostPort]) -> StreamChannel:
        """The first of these that answers and proves to be the trunk."""
        failures: list[TransportError] = []
        for address in addresses:
            if live := self._live_at(trunk, transport, address):
                return live
            try:
                return await self._try(trunk, transport, address, self._limits.handshake / len(addresses))
            except TransportError as error:
                log.warning("trunk=%s address=%s failed=%s", trunk, address, error.why)
                failures.append(error)
        failures.sort(key=lambda error: not error.verification)  # an unverified peer says more than a dead one
        raise failures[0] if failures else TransportError(f"trunk {trunk}: the name has no address")

    async def _try(self, trunk: str, transport: TransportName, address: HostPort, patience: float) -> StreamChannel:
        channel = StreamChannel(
            self._pump,
            self._counters,
            self._limits,
            remote=address,
            claims=self._claims(trunk, address.host),
            initiated=True,
            keepalive=self._trunks[trunk].crlf_keepalive,
        )
        try:
            async with asyncio.timeout(patience):
                await self._shake_hands(trunk, transport, channel, address)
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message
            raise TransportError(f"trunk {trunk}: the certificate is not valid", verification=reason) from error
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: {address} did not answer in time") from error
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
            if isinstance(error, ssl.SSLError) and error.reason in OLD_TLS_REASONS:
                raise TransportError(f"trunk {trunk}: the peer is too old", verification=OLD_TLS) from error
            raise TransportError(f"trunk {trunk}: {address}: {_why(error)}") from error
        if channel.rejection:
            raise TransportError(f"trunk {trunk}: the certificate is not valid", verification=channel.rejection)
        return channel

    def _claims(self, trunk: str, host: str) -> list[Claim]:
        """The trunk we mean first; others at the same address may speak in their own dialogs there."""
        others = self._sources.find(host, self.targets[trunk].transport)
        return [Claim(name, self._expected[name]) for name in (trunk, *(name for name in others if name != trunk))]

    def _server_name(self, trunk: str) -> str:
        """What the TLS hello asks for (RFC 6066 3): the target's host, or the domain when the target is an address."""
        host = self.targets[trunk].host
        return self._expected[trunk].names[0] if is_ip_literal(host) else host

    def _context(self, trunk: str) -> ssl.SSLContext:
        """How the trunk is verified; made on demand for one that only calls in over TLS."""
        if trunk not in self._contexts:
            try:
                self._contexts[trunk] = client_context(self._trunks[trunk].tls)
            except ConfigError as error:
                raise TransportError(f"trunk {trunk}: {error}") from error
        return self._contexts[trunk]

    async def _shake_hands(
        self, trunk: str, transport: TransportName, channel: StreamChannel, address: HostPort
    ) -> None:
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if transport == "tls":
            secured = {
                "ssl": self._context(trunk),
                "server_hostname": self._server_name(trunk),
                "ssl_handshake_timeout": self._limits.handshake,
                "ssl_shutdown_timeout": TLS_SHUTDOWN,
            }
        await loop.create_connection(lambda: channel, address.host, address.port, **secured)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {error.reason or type(error).__name__}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
