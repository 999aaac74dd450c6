"""The load: calls of 50 packets a second each way, paced, counted and timed where they arrive, and CPU of a process."""

from __future__ import annotations

import gc
import select
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.02
"""Seconds between packets of one stream: 20 ms of G.711."""
BURST_SECONDS = 0.00015
"""Packets leave together that are due within this time, as a network card hands them over."""
LAST_SECONDS = 0.3
"""How long packets on the way are waited for."""
PAYLOAD = bytes(range(160))
Address = tuple[str, int]
Seal = Callable[[bytes], bytes]


@dataclass
class End:
    """One end of a call: its socket, where it sends, and what protects its packets."""

    socket: socket.socket
    to: Address
    seal: Seal
    partner: End | None = None
    """The end that hears it; the one after or before it by default."""
    under_way: deque[float] = field(default_factory=deque)
    """When the packets were sent that have not arrived yet."""
    sent: int = 0


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    sent: int
    received: int
    cpu_seconds: float
    delays: tuple[float, ...] = ()
    """Of the packets that arrived, in seconds; only told where none was lost."""

    @property
    def microseconds(self) -> float:
        """CPU per packet that arrived."""
        return self.cpu_seconds / max(self.received, 1) * 1e6

    @property
    def loss(self) -> float:
        return 1 - self.received / max(self.sent, 1)

    def delay(self, percent: int) -> float:
        """The delay that so many of a hundred packets stay below, in milliseconds."""
        return statistics.quantiles(self.delays, n=100)[percent - 1] * 1e3 if len(self.delays) > 1 else float("nan")


def udp(host: str) -> socket.socket:
    """A non-blocking UDP socket with a port of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made


def rtp(sequence: int, ssrc: int) -> bytes:
    """A PCMU packet."""
    head = b"\x80\x00" + (sequence & 0xFFFF).to_bytes(2, "big") + (sequence * 160 & 0xFFFFFFFF).to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + PAYLOAD


def cpu_seconds(pid: int) -> float:
    """Run time of all threads of a process, from the scheduler's own clock."""
    return sum(int(p.read_text().split()[0]) for p in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def drive(ends: list[End], pid: int, seconds: float, *, smooth: bool = False) -> Measured:
    """Send on every end for that long, spread over each interval. Ends that stand side by side hear each other.

    Args:
        smooth: every packet at a moment of its own; else in small bursts.
    """
    for number, end in enumerate(ends):
        end.partner = end.partner or ends[number ^ 1]
        end.under_way.clear()
    ticks = int(seconds / INTERVAL)
    prepared = [[end.seal(rtp(end.sent + tick, n + 1)) for tick in range(ticks)] for n, end in enumerate(ends)]
    for end in ends:
        end.sent += ticks
    poll = select.epoll()
    by_number = {end.socket.fileno(): end for end in ends}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    delays: list[float] = []
    _drain(poll, by_number, [])
    gc.collect()
    gc.disable()
    before = cpu_seconds(pid)
    start, step, pause = time.monotonic(), INTERVAL / len(ends), 0.0 if smooth else BURST_SECONDS
    for tick in range(ticks):
        for index, end in enumerate(ends):
            due = start + tick * INTERVAL + index * step
            while (now := time.monotonic()) < due - pause:
                _drain(poll, by_number, delays)
            end.under_way.append(now)
            end.socket.sendto(prepared[index][tick], end.to)
    deadline = time.monotonic() + LAST_SECONDS
    while time.monotonic() < deadline:
        _drain(poll, by_number, delays)
    used = cpu_seconds(pid) - before
    gc.enable()
    poll.close()
    lost = ticks * len(ends) - len(delays)
    return Measured(ticks * len(ends), len(delays), used, tuple(delays) if not lost else ())


def _drain(poll: select.epoll, ends: dict[int, End], delays: list[float]) -> None:
    """Take what has arrived."""
    for number, _ in poll.poll(0):
        end = ends[number]
        assert end.partner is not None
        under_way, receive = end.partner.under_way, end.socket.recv
        try:
            while True:
                receive(2048)
                delays.append(time.monotonic() - under_way.popleft() if under_way else 0.0)
        except BlockingIOError:
            pass
