"""What the handshake of a WebSocket may bring: a token in its header, or in a named cookie of an allowed origin."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.base.values import Secret
from gateway.net.handshake import token_of

NAMES = ["__Host-session"]


def request(**headers: str) -> web.Request:
    return make_mocked_request(
        "GET", "/ws?token=in-the-url", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_the_header_counts_and_other_schemes_do_not() -> None:
    assert token_of(request(Authorization="Bearer a.b.c"), NAMES) == Secret("a.b.c")
    assert token_of(request(Authorization="bearer  a.b.c "), NAMES) == Secret("a.b.c")
    assert token_of(request(Authorization="Basic YTpi"), NAMES) is None


def test_a_cookie_counts_with_an_origin_only_and_by_its_name_only() -> None:
    cookie = "other=1; __Host-session=a.b.c; session=x.y.z"
    assert token_of(request(Cookie=cookie, Origin="https://gw.example"), NAMES) == Secret("a.b.c")
    assert token_of(request(Cookie=cookie), NAMES) is None
    assert token_of(request(Cookie="session=x.y.z", Origin="https://gw.example"), NAMES) is None
    assert token_of(request(Cookie="__Host-session=", Origin="https://gw.example"), NAMES) is None


def test_nothing_in_the_url_is_looked_at() -> None:
    assert token_of(request(Origin="https://gw.example"), NAMES) is None


def test_cookies_that_cannot_be_read_are_no_error() -> None:
    for text in ("=;=;;", '__Host-session="', "\x80\xff=1", "__Host-session"):
        token_of(request(Cookie=text, Origin="https://gw.example"), NAMES)
