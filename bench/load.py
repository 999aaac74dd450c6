"""The load: calls of 50 packets a second each way, paced, opened and timed where they arrive, and CPU of processes.

One side of every call is a browser with SRTP, the other a phone with RTP. Each packet says whose it is and which, and
is read again at its end: what does not open, or comes elsewhere, has not arrived. Delay is from before the system call
that sends a packet to the system's own time of its arrival: how busy the load itself is stands in neither.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from pylibsrtp import Error as SrtpError

from bench.wire import Arrival, Peer, Wire, clock

INTERVAL = 0.02
"""Seconds between packets of one stream: 20 ms of G.711."""
PAUSE_SECONDS = 0.0001
"""In bursts: how long the load sleeps between two looks at the clock, as a network card gathers what it hands over."""
LOOK_NANOSECONDS = 1_000_000
"""How often the load takes what has arrived: its time is known all the same."""
PRIORITY = 20
"""Among the processes that run before all others."""
LAST_SECONDS = 0.3
"""How long packets on the way are waited for."""
FILLING = bytes(range(152))
_name = Struct("!II")
"""Whose packet it is, and which; the first octets of its payload."""
_HEADER = 12

Change = Callable[[bytes], bytes]
"""What seals or opens packets; raises where one does not open."""


def unchanged(packet: bytes) -> bytes:
    """Of an end that has no keys."""
    return packet


@dataclass
class End:
    """One end of a call.

    Args:
        peer: its address, and where it sends.
        seal: what it does to packets it sends.
        open: what it does to packets it gets.
    """

    peer: Peer
    seal: Change = unchanged
    open: Change = unchanged
    sent: int = 0


class Load:
    """The ends of all calls; those at even places are browsers, and each hears the one beside it."""

    def __init__(self) -> None:
        self.browsers, self.phones = Wire(), Wire()
        self.ends: list[End] = []

    def add(self, browser: End, phone: End) -> None:
        """One more call."""
        self.ends += (browser, phone)

    def close(self) -> None:
        """Give the sockets back."""
        self.browsers.socket.close()
        self.phones.socket.close()


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    sent: int
    arrived: int
    """Of those that were sent."""
    relayed: int
    """What arrived meanwhile, whenever it was sent."""
    cpu_seconds: float
    wall_seconds: float
    delays: tuple[float, ...]
    """In seconds, in order."""
    lateness: tuple[float, ...]
    """How much after their time packets were sent, in seconds, in order."""

    @property
    def microseconds(self) -> float:
        """CPU per relayed packet."""
        return self.cpu_seconds / max(self.relayed, 1) * 1e6

    @property
    def busy(self) -> float:
        """Share of the time the processes ran."""
        return self.cpu_seconds / self.wall_seconds

    @property
    def loss(self) -> float:
        return 1 - self.arrived / max(self.sent, 1)

    def delay(self, percent: float) -> float:
        """The delay that so many of a hundred packets stay below, in milliseconds."""
        return _share(self.delays, percent)

    def late(self, percent: float) -> float:
        """The same of how late the load itself was."""
        return _share(self.lateness, percent)


def _share(ordered: Sequence[float], percent: float) -> float:
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] * 1e3 if ordered else float("nan")


def host_of(number: int, *, browser: bool) -> str:
    """The address an end of a call has."""
    return f"127.{1 if browser else 2}.{(number + 1) >> 8}.{(number + 1) & 0xFF}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def cpu_seconds(*pids: int) -> float:
    """Run time of all threads of processes, from the scheduler's own clock."""
    tasks = (task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def take_the_core(core: int) -> None:
    """Stay on one processor, before everybody else where that is allowed; so do processes that are started from here.

    Then what else the machine does is in no number, of neither side.
    """
    os.sched_setaffinity(0, {core})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def drive(load: Load, pids: Sequence[int], seconds: float, warm_up: float, *, smooth: bool = False) -> Measured:
    """Send on every end, spread over each interval, and measure after the warm-up.

    Args:
        pids: whose CPU is counted.
        smooth: every packet at a moment of its own; else in small bursts.
    """
    turns, first = int((warm_up + seconds) / INTERVAL), int(warm_up / INTERVAL) * len(load.ends)
    _prepare(load, turns)
    gc.collect()
    gc.disable()
    run = _Run(load, turns * len(load.ends), None if smooth else PAUSE_SECONDS)
    run.until(first)
    before, begun = cpu_seconds(*pids), clock()
    run.until(run.packets)
    used, ended = cpu_seconds(*pids) - before, clock()
    run.end()
    gc.enable()
    found = _Found(load, first, begun, ended, run)
    return found.measured(used)


def _prepare(load: Load, turns: int) -> None:
    """In each turn every end sends once, browsers and phones alternately, in an order that is nobody's."""
    for side, wire in enumerate((load.browsers, load.phones)):
        wire.prepare([(end.peer, _packet(number, end)) for _ in range(turns) for number, end in _order(load, side)])


def _order(load: Load, side: int) -> Iterator[tuple[int, End]]:
    """The ends of a side in the order they send in: those of one call are far from each other."""
    calls = len(load.ends) // 2
    step = next(step for step in range(calls // 2 + 3 * side + 1, 2 * calls + 9) if _coprime(step, calls))
    for place in range(calls):
        number = 2 * (place * step % calls) + side
        yield number, load.ends[number]


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def _packet(number: int, end: End) -> bytes:
    """The next one of an end: PCMU."""
    which = end.sent
    end.sent += 1
    head = b"\x80\x00" + (which & 0xFFFF).to_bytes(2) + (which * 160 & 0xFFFFFFFF).to_bytes(4)
    return end.seal(head + (number + 1).to_bytes(4) + _name.pack(number, which) + FILLING)


class _Run:
    """The sending, packet by packet in the order of their time."""

    def __init__(self, load: Load, packets: int, pause: float | None) -> None:
        self._load, self.packets, self._pause = load, packets, pause
        self.step = int(INTERVAL / len(load.ends) * 1e9)
        self._done = 0
        self.start = clock() + 1_000_000

    def until(self, last: int) -> None:
        """Send so many in all, each when it is due, and take what arrives."""
        browsers, phones, look = self._load.browsers, self._load.phones, 0
        while self._done < last:
            due = min((clock() - self.start) // self.step + 1, last)
            if due > self._done:
                browsers.send((due + 1) // 2)
                phones.send(due // 2)
                self._done = due
            if clock() > look:
                browsers.take()
                phones.take()
                look = clock() + LOOK_NANOSECONDS
            time.sleep(self._pause or max(self.start + self._done * self.step - clock(), 0) / 1e9)

    def end(self) -> None:
        """Wait for what is on its way."""
        until = time.monotonic() + LAST_SECONDS
        while time.monotonic() < until:
            self._load.browsers.take()
            self._load.phones.take()
            time.sleep(0.001)


class _Found:
    """What became of the packets from the `first` one on."""

    def __init__(self, load: Load, first: int, begun: int, ended: int, run: _Run) -> None:
        self._load, self._first, self._begun, self._ended, self._run = load, first, begun, ended, run
        self._calls = len(load.ends) // 2
        self._sent = load.browsers.sent, load.phones.sent
        self._rank = {number: place for side in (0, 1) for place, (number, _) in enumerate(_order(load, side))}
        self._base = {number: end.sent - run.packets // len(load.ends) for number, end in enumerate(load.ends)}
        self._number = {end.peer.host: number for number, end in enumerate(load.ends)}
        self._delays: dict[tuple[int, int], float] = {}
        self._relayed = 0
        for wire in (load.browsers, load.phones):
            for arrival in wire.arrivals():
                self._look_at(arrival)

    def measured(self, used: float) -> Measured:
        late = [
            (at - self._run.start - (2 * place + side) * self._run.step) / 1e9
            for side, sent in enumerate(self._sent)
            for place, at in enumerate(sent)
            if 2 * place + side >= self._first
        ]
        return Measured(
            sent=self._run.packets - self._first,
            arrived=len(self._delays),
            relayed=self._relayed,
            cpu_seconds=used,
            wall_seconds=(self._ended - self._begun) / 1e9,
            delays=tuple(sorted(self._delays.values())),
            lateness=tuple(sorted(late)),
        )

    def _look_at(self, arrival: Arrival) -> None:
        number = self._number.get(arrival.host)
        if number is None:
            return
        try:
            packet = self._load.ends[number].open(arrival.data)
        except SrtpError:
            return
        sender, which = _name.unpack_from(packet, _HEADER) if len(packet) > 20 else (-1, 0)
        if sender != number ^ 1 or packet[20:] != FILLING:
            return
        self._relayed += self._begun <= arrival.at < self._ended
        place = (which - self._base[sender]) * self._calls + self._rank[sender]
        if 2 * place + (sender & 1) >= self._first:
            self._delays[sender, which] = (arrival.at - self._sent[sender & 1][place]) / 1e9
