"""How listening sockets are set up."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.base.transports import abort
from tests.net.harness import Gateway, SocketPeer, options


@pytest.mark.asyncio
async def test_an_accepted_connection_does_not_wait_for_more_to_send() -> None:
    """With Nagle's algorithm the first answer on a TLS connection comes 40 ms late."""
    async with Gateway("tcp:127.0.0.1:0") as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
        (channel,) = gateway.endpoint._channels
        sock = channel._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await peer.close()


def test_a_connection_that_has_ended_is_aborted_without_a_word() -> None:
    """As the TLS transport of older Pythons is: it has forgotten its protocol."""

    class Ended(asyncio.Transport):
        def abort(self) -> None:
            raise AttributeError("'NoneType' object has no attribute '_abort'")

    abort(Ended())
