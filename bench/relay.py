"""CPU per relayed packet of one worker, against a bare forwarder that does no crypto, no checks and no mapping.

Both are measured in turn within one run, on the same sockets and with the same load; the ratio is what counts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import subprocess
import sys
from dataclasses import dataclass

from aioice import stun
from pylibsrtp import Policy, Session

from bench.load import End, Measured, Seal, drive, udp
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

BROWSER_HOST = "127.0.0.1"
TRUNK_HOST = "127.0.0.1"
UFRAG_PREFIX = "bench"
PROFILE = {profile.sdes: profile.library for profile in PROFILES}
BROWSER, TRUNK = LegId(1), LegId(2)


@dataclass
class Kind:
    """What is measured: a name, the browser's suite and the trunk's (None: plain)."""

    name: str
    browser: CryptoSuite
    trunk: CryptoSuite | None


KINDS = (
    Kind("browser SRTP AES_CM_128_80 - trunk RTP", AES_CM_128_HMAC_SHA1_80, None),
    Kind("browser SRTP AES_128_GCM - trunk SRTP AES_CM_128_80", AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80),
)


async def main(sessions: int, seconds: float, rounds: int) -> None:
    """Measure and print."""
    print(f"relay: {sessions} sessions, {sessions * 100} packets/s, {rounds} rounds of {seconds:g} s each, in turn")
    results: dict[str, list[Measured]] = {name: [] for name in ("floor", *(kind.name for kind in KINDS))}
    for round_number in range(rounds):
        results["floor"].append(await asyncio.to_thread(_floor, sessions, seconds))
        for kind in KINDS:
            results[kind.name].append(await _worker(kind, sessions, seconds))
        print(f"  round {round_number + 1} done", file=sys.stderr)
    base = statistics.median(m.microseconds for m in results["floor"])
    for name, measured in results.items():
        cost = statistics.median(m.microseconds for m in measured)
        loss = max(m.loss for m in measured)
        print(f"  {name:55s} {cost:6.1f} us/packet  {cost / base:5.2f} x floor  loss {loss:.2%}")


def _plain(packet: bytes) -> bytes:
    return packet


def _floor(sessions: int, seconds: float) -> Measured:
    ports = [[BROWSER_HOST, TRUNK_HOST]] * sessions
    process = subprocess.Popen([sys.executable, "-m", "bench.floor", json.dumps(ports)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    ends: list[End] = []
    try:
        for browser, trunk in json.loads(process.stdout.readline()):
            ends += [
                End(udp(BROWSER_HOST), (BROWSER_HOST, browser), _plain),
                End(udp(TRUNK_HOST), (TRUNK_HOST, trunk), _plain),
            ]
        drive(ends, process.pid, 0.2, 0)
        return drive(ends, process.pid, seconds, 100)
    finally:
        process.kill()
        process.communicate()
        for end in ends:
            end.socket.close()


async def _worker(kind: Kind, sessions: int, seconds: float) -> Measured:
    media = compile_media(
        Media.model_validate(
            {
                "browser": {"bind": BROWSER_HOST, "ports": str(free_port())},
                "trunk": {"bind": TRUNK_HOST, "ports": free_range(2 * sessions + 2)},
            }
        )
    )
    pool = RelayPool(media, Counters())
    await pool.start()
    ends: list[End] = []
    try:
        for number in range(sessions):
            ends += await _call(pool, kind, number)
        pid = pool.worker_pids[0]
        await asyncio.to_thread(drive, ends, pid, 0.2, 0)
        return await asyncio.to_thread(drive, ends, pid, seconds, 100)
    finally:
        for end in ends:
            end.socket.close()
        await pool.stop()


async def _call(pool: RelayPool, kind: Kind, number: int) -> list[End]:
    """One call, validated by a STUN check and keyed on both legs."""
    ufrag, password = f"{UFRAG_PREFIX}{number:04d}", "p" * 24
    call = await pool.open(
        OpenLeg(BROWSER, IcePort(ufrag, Secret(password))), OpenLeg(TRUNK, OwnPort(TRUNK_HOST)), listener=lambda _: None
    )
    browser, trunk = udp(BROWSER_HOST), udp(TRUNK_HOST)
    candidate, own = call.legs[BROWSER].rtp[0], call.legs[TRUNK].rtp[0]
    browser.sendto(_check(ufrag, password), (candidate.host, candidate.port))
    for source, sink in ((BROWSER, TRUNK), (TRUNK, BROWSER)):
        call.send(Route(source, sink, RelayPlan((PayloadMap(0, 0),))))
    sent_by_browser = _keys(call, BROWSER, kind.browser)
    sent_by_trunk = _keys(call, TRUNK, kind.trunk) if kind.trunk else _plain
    call.send(SetPeer(TRUNK, kind.trunk is not None, HostPort(TRUNK_HOST, trunk.getsockname()[1])))
    await call.counters()
    return [
        End(browser, (candidate.host, candidate.port), sent_by_browser),
        End(trunk, (own.host, own.port), sent_by_trunk),
    ]


def _keys(call: RelayCall, leg: LegId, suite: CryptoSuite) -> Seal:
    rx, tx = secrets.token_bytes(suite.master_length), secrets.token_bytes(suite.master_length)
    call.send(SetKeys(leg, suite.name, Secret(tx), Secret(rx)))
    policy = Policy(key=rx, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILE[suite.name])
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
