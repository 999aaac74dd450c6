"""Kamailio and rtpengine (Debian's packages) between browsers and the same trunk, for comparison."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.rig.gateway import wait_for
from tests.rig.ports import free_port, free_range

HOST = "127.0.0.1"
CORE = 1
READY_SECONDS = 20.0
MODULES = Path("/usr/lib")
PORTS = 700
"""Of a media range: at 50 calls a second each rests for a few seconds."""


def is_here() -> bool:
    """Whether both are installed, with what is needed of them."""
    return bool(shutil.which("kamailio") and shutil.which("rtpengine") and _modules())


def _modules() -> Path | None:
    return next((found.parent for found in MODULES.glob("*/kamailio/modules/websocket.so")), None)


class Bridge:
    """Both processes, on one core.

    Args:
        trunk: UDP port of the trunk.
    """

    name = "Kamailio + rtpengine"

    def __init__(self, trunk: int) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._web, self._control = free_port(kind=1, host=HOST), free_port(host=HOST)
        self._trunk, self.users = trunk, tuple(f"caller{number}" for number in range(64))
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def origin(self) -> str:
        """Where browsers connect."""
        return f"http://{HOST}:{self._web}"

    @property
    def parts(self) -> Mapping[str, int]:
        """The parents of their processes, by name."""
        return {"rtpengine": self._running[0].pid, "kamailio": self._running[1].pid}

    def start(self) -> Bridge:
        """Begin, and wait until browsers may connect."""
        place = Path(self._directory.name)
        first, last = free_range(PORTS, HOST).split("-")
        options = {
            "config-file": "none",
            "interface": HOST,
            "table": -1,
            "listen-ng": f"{HOST}:{self._control}",
            "port-min": first,
            "port-max": last,
            "log-level": 4,
            "delete-delay": 0,
            "pidfile": place / "rtpengine.pid",
        }
        written = [f"--{name}={value}" for name, value in options.items()]
        self._run(place / "rtpengine.log", "rtpengine", "--foreground", "--log-stderr", *written)
        wait_for(self._is_media_up, READY_SECONDS, lambda: (place / "rtpengine.log").read_text()[-2000:])
        config = place / "bridge.cfg"
        config.write_text(self._filled(Path(__file__).with_name("bridge.cfg").read_text()))
        log = place / "kamailio.log"
        self._run(log, "kamailio", "-DD", "-E", "-f", config, "-P", place / "kamailio.pid", "-Y", place)
        wait_for(self._is_up, READY_SECONDS, lambda: log.read_text()[-2000:])
        return self

    def stop(self) -> None:
        """End both."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._directory.cleanup()

    def _run(self, log: Path, *command: str | Path) -> None:
        with log.open("ab") as file:
            self._running.append(subprocess.Popen(["taskset", "-c", str(CORE), *command], stdout=file, stderr=file))

    def _filled(self, text: str) -> str:
        values = {
            "HOST": HOST,
            "SIP": str(free_port(host=HOST)),
            "WEB": str(self._web),
            "MODULES": f"{_modules()}/",
            "CONTROL": str(self._control),
            "TRUNK": str(self._trunk),
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def _is_media_up(self) -> bool:
        """Kamailio asks once, at its start, and does without rtpengine when that is not there yet."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.connect((HOST, self._control))
            try:
                probe.send(b"1 d7:command4:pinge")
                return b"pong" in probe.recv(100)
            except OSError:
                return False

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._web)) == 0
