"""What the handshake of a WebSocket may prove: a token in its Authorization header, or in a cookie of the origin.

Scripts cannot set the header in browsers, but applications of other kinds can. A cookie comes by itself, whoever opens
the WebSocket: it counts only with an Origin, which has been found among the allowed ones by then (RFC 6455 10.2), so
that no other site's page can open one in the user's name. A query in the URL is never looked at: URLs are logged.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from gateway.base.values import Secret
from gateway.sip.bearer import read_bearer


def token_of(request: web.Request, cookies: Iterable[str]) -> Secret[str] | None:
    """The token of a handshake.

    Args:
        cookies: names of those that may hold one.
    """
    for value in request.headers.getall("Authorization", [])[:1]:
        token = read_bearer(value)
        if token is not None:
            return token
    if "Origin" not in request.headers:
        return None
    found = (request.cookies.get(name) for name in cookies)
    return next((Secret(value) for value in found if value), None)
