"""rtpengine (Debian's package, in user space) as a relay between SRTP and RTP, for comparison."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.values import HostPort
from tests.rig.gateway import wait_for
from tests.rig.ports import free_port

HOST = "127.0.0.1"
PORTS = range(12000, 20000)
"""For media: below those of the tests and of outgoing connections. A call takes four."""
READY_SECONDS = 20.0
ANSWER_SECONDS = 3.0
Value: TypeAlias = int | str | bytes | list[Any] | dict[str, Any]


def is_here() -> bool:
    """Whether it is installed."""
    return shutil.which("rtpengine") is not None


def encoded(value: Value) -> bytes:
    """A value in bencode, as its control protocol has it."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%b" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encoded, value)) + b"e"
    return b"d" + b"".join(encoded(key) + encoded(value[key]) for key in sorted(value)) + b"e"


def field(answer: bytes, name: str) -> bytes:
    """The text of that name in an answer; b"" when there is none."""
    found = re.search(rb"%d:%b(\d+):" % (len(name), name.encode()), answer)
    return answer[found.end() : found.end() + int(found[1])] if found else b""


class Carried(NamedTuple):
    """A call it carries."""

    rx: bytes
    """Key the keyed end sends with."""
    tx: bytes
    """Key it sends to the keyed end with."""
    to_keyed: int
    """Port the keyed end sends to."""
    to_plain: int
    """Port the plain end sends to."""


class RtpEngine:
    """The daemon with its usual threads.

    Args:
        cores: the processors it is kept on.
    """

    def __init__(self, cores: Collection[int]) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._control = free_port(host=HOST)
        first, last = PORTS.start, PORTS.stop - 1
        options = {
            "config-file": "none",
            "interface": HOST,
            "table": -1,
            "listen-ng": f"{HOST}:{self._control}",
            "port-min": first,
            "port-max": last,
            "log-level": 4,
            "delete-delay": 0,
            "pidfile": Path(self._directory.name) / "rtpengine.pid",
        }
        written = [f"--{name}={value}" for name, value in options.items()]
        self._log = (Path(self._directory.name) / "log").open("w+b")
        self._process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), "rtpengine", "--foreground", "--log-stderr", *written],
            stdout=self._log,
            stderr=self._log,
        )
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOST, self._control))
        self._socket.settimeout(ANSWER_SECONDS)
        self._cookies = itertools.count()
        wait_for(self._is_up, READY_SECONDS, lambda: Path(self._log.name).read_text()[-2000:])

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, number: int, suite: CryptoSuite, keyed: HostPort, plain: HostPort) -> Carried:
        """Set a call up between an end that is keyed and a plain one."""
        common: dict[str, Value] = {
            "call-id": f"call{number}",
            "from-tag": "a",
            "flags": ["trust-address"],
            "replace": ["origin", "session-connection"],
            "ICE": "remove",
            "rtcp-mux": ["demux"],
        }
        offered = self._ask(
            {**common, "command": "offer", "sdp": _sdp(plain, "RTP/AVP"), "transport-protocol": "RTP/SAVP"}
        )
        found = re.search(rf"a=crypto:(\d+) {suite.name} inline:([^|\s]+)", offered)
        assert found is not None, offered
        key = secrets.token_bytes(suite.master_length)
        crypto = f"a=crypto:{found[1]} {suite.name} inline:{base64.b64encode(key).decode()}\r\n"
        answer: dict[str, Value] = {"command": "answer", "to-tag": "b", "sdp": _sdp(keyed, "RTP/SAVP") + crypto}
        answered = self._ask({**common, **answer, "transport-protocol": "RTP/AVP"})
        return Carried(key, base64.b64decode(found[2] + "=="), _port(offered), _port(answered))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._socket.close()
        self._log.close()
        self._directory.cleanup()

    def _ask(self, command: dict[str, Value]) -> str:
        """The description in the answer."""
        cookie = b"%d" % next(self._cookies)
        self._socket.send(cookie + b" " + encoded(command))
        while True:
            answer = self._socket.recv(65535)
            if answer.startswith(cookie + b" "):
                assert field(answer, "result") == b"ok", answer
                return field(answer, "sdp").decode()

    def _is_up(self) -> bool:
        try:
            self._socket.send(b"ping d7:command4:pinge")
            return b"pong" in self._socket.recv(100)
        except OSError:
            return False


def _sdp(place: HostPort, proto: str) -> str:
    host = f"IN IP4 {place.host}"
    lines = ("v=0", f"o=- 1 1 {host}", "s=-", f"c={host}", "t=0 0", f"m=audio {place.port} {proto} 0")
    return "".join(f"{line}\r\n" for line in (*lines, "a=rtpmap:0 PCMU/8000", "a=sendrecv"))


def _port(sdp: str) -> int:
    found = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
    assert found is not None
    return int(found[1])
