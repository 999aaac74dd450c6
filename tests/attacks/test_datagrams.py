"""Datagrams of no octets and of 2,000, to every port: counted, survived, not answered."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import pytest

from gateway.base.counters import Counter
from tests.attacks.conftest import Strangers
from tests.rig.browser import ScriptedBrowser
from tests.rig.counting import counted
from tests.rig.hosted import until
from tests.rig.hosted_scene import ATTACKER_HOST, PLAIN, PLAIN_HOST, SDES, HostedScene, both_hear
from tests.rig.media import Address

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

ODD = (b"", b"\x80" * 2000, b"\x16" * 2000, b"\x00" * 2000, b"INVITE " * 285)
MEDIA_REPEATS = 5


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain", "sdes"])
async def test_odd_datagrams_to_every_media_port_do_not_disturb_the_call(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers, number: str
) -> None:
    call, trunk, uid = await scene.call(alice, number)
    await both_hear(call, trunk)
    assert trunk.target is not None
    ports: list[Address] = [
        trunk.target,
        (trunk.target[0], trunk.target[1] + 1),
        ("127.0.0.1", scene.setup.browser_port),
    ]
    thief = stranger(ATTACKER_HOST)
    for sender in (thief, trunk, call.media):
        for port in ports:
            for datagram in ODD * MEDIA_REPEATS:
                sender.send(datagram, port)
            await asyncio.sleep(0.02)  # what the kernel drops for want of room was never received
    await both_hear(call, trunk, 20)
    await call.hang_up()
    final = await scene.host.final(uid)
    assert counted(final, "empty_dropped") >= 3 * MEDIA_REPEATS
    assert counted(final, "oversize_dropped") >= 3 * MEDIA_REPEATS
    assert thief.heard == []


async def test_odd_datagrams_to_the_sip_port_are_counted_and_not_answered(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    counters = scene.host.gateway.counters
    unknown, malformed = counters[Counter.SIP_UNKNOWN_SOURCE], counters[Counter.SIP_MALFORMED]
    with ExitStack() as stack:
        senders = [stack.enter_context(_socket(host)) for host in (ATTACKER_HOST, PLAIN_HOST)]
        for sender in senders:
            for datagram in ODD:
                sender.sendto(datagram, ("127.0.0.1", scene.setup.sip_port))
        await until(lambda: counters[Counter.SIP_UNKNOWN_SOURCE] == unknown + len(ODD), "unknown sources counted")
        # nothing and 2,000 NULs are keepalives (RFC 5626 3.5.1); the rest is no SIP
        await until(lambda: counters[Counter.SIP_MALFORMED] == malformed + len(ODD) - 2, "malformed counted")
        call, trunk, _ = await scene.call(alice, PLAIN)
        await both_hear(call, trunk)
        await call.hang_up()
        for sender in senders:
            with pytest.raises(BlockingIOError):
                sender.recv(4096)


def _socket(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made
