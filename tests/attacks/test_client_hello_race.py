"""A forged ClientHello in front of the real one (CVE-2023-49786, CVE-2023-51443): every call must survive it."""

from __future__ import annotations

import secrets

import pytest

from tests.attacks.conftest import Strangers
from tests.rig.browser import ScriptedBrowser
from tests.rig.counting import counted
from tests.rig.hosted_scene import ATTACKER_HOST, PLAIN, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

CALLS_PER_ROLE = 25
NULL_HELLO = (
    bytes.fromhex("16fefd00000000000000000036")  # record: handshake, epoch 0, 54 octets
    + bytes.fromhex("0100002a000000000000002a")  # ClientHello, 42 octets, one fragment
    + bytes.fromhex("fefd")
    + bytes(32)
    + bytes.fromhex("00000002000001" + "00")  # no session, no cookie, TLS_NULL_WITH_NULL_NULL, no compression
)
JUNK = (b"\x16", b"\x16\xfe\xfd" + bytes(60), b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", b"\x17" * 200)


@pytest.mark.parametrize("setup", ["active", "passive"], ids=["gateway is server", "gateway is client"])
async def test_no_call_is_lost_to_a_forged_hello_before_and_during_the_handshake(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers, setup: str
) -> None:
    assert len(NULL_HELLO) == 67
    port = ("127.0.0.1", scene.setup.browser_port)
    strangers = [stranger(host) for host in (ATTACKER_HOST, "127.0.0.1")]
    rejected = await scene.host.unassigned("dtls_rejected")
    sent = 0

    def spray() -> None:
        nonlocal sent
        for source in strangers:
            for datagram in (NULL_HELLO, *JUNK, b"\x16\xfe\xfd" + secrets.token_bytes(100)):
                source.send(datagram, port)
                sent += 1

    def racing(datagram: bytes) -> list[bytes]:
        spray()
        return [datagram]

    for _ in range(CALLS_PER_ROLE):
        spray()
        call, trunk, uid = await scene.call(alice, PLAIN, setup=setup, mangle=racing)
        spray()
        await both_hear(call, trunk, 2)
        await call.hang_up()
        final = await scene.host.final(uid)
        assert final["termination"] == "hangup-browser"
        assert scene.host.records("leg.violation", uid) == []
        assert counted(final, "dtls_rejected") == 0
    assert [s.heard for s in strangers] == [[], []]
    assert await scene.host.unassigned("dtls_rejected") - rejected == sent
