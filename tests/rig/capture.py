"""What went over the wire: tcpdump on loopback, read back as UDP packets."""

from __future__ import annotations

import math
import signal
import struct
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.rig.audio import decode_pcmu, peak

START_SECONDS = 5.0
PCMU_FRAME = 160


@dataclass(frozen=True)
class Packet:
    """One UDP datagram of the capture."""

    at: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes

    @property
    def is_rtp(self) -> bool:
        """RTP or SRTP by first octet and payload type (RFC 5761 4)."""
        data = self.payload
        return len(data) > 12 and data[0] >> 6 == 2 and not 192 <= data[1] <= 223


class Capture:
    """Records UDP on one interface between `start` and `stop`."""

    def __init__(self, path: Path, expression: str = "udp", *, interface: str = "lo") -> None:
        self.path, self._expression, self._interface = path, expression, interface
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Capture:
        # without immediate mode the last second is still with the kernel when tcpdump ends
        options = ["-n", "-U", "--immediate-mode", "-B", "8192", "-s", "0"]
        command = ["tcpdump", "-i", self._interface, *options, "-w", str(self.path), self._expression]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        line = self._process.stderr.readline()  # "listening on lo": packets are recorded from here on
        assert b"listening" in line, line
        return self

    def abandon(self) -> None:
        """End a capture nobody stopped."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def stop(self) -> list[Packet]:
        """What was seen since `start`."""
        assert self._process is not None
        time.sleep(0.2)  # the kernel hands captured packets over in blocks
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=START_SECONDS)
        return list(read_pcap(self.path.read_bytes()))


def read_pcap(data: bytes) -> Iterator[Packet]:
    """IPv4 UDP packets of a classic little-endian pcap file with Ethernet framing."""
    offset = 24
    while offset + 16 <= len(data):
        seconds, micros, length, _ = struct.unpack_from("<IIII", data, offset)
        frame = data[offset + 16 : offset + 16 + length]
        offset += 16 + length
        packet = _udp(frame, seconds + micros / 1e6)
        if packet is not None:
            yield packet


def _udp(frame: bytes, at: float) -> Packet | None:
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    start = 14 + (frame[14] & 15) * 4
    source, destination, length = struct.unpack_from("!HHH", frame, start)
    hosts = [".".join(map(str, frame[i : i + 4])) for i in (26, 30)]
    return Packet(at, (hosts[0], source), (hosts[1], destination), frame[start + 8 : start + length])


Flow = tuple[tuple[str, int], tuple[str, int]]


def rtp_flows(packets: list[Packet], least: int = 25) -> dict[Flow, list[bytes]]:
    """RTP or SRTP packets by flow; flows with fewer than `least` packets are left out."""
    flows: dict[Flow, list[bytes]] = defaultdict(list)
    for packet in packets:
        if packet.is_rtp:
            flows[packet.source, packet.destination].append(packet.payload)
    return {flow: found for flow, found in flows.items() if len(found) >= least}


def clear_tone(packets: list[bytes]) -> float:
    """Frequency of a tone readable by anyone as PCMU in these packets; 0 when what is there looks like noise."""
    payload = b"".join(p[12 : 12 + PCMU_FRAME] for p in packets)
    if entropy(payload) > 7.5:
        return 0.0
    frequency, share = peak(decode_pcmu(payload), 8000)
    return frequency if share > 0.3 else 0.0


def entropy(data: bytes) -> float:
    """Bits per octet: under 6.5 for a PCMU tone, above 7.9 for ciphertext."""
    counts = Counter(data)
    total = max(len(data), 1)
    return -sum(n / total * math.log2(n / total) for n in counts.values())
