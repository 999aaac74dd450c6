"""The load: calls of 50 packets a second each way, paced, counted where they arrive; CPU of a process in between."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.02
"""Seconds between packets of one stream: 20 ms of G.711."""
PAYLOAD = bytes(range(160))
Address = tuple[str, int]
Seal = Callable[[bytes], bytes]


@dataclass
class End:
    """One end of a call: its socket, where it sends, and what protects its packets."""

    socket: socket.socket
    to: Address
    seal: Seal


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    sent: int
    received: int
    cpu_seconds: float

    @property
    def microseconds(self) -> float:
        """CPU per packet that arrived."""
        return self.cpu_seconds / max(self.received, 1) * 1e6

    @property
    def loss(self) -> float:
        return 1 - self.received / max(self.sent, 1)


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


def drive(ends: list[End], pid: int, seconds: float, first: int) -> Measured:
    """Send on every end for that long, evenly spread over each interval; `first` continues the sequence numbers."""
    poll = select.epoll()
    by_number = {end.socket.fileno(): end for end in ends}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    _drain(poll, by_number)
    sent = received = 0
    before = cpu_seconds(pid)
    start = time.monotonic()
    for tick in range(int(seconds / INTERVAL)):
        for index, end in enumerate(ends):
            due = start + tick * INTERVAL + index / len(ends) * INTERVAL
            while time.monotonic() < due:
                received += _drain(poll, by_number)
            end.socket.sendto(end.seal(rtp(first + tick, index + 1)), end.to)
            sent += 1
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        received += _drain(poll, by_number)
    used = cpu_seconds(pid) - before
    poll.close()
    return Measured(sent, received, used)


def _drain(poll: select.epoll, ends: dict[int, End]) -> int:
    """Take what has arrived."""
    count = 0
    for number, _ in poll.poll(0):
        try:
            while True:
                ends[number].socket.recv(2048)
                count += 1
        except BlockingIOError:
            pass
    return count
