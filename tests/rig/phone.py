"""The parent's side of a pjsua2 phone."""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.rig.audio import read_wav
from tests.rig.gateway import wait_for
from tests.rig.handover import HandOver, hand_over

Event = dict[str, Any]
RECORDED_BYTES = 2 * 16000
"""Of one second of a recording: `phone_main` mixes at 16 kHz."""


class Phone:
    """A phone process; `options` are those of `phone_main`."""

    def __init__(
        self, directory: Path, name: str, *, host: str, port: int, transport: str = "udp", **options: Any
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / f"{name}.pjsip.log"
        self.recording = directory / f"{name}.wav"
        self.events: list[Event] = []
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "transport": transport,
            "srtp": "off",
            "log": str(self.log_path),
            "record": str(self.recording),
        } | {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
        self._queue: queue.Queue[Event] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> Phone:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("phone_main.py")), json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait("ready", seconds=15)
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._queue.put(json.loads(line))

    def wait(self, event: str, *, seconds: float = 10, **facts: object) -> Event:
        """Wait for an event with these facts; events that came before count once."""
        for known in self.events:
            if _is(known, event, facts):
                self.events.remove(known)
                return known
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} {facts} from the phone; had {self.events}") from None
            if _is(found, event, facts):
                return found
            self.events.append(found)

    def do(self, command: str, **facts: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **facts}) + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End the phone; afterwards its recording is complete."""
        if self._process is None:
            return
        if self._process.poll() is None:
            try:
                self.do("quit")
                self._process.wait(10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        if self._reader is not None:
            self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def heard(self, *tones: float) -> HandOver:
        """End the phone and listen to what it recorded; with the option `timeline` gaps between calls are in it too."""
        self.stop()
        return hand_over(*read_wav(self.recording), *tones)

    def wait_recorded(self, seconds: float) -> None:
        """Wait until its recording is as long as that: on a busy machine its clock is slower than ours."""
        wait_for(
            lambda: self._recorded() >= seconds,
            seconds + 10,
            lambda: f"the phone has recorded {self._recorded():.1f} s, wanted {seconds} s",
        )

    def _recorded(self) -> float:
        """Seconds of sound in its recording so far, as far as they are written."""
        return self.recording.stat().st_size / RECORDED_BYTES if self.recording.exists() else 0.0

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def sdes_keys(self) -> dict[str, bytes]:
        """Master keys in the phone's own signalling: `tx` it sent, `rx` it received (the last of each)."""
        keys: dict[str, bytes] = {}
        direction = ""
        for line in self.log.splitlines():
            if "TX " in line and " bytes " in line:
                direction = "tx"
            elif "RX " in line and " bytes " in line:
                direction = "rx"
            elif line.startswith("a=crypto:") and direction and " AES_CM_128_HMAC_SHA1_80 " in line:
                keys[direction] = base64.b64decode(line.split("inline:")[1].split("|")[0].strip())
        return keys


def _is(event: Event, name: str, facts: dict[str, object]) -> bool:
    return event["event"] == name and all(event.get(key) == value for key, value in facts.items())
