"""Attackers in processes of their own, so that what they cost themselves is not taken for what they cost the gateway.

python -m tests.attacks.flooder websockets ORIGIN PORT COUNT SECONDS
python -m tests.attacks.flooder options SOURCE PORT RATE SECONDS
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from tests.attacks.target import request
from tests.attacks.wires import UdpWire, WebSocketWire, frame

BATCH = 200
"""Messages an attacker writes at once."""


def websockets(origin: str, port: int, count: int, seconds: float) -> None:
    """WebSockets that are not signed in and send OPTIONS as fast as they are taken, opened anew when they are cut."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=_knock, args=(origin, port, context, end)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _knock(origin: str, port: int, context: ssl.SSLContext, end: float) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(OSError, AssertionError):
            wire = WebSocketWire(("127.0.0.1", port), context, origin)
            wire.socket.settimeout(0.5)
            batch = b"".join(frame(request(wire, "OPTIONS", "sip:demo.test")) for _ in range(BATCH))
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    wire.socket.sendall(batch)
            wire.close()


def options(source: str, port: int, rate: int, seconds: float) -> None:
    """OPTIONS from an address, each with its own Call-ID and branch."""
    wire = UdpWire(("127.0.0.1", port), source)
    begun, sent = time.monotonic(), itertools.count(1)
    while (now := time.monotonic()) < begun + seconds:
        with contextlib.suppress(OSError):
            wire.send(request(wire, "OPTIONS", "sip:demo.test"))
        time.sleep(max(0.0, begun + next(sent) / rate - now))
    wire.close()


@contextlib.contextmanager
def attacking(kind: str, *values: object) -> Iterator[None]:
    """An attacker at work for as long as the block lasts; he stops by himself too."""
    process = subprocess.Popen([sys.executable, "-m", "tests.attacks.flooder", kind, *map(str, values)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    kind, first, port, amount, seconds = sys.argv[1:]
    {"websockets": websockets, "options": options}[kind](first, int(port), int(amount), float(seconds))
