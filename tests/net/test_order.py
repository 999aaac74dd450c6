"""The order between what `SipEndpoint.send_request` returns and what is told of that request."""

from __future__ import annotations

import pytest

from gateway.sip.message import Request, parse_message
from gateway.sip.stack import StackEvent, TransportFailed
from tests.net.harness import Gateway, SocketPeer, options, until

pytestmark = pytest.mark.asyncio


async def test_a_request_on_a_dead_connection_fails_after_its_key_is_known() -> None:
    """A call learns the key first; told the other way round, it would wait for that answer until it forgets itself."""
    async with Gateway("tcp:127.0.0.1:0") as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
        await peer.close()
        await until(lambda: gateway.closed)
        gateway.events.clear()
        request = parse_message(options(call_id="ours"), stream=False)
        assert isinstance(request, Request)
        request = request.without_header("Via")
        key = gateway.endpoint.send_request(request, gateway.closed[0])
        assert gateway.events == []
        await until(lambda: gateway.events)
        assert [_key(event) for event in gateway.events] == [key]


def _key(event: StackEvent) -> str:
    assert isinstance(event, TransportFailed)
    return event.key
