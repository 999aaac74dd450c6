"""Workers that make room for others: calls go on where they are, new ones begin with the fresh worker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from gateway.base.counters import Counter, Counters
from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId, Secret
from gateway.media import relay_codec, relay_slot
from gateway.media.relay_client import RelayPool, slice_ports
from gateway.media.relay_codec import dialect, encode_config
from gateway.media.relay_commands import IcePort, OpenLeg
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_crew import sum_of
from gateway.media.relay_events import RelayEvent, WorkerLost
from gateway.media.relay_facts import Relief, WorkerState
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.relay_slot import MAX_GUESTS
from tests.media import packets
from tests.media.peers import BROWSER_PORT, LOOPBACK, WAIT_SECONDS, RelayedCall, media, running_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

PORT = BROWSER_PORT + 60
QUARANTINE = 0.05


def _ignore(_: RelayEvent) -> None:
    """A listener that does not care."""


async def _until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(2 * WAIT_SECONDS):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def _open(pool: RelayPool) -> RelayedCall:
    call = RelayedCall()
    await call.open(pool)
    call.browser.server = HostPort(LOOPBACK, call.candidates[0].port)
    return call


async def _close(*calls: RelayedCall) -> None:
    for call in calls:
        await call.close()
        call.close_peers()


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _ports(pool: RelayPool) -> list[tuple[int, WorkerState]]:
    return [(worker.port, worker.state) for worker in pool.workers]


async def test_a_relieved_worker_loses_no_packet_of_its_calls_and_begins_no_other() -> None:
    config = media(first_port=PORT, spare=1, trunk_ports=(29000, 29019))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        first = await _open(pool)
        await first.connect()
        (old,) = pool.worker_pids
        relief = asyncio.create_task(pool.relieve(PORT))
        sent = 0
        while not relief.done() or sent < 50:
            sent += 1
            first.browser.send_media(packets.rtp(sent))
            assert await first.trunk.receive_media() == packets.rtp(sent, payload_type=8)
        assert relief.result() == {PORT: Relief.RELIEVED}
        assert _ports(pool) == [(PORT + 1, WorkerState.RUNNING), (PORT, WorkerState.DRAINING)]
        second = await _open(pool)
        assert second.candidates[0].port == PORT + 1
        assert (await first.counters()).trunk_tx == sent, "the numbers of a call can be read while its worker drains"
        assert not any(isinstance(event, WorkerLost) for event in first.events)
        await second.connect()
        await _close(first)
        await _until(lambda: not Path(f"/proc/{old}").exists())
        second.browser.send_media(packets.rtp(1))
        assert await second.trunk.receive_media() == packets.rtp(1, payload_type=8)
        await _close(second)


async def test_its_place_is_free_for_the_next_one_when_its_ports_have_rested() -> None:
    counters = Counters()
    config = media(first_port=PORT + 2, spare=1, trunk_ports=(29020, 29039))
    async with running_pool(config, counters, quarantine_seconds=0.3) as pool:
        for port in (PORT + 2, PORT + 3, PORT + 2):
            assert await pool.relieve(port) == {port: Relief.RELIEVED}
            await _until(lambda: len(pool.workers) == 1)
            assert not pool._crew._spare, "late packets of its calls may still come"
            await _until(lambda: len(pool._crew._spare) == 1)
        assert _ports(pool) == [(PORT + 3, WorkerState.RUNNING)]
        assert counters[Counter.WORKER_RELIEVED] == 3
        assert counters[Counter.WORKER_RESTARTED] == 0


async def test_calls_that_are_left_when_the_time_is_up_are_told_and_have_their_last_numbers() -> None:
    config = media(first_port=PORT + 4, spare=1, trunk_ports=(29040, 29059))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        await call.connect()
        call.browser.send_media(packets.rtp(1))
        await call.trunk.receive_media()
        await pool.relieve(pool.worker_pids[0], 0.0)
        assert await call.event(WorkerLost) == WorkerLost(drained=True)
        assert (await call.close()).trunk_tx == 1, "the worker is there until the call is over"
        call.close_peers()
        await _until(lambda: _ports(pool) == [(PORT + 5, WorkerState.RUNNING)])


async def test_a_call_that_does_not_end_even_then_is_told_that_its_worker_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_slot, "LEAVE_SECONDS", 0.05)
    config = media(first_port=PORT + 6, spare=1, trunk_ports=(29060, 29079))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        await pool.relieve(PORT + 6, 0.0)
        await _until(lambda: call.events == [WorkerLost(drained=True), WorkerLost()])
        await _until(lambda: _ports(pool) == [(PORT + 7, WorkerState.RUNNING)])
        await _close(call)


async def test_the_only_worker_without_a_port_to_spare_stays_unless_its_calls_may_end_now() -> None:
    config = media(first_port=PORT + 8, trunk_ports=(29080, 29099))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        (old,) = pool.worker_pids
        with pytest.raises(MediaError, match="no port to spare"):
            await pool.relieve(PORT + 8)
        assert _ports(pool) == [(PORT + 8, WorkerState.RUNNING)]
        await call.connect()
        assert await pool.relieve(PORT + 8, 0.0) == {PORT + 8: Relief.VACATED}
        await call.event(WorkerLost)
        await _close(call)
        await _until(lambda: pool.workers and pool.workers[0].state is WorkerState.RUNNING)
        assert pool.worker_pids != (old,)
        await _close(await _open(pool))


async def test_without_a_port_to_spare_the_others_begin_the_calls_until_it_is_gone() -> None:
    config = media(workers=2, first_port=PORT + 10, trunk_ports=(29100, 29119))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        gone, other = call.candidates[0].port, 2 * PORT + 21 - call.candidates[0].port
        assert await pool.relieve(gone) == {gone: Relief.VACATED}
        calls = [await _open(pool) for _ in range(3)]
        assert {each.candidates[0].port for each in calls} == {other}
        await _close(call)
        await _until(lambda: sorted(_ports(pool)) == [(PORT + 10, "running"), (PORT + 11, "running")])
        calls.append(await _open(pool))
        assert calls[-1].candidates[0].port == gone
        await _close(*calls)


async def test_all_of_them_are_relieved_one_after_the_other_as_places_become_free() -> None:
    config = media(workers=2, first_port=PORT + 12, spare=1, trunk_ports=(29120, 29149))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        before = set(pool.worker_pids)
        call = await _open(pool)
        if call.candidates[0].port != PORT + 12:
            call, other = await _open(pool), call
            await _close(other)
        assert await pool.relieve() == {PORT + 12: Relief.RELIEVED, PORT + 13: Relief.WAITS}
        assert await pool.relieve(PORT + 13) == {PORT + 13: Relief.WAITS}, "asking again changes nothing"
        assert _ports(pool)[1:] == [(PORT + 13, WorkerState.RUNNING), (PORT + 12, WorkerState.DRAINING)]
        await _close(call)
        await _until(lambda: len(pool.workers) == 2 and not before & set(pool.worker_pids))
        assert {port for port, _ in _ports(pool)} == {PORT + 12, PORT + 14}


async def test_a_fresh_worker_that_does_not_start_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    config = media(first_port=PORT + 16, spare=1, trunk_ports=(29150, 29169))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        before = pool.worker_pids
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((LOOPBACK, PORT + 17))
            with pytest.raises(MediaError):
                await pool.relieve(PORT + 16)
        assert pool.worker_pids == before
        assert _ports(pool) == [(PORT + 16, WorkerState.RUNNING)]
        assert await pool.relieve(PORT + 16) == {PORT + 16: Relief.RELIEVED}, "the place is still free"
    capfd.readouterr()


async def test_a_draining_worker_that_dies_ends_its_calls_and_is_not_restarted() -> None:
    counters = Counters()
    config = media(first_port=PORT + 18, spare=1, trunk_ports=(29170, 29189))
    async with running_pool(config, counters, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        (old,) = pool.worker_pids
        await pool.relieve(PORT + 18)
        other = await _open(pool)
        os.kill(old, signal.SIGKILL)
        assert await call.event(WorkerLost) == WorkerLost()
        await _until(lambda: _ports(pool) == [(PORT + 19, WorkerState.RUNNING)])
        assert counters[Counter.WORKER_RESTARTED] == 0
        await other.connect()
        assert not any(isinstance(event, WorkerLost) for event in other.events)
        await _close(call, other)


async def test_a_worker_that_is_killed_costs_the_calls_of_another_no_packet() -> None:
    counters = Counters()
    config = media(workers=2, first_port=PORT + 30, trunk_ports=(29290, 29309))
    async with running_pool(config, counters) as pool:
        calls = [await _open(pool) for _ in range(2)]
        kept = next(call for call in calls if call.candidates[0].port == PORT + 31)
        await kept.connect()
        sent = 0
        while counters[Counter.WORKER_RESTARTED] == 0 or sent < 50:
            sent += 1
            if sent == 5:
                os.kill(pool.worker_pids[0], signal.SIGKILL)
            kept.browser.send_media(packets.rtp(sent))
            assert await kept.trunk.receive_media() == packets.rtp(sent, payload_type=8)
        await _close(*calls)


async def test_a_draining_worker_begins_what_may_be_joined_with_its_calls_but_not_for_ever() -> None:
    config = media(first_port=PORT + 20, spare=1, trunk_ports=(29190, 29209))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        numbers = iter(range(1000))

        async def begin(*affinity: Hashable) -> int:
            leg = OpenLeg(LegId(1), IcePort(f"crew{next(numbers):04d}", Secret("x" * 24)))
            call = await pool.open(leg, listener=_ignore, affinity=affinity)
            return call.legs[LegId(1)].rtp[0].port

        assert await begin("alice") == PORT + 20
        await pool.relieve(PORT + 20)
        assert await begin("bob") == PORT + 21
        assert [await begin("alice", "carol") for _ in range(MAX_GUESTS)] == [PORT + 20] * MAX_GUESTS
        assert await begin("alice") == PORT + 21
        assert await begin("alice") == PORT + 21


async def test_what_a_worker_counted_outside_of_calls_is_known_when_it_is_gone() -> None:
    config = media(first_port=PORT + 22, spare=1, trunk_ports=(29210, 29229))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"\xff not STUN", (LOOPBACK, PORT + 22))

        async def unknown() -> int:
            return sum_of(await pool.worker_counters()).unknown_dropped

        async with asyncio.timeout(WAIT_SECONDS):
            while await unknown() != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await pool.relieve(PORT + 22)
        await _until(lambda: len(pool.workers) == 1)
        assert await unknown() == 1


async def test_one_that_drains_already_and_one_that_is_not_there_are_refused() -> None:
    config = media(first_port=PORT + 24, spare=1, trunk_ports=(29230, 29249))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        call = await _open(pool)
        await pool.relieve(PORT + 24, 60.0)
        (left,) = [worker.left for worker in pool.workers if worker.left is not None]
        assert 0 < left <= 60
        for number, why in ((PORT + 24, "draining already"), (PORT + 99, "there is no worker")):
            with pytest.raises(MediaError, match=why):
                await pool.relieve(number)
        await _close(call)


async def test_a_fresh_worker_runs_what_is_installed_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = media(first_port=PORT + 26, spare=1, trunk_ports=(29250, 29269))
    async with running_pool(config, quarantine_seconds=QUARANTINE) as pool:
        before = pool.workers[0].version
        (tmp_path / "sitecustomize.py").write_text("import gateway\ngateway.__version__ = '99.0'\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        await pool.relieve(PORT + 26)
        assert [worker.version for worker in pool.workers if worker.left is None] == ["99.0"]
        assert before not in ("", "99.0")


async def test_a_worker_that_knows_other_messages_than_the_gateway_does_not_start() -> None:
    argument = encode_config(WorkerConfig(0, (LOOPBACK,), PORT + 28, 29270, 29279, dialect="0123456789abcdef"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.worker", argument, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"another version of the relay protocol" in errors


async def test_the_dialect_changes_with_a_field_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dialect.__wrapped__()
    assert before == dialect()

    class Whistle:
        tune: int

    monkeypatch.setitem(relay_codec._FIELDS, Whistle, {})
    with_it = dialect.__wrapped__()
    Whistle.__annotations__["tune"] = "bytes"
    assert len({before, with_it, dialect.__wrapped__()}) == 3


async def test_a_worker_runs_no_program_of_the_directory_the_gateway_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "socket", "gateway"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    async with running_pool(media(first_port=PORT + 32, trunk_ports=(29310, 29319))) as pool:
        assert pool.workers[0].state is WorkerState.RUNNING


async def test_a_worker_leaves_no_core_file_and_gains_no_rights() -> None:
    config = media(first_port=PORT + 29, trunk_ports=(29280, 29289))
    async with running_pool(config) as pool:
        (pid,) = pool.worker_pids
        limits = _proc(pid, "limits").split("Max core file size")[1].split()[:2]
        assert limits == ["0", "0"]
        assert "NoNewPrivs:\t1" in _proc(pid, "status")


async def test_places_to_spare_have_ports_for_trunks_of_their_own() -> None:
    assert slice_ports(media(workers=2, trunk_ports=(20000, 20011))) == [(20000, 20005), (20006, 20011)]
    assert slice_ports(media(workers=2, spare=1, trunk_ports=(20000, 20011))) == [
        (20000, 20003),
        (20004, 20007),
        (20008, 20011),
    ]
    assert len(slice_ports(media(workers=2, spare=7, trunk_ports=(20000, 20099)))) == 4, "one a worker is enough"


async def test_numbers_of_several_workers_add_up() -> None:
    assert sum_of([]) == PacketCounters()
    assert sum_of([PacketCounters(rtp_rx=1, unsent=2), PacketCounters(unsent=3)]) == PacketCounters(rtp_rx=1, unsent=5)
