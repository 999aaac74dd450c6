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
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aioice import stun
from pylibsrtp import Policy, Session

from bench.load import End, Measured, Seal, drive, udp
from bench.rtpengine import RtpEngine, is_here
from gateway.base.counters import Counters
from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort, LegId, Secret
from gateway.config.compile import compile_media
from gateway.config.schema import Media
from gateway.media.relay_call import RelayCall
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import IcePort, OpenLeg, OwnPort, PayloadMap, RelayPlan, Route, SetKeys, SetPeer
from tests.rig.ports import free_port, free_range
from tests.rig.srtp import PROFILES

HOST = "127.0.0.1"
UFRAG_PREFIX = "bench"
PROFILE = {profile.sdes: profile.library for profile in PROFILES}
BROWSER, TRUNK = LegId(1), LegId(2)
CORE, OWN_CORE = 1, 0
WARM_UP = 4.0
"""Seconds before it counts: rtpengine learns its peers for three."""
SUITES = (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM)


@dataclass(frozen=True)
class Kind:
    """What is measured, and how."""

    suite: CryptoSuite
    smooth: bool

    def __str__(self) -> str:
        return f"{self.suite.name}, {'even' if self.smooth else 'bursts'}"


def main(sessions: Sequence[int], seconds: float, rounds: int) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {OWN_CORE})
    there = is_here()
    if not there:
        print("rtpengine is not installed (Debian: rtpengine-daemon): nothing to compare with")
    for count in sessions:
        print(f"relay: {count} calls SRTP - RTP, {count * 100} packets/s, {rounds} rounds of {seconds:g} s, in turn")
        for kind in [Kind(suite, smooth) for suite in SUITES for smooth in (False, True)]:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(asyncio.run(_worker(kind, count, seconds)))
                if there:
                    theirs.append(_rtpengine(kind, count, seconds))
            print(f"  {kind}")
            _line("this worker", ours)
            if there:
                _line("rtpengine", theirs)
                ratios = [a.microseconds / b.microseconds for a, b in zip(ours, theirs, strict=True)]
                low, high = min(ratios), max(ratios)
                print(f"    {'ratio':12s} {statistics.median(ratios):6.2f}  [{low:.2f} - {high:.2f}]", flush=True)
        floor = _floor(count, seconds)
        print(f"  bare forwarder, packet by packet: {floor.microseconds:.1f} us/packet  loss {floor.loss:.2%}")


def _line(name: str, measured: list[Measured]) -> None:
    cost = [m.microseconds for m in measured]
    half, most = (statistics.median(m.delay(percent) for m in measured) for percent in (50, 99))
    print(
        f"    {name:12s} {statistics.median(cost):6.1f} us/packet  [{min(cost):.1f} - {max(cost):.1f}]"
        f"  loss {max(m.loss for m in measured):.2%}  delay p50 {half:.2f} ms  p99 {most:.2f} ms",
        flush=True,
    )


def _plain(packet: bytes) -> bytes:
    return packet


def _floor(sessions: int, seconds: float) -> Measured:
    ports = [[HOST, HOST]] * sessions
    process = subprocess.Popen(
        ["taskset", "-c", str(CORE), sys.executable, "-m", "bench.floor", json.dumps(ports)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    ends: list[End] = []
    try:
        for browser, trunk in json.loads(process.stdout.readline()):
            ends += [End(udp(HOST), (HOST, browser), _plain), End(udp(HOST), (HOST, trunk), _plain)]
        drive(ends, process.pid, 0.2)
        return drive(ends, process.pid, seconds)
    finally:
        process.kill()
        process.communicate()
        _close(ends)


def _rtpengine(kind: Kind, sessions: int, seconds: float) -> Measured:
    system = RtpEngine(sessions, CORE)
    ends: list[End] = []
    try:
        for number in range(sessions):
            browser, trunk = udp(HOST), udp(HOST)
            ports = browser.getsockname()[1], trunk.getsockname()[1]
            key, to_keyed, to_plain = system.call(number, kind.suite, *ports)
            ends += [End(browser, (HOST, to_keyed), _seal(kind.suite, key)), End(trunk, (HOST, to_plain), _plain)]
        drive(ends, system.pid, WARM_UP)
        return drive(ends, system.pid, seconds, smooth=kind.smooth)
    finally:
        _close(ends)
        system.stop()


async def _worker(kind: Kind, sessions: int, seconds: float) -> Measured:
    async with _pool(sessions) as pool:
        ends: list[End] = []
        try:
            for number in range(sessions):
                ends += await _call(pool, kind.suite, number)
            pid = pool.worker_pids[0]
            os.sched_setaffinity(pid, {CORE})
            await asyncio.to_thread(drive, ends, pid, 1.0)
            return await asyncio.to_thread(drive, ends, pid, seconds, smooth=kind.smooth)
        finally:
            _close(ends)


@asynccontextmanager
async def _pool(sessions: int) -> AsyncIterator[RelayPool]:
    media = compile_media(
        Media.model_validate(
            {
                "browser": {"bind": HOST, "ports": str(free_port())},
                "trunk": {"bind": HOST, "ports": free_range(2 * sessions + 2)},
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


def _close(ends: list[End]) -> None:
    for end in ends:
        end.socket.close()


async def _call(pool: RelayPool, suite: CryptoSuite, number: int) -> list[End]:
    """One call, validated by a STUN check, its browser keyed."""
    ufrag, password = f"{UFRAG_PREFIX}{number:04d}", "p" * 24
    call = await pool.open(
        OpenLeg(BROWSER, IcePort(ufrag, Secret(password))), OpenLeg(TRUNK, OwnPort(HOST)), listener=lambda _: None
    )
    browser, trunk = udp(HOST), udp(HOST)
    candidate, own = call.legs[BROWSER].rtp[0], call.legs[TRUNK].rtp[0]
    browser.sendto(_check(ufrag, password), (candidate.host, candidate.port))
    for source, sink in ((BROWSER, TRUNK), (TRUNK, BROWSER)):
        call.send(Route(source, sink, RelayPlan((PayloadMap(0, 0),))))
    seal = _keys(call, suite)
    call.send(SetPeer(TRUNK, False, HostPort(HOST, trunk.getsockname()[1])))
    await call.counters()
    return [End(browser, (candidate.host, candidate.port), seal), End(trunk, (own.host, own.port), _plain)]


def _keys(call: RelayCall, suite: CryptoSuite) -> Seal:
    rx, tx = secrets.token_bytes(suite.master_length), secrets.token_bytes(suite.master_length)
    call.send(SetKeys(BROWSER, suite.name, Secret(tx), Secret(rx)))
    return _seal(suite, rx)


def _seal(suite: CryptoSuite, key: bytes) -> Seal:
    policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILE[suite.name])
    seal: Seal = Session(policy).protect
    return seal


def _check(ufrag: str, password: str) -> bytes:
    """A connectivity check that nominates (RFC 8445 7.2.2)."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ufrag}:peer"
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    return bytes(message)
