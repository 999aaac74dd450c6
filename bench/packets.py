"""Python calls per relayed packet: deterministic, so that a step too many shows on any machine, however busy.

A leg of the worker is given packets one after the other in this process, from the handler the loop would call to the
socket that keeps what is sent. Calls of the library and of the interpreter's own functions are counted beside ours.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from functools import partial

from gateway.media.relay_protocol import WorkerConfig
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.loop import _read
from tests.media.listener import TRUNK, ListenerRig, rig, voice

PACKETS = 2000
WARM_UP = 10
BROWSER = ("127.0.0.8", 50000)


class Inbox:
    """A socket with one datagram to read."""

    def __init__(self, source: tuple[str, int]) -> None:
        self.source = source
        self.data: bytes | None = None

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[str, int]]:
        data, self.data = self.data, None
        if data is None:
            raise BlockingIOError
        return data, self.source


def main() -> None:
    """Count and print."""
    print(f"packets: calls per packet, {PACKETS} of each kind; the harness's own included (recvfrom, sendto)")
    for keyed in (False, True):
        for from_trunk in (True, False):
            with rig(keyed=keyed) as made:
                own, every = _count(made, from_trunk)
            trunk = "trunk SRTP" if keyed else "trunk RTP"
            way = f"{trunk} to browser" if from_trunk else f"browser to {trunk}"
            print(f"  {way:30s} {own:5.1f} Python calls, {every:5.1f} with those of libraries and built-ins")


def _count(made: ListenerRig, from_trunk: bool) -> tuple[float, float]:
    inbox = Inbox(TRUNK if from_trunk else BROWSER)
    handler = _from_trunk(made, inbox) if from_trunk else _from_browser(made, inbox)
    seal: Callable[[bytes], bytes] = made.trunk_seals.protect if from_trunk else made.browser_seals.protect
    sealed = made.keyed or not from_trunk
    packets = [voice(n, 160 * n) for n in range(PACKETS + WARM_UP)]
    packets = [bytes(seal(packet)) if sealed else packet for packet in packets]
    _play(made, inbox, handler, packets[:WARM_UP])
    profile = cProfile.Profile()
    profile.enable()
    _play(made, inbox, handler, packets[WARM_UP:])
    profile.disable()
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    calls = {place: numbers[1] for place, numbers in found.items()}
    own = sum(count for (file, _, _), count in calls.items() if "/gateway/" in file)
    return own / PACKETS, sum(calls.values()) / PACKETS


def _play(made: ListenerRig, inbox: Inbox, handler: Callable[[float], None], packets: list[bytes]) -> None:
    for packet in packets:
        inbox.data = packet
        made.now += 0.02
        handler(made.now)


def _from_trunk(made: ListenerRig, inbox: Inbox) -> Callable[[float], None]:
    return partial(_read, inbox, made.call.trunk.receive)  # type: ignore[arg-type]


def _from_browser(made: ListenerRig, inbox: Inbox) -> Callable[[float], None]:
    """By way of the port all browsers share, which knows the path."""
    port = BrowserPort(WorkerConfig(-1, (), 0, 20000, 20001))
    port._owners[(inbox, BROWSER)] = made.call.browser  # type: ignore[index]
    return partial(port.read, inbox)  # type: ignore[arg-type]
