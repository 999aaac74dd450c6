"""A trunk's media that plays a tone under whatever numbers a test gives, and keeps what it hears."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import numpy as np

from tests.rig.audio import Samples, decode_pcmu

FRAME = 160
PACKET_SECONDS = 0.02
AMPLITUDE = 12000


@dataclass(frozen=True)
class Run:
    """A stretch of one source: its SSRC, where its numbers begin, how many packets."""

    ssrc: int
    sequence: int
    timestamp: int
    packets: int
    kind: int = 0
    """Payload type."""


class Player:
    """Plays runs, one packet every 20 ms, to whoever has sent it something; in a thread of its own."""

    def __init__(self, host: str, runs: Iterable[Run], hertz: float = 440.0) -> None:
        self._runs = iter(runs)
        self._frames = _tone(hertz)
        self.heard: list[bytes] = []
        self.played = 0
        """Runs that have begun."""
        self._target: tuple[str, int] | None = None
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> Player:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self._socket.close()

    def heard_tone(self) -> Samples:
        """What arrived, put where its timestamps say; silence between."""
        first = _timestamp(self.heard[0])
        ends = max((_timestamp(p) - first) & 0xFFFFFFFF for p in self.heard) + FRAME
        samples = np.zeros(ends)
        for packet in self.heard:
            at = (_timestamp(packet) - first) & 0xFFFFFFFF
            samples[at : at + FRAME] = decode_pcmu(packet[12 : 12 + FRAME])
        return samples

    def _play(self) -> None:
        due, frames = time.monotonic(), count()
        for run in self._runs:
            self.played += 1
            for n in range(run.packets):
                due += PACKET_SECONDS
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._listen()
                self._send(run, n, self._frames[next(frames) % len(self._frames)])

    def _send(self, run: Run, n: int, frame: bytes) -> None:
        numbers = (run.sequence + n) & 0xFFFF, (run.timestamp + n * FRAME) & 0xFFFFFFFF, run.ssrc
        if self._target is not None:
            self._socket.sendto(struct.pack("!BBHII", 0x80, run.kind, *numbers) + frame, self._target)

    def _listen(self) -> None:
        while True:
            try:
                data, self._target = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            if data[1] & 0x7F == 0:
                self.heard.append(data)


def new_ssrc() -> int:
    return secrets.randbits(32)


def _timestamp(packet: bytes) -> int:
    return int.from_bytes(packet[4:8])


def _tone(hertz: float) -> list[bytes]:
    """A second of the tone in frames: with whole hertz it goes on where it began."""
    samples = AMPLITUDE * np.sin(2 * np.pi * hertz * np.arange(8000) / 8000)
    coded = _encode_pcmu(samples.astype(int))
    return [coded[at : at + FRAME] for at in range(0, len(coded), FRAME)]


def _encode_pcmu(samples: np.ndarray) -> bytes:
    """Linear 16 bit to G.711 u-law (ITU-T G.711)."""
    magnitude = np.minimum(np.abs(samples), 32635) + 132
    exponent = np.clip(np.floor(np.log2(magnitude)).astype(int) - 7, 0, 7)
    mantissa = (magnitude >> (exponent + 3)) & 15
    sign = np.where(samples < 0, 128, 0)
    return bytes((~(sign | exponent << 4 | mantissa) & 255).astype(np.uint8).tobytes())
