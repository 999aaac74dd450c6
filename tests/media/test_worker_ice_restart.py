"""An ICE restart through a real worker: media goes on, the old name counts until a path under the new one is chosen."""

from __future__ import annotations

import pytest
from aioice import stun

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import Secret
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import SetIce
from gateway.media.relay_events import CommandRefused
from tests.media import packets
from tests.media.packets import payload_type
from tests.media.peers import BROWSER, IN_MEDIA_NETWORK, BrowserPeer, RelayedCall, new_call

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def talks(call: RelayedCall, number: int) -> None:
    """A packet each way, under the keys there are."""
    call.browser.send_media(packets.rtp(number))
    assert payload_type(await call.trunk.receive_media()) == 8
    call.trunk.send_media(packets.rtp(number, payload_type=8))
    assert payload_type(await call.browser.receive_media()) == 0


@pytest.mark.parametrize("suite", [None, AES_CM_128_HMAC_SHA1_80])
async def test_media_and_dtls_go_on_before_during_and_after_a_restart(
    call: RelayedCall, suite: CryptoSuite | None
) -> None:
    await call.connect(suite=suite)
    await talks(call, 1)
    call.restart()
    await talks(call, 2)
    await call.browser.check(nominate=False)
    await talks(call, 3)
    await call.browser.check()
    await talks(call, 4)
    call.send_dtls(packets.CLIENT_HELLO)
    assert await call.browser.receive() == packets.CLIENT_HELLO


async def test_the_old_name_is_answered_until_the_browser_chose_a_path_under_the_new_one(call: RelayedCall) -> None:
    await call.connect()
    old = call.restart()
    new = call.ufrag, call.password
    for names in (old, new, old):
        call.ufrag, call.password = names
        assert (await call.browser.check(nominate=names is old)).message_class is stun.Class.RESPONSE
    call.ufrag, call.password = new
    await call.browser.check()
    before = (await call.counters()).stun_rejected
    call.ufrag, call.password = old
    call.browser.send(call.browser.request(), call.browser.server)
    call.ufrag, call.password = new
    await call.browser.check()
    assert call.browser.pending() == []
    assert (await call.counters()).stun_rejected == before, "nobody has that name any more"


async def test_the_password_of_one_name_does_not_open_the_other(call: RelayedCall) -> None:
    await call.connect()
    old = call.restart()
    call.browser.send(call.browser.request(password=old[1]), call.browser.server)
    await call.browser.check()
    assert call.browser.pending() == []
    assert (await call.counters()).stun_rejected == 1


async def test_media_moves_to_the_path_that_was_chosen_under_the_new_name(call: RelayedCall) -> None:
    """The reason for a restart: the browser has another address now."""
    await call.connect()
    await talks(call, 1)
    call.restart()
    moved = BrowserPeer(call, IN_MEDIA_NETWORK)
    moved.keys = call.browser.keys
    await moved.check()
    call.trunk.send_media(packets.rtp(2, payload_type=8))
    assert payload_type(await moved.receive_media()) == 0
    moved.close()


async def test_a_browser_that_restarts_again_before_it_chose_a_path_is_heard_under_the_last_name(
    call: RelayedCall,
) -> None:
    await call.connect()
    first = call.restart()
    given_up = call.restart()
    last = call.ufrag, call.password
    call.ufrag, call.password = given_up
    call.browser.send(call.browser.request(), call.browser.server)
    for names in (first, last):
        call.ufrag, call.password = names
        await call.browser.check(nominate=False)
    assert call.browser.pending() == []
    await talks(call, 1)


async def test_a_name_of_another_call_is_refused_and_stays_with_that_call(call: RelayedCall, pool: RelayPool) -> None:
    async with new_call(pool) as other:
        await other.connect()
        call.relay.send(SetIce(BROWSER, other.ufrag, Secret("a password of somebody else")))
        assert (await call.event(CommandRefused)).reason == "duplicate"
        await other.browser.check()


async def test_every_name_of_a_call_is_free_when_it_has_ended(pool: RelayPool) -> None:
    async with new_call(pool) as ended:
        await ended.connect()
        names = ended.restart()[0], ended.ufrag
    for name in names:
        again = RelayedCall()
        again.ufrag = name
        await again.open(pool)
        await again.close()
        again.close_peers()
