"""The pool: opening, failing, ending and restarting, against real workers."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import pytest

from gateway.base.counters import Counter, Counters
from gateway.base.errors import MediaError
from gateway.base.values import HostPort, Secret
from gateway.media import relay_call, relay_client
from gateway.media.places import BrowserPlace, MediaPlaces, TrunkPlace
from gateway.media.relay_client import RelayPool, slice_ports
from gateway.media.relay_codec import decode_event, encode
from gateway.media.relay_commands import CloseCall, Heartbeat, IcePort, OpenLeg, OwnPort, SendDtls
from gateway.media.relay_events import Alive, RelayEvent, WorkerLost, WorkerReady
from gateway.media.relay_packet import apart, together
from gateway.media.relay_protocol import MAX_CONTROL_PACKET, WorkerConfig
from gateway.media.relay_slot import WorkerSlot
from gateway.media.relay_worker import MAX_BACKLOG, RelayWorker
from gateway.media.worker import loop as worker_loop
from gateway.media.worker.loop import RelayLoop
from tests.media import packets
from tests.media.peers import (
    BROWSER,
    BROWSER_PORT,
    LOOPBACK,
    TRUNK,
    TRUNK_BIND,
    WAIT_SECONDS,
    RelayedCall,
    Totals,
    media,
    new_call,
    running_pool,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

PORT = BROWSER_PORT + 20


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _legs(ufrag: str, bind: str = TRUNK_BIND) -> tuple[OpenLeg, OpenLeg]:
    return OpenLeg(BROWSER, IcePort(ufrag, Secret("x" * 24))), OpenLeg(TRUNK, OwnPort(bind))


def _ignore(_: RelayEvent) -> None:
    """A listener that does not care."""


async def _restarted(counters: Counters, times: int = 1) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while counters[Counter.WORKER_RESTARTED] < times:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_session_tells_where_it_is_reached(call: RelayedCall) -> None:
    assert call.candidates == (
        HostPort("203.0.113.1", BROWSER_PORT),
        HostPort("203.0.113.2", BROWSER_PORT),
    )
    assert call.trunk_rtp.host == TRUNK_BIND
    assert call.trunk_rtp.port % 2 == 0
    assert 20000 <= call.trunk_rtp.port <= 20998
    assert call.trunk_rtcp == HostPort(TRUNK_BIND, call.trunk_rtp.port + 1)


async def test_the_final_counters_come_with_the_end_and_closing_again_changes_nothing(call: RelayedCall) -> None:
    await call.connect()
    call.browser.send_media(packets.rtp(1))
    await call.trunk.receive_media()
    final = await call.close()
    assert (final.browser_rx, final.trunk_tx, final.stun_rx) == (1, 1, 1)
    assert await call.close() == final
    with pytest.raises(MediaError):
        await call.counters()


async def test_a_closed_session_takes_no_commands_and_relays_nothing(call: RelayedCall, pool: RelayPool) -> None:
    await call.connect()
    await call.close()
    call.send_dtls(b"\x16late")
    call.browser.send(call.browser.request(), call.browser.server)
    call.browser.send_media(packets.rtp(1))
    # The next call's check comes after them on the same port.
    async with new_call(pool) as other:
        await other.browser.check()
    assert call.browser.pending() == []
    assert call.trunk.rtp.pending() == []


async def test_two_calls_with_one_user_name_are_refused(call: RelayedCall, pool: RelayPool) -> None:
    with pytest.raises(MediaError, match="duplicate"):
        await pool.open(*_legs(call.ufrag, TRUNK_BIND), listener=_ignore)


async def test_a_bind_address_that_is_not_ours_is_refused(pool: RelayPool) -> None:
    before = pool.call_count
    with pytest.raises(MediaError, match="bad_address"):
        await pool.open(*_legs("abcdefgh", "192.0.2.1"), listener=_ignore)
    assert pool.call_count == before


async def test_without_a_free_port_a_session_is_refused_until_quarantine_is_over() -> None:
    config = media(first_port=PORT, trunk_ports=(22000, 22001))
    waiting = RelayedCall()
    async with running_pool(config, quarantine_seconds=0.2) as small:
        async with new_call(small):
            with pytest.raises(MediaError, match="no media port"):
                await waiting.open(small)
        with pytest.raises(MediaError, match="no media port"):
            await waiting.open(small)
        await asyncio.sleep(0.2)
        await waiting.open(small)
        await waiting.close()
        waiting.close_peers()


async def test_two_hundred_calls_give_their_descriptors_and_ports_back() -> None:
    config = media(first_port=PORT + 1, trunk_ports=(23000, 23399))
    async with running_pool(config, quarantine_seconds=0.0) as own:
        (pid,) = own.worker_pids
        before = _descriptors(pid)
        for _ in range(2):
            calls = await asyncio.gather(*(own.open(*_legs(f"ufrag{n:03}"), listener=_ignore) for n in range(200)))
            assert len({one.legs[TRUNK].rtp for one in calls}) == 200
            assert own.call_count == 200
            assert _descriptors(pid) == before + 400
            await asyncio.gather(*(one.close() for one in calls))
            assert own.call_count == 0
            assert _descriptors(pid) == before


async def test_calls_go_to_the_least_loaded_worker() -> None:
    config = media(workers=2, first_port=PORT + 2, trunk_ports=(24000, 24019))
    async with running_pool(config) as two:
        calls = [RelayedCall() for _ in range(4)]
        for call in calls:
            await call.open(two)
        assert sorted(c.candidates[0].port for c in calls) == [
            PORT + 2,
            PORT + 2,
            PORT + 3,
            PORT + 3,
        ]
        for call in calls:
            await call.close()
            call.close_peers()


async def test_a_killed_worker_ends_its_calls_only_and_comes_back(call: RelayedCall) -> None:
    counters = Counters()
    config = media(workers=2, first_port=PORT + 4, trunk_ports=(25000, 25019))
    async with running_pool(config, counters) as two:
        first, second = RelayedCall(), RelayedCall()
        await first.open(two)
        await second.open(two)
        assert first.candidates != second.candidates
        second.browser.server = HostPort(LOOPBACK, second.candidates[0].port)
        await second.connect()
        os.kill(two.worker_pids[0], signal.SIGKILL)
        assert not (await first.event(WorkerLost)).hung
        with pytest.raises(MediaError):
            await first.counters()
        first.send_dtls(b"\x16nobody hears this")
        assert await first.close() == Totals({})
        second.browser.send_media(packets.rtp(1))
        assert await second.trunk.receive_media() == packets.rtp(1, payload_type=8)
        assert not any(isinstance(e, WorkerLost) for e in second.events)
        await _restarted(counters)
        third = RelayedCall()
        await third.open(two)
        assert third.candidates[0].port in (PORT + 4, PORT + 5)
        for ended in (second, third):
            await ended.close()
        for ended in (first, second, third):
            ended.close_peers()


async def test_a_caller_waits_for_the_restart_rather_than_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client, "OPEN_SECONDS", 10.0)  # a busy machine starts processes slowly
    counters = Counters()
    async with running_pool(media(first_port=PORT + 6, trunk_ports=(26000, 26009)), counters) as own:
        os.kill(own.worker_pids[0], signal.SIGKILL)
        async with new_call(own) as lost:
            assert lost.trunk_rtp.port >= 26000
        assert counters[Counter.WORKER_RESTARTED] == 1


async def test_counters_known_before_the_loss_are_the_final_ones() -> None:
    async with running_pool(media(first_port=PORT + 7, trunk_ports=(26010, 26019))) as own:
        call = RelayedCall()
        await call.open(own)
        call.browser.server = HostPort(LOOPBACK, PORT + 7)
        await call.browser.check()
        known = await call.counters()
        os.kill(own.worker_pids[0], signal.SIGKILL)
        await call.event(WorkerLost)
        assert await call.close() == known
        assert known.stun_rx == 1
        call.close_peers()


async def test_a_stopped_worker_is_a_media_error_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(relay_call, "ANSWER_SECONDS", 0.2)
    async with running_pool(media(first_port=PORT + 8, trunk_ports=(26020, 26029))) as own:
        (pid,) = own.worker_pids
        call = RelayedCall()
        await call.open(own)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(MediaError, match="in time"):
                await own.open(*_legs("abcdefgh", TRUNK_BIND), listener=_ignore)
            with pytest.raises(MediaError, match="does not answer"):
                await call.counters()
            assert own.call_count == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        assert await call.counters() == Totals({})
        # What the worker opened for nobody was closed again: only this call's two sockets are left.
        assert _descriptors(pid) == 9
        await call.close()
        assert _descriptors(pid) == 7
        call.close_peers()


async def test_a_worker_that_never_reads_is_given_up_and_replaced() -> None:
    counters = Counters()
    async with running_pool(media(first_port=PORT + 9, trunk_ports=(26030, 26039)), counters) as own:
        call = RelayedCall()
        await call.open(own)
        (pid,) = own.worker_pids
        os.kill(pid, signal.SIGSTOP)
        for _ in range(MAX_BACKLOG + 2000):
            call.send_dtls(bytes(1000))
        assert (await call.event(WorkerLost)).hung
        await _restarted(counters)
        await _gone(pid)
        call.close_peers()


async def _gone(pid: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while _runs(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("waiting", [0, 1000], ids=["idle", "commands wait"])
async def test_a_hung_worker_takes_no_calls_from_the_other_and_is_killed_and_replaced(
    waiting: int, caplog: pytest.LogCaptureFixture
) -> None:
    counters, loop = Counters(), asyncio.get_running_loop()
    config = media(workers=2, first_port=PORT + 21, trunk_ports=(28000, 28059))
    async with running_pool(config, counters) as two:
        doomed = RelayedCall()
        await doomed.open(two)
        ports = [PORT + 21, PORT + 22]
        hung_port = doomed.candidates[0].port
        pid = two.worker_pids[ports.index(hung_port)]
        await doomed.close()  # it has the fewest calls: the pool would give it every call
        kept = RelayedCall()
        await kept.open(two)
        if kept.candidates[0].port != hung_port:
            kept, other = RelayedCall(), kept
            await kept.open(two)
            await other.close()
            other.close_peers()
        os.kill(pid, signal.SIGSTOP)
        stopped = loop.time()
        for _ in range(waiting):
            kept.send_dtls(bytes(1000))
        calls = [RelayedCall() for _ in range(6)]
        for call in calls:
            await call.open(two)
            assert call.candidates[0].port != hung_port
        assert loop.time() - stopped < relay_client.OPEN_SECONDS, "only the first try may have waited for the hung one"
        assert (await kept.event(WorkerLost)).hung
        assert loop.time() - stopped < 6.0
        await _gone(pid)
        await _restarted(counters)
        assert counters[Counter.WORKER_HUNG] == 1
        async with asyncio.timeout(WAIT_SECONDS):
            while not all(slot.ready for slot in two._crew.slots):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        replaced = RelayedCall()
        await replaced.open(two)
        assert replaced.candidates[0].port == hung_port
        for call in (*calls, replaced):
            assert not any(isinstance(e, WorkerLost) for e in call.events)
            await call.close()
        for call in (*calls, replaced, kept, doomed):
            call.close_peers()
    states = [line.split("state=")[1].split()[0] for line in caplog.messages if f"worker={hung_port} state=" in line]
    assert states == ["running->silent", "silent->killed", "lost->running"]


async def test_a_worker_that_was_only_held_up_is_kept() -> None:
    counters = Counters()
    async with running_pool(media(first_port=PORT + 23, trunk_ports=(26120, 26129)), counters) as own:
        call = RelayedCall()
        await call.open(own)
        (pid,) = own.worker_pids
        (slot,) = own._crew.slots
        os.kill(pid, signal.SIGSTOP)
        async with asyncio.timeout(WAIT_SECONDS):
            while slot.health.missed < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(WAIT_SECONDS):
            while slot.health.missed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert own.worker_pids == (pid,)
        assert await call.counters() == Totals({})
        await call.close()
        call.close_peers()


async def test_a_worker_that_answers_heartbeats_but_opens_nothing_is_given_up(
    pool: RelayPool, call: RelayedCall
) -> None:
    slot = WorkerSlot(WorkerConfig(-1, (LOOPBACK,), PORT + 24, 26130, 26139), Counters(), lambda: None)
    slot.health.overdue(5)
    slot._beat()
    slot._event(0, Alive(1))
    assert slot.worker.hung


async def test_a_worker_ends_when_a_gateway_that_watched_it_no_longer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_loop, "MAX_SILENT_TICKS", 0.2)
    config = WorkerConfig(-1, (LOOPBACK,), PORT + 25, 26140, 26149, consent_seconds=0.2)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(WAIT_SECONDS)
        loop = RelayLoop(config, theirs)
        running = asyncio.create_task(asyncio.to_thread(loop.run))
        (ready,) = apart(await asyncio.to_thread(ours.recv, MAX_CONTROL_PACKET))
        assert isinstance(decode_event(ready)[1], WorkerReady)
        await asyncio.sleep(0.5)
        assert not running.done(), "who never sent a heartbeat is not missed"
        ours.send(together([encode(0, Heartbeat(9))])[0])
        (answer,) = apart(await asyncio.to_thread(ours.recv, MAX_CONTROL_PACKET))
        assert decode_event(answer) == (0, Alive(9))
        await asyncio.wait_for(running, WAIT_SECONDS)
        loop._epoll.close()
        for own in loop._port.sockets:
            own.close()


async def test_a_gateway_that_does_not_read_costs_dtls_datagrams_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_pool(media(first_port=PORT + 10, trunk_ports=(26040, 26049))) as own, new_call(own) as call:
        call.browser.server = HostPort(LOOPBACK, PORT + 10)
        await call.connect()
        # The event loop is busy here: nothing is read while this runs.
        for n in range(150):
            call.browser.send(packets.CLIENT_HELLO + bytes(1400), call.browser.server)
            call.browser.send_media(packets.rtp(n))
        counters = await call.until(lambda c: c.dtls_rx == 150)
        assert counters.trunk_tx == 150


async def test_stopping_tells_open_calls_and_leaves_no_process() -> None:
    pool = RelayPool(media(first_port=PORT + 11, trunk_ports=(26050, 26059)), Counters())
    await pool.start()
    (pid,) = pool.worker_pids
    call = RelayedCall()
    await call.open(pool)
    await pool.stop()
    assert isinstance(await call.event(WorkerLost), WorkerLost)
    assert pool.call_count == 0
    assert not _exists(pid)
    with pytest.raises(MediaError, match="not running"):
        await call.open(pool)
    call.close_peers()


async def test_a_worker_ignores_the_signals_of_the_terminal(pool: RelayPool, call: RelayedCall) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pool.worker_pids[0], number)
    await call.connect()
    assert (await call.counters()).stun_rx == 1
    assert not any(isinstance(e, WorkerLost) for e in call.events)


async def test_a_browser_port_in_use_fails_the_start_and_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, PORT + 13))
        pool = RelayPool(media(workers=2, first_port=PORT + 12, trunk_ports=(26060, 26069)), Counters())
        with pytest.raises(MediaError):
            await pool.start()
    assert f"cannot bind UDP port {PORT + 13}" in capfd.readouterr().err
    for pid in pool.worker_pids:
        assert not _exists(pid)


async def test_a_worker_inherits_no_secrets_and_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARRIER_PASSWORD", "canary-password")
    with socket.socket():
        async with running_pool(media(first_port=PORT + 14, trunk_ports=(26070, 26079))) as own:
            (pid,) = own.worker_pids
            assert "canary" not in _proc(pid, "environ")
            assert "canary" not in _proc(pid, "cmdline")
            # 0-2, control socket, two browser sockets, epoll.
            assert _descriptors(pid) == 7


async def test_a_worker_raises_its_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, soft), hard))
    try:
        async with running_pool(media(first_port=PORT + 19, trunk_ports=(26070, 26079))) as own:
            limits = _proc(own.worker_pids[0], "limits").split("Max open files")[1].split()[:2]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limits == [str(hard), str(hard)]


async def test_the_ports_are_shared_out_in_whole_pairs() -> None:
    slices = slice_ports(media(workers=3, trunk_ports=(20001, 20012)))
    assert slices == [(20002, 20003), (20004, 20007), (20008, 20011)]


@pytest.mark.parametrize("argument", ["", "{}", "nonsense"])
async def test_a_worker_without_a_configuration_says_so(argument: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.worker", argument, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors == b"relay worker: malformed worker configuration\n"


async def test_a_message_the_gateway_cannot_read_ends_the_worker(call: RelayedCall) -> None:
    worker = RelayWorker(WorkerConfig(-1, (LOOPBACK,), PORT + 15, 26080, 26089), _fail)
    await worker.start()
    worker._received(b"nonsense")
    await asyncio.wait_for(worker.lost(), WAIT_SECONDS)
    assert not worker.alive
    worker.send(1, SendDtls(BROWSER, b"\x16"))
    await worker.stop()


def _fail(*event: object) -> None:
    raise AssertionError(event)


async def test_a_command_a_worker_cannot_read_is_counted_and_ignored(pool: RelayPool, call: RelayedCall) -> None:
    (before,) = await pool.worker_counters()
    slot = call.relay._home
    assert isinstance(slot, WorkerSlot)
    assert slot.worker._socket is not None
    slot.worker._socket.send(b"nonsense")
    slot.worker._socket.send(together([b"nonsense", encode(1 << 40, CloseCall())])[0])
    (after,) = await pool.worker_counters()
    assert after.control_rejected == before.control_rejected + 2


async def test_a_listener_that_fails_does_not_keep_others_from_their_events() -> None:
    loop = asyncio.get_running_loop()
    problems: list[object] = []
    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
    try:
        async with running_pool(media(first_port=PORT + 16, trunk_ports=(26090, 26099))) as own:
            await own.open(*_legs("abcdefgh", TRUNK_BIND), listener=_fail)
            call = RelayedCall()
            await call.open(own)
            os.kill(own.worker_pids[0], signal.SIGKILL)
            await call.event(WorkerLost)
            call.close_peers()
    finally:
        loop.set_exception_handler(None)
    assert len(problems) == 1
    assert isinstance(problems[0], AssertionError)


_GATEWAY_THAT_DIES = """
import asyncio, os, sys
from gateway.base.counters import Counters
from gateway.media.relay_client import RelayPool
from tests.media.peers import media

async def main():
    pool = RelayPool(media(first_port=int(sys.argv[1]), trunk_ports=(27000, 27009)), Counters())
    await pool.start()
    print(*pool.worker_pids, flush=True)
    os._exit(9)

asyncio.run(main())
"""


async def test_a_worker_does_not_outlive_the_gateway() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _GATEWAY_THAT_DIES, str(PORT + 17), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 9
    pid = int(output)
    async with asyncio.timeout(WAIT_SECONDS):
        while _runs(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    """True unless the process is gone, or waits for somebody to read its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or while it was read
        return False


async def test_ipv6_works_on_both_legs() -> None:
    config = MediaPlaces(
        browser=BrowserPlace(bind=("::1",), advertised=("::1",), ports=range(PORT + 18, PORT + 19)),
        trunk=TrunkPlace("::1"),
        trunk_ports=range(27010, 27020),
    )
    call = RelayedCall("::1")
    async with running_pool(config) as own:
        await call.open(own, bind="::1")
        call.browser.server = call.candidates[0]
        await call.connect(sources=("2001:db8::/32",))
        call.browser.send_media(packets.rtp(1))
        assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)
        call.trunk.send_media(packets.rtp(2, payload_type=8))
        assert await call.browser.receive_media() == packets.rtp(2)
        call.trunk.send_rtcp(packets.receiver_report())
        await call.until(lambda c: c.rtcp_rx == 1)
        await call.close()
    call.close_peers()
