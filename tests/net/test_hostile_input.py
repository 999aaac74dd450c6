"""Whatever octets a known peer sends: nothing is raised, and the next good request is answered."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import pytest

from tests.net.harness import MALFORMED, PATIENCE, Gateway, SocketPeer, options
from tests.net.test_websocket import BINARY, Browser, Served

pytestmark = pytest.mark.asyncio

SEEDS = (options(), options(body="v=0\r\n"), MALFORMED, b"SIP/2.0 200 OK\r\n" + options().partition(b"\r\n")[2])


def mutate(dice: random.Random) -> bytes:
    """A request with a few octets changed, lost or repeated."""
    data = bytearray(dice.choice(SEEDS))
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                del data[at : at + dice.randrange(1, 30)]
            case 2:
                data[at:at] = data[at : at + dice.randrange(1, 80)] * dice.randrange(1, 4)
            case _:
                data[at:at] = dice.choice([b"\r\n", b"\x00", b"\xff\xfe", b"<", b'"', b";;", b"Content-Length: 7\r\n"])
        if not data:
            return b"x"
    return bytes(data)


@pytest.fixture
def raised() -> list[dict[str, Any]]:
    """What reached the event loop as an exception of a callback."""
    return []


def watch(raised: list[dict[str, Any]]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))


async def test_mutated_datagrams(raised: list[dict[str, Any]]) -> None:
    watch(raised)
    dice = random.Random(3261)
    async with Gateway("udp:127.0.0.1:0") as gateway:
        gateway.endpoint.is_living = lambda _call_id: True  # else the rates spare the parser most of it
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((gateway.address.host, gateway.address.port))
            for _ in range(1500):
                sock.send(mutate(dice))
                await asyncio.sleep(0)
            sock.send(options(call_id="good", transport="UDP"))
            async with asyncio.timeout(PATIENCE):
                while b"Call-ID: good" not in await asyncio.get_running_loop().sock_recv(sock, 65536):
                    continue
    assert raised == []


async def test_mutated_streams(raised: list[dict[str, Any]]) -> None:
    watch(raised)
    dice = random.Random(3261)
    async with Gateway("tcp:127.0.0.1:0") as gateway:
        for _ in range(150):
            peer = await SocketPeer.connect(gateway.address)
            peer.send(*(mutate(dice) for _ in range(4)))
            peer.writer.write_eof()
            await peer.rest()
            await peer.close()
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options(call_id="good"))
        assert (await peer.response()).call_id == "good"
        await peer.close()
    assert raised == []
    assert not gateway.endpoint._channels


async def test_mutated_websocket_messages(raised: list[dict[str, Any]]) -> None:
    watch(raised)
    dice = random.Random(7118)
    async with Served() as gateway:
        browser = await Browser.open(gateway.web)
        browser.send(options(call_id="first"), BINARY)  # a stranger is heard 10 times a second only
        await browser.frame()
        assert gateway.endpoint.signed_in(gateway.requests[0].flow, "alice")
        for _ in range(300):
            browser.send(mutate(dice), BINARY)
            await asyncio.sleep(0)
        browser.send(options(call_id="good"), BINARY)
        async with asyncio.timeout(PATIENCE):
            while b"Call-ID: good" not in (await browser.frame())[1]:
                continue
        await browser.close()
    assert raised == []


async def test_random_websocket_frames(raised: list[dict[str, Any]]) -> None:
    watch(raised)
    dice = random.Random(6455)
    async with Served() as gateway:
        for _ in range(60):
            browser = await Browser.open(gateway.web)
            browser.writer.write(dice.randbytes(dice.randrange(1, 400)))
            browser.writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                try:
                    await browser.reader.read()
                except ConnectionError:
                    pass
            await browser.close()
    assert raised == []
    assert not gateway.endpoint._channels
