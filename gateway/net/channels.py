"""The connections there are, TCP, TLS and WebSocket alike: by their flows, since when, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from gateway.net.channel import Channel
from gateway.sip.flow import Flow

STOP_LIMIT = 2.0
"""Seconds the connections have to send what is queued when the gateway stops."""


class Channels:
    """As many as listeners admit and trunks are connected to (`StreamLimits`, `Shares`, `dial.MAX_CONNECTIONS`)."""

    def __init__(self) -> None:
        self._by_flow: dict[int, Channel] = {}
        self._opened_at: dict[int, float] = {}
        self._one_ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_flow)

    def __iter__(self) -> Iterator[Channel]:
        """Those there are now, whatever becomes of them meanwhile."""
        return iter(list(self._by_flow.values()))

    def of(self, flow: Flow) -> Channel | None:
        """The connection that carries this flow; None: it is gone, or there never was one."""
        return self._by_flow.get(flow.id)

    @property
    def opened_at(self) -> Mapping[int, float]:
        """When each was opened, by the number of its flow."""
        return self._opened_at

    def add(self, channel: Channel, now: float) -> None:
        """A connection is ready to carry messages."""
        self._by_flow[channel.flow.id], self._opened_at[channel.flow.id] = channel, now

    def remove(self, channel: Channel) -> bool:
        """A connection is gone; False when that was known."""
        self._opened_at.pop(channel.flow.id, None)
        was_there = self._by_flow.pop(channel.flow.id, None) is not None
        self._one_ended.set()
        return was_there

    def check_limits(self, now: float) -> None:
        """Cut those that exceed a time limit."""
        for channel in self:
            channel.check_limits(now)

    async def close(self) -> None:
        """End all of them; those that have not sent what is queued in time are cut."""
        for channel in self:
            channel.close()
        if not await self._have_ended():
            for channel in self:
                channel.abort()
            await self._have_ended()

    async def _have_ended(self) -> bool:
        """Whether every connection ended in time."""
        try:
            async with asyncio.timeout(STOP_LIMIT):
                while self._by_flow:
                    self._one_ended.clear()
                    await self._one_ended.wait()
        except TimeoutError:
            return False
        return True
