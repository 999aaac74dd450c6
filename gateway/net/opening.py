"""Who may open a WebSocket here: over TLS, from an allowed origin, for a purpose we know (RFC 6455 4.2, 10.2)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.base.codes import Code
from gateway.base.door import TurnedAway, untold
from gateway.base.values import HostPort
from gateway.net.admission import normal_host
from gateway.site import WebListener


def refusal(
    request: web.Request,
    socket: web.WebSocketResponse,
    settings: WebListener,
    subprotocol: str,
    turned_away: TurnedAway = untold,
) -> web.Response | None:
    """Why this browser may not open a WebSocket here, as the response that says so; None when it may.

    Args:
        turned_away: told of what the catalogue of downgrades has a code for.

    Raises:
        ConnectionResetError: it is gone already.
    """
    transport = transport_of(request)
    remote, secure = address_of(transport, "peername"), transport.get_extra_info("ssl_object") is not None
    if not secure and not remote.is_loopback:
        turned_away(remote, "ws", Code.BRW_WS_INSECURE)
        return web.Response(status=403, text="WebSocket needs TLS")
    if not _is_allowed(request.headers.getall("Origin", []), settings):
        turned_away(remote, "wss" if secure else "ws", Code.BRW_ORIGIN_BAD)
        return web.Response(status=403, text="Origin not allowed")
    offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if subprotocol not in offered:
        return web.Response(status=400, text=f"WebSocket subprotocol {subprotocol} required")
    return None if _is_handshake(request, socket) else web.Response(status=400, text="Not a WebSocket handshake")


def transport_of(request: web.Request) -> asyncio.Transport:
    """The connection of a request.

    Raises:
        ConnectionResetError: it is gone.
    """
    if request.transport is None:
        raise ConnectionResetError("the browser is gone")
    return request.transport


def address_of(transport: asyncio.Transport, which: str) -> HostPort:
    """One end of a connection: `peername` or `sockname`.

    Raises:
        ConnectionResetError: it is gone.
    """
    name = transport.get_extra_info(which)
    if name is None:
        raise ConnectionResetError("the browser is gone")
    return HostPort(normal_host(name[0]), name[1])


def _is_allowed(origins: list[str], settings: WebListener) -> bool:
    """Exactly one of the configured ones (RFC 6455 10.2); scripts of other sites must not speak for the user."""
    if not origins:
        return settings.allow_missing_origin
    return len(origins) == 1 and origins[0] in settings.origins


def _is_handshake(request: web.Request, socket: web.WebSocketResponse) -> bool:
    try:
        return socket.can_prepare(request).ok
    except ValueError:  # a Sec-WebSocket-Key beyond ASCII gets out of aiohttp's own check
        return False
