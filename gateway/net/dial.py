"""Connections to trunks: one per place, opened on demand, over TLS only to a verified peer (RFC 5922).

A failed verification is told with its X.509 reason and never followed by another try without TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gateway.base.counters import Counters
from gateway.base.door import is_old_tls
from gateway.base.errors import OLD_TLS, ConfigError, TransportError
from gateway.net.admission import Claim, TrunkSources
from gateway.net.channel import Pump, StreamLimits
from gateway.net.stream import StreamChannel
from gateway.sip.flow import Flow
from gateway.trunks.model import Trunk
from gateway.trunks.table import is_reached_as
from gateway.trunks.target import NextHop
from gateway.trunks.tls import client_context

TLS_SHUTDOWN = 1.0
"""Seconds a peer has to answer our close_notify."""
MAX_CONNECTIONS = 64
"""Connections kept to one trunk: what its targets lead to, and the places its dialogs name; the one that was used
longest ago is closed for another one. Calls on it go on over a new one."""

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a connection goes, for whom: one that was verified for another name is no use."""

    trunk: str
    hop: NextHop


class Dialer:
    """Opens and keeps the connections of the gateway to its trunks."""

    def __init__(
        self, pump: Pump, counters: Counters, limits: StreamLimits, trunks: Mapping[str, Trunk], sources: TrunkSources
    ) -> None:
        self._pump, self._counters, self._limits = pump, counters, limits
        self._trunks, self._sources = trunks, sources
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._live: OrderedDict[Place, StreamChannel] = OrderedDict()
        """Connections by where they go; dead ones go when a new one comes."""
        self._tasks: set[asyncio.Task[StreamChannel]] = set()
        self._opening: dict[Place, asyncio.Task[StreamChannel]] = {}
        self.left: Callable[[Flow], None] = _nobody
        """Told of connections that no new call goes over any more: their trunk has changed."""

    def load(self) -> None:
        """Read the certificates of all TLS trunks, so that a bad file is told at start and not at the first call.

        Raises:
            ConfigError: a file cannot be read or used.
        """
        self._contexts = {
            name: client_context(trunk.tls)
            for name, trunk in self._trunks.items()
            if any(choice.target.transport == "tls" for choice in trunk.choices)
        }

    def use(self, trunk: str, context: ssl.SSLContext) -> None:
        """Verify a trunk, and prove ourselves to it, by another context from now on; connections there are stay."""
        self._contexts[trunk] = context

    def renew(self, moved: Collection[str]) -> None:
        """These trunks are found or verified otherwise now, or are gone: the connections to them go to no new call."""
        self._contexts = {name: context for name, context in self._contexts.items() if name not in moved}
        for place in [place for place in self._live if place.trunk in moved]:
            self.left(self._live.pop(place).flow)
        for place in [place for place in self._opening if place.trunk in moved]:
            del self._opening[place]
        for (trunk, hop), channel in self._live.items():
            channel.reclaim(self._claims(trunk, hop))

    async def close(self) -> None:
        """Open nothing more."""
        opening = list(self._tasks)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    def live_at(self, trunk: str, hop: NextHop) -> StreamChannel | None:
        """A usable connection to this place, whatever it was opened for."""
        channel = self._live.get(Place(trunk, hop))
        if channel is None or not channel.is_usable:
            return None
        self._live.move_to_end(Place(trunk, hop))
        return channel

    async def open(self, trunk: str, hop: NextHop, patience: float) -> StreamChannel:
        """The connection to this place: the one there is, the one that is being opened, or a new one.

        Args:
            patience: seconds it may take.

        Raises:
            TransportError: it cannot be had, or the peer does not prove to be the trunk (`verification` says why).
        """
        if live := self.live_at(trunk, hop):
            return live
        place = Place(trunk, hop)
        task = self._opening.get(place)
        if task is None:
            task = self._opening[place] = asyncio.get_running_loop().create_task(self._open(place, patience))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._opened(place, done))
        return await asyncio.shield(task)

    def _opened(self, place: Place, task: asyncio.Task[StreamChannel]) -> None:
        self._tasks.discard(task)
        if self._opening.get(place) is task:
            del self._opening[place]
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more

    async def _open(self, place: Place, patience: float) -> StreamChannel:
        settings = self._trunks[place.trunk]
        channel = await self._try(place.trunk, place.hop, patience)
        if not is_reached_as(settings, self._trunks.get(place.trunk)):
            self.left(channel.flow)  # for the call that waits for it, and no other
            return channel
        for other in [other for other, known in self._live.items() if not known.is_usable]:
            del self._live[other]
        self._live[place] = channel
        kept = [other for other in self._live if other.trunk == place.trunk]
        if len(kept) > MAX_CONNECTIONS:
            self._live.pop(kept[0]).close()
        return channel

    async def _try(self, trunk: str, hop: NextHop, patience: float) -> StreamChannel:
        address = hop.address
        channel = StreamChannel(
            self._pump,
            self._counters,
            self._limits,
            remote=address,
            claims=self._claims(trunk, hop),
            initiated=True,
            keepalive=self._trunks[trunk].crlf_keepalive,
        )
        try:
            async with asyncio.timeout(patience):
                await self._shake_hands(trunk, channel, hop)
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message
            raise TransportError(f"trunk {trunk}: the certificate is not valid", verification=reason) from error
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: {address} did not answer in time") from error
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
            if is_old_tls(error):
                raise TransportError(f"trunk {trunk}: the peer is too old", verification=OLD_TLS) from error
            raise TransportError(f"trunk {trunk}: {address}: {_why(error)}") from error
        if channel.rejection:
            raise TransportError(f"trunk {trunk}: the certificate is not valid", verification=channel.rejection)
        return channel

    def _claims(self, trunk: str, hop: NextHop) -> list[Claim]:
        """The trunk we mean first; others at the same address may speak in their own dialogs there."""
        others = self._sources.find(hop.address.host, hop.transport)
        expected = self._trunks[trunk].peer_of(hop.target)
        return [Claim(trunk, expected), *(Claim(n, self._trunks[n].peer) for n in others if n != trunk)]

    def _context(self, trunk: str) -> ssl.SSLContext:
        """How the trunk is verified; made on demand for one that only calls in over TLS."""
        if trunk not in self._contexts:
            try:
                self._contexts[trunk] = client_context(self._trunks[trunk].tls)
            except ConfigError as error:
                raise TransportError(f"trunk {trunk}: {error}") from error
        return self._contexts[trunk]

    async def _shake_hands(self, trunk: str, channel: StreamChannel, hop: NextHop) -> None:
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if hop.transport == "tls":
            secured = {
                "ssl": self._context(trunk),
                "server_hostname": self._trunks[trunk].server_name(hop.target),
                "ssl_handshake_timeout": self._limits.handshake,
                "ssl_shutdown_timeout": TLS_SHUTDOWN,
            }
        await loop.create_connection(lambda: channel, hop.address.host, hop.address.port, **secured)


def _nobody(_flow: Flow) -> None:
    """Until somebody wants to know."""


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {error.reason or type(error).__name__}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
