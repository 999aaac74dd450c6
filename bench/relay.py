"""CPU per relayed packet of one worker and what it adds to the way, beside rtpengine under the same load.

Both are measured in turn within one run, on the same core and with the same load: the ratio is what counts. The bare
forwarder beside them does no crypto, no checks and no mapping; it is the floor of a relay that reads packet by packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aioice import stun
from pylibsrtp import Policy, Session

from bench.load import Change, End, Load, Measured, drive, host_of, median, take_the_core
from bench.plot import Bars, Panel, svg
from bench.rtpengine import PORTS, RtpEngine, is_here
from bench.wire import Peer
from gateway.base.counters import Counters
from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort, LegId, Secret
from gateway.config.compile import compile_media
from gateway.config.schema import Media
from gateway.media.relay_call import RelayCall
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import IcePort, OpenLeg, OwnPort, PayloadMap, RelayPlan, Route, SetKeys, SetPeer
from tests.rig.ports import first_of
from tests.rig.srtp import PROFILES

HOST = "127.0.0.1"
UFRAG_PREFIX = "bench"
PROFILE = {profile.sdes: profile.library for profile in PROFILES}
BROWSER, TRUNK = LegId(1), LegId(2)
CORE, OWN_CORE = 1, 0
WARM_UP = 1.0
ENGINE_WARM_UP = 4.0
"""Seconds before it counts: rtpengine learns its peers for three."""
SUITES = (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM)


@dataclass(frozen=True)
class Kind:
    """What is measured, and how."""

    suite: CryptoSuite
    smooth: bool

    def __str__(self) -> str:
        return f"{self.suite.name}, {'even' if self.smooth else 'bursts'}"


MAX_LOSS = 0.001
STEPS = range(600, 1601, 100)
SHARED = 300
KINDS = tuple(Kind(suite, smooth) for suite in SUITES for smooth in (False, True))


def main(sessions: Sequence[int], seconds: float, rounds: int, plot: Path | None = None) -> None:
    """Measure, print, and draw."""
    take_the_core(OWN_CORE)
    if not is_here():
        sys.exit("rtpengine is not installed (Debian: rtpengine-daemon): nothing to compare with")
    cost: list[Bars] = []
    wait: list[Bars] = []
    for count in sessions:
        print(f"relay: {count} calls SRTP - RTP, {count * 100} packets/s, {rounds} rounds of {seconds:g} s, in turn")
        for kind in KINDS:
            ours, theirs = in_turn(kind, count, seconds, rounds)
            _tell(kind, ours, theirs)
            name = f"{count}, {'GCM' if 'GCM' in kind.suite.name else 'CM'}, {'even' if kind.smooth else 'bursts'}"
            cost.append(Bars(name, *(median([m.microseconds for m in one]) for one in (ours, theirs))))
            wait.append(Bars(name, *(median([m.delay(99) for m in one]) for one in (ours, theirs))))
        floor = _floor(count, seconds)
        print(f"  bare forwarder, packet by packet: {floor.microseconds:.1f} us/packet  loss {floor.loss:.2%}")
    most = _most_calls(seconds)
    _two_workers(seconds)
    if plot is not None:
        panels = [Panel("CPU of a relayed packet", "microseconds", cost), Panel("Delay, p99", "ms", wait)]
        panels.append(Panel("Calls one core carries below 0.1 % loss", "calls", [most]))
        plot.write_text(svg("A relayed packet, by calls, suite and arrival", panels))


def _tell(kind: Kind, ours: list[Measured], theirs: list[Measured]) -> None:
    ratios = [a.microseconds / b.microseconds for a, b in zip(ours, theirs, strict=True)]
    print(f"  {kind}")
    _line("this worker", ours)
    _line("rtpengine", theirs)
    print(f"    {'ratio':12s} {median(ratios):6.2f}  [{min(ratios):.2f} - {max(ratios):.2f}]", flush=True)


def _most_calls(seconds: float) -> Bars:
    """With how many calls a core loses less than a packet in a thousand, one side after the other at each step."""
    most, alive = {"this worker": 0, "rtpengine": 0}, {"this worker": worker, "rtpengine": engine}
    print(f"calls on one core, {KINDS[0]}, loss below {MAX_LOSS:.1%}")
    for count in STEPS:
        for name, measure in list(alive.items()):
            measured = measure(KINDS[0], count, seconds)
            _line(f"{count} {name}", [measured])
            if measured.loss >= MAX_LOSS:
                del alive[name]
            else:
                most[name] = count
    print(f"  most: this worker {most['this worker']}, rtpengine {most['rtpengine']}", flush=True)
    return Bars("calls", most["this worker"], most["rtpengine"])


def _two_workers(seconds: float) -> None:
    """That workers share the load: the calls of one core on two, one of which is the load's own."""
    print(f"{SHARED} calls on one worker and on two, each on a core of its own (the first is the load's too)")
    for cores in ((CORE,), (CORE, OWN_CORE)):
        _line(f"{len(cores)} worker(s)", [worker(KINDS[0], SHARED, seconds, cores)])


def in_turn(kind: Kind, count: int, seconds: float, rounds: int) -> tuple[list[Measured], list[Measured]]:
    """A worker and rtpengine, one after the other, so many times."""
    pairs = [(worker(kind, count, seconds), engine(kind, count, seconds)) for _ in range(rounds)]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def _line(name: str, measured: list[Measured]) -> None:
    cost = [m.microseconds for m in measured]
    half, most = (median([m.delay(percent) for m in measured]) for percent in (50, 99))
    late = median([m.late(99) for m in measured])
    print(
        f"    {name:12s} {median(cost):6.1f} us/packet  [{min(cost):.1f} - {max(cost):.1f}]"
        f"  loss {max(m.loss for m in measured):.2%}  delay p50 {half:.2f} ms  p99 {most:.2f} ms"
        f"  busy {median([m.busy for m in measured]):.0%}  (load late p99 {late:.2f} ms)",
        flush=True,
    )


def _floor(sessions: int, seconds: float) -> Measured:
    ports = [[HOST, HOST]] * sessions
    process = subprocess.Popen(
        ["taskset", "-c", str(CORE), sys.executable, "-m", "bench.floor", json.dumps(ports)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    load = Load()
    try:
        for number, (browser, phone) in enumerate(json.loads(process.stdout.readline())):
            load.add(
                End(Peer(host_of(number, browser=True), (HOST, browser))),
                End(Peer(host_of(number, browser=False), (HOST, phone))),
            )
        return drive(load, [process.pid], seconds, WARM_UP)
    finally:
        process.kill()
        process.communicate()
        load.close()


def engine(kind: Kind, sessions: int, seconds: float, cores: Collection[int] = (CORE,)) -> Measured:
    """rtpengine."""
    system, load = RtpEngine(cores), Load()
    try:
        for number in range(sessions):
            browser, phone = (host_of(number, browser=which) for which in (True, False))
            carried = system.call(
                number, kind.suite, HostPort(browser, load.browsers.port), HostPort(phone, load.phones.port)
            )
            seal, opens = _session(kind.suite, carried.rx), _session(kind.suite, carried.tx, inbound=True)
            load.add(
                End(Peer(browser, (HOST, carried.to_keyed)), seal, opens), End(Peer(phone, (HOST, carried.to_plain)))
            )
        return drive(load, [system.pid], seconds, ENGINE_WARM_UP, smooth=kind.smooth)
    finally:
        load.close()
        system.stop()


def worker(kind: Kind, sessions: int, seconds: float, cores: Sequence[int] = (CORE,)) -> Measured:
    """Relay workers, one on each of these processors."""
    return asyncio.run(_worker(kind, sessions, seconds, cores))


async def _worker(kind: Kind, sessions: int, seconds: float, cores: Sequence[int]) -> Measured:
    async with _pool(len(cores)) as pool:
        load = Load()
        try:
            for number in range(sessions):
                load.add(*await _call(pool, load, kind.suite, number))
            for pid, core in zip(pool.worker_pids, cores, strict=True):
                os.sched_setaffinity(pid, {core})
            pids = list(pool.worker_pids)
            return await asyncio.to_thread(drive, load, pids, seconds, WARM_UP, smooth=kind.smooth)
        finally:
            load.close()


@asynccontextmanager
async def _pool(workers: int) -> AsyncIterator[RelayPool]:
    first = first_of(workers)
    media = compile_media(
        Media.model_validate(
            {
                "browser": {"bind": HOST, "ports": f"{first}-{first + workers - 1}"},
                "trunk": {"bind": HOST, "ports": f"{PORTS.start}-{PORTS.stop - 1}"},
                "workers": workers,
            }
        )
    )
    pool = RelayPool(media, Counters())
    await pool.start()
    try:
        yield pool
    finally:
        with contextlib.suppress(OSError):
            await pool.stop()


async def _call(pool: RelayPool, load: Load, suite: CryptoSuite, number: int) -> tuple[End, End]:
    """One call, validated by a STUN check, its browser keyed."""
    ufrag, password = f"{UFRAG_PREFIX}{number:04d}", "p" * 24
    call = await pool.open(
        OpenLeg(BROWSER, IcePort(ufrag, Secret(password))), OpenLeg(TRUNK, OwnPort(HOST)), listener=lambda _: None
    )
    candidate, own = call.legs[BROWSER].rtp[0], call.legs[TRUNK].rtp[0]
    browser = Peer(host_of(number, browser=True), (candidate.host, candidate.port))
    phone = Peer(host_of(number, browser=False), (own.host, own.port))
    load.browsers.say(browser, _check(ufrag, password))
    for source, sink in ((BROWSER, TRUNK), (TRUNK, BROWSER)):
        call.send(Route(source, sink, RelayPlan((PayloadMap(0, 0),))))
    keyed = _keys(call, suite)
    call.send(SetPeer(TRUNK, False, HostPort(phone.host, load.phones.port)))
    await call.counters()
    return End(browser, *keyed), End(phone)


def _keys(call: RelayCall, suite: CryptoSuite) -> tuple[Change, Change]:
    rx, tx = secrets.token_bytes(suite.master_length), secrets.token_bytes(suite.master_length)
    call.send(SetKeys(BROWSER, suite.name, Secret(tx), Secret(rx)))
    return _session(suite, rx), _session(suite, tx, inbound=True)


def _session(suite: CryptoSuite, key: bytes, *, inbound: bool = False) -> Change:
    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    session = Session(Policy(key=key, ssrc_type=kind, srtp_profile=PROFILE[suite.name]))
    change: Change = session.unprotect if inbound else session.protect
    return change


def _check(ufrag: str, password: str) -> bytes:
    """A connectivity check that nominates (RFC 8445 7.2.2)."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ufrag}:peer"
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    return bytes(message)
