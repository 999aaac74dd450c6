"""Who is turned away before a message is read, over real sockets: told with the code of the catalogue."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest

from gateway.audit import notices
from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.door import TurnedAway
from gateway.base.values import HostPort
from gateway.web.server import server_tls
from tests.call.office import Office
from tests.certificates import dns, make_certificate
from tests.net.harness import Gateway, until
from tests.net.test_lent import trunks
from tests.net.test_tls_connection import OTHER, TLS, listen_tls
from tests.net.test_websocket import ORIGIN, Browser, Served
from tests.sites import made_web

Told = list[tuple[str, str, Code]]


def kept(told: Told) -> TurnedAway:
    return lambda remote, transport, code: told.append((remote.host, transport, code))


def old_client() -> ssl.SSLContext:
    """A peer that speaks TLS 1.1 and nothing newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def knock(address: HostPort) -> None:
    """Try to shake hands; what becomes of it is not this side's business."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(address.host, address.port, ssl=old_client())


@pytest.mark.asyncio
async def test_a_peer_that_speaks_old_tls_alone_is_refused_and_recorded(tmp_path: Path) -> None:
    told: Told = []
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        gateway.endpoint.on_turned_away = kept(told)
        await knock(gateway.address)
        await until(lambda: told)
    assert told == [("127.0.0.1", "tls", Code.TLS_OLD)]


@pytest.mark.asyncio
async def test_a_browser_that_speaks_old_tls_alone_is_refused_and_recorded(tmp_path: Path) -> None:
    certificate, key = make_certificate(alternative_names=dns("gw.example")).write(tmp_path, "web")
    context = server_tls(made_web(address="127.0.0.1:0", certificate=str(certificate), key=str(key)))
    told: Told = []
    async with Served(tls=context) as gateway:
        assert gateway.gate is not None
        gateway.gate.on_turned_away = kept(told)
        await knock(gateway.web)
        await until(lambda: told)
    assert told == [("127.0.0.1", "wss", Code.TLS_OLD)]


@pytest.mark.asyncio
async def test_a_handshake_that_fails_otherwise_is_no_old_tls(tmp_path: Path) -> None:
    told: Told = []
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        gateway.endpoint.on_turned_away = kept(told)
        _, writer = await asyncio.open_connection(gateway.address.host, gateway.address.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await gateway.until_counted(Counter.TLS_HANDSHAKE_FAILED)
        writer.close()
    assert told == []


@pytest.mark.asyncio
async def test_a_page_of_another_origin_is_refused_and_recorded() -> None:
    told: Told = []
    async with Served() as gateway:
        gateway.resource.on_turned_away = kept(told)
        for origin in ("https://evil.example", ORIGIN):
            browser = await Browser.open(gateway.web, origin=origin)
            await browser.close()
    assert told == [("127.0.0.1", "ws", Code.BRW_ORIGIN_BAD)]


@pytest.mark.asyncio
async def test_a_plain_websocket_from_elsewhere_is_refused_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Told = []
    async with Served() as gateway:
        gateway.resource.on_turned_away = kept(told)
        monkeypatch.setattr("gateway.net.opening.address_of", lambda _transport, _which: HostPort("192.0.2.7", 4711))
        browser = await Browser.open(gateway.web)
        await browser.close()
    assert told == [("192.0.2.7", "ws", Code.BRW_WS_INSECURE)]


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [Code.BRW_ORIGIN_BAD, Code.TLS_OLD])
async def test_whoever_is_turned_away_leaves_one_record_and_then_a_count(tmp_path: Path, code: Code) -> None:
    office = Office(tmp_path)
    for _ in range(50):
        office.manager.sign_in.turned_away(HostPort("192.0.2.7", 4711), "wss", code)
    office.manager.sign_in.report(stopping=True)
    first, summary = (record for record in office.audit.records if record["type"] == "auth.fail")
    assert (first["codes"], first["source"], first["transport"]) == ([code], "192.0.2.7:4711", "wss")
    assert (summary["codes"], summary["count"]) == ([code], 49)


def test_a_wrong_password_is_no_code_of_the_catalogue() -> None:
    failed = notices.auth_fail(user="a", source=HostPort("192.0.2.7", 1), transport="wss", reason="bad_digest")
    assert failed["codes"] == []
