"""The ends and the limits of legs through a real worker: what is closed is given back, what is too much is refused."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId, Secret
from gateway.media import relay_call
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import (
    CloseLeg,
    IcePort,
    LegCommand,
    OpenLeg,
    OwnPort,
    RelayPlan,
    Route,
    SendDtls,
    SetIce,
    SetKeys,
    SetPeer,
    Unroute,
)
from gateway.media.relay_events import (
    CommandRefused,
    MediaStarted,
    RelayEvent,
    WorkerLost,
)
from gateway.media.relay_protocol import MAX_LEGS, WORKER
from tests.media.mesh import Mesh, talks
from tests.media.peers import BROWSER_PORT, TRUNK_BIND, Keys, keys_command, media, running_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

PORT = BROWSER_PORT + 60
KEY = Secret(bytes(30))


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_a_closed_leg_gives_its_name_ports_and_sockets_back_at_once() -> None:
    config = media(first_port=PORT + 1, trunk_ports=(29020, 29021))
    async with running_pool(config, quarantine_seconds=0.0) as own:
        first, second = OpenLeg(LegId(1), IcePort("name", Secret("x" * 24))), OpenLeg(LegId(2), OwnPort(TRUNK_BIND))
        call = await own.open(first, second, listener=lambda _: None)
        (pid,) = own.worker_pids
        held = _descriptors(pid)
        with pytest.raises(MediaError, match="no media port"):
            await call.open(OpenLeg(LegId(3), OwnPort(TRUNK_BIND)))
        with pytest.raises(MediaError, match="duplicate"):
            await call.open(OpenLeg(LegId(4), IcePort("name", Secret("x" * 24))))
        call.send(CloseLeg(LegId(1)))
        call.send(CloseLeg(LegId(2)))
        await call.counters()
        assert call.legs == {}
        assert _descriptors(pid) == held - 2
        again = [OpenLeg(LegId(5), first.place), OpenLeg(LegId(6), second.place)]
        for command in again:
            await call.open(command)
        assert set(call.legs) == {LegId(5), LegId(6)}
        assert _descriptors(pid) == held
        assert set(await call.close()) == {LegId(n) for n in (1, 2, 5, 6)}
        assert _descriptors(pid) == held - 2


async def test_of_a_closed_leg_nothing_more_is_told(mesh: Mesh) -> None:
    """What the worker told before it read the command is of no use to anybody."""
    call, stays = mesh
    leaves = await call.browser()
    call.events.clear()
    call.relay.send(CloseLeg(leaves.leg))
    call.relay.deliver(MediaStarted(leaves.leg))
    call.relay.deliver(MediaStarted(stays.leg))
    assert call.events == [MediaStarted(stays.leg)]
    await call.relay.counters()


async def test_a_further_leg_is_refused_in_time_by_a_worker_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_call, "ANSWER_SECONDS", 0.2)
    async with running_pool(media(first_port=PORT + 2, trunk_ports=(29030, 29039))) as own:
        call = await own.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=lambda _: None)
        (pid,), (slot,) = own.worker_pids, own._crew.slots
        held = _descriptors(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(MediaError, match="does not answer"):
                await call.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND)))
            assert slot.health.slow(asyncio.get_running_loop().time())
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        assert set(await call.counters()) == {LegId(1)}
        assert _descriptors(pid) == held, "what was opened for nobody was closed again"
        assert LegId(2) not in call.legs


async def test_a_further_leg_is_refused_at_once_when_its_worker_dies() -> None:
    async with running_pool(media(first_port=PORT + 3, trunk_ports=(29040, 29049))) as own:
        lost: list[RelayEvent] = []
        call = await own.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=lost.append)
        (pid,) = own.worker_pids
        os.kill(pid, signal.SIGSTOP)
        opening = asyncio.create_task(call.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND))))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MediaError, match="died"):
            await opening
        assert lost == [WorkerLost()]
        with pytest.raises(MediaError, match="no relay any more"):
            await call.open(OpenLeg(LegId(3), OwnPort(TRUNK_BIND)))


async def test_a_call_has_so_many_legs_at_a_time_and_no_more(mesh: Mesh) -> None:
    call, first = mesh
    for n in range(2, MAX_LEGS + 1):
        await call.relay.open(OpenLeg(LegId(n), IcePort(f"{first.ufrag}{n}", Secret("x" * 24))))
    over = OpenLeg(LegId(50), IcePort(f"{first.ufrag}-", Secret("x" * 24)))
    with pytest.raises(MediaError, match="too_many_legs"):
        await call.relay.open(over)
    call.relay.send(CloseLeg(LegId(2)))
    await call.relay.open(over)


async def test_a_call_that_opens_legs_for_ever_is_stopped(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    call, _ = mesh
    monkeypatch.setattr(relay_call, "MAX_LEGS_EVER", 3)
    for n in (2, 3):
        await call.relay.open(OpenLeg(LegId(n), OwnPort(TRUNK_BIND)))
        call.relay.send(CloseLeg(LegId(n)))
    with pytest.raises(MediaError, match="too_many_legs"):
        await call.relay.open(OpenLeg(LegId(4), OwnPort(TRUNK_BIND)))


async def test_a_worker_does_not_open_a_number_twice_whatever_it_is_told(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    for command in (OpenLeg(caller.leg, OwnPort(TRUNK_BIND)), OpenLeg(trunk.leg, OwnPort(TRUNK_BIND))):
        call.relay._home.send(call.relay.id, command)
    call.relay._home.send(WORKER, OpenLeg(LegId(1), OwnPort(TRUNK_BIND)))
    await call.relay.counters()
    await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)
    counters = await call.relay.counters()
    assert [counters[leg].rtp_rx for leg in (caller.leg, trunk.leg)] == [3, 3], "the legs are those of before"


@pytest.mark.parametrize("number", [1, 2], ids=["open", "closed before"])
async def test_the_number_of_a_leg_is_not_used_twice(mesh: Mesh, number: int) -> None:
    call, _ = mesh
    await call.relay.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND)))
    call.relay.send(CloseLeg(LegId(2)))
    with pytest.raises(MediaError, match="duplicate"):
        await call.relay.open(OpenLeg(LegId(number), OwnPort(TRUNK_BIND)))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SetPeer(LegId(1), False, HostPort("127.0.0.1", 4000)), "wrong_kind"),
        (SetKeys(LegId(2), "AES_CM_128_HMAC_SHA1_80", KEY, KEY, component=3), "bad_keys"),
        (Route(LegId(2), LegId(2), RelayPlan()), "bad_route"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_a_leg_cannot_do_is_refused_and_changes_nothing(
    mesh: Mesh, command: LegCommand, reason: str
) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    call.relay.send(command)
    leg = command.sink if isinstance(command, Route) else getattr(command, "leg")  # noqa: B009
    assert (await call.event(CommandRefused, leg)).reason == reason
    await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)


async def test_what_is_about_no_leg_there_is_is_ignored_and_counted(mesh: Mesh, pool: RelayPool) -> None:
    call, caller = mesh
    (before,) = await pool.worker_counters()
    nobody = LegId(99)
    for command in (
        Route(caller.leg, nobody, RelayPlan()),
        Route(nobody, caller.leg, RelayPlan()),
        Unroute(nobody),
        SendDtls(nobody, b"\x16"),
        SetIce(nobody, "name", Secret("x" * 24)),
        keys_command(nobody, Keys()),
    ):
        call.relay.send(command)
    await call.relay.counters()
    (after,) = await pool.worker_counters()
    assert after.control_rejected == before.control_rejected + 6
    assert not [event for event in call.events if isinstance(event, CommandRefused)]
