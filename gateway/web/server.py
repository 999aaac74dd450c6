"""HTTPS server: the softphone page, the SIP-over-WebSocket endpoint and the metrics page.

Every path it serves is in one fixed map made at start; nothing a client sends is ever joined to a file path.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from gateway.audit.tally import RecordTally
from gateway.base.buckets import Bucket, Rate
from gateway.base.counters import Counters
from gateway.base.door import TurnedAway, untold
from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.site import ConnectionShares, WebListener
from gateway.web.assets import FOR_OTHERS, Asset, load_assets
from gateway.web.gate import Gate
from gateway.web.metrics import Expiries, Gauges, Metrics

logger = logging.getLogger(__name__)
http_logger = logging.getLogger(f"{__name__}.http")
"""What aiohttp has to tell of connections."""

WebSocketHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

IDLE_SECONDS: Final = 15.0
"""A connection without a complete request for this long is closed (slow or silent clients)."""
SHUTDOWN_SECONDS: Final = 3.0
"""How long a running request may take when the server stops."""
MAX_BODY: Final = 1024
"""Octets of request body read: no path here takes one."""
BROKEN_LINES: Final = Rate(per_second=0.5, burst=10)
"""Log lines about requests that are no HTTP."""
HSTS: Final = "max-age=31536000"
TLS_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites with forward secrecy and AEAD only (RFC 9325 4.2); TLS 1.3 has no others."""

BASE_HEADERS: Final = {
    "Server": "sip-gateway",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


CROSS_ORIGIN: Final = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
"""Of a file that pages of other origins load (`FOR_OTHERS`): it is the same for everybody."""


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What the page must know before it can sign in: the content of `/config.json`."""

    realm: str
    websocket: str = "/ws"
    events: str = "/events"
    """The event socket: what becomes of the protection of the user's calls."""
    reconnect_seconds: float = 0.0
    """How long calls wait for a page that lost its WebSocket."""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def content_security_policy(*, secure: bool) -> str:
    """Nothing inline, nothing from elsewhere (CSP Level 3).

    Browsers differ on whether 'self' covers the WebSocket of the same host, so its scheme is named.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src 'self' {'wss:' if secure else 'ws:'}",
            "media-src 'self' blob: mediastream:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def server_tls(listener: WebListener) -> ssl.SSLContext | None:
    """TLS context of the page and the WebSocket, TLS 1.2 or newer (RFC 9325 3.1.1); None when plain."""
    if listener.certificate is None or listener.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(TLS_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # Without a password OpenSSL would ask for it on the terminal: an empty one makes it fail instead.
    password = listener.key_password.reveal() if listener.key_password else ""
    try:
        context.load_cert_chain(listener.certificate, listener.key, password=lambda: password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate or its key cannot be used: {error}",
            file=str(listener.certificate),
            key="listen.web.certificate",
            remedy="give PEM files that belong together, readable by the gateway, and key_password if the key has one",
        ) from error
    return context


class PeerErrors(logging.Filter):
    """Broken HTTP is a peer's fault: one line that repeats none of its octets, in place of aiohttp's traceback.

    And not a line for each: a stranger decides how much he breaks, not how much is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = Bucket(BROKEN_LINES)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "http=refused status=%d reason=%s", (error.code, type(error).__name__)
        record.exc_info = record.exc_text = None
        return http_logger.isEnabledFor(logging.INFO) and self._lines.take(record.created)


http_logger.addFilter(PeerErrors())


class WebServer:
    """Serves the softphone, `/config.json`, `/metrics` and hands `/ws` and `/events` to their handlers.

    Args:
        listener: where, and by which certificate.
        websocket_handler: answers `GET` on the WebSocket's path (RFC 7118).
        info: what the page asks for at start.
        counters: shown on `/metrics`.
        event_handler: answers `GET` on the path of the event socket; None: there is none.
        gauges: further values for `/metrics`, asked for at each scrape.
        expiries: ends of certificates for `/metrics`, likewise.
        limits: shares of connections.
        tally: what was counted of audit records, for `/metrics` too.
        on_turned_away: told who could not be let in, and why.
    """

    def __init__(
        self,
        listener: WebListener,
        websocket_handler: WebSocketHandler,
        info: PageInfo,
        counters: Counters,
        *,
        event_handler: WebSocketHandler | None = None,
        gauges: Gauges | None = None,
        expiries: Expiries | None = None,
        limits: ConnectionShares | None = None,
        tally: RecordTally | None = None,
        on_turned_away: TurnedAway = untold,
    ) -> None:
        self._on_turned_away = on_turned_away
        self._listener = listener
        self._websocket_handler, self._event_handler = websocket_handler, event_handler
        self._info = info
        self._counters = counters
        self._metrics = Metrics(counters, gauges, expiries, tally)
        self._assets = load_assets(info.to_json())
        self._tls = server_tls(listener)
        self._runner: web.AppRunner | None = None
        self._limits = limits
        self._gate: Gate | None = None

    @property
    def address(self) -> HostPort:
        """Where the server really listens (the port is chosen by the system when configured as 0)."""
        if self._gate is None:
            return self._listener.address
        return self._gate.local

    def use(self, context: ssl.SSLContext) -> None:
        """Show another certificate from now on; connections and WebSockets there are keep theirs."""
        self._tls = context
        if self._gate is not None:
            self._gate.use(context)

    def renew(self, info: PageInfo, limits: ConnectionShares) -> None:
        """Tell pages something else, and let in so many, from now on."""
        self._info, self._limits = info, limits
        self._assets = load_assets(info.to_json())
        if self._gate is not None:
            self._gate.limit(limits)

    async def start(self) -> None:
        """Listen; raises ConfigError when the address cannot be used."""
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=http_logger,
            handle_signals=False,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await self._runner.setup()
        try:
            self._gate = self._listen(self._runner)
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)  # asyncio's own words repeat the address
            raise ConfigError(
                f"cannot listen on {self.address}: {reason}",
                key="listen.web.address",
                remedy="stop what uses the address, or choose another one",
            ) from error
        logger.info("web=listening address=%s tls=%s", self.address, self._tls is not None)

    def _listen(self, runner: web.AppRunner) -> Gate:
        if runner.server is None:  # setup() has just made it
            raise RuntimeError("the HTTP runner has no server")
        gate = Gate(runner.server, self._counters, self._limits, self._tls)
        gate.on_turned_away = self._on_turned_away
        gate.open(self._listener.address)
        return gate

    async def stop(self) -> None:
        """Stop listening, end running requests and WebSockets."""
        if self._gate is not None:
            await self._gate.close()
            self._gate = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY)
        application.on_response_prepare.append(self._add_headers)
        application.router.add_get(self._info.websocket, self._websocket_handler)
        if self._event_handler is not None:
            application.router.add_get(self._info.events, self._event_handler)
        application.router.add_get("/metrics", self._show_metrics)
        for path in self._assets:
            application.router.add_get(path, partial(self._show_asset, path))
        return application

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(BASE_HEADERS)
        response.headers["Content-Security-Policy"] = content_security_policy(secure=self._tls is not None)
        if self._tls is not None:
            response.headers["Strict-Transport-Security"] = HSTS
        if request.path in FOR_OTHERS:
            response.headers.update(CROSS_ORIGIN)

    async def _show_asset(self, path: str, request: web.Request) -> web.Response:
        return await show_asset(self._assets[path], request)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        if not may_read_metrics(request):
            raise web.HTTPNotFound
        headers = {"Content-Type": self._metrics.content_type, "Cache-Control": "no-store"}
        return web.Response(body=self._metrics.render(), headers=headers)


async def show_asset(asset: Asset, request: web.Request) -> web.Response:
    """The file from memory, or 304 when the client has it already."""
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if is_unchanged(request, asset):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers=headers | {"Content-Type": asset.content_type})


def is_unchanged(request: web.Request, asset: Asset) -> bool:
    """True when the client's copy is the current one (RFC 9110 13.1.2)."""
    return any(asset.etag == f'"{tag.value}"' or tag.value == "*" for tag in request.if_none_match or ())


def may_read_metrics(request: web.Request) -> bool:
    """True for a client on this machine itself, and not for one that a proxy on this machine speaks for."""
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")):
        return False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback
