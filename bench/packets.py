"""What a packet costs inside the worker: calls, which are the same on any machine, and time, as a ratio in one run.

A relay loop in this process is given real datagrams on real sockets, a wake-up's worth at a time; what it does between
two looks at its sockets is counted. The *short way* is that of an established stream (`gateway.media.worker.flat`), the
*long way* that of everything else (its classes), here of the same packets.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from contextlib import ExitStack

from gateway.base.values import LegId
from tests.media import packets
from tests.media.lanes import PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK

PACKETS = 2000
BATCH = 2
"""Packets of a wake-up."""
WARM_UP = 10


def main() -> None:
    """Count, measure and print."""
    print(f"packets: {PACKETS} of each kind, with the system calls that read and send them")
    for name in ("plain trunk", "keyed trunk"):
        for number in (TRUNK, BROWSER):
            way = f"{name} to browser" if number == TRUNK else f"browser to {name}"
            (own, short), (all_of_long, long) = (_measure(name, number, shortcuts=which) for which in (True, False))
            print(
                f"  {way:24s} short way {own:5.2f} Python calls, {short:5.1f} us;"
                f" long way {all_of_long:5.2f} Python calls, {long:5.1f} us; ratio {short / long:.2f}"
            )


def _measure(name: str, number: LegId, *, shortcuts: bool) -> tuple[float, float]:
    """Python calls of ours and microseconds of CPU, per packet."""
    with ExitStack() as stack:
        timed = stack.enter_context(lane_rig(*PAIRS[name], shortcuts=shortcuts))
        counted = stack.enter_context(lane_rig(*PAIRS[name], shortcuts=shortcuts))
        profile = cProfile.Profile()
        _play(counted, number, profile)
        found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        own = sum(numbers[1] for (file, _, _), numbers in found.items() if "/gateway/" in file)
        return own / PACKETS, _play(timed, number, None) / PACKETS * 1e6


def _play(rig: LaneRig, number: LegId, profile: cProfile.Profile | None) -> float:
    """Seconds of CPU the loop took."""
    used, sent = 0.0, 0
    while sent < PACKETS + WARM_UP:
        for _ in range(BATCH):
            clear = packets.rtp(sent, timestamp=sent * 160)
            rig.send(number, rig.sealed(number, clear))
            sent += 1
        rig.now += 0.02 * BATCH
        ready = [descriptor for descriptor, _ in rig.loop._epoll.poll(1.0)]
        if profile is not None and sent > WARM_UP:
            profile.enable()
        before = time.process_time()
        for _ in range(BATCH if not rig.has_lane(number) else 1):
            rig.loop._serve(ready, rig.now)
        used += time.process_time() - before if sent > WARM_UP else 0.0
        if profile is not None:
            profile.disable()
        rig.heard(rig.other(number))
    return used
