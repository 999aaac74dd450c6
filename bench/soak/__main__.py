"""`make soak`: SOAK_CALLS calls at a time (300) for SOAK_MINUTES minutes (20), report and plot in SOAK_DIR (run/soak).

A gateway as it is shipped, in processes of its own: SIP over WebSocket, digest, policy, audit log, DTLS-SRTP to
browsers; every other call to a trunk over UDP with RTP, the others to one over TLS with SDES-SRTP. Each call talks both
ways with 50 packets a second, lasts for a random time and is followed by the next. Exit status 1: something failed.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from bench.load import cpu_seconds
from bench.memory import private_kilobytes
from bench.soak.judge import Outcome, Sample, judged
from bench.soak.report import PLOT, page, plot
from bench.soak.stand import RATE, Stand

SETTLE_SECONDS = 15.0
"""From the moment all calls have been begun, at least."""
SETTLED_SECONDS = 240.0
"""By then caches are full, and calls that ended have been looked for as garbage; in a short soak half of it."""
SAMPLES = 120
SHORTEST_INTERVAL = 2.0
LIFE = (0.05, 0.15)
"""Of the whole time, between what shares of it a call lasts."""
LIFE_LIMITS = (5.0, 60.0), (15.0, 180.0)
"""Between what seconds the shortest and the longest call are."""
LAST_SECONDS = 45.0
"""After the last call: handshakes are forgotten and free memory is given back."""


class Watch:
    """Takes the samples.

    Args:
        begun: when the first call was, by the clock of this process.
    """

    def __init__(self, stand: Stand, begun: float) -> None:
        self._stand, self._begun = stand, begun
        self._pids = stand.pids
        self._cpu, self._at = self._used(), begun
        self.samples: list[Sample] = []

    def _used(self) -> tuple[float, float]:
        gateway, worker = self._pids
        return cpu_seconds(gateway), cpu_seconds(worker)

    def look(self) -> Sample:
        """Take one."""
        heard, now, cpu = self._stand.floor.look(), time.monotonic(), self._used()
        gateway, worker = self._pids
        passed = now - self._at
        sample = Sample(
            at=now - self._begun,
            calls=self._stand.live,
            gateway_kilobytes=private_kilobytes(gateway),
            worker_kilobytes=private_kilobytes(worker),
            gateway_busy=(cpu[0] - self._cpu[0]) / passed,
            worker_busy=(cpu[1] - self._cpu[1]) / passed,
            sent=heard.sent,
            arrived=heard.arrived,
            p50=_of(heard.delays, 0.5),
            p99=_of(heard.delays, 0.99),
            worst=_of(heard.delays, 1.0),
            late=_of(heard.late, 0.99),
        )
        self._cpu, self._at = cpu, now
        self.samples.append(sample)
        return sample


def _of(nanoseconds: list[int], share: float) -> float:
    """What that share of them stays below, in milliseconds; 0 without any."""
    ordered = sorted(nanoseconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e6 if ordered else 0.0


def descriptors(*pids: int) -> int:
    """Open files of processes."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def main() -> int:
    """Run it; 0 when everything held."""
    minutes, calls = float(os.environ.get("SOAK_MINUTES", "20")), int(os.environ.get("SOAK_CALLS", "300"))
    place = Path(os.environ.get("SOAK_DIR", "run/soak"))
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_soak(Path(directory), place, minutes * 60, calls))


async def _soak(directory: Path, place: Path, seconds: float, calls: int) -> int:
    life = tuple(min(max(share * seconds, least), most) for share, (least, most) in zip(LIFE, LIFE_LIMITS, strict=True))
    stand = Stand(directory, calls, (life[0], life[1]))
    try:
        await stand.start()
        await stand.warm_up()
        before = descriptors(*stand.pids)
        samples, outcome = await _run(stand, seconds, before)
    finally:
        await stand.stop()
    after = max(min(0.5 * seconds, SETTLED_SECONDS), calls / RATE + SETTLE_SECONDS)
    findings = judged(samples, outcome, after)
    title = f"Soak: {calls} calls for {seconds / 60:g} minutes"
    (place / PLOT).write_text(plot(title, samples))
    notes = _notes(stand, life, after, samples)
    (place / "report.md").write_text(page(title, samples, findings, outcome, notes))
    for finding in findings:
        print(
            f"  {'ok ' if finding.holds else '-- ' if finding.holds is None else 'NO '} {finding.what}: {finding.value}"
        )
    print(f"{place / 'report.md'}, {place / PLOT}")
    return int(any(finding.holds is False for finding in findings))


async def _run(stand: Stand, seconds: float, before: int) -> tuple[list[Sample], Outcome]:
    begun, interval = time.monotonic(), max(SHORTEST_INTERVAL, seconds / SAMPLES)
    watch = Watch(stand, begun)
    stand.begin()
    while (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(interval, left))
        sample = watch.look()
        print(
            f"{sample.at:7.0f} s  {sample.calls:4d} calls  gateway {sample.gateway_kilobytes / 1024:6.1f} MB"
            f"  worker {sample.worker_kilobytes / 1024:6.1f} MB  p50 {sample.p50:.2f} p99 {sample.p99:.2f} ms"
            f"  sent {sample.sent} arrived {sample.arrived}  cores {sample.gateway_busy:.2f} {sample.worker_busy:.2f}",
            flush=True,
        )
    await stand.end()
    print(f"every call has ended; {LAST_SECONDS:g} s of rest", flush=True)
    await asyncio.sleep(LAST_SECONDS)
    metrics, tally = await stand.metrics(), stand.tally
    outcome = Outcome(
        begun=tally.begun,
        failures=tuple(tally.failures),
        sent=tally.sent,
        lost=tally.lost,
        descriptors_before=before,
        descriptors_after=descriptors(*stand.pids),
        live_after=_metric(metrics, "calls_live"),
        restarted=_metric(metrics, "worker_restarted"),
        dropped=_metric(metrics, "audit_dropped"),
    )
    gateway, worker = (private_kilobytes(pid) / 1024 for pid in stand.pids)
    print(f"without calls: gateway {gateway:.1f} MB, worker {worker:.1f} MB")
    return watch.samples, outcome


def _metric(metrics: dict[str, float], name: str) -> float:
    """A counter or gauge by its name in the log; KeyError when the gateway does not have it."""
    found = [metrics[key] for key in (f"sip_gateway_{name}", f"sip_gateway_{name}_total") if key in metrics]
    return found[0]


def _notes(stand: Stand, life: tuple[float, ...], after: float, samples: list[Sample]) -> list[str]:
    tally, floor = stand.tally, stand.floor
    command = f"`SOAK_MINUTES={samples[-1].at / 60:.0f} SOAK_CALLS={stand.calls} make soak`"
    return [
        f"{command}; Python {platform.python_version()}, {os.cpu_count()} processors; gateway, one relay worker and the"
        " load on the same machine.",
        "",
        f"{tally.begun} calls, each of {life[0]:.0f} to {life[1]:.0f} s and followed by the next; half to a trunk over"
        " UDP with RTP, half to one over TLS with SDES-SRTP, all from browsers with DTLS-SRTP; 50 packets a second each"
        f" way. Samples count from {after:.0f} s on. Delay is from before sealing to the system's time of arrival, with"
        f" what the load needs for a batch in it; the load left out {floor.stalled} turns of 2 ms.",
    ]


if __name__ == "__main__":
    sys.exit(main())
