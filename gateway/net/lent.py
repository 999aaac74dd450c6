"""Connections that trunks opened to us and on which our requests to them may leave (RFC 5923). No sockets.

Only one on which the peer proved the trunk's name by its certificate is ever used so, and for that trunk alone: an
address, or the name of another trunk, says nothing about who would read what we send. A peer that wants it says `alias`
in a Via; one that does not is sent to over its own connection only while it cannot be reached at its target.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator

from gateway.base.errors import NoHopError, TransportError
from gateway.net.channel import Channel
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request

ALIAS = "alias"
"""Via parameter of who takes requests on the connection it sends over (RFC 5923 5)."""

log = logging.getLogger(__name__)


class LentConnections:
    """Those connections, by trunk; as many as listeners let a trunk have."""

    def __init__(self) -> None:
        self._by_trunk: dict[str, dict[int, Channel]] = {}
        self._offered: set[int] = set()

    def opened(self, channel: Channel) -> None:
        """A connection is ready; it is remembered if its peer proved to be a trunk."""
        flow = channel.flow
        if flow.trunk is not None and not flow.initiated and flow.verified_name:
            self._by_trunk.setdefault(flow.trunk, {})[flow.id] = channel

    def reclaimed(self, channel: Channel, before: Flow) -> None:
        """The peer of a connection is another trunk now, or proves something else."""
        self._by_trunk.get(before.trunk or "", {}).pop(before.id, None)
        self.opened(channel)

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._offered.discard(flow.id)
        self._by_trunk.get(flow.trunk or "", {}).pop(flow.id, None)

    def heard(self, flow: Flow, message: Message) -> None:
        """A message came in: its Via may offer the connection."""
        if isinstance(message, Request) and flow.id in self._by_trunk.get(flow.trunk or "", {}):
            if ALIAS in message.via.params:
                self._offered.add(flow.id)

    def offered(self, trunk: str) -> Flow | None:
        """The newest connection that the trunk wants its requests on."""
        return next((flow for flow in self._of(trunk) if flow.id in self._offered), None)

    async def or_opened(self, trunk: str, open_one: Callable[[], Awaitable[Flow]]) -> Flow:
        """The connection that the trunk wants its requests on, else one that is opened to it; when that fails, any on
        which it proved its name.

        Raises:
            TransportError: that of `open_one`; a target that proves to be somebody else, or wants to be left alone, is
                not gone around.
        """
        if found := self.offered(trunk):
            return found
        try:
            return await open_one()
        except TransportError as error:
            found = self.offered(trunk) or next(self._of(trunk), None)
            if found is None or error.verification or isinstance(error, NoHopError):
                raise
            log.info(
                "trunk=%s flow=%s its own connection, for its target cannot be reached: %s", trunk, found, error.why
            )
            return found

    def _of(self, trunk: str) -> Iterator[Flow]:
        """The newest first."""
        channels = reversed(self._by_trunk.get(trunk, {}).values())
        return (channel.flow for channel in channels if channel.is_usable)
