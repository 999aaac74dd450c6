"""A baresip phone that answers by itself; it echoes what it hears, or plays a tone and records what it hears.

Version 1.0.0 hands calls over blindly and follows a REFER; it neither sends nor knows Replaces.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import IO, Any

from gateway.demo.certificates import Pair
from tests.rig.audio import read_wav
from tests.rig.capture import Flow
from tests.rig.gateway import wait_for
from tests.rig.handover import HandOver, hand_over
from tests.rig.ports import first_of, free_port

READY_SECONDS = 15.0
MODULES = Path("/usr/lib/baresip/modules")


class Baresip:
    """One process; `encryption` is baresip's mediaenc (srtp, srtp-mand, dtls_srtp) or "" for plain RTP.

    Without a tone, a WAV at 8000 Hz, it echoes. With `ice` it checks paths, and has RTCP on that of RTP.
    """

    def __init__(
        self,
        directory: Path,
        number: str,
        host: str,
        port: int,
        pair: Pair,
        encryption: str = "",
        tone: Path | None = None,
        *,
        ice: bool = False,
    ) -> None:
        (directory / "heard").mkdir(parents=True)
        self._directory = directory
        self.log_path = directory / "baresip.log"
        self._process: subprocess.Popen[bytes] | None = None
        certificate = directory / "both.pem"
        certificate.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        self._control = free_port(socket.SOCK_STREAM, host)
        if self._control == port + 1:  # where baresip listens for TLS
            self._control = free_port(socket.SOCK_STREAM, host)
        self._host = host
        self.uri = f"sip:{number}@{host}:{port}"
        source, player = (f"aufile,{tone}", "aubridge,nowhere") if tone else ("aubridge,echo", "aubridge,echo")
        first = first_of(22)
        self.media_ports = range(first, first + 21)
        (directory / "config").write_text(
            "\n".join(
                (
                    f"sip_listen {host}:{port}",
                    f"sip_certificate {certificate}",
                    f"audio_source {source}",
                    f"audio_player {player}",
                    "audio_alert aubridge,nowhere",
                    "audio_level no",
                    "ausrc_srate 8000",
                    "auplay_srate 8000",
                    "ausrc_channels 1",
                    "auplay_channels 1",
                    "audio_buffer 20-160",
                    f"rtp_ports {first}-{first + 20}",
                    f"rtcp_mux {'yes' if ice else 'no'}",
                    "jitter_buffer_delay 5-10",
                    "net_interface 127.0.0.1",
                    f"module_path {MODULES}",
                    *(
                        f"module {name}.so"
                        for name in ("g711", "aubridge", "aufile", "sndfile", "srtp", "dtls_srtp", "ice")
                    ),
                    *(f"module_tmp {name}.so" for name in ("uuid", "account")),
                    *(f"module_app {name}.so" for name in ("menu", "ctrl_tcp")),
                    f"ctrl_tcp_listen {host}:{self._control}",
                    f"snd_path {directory / 'heard'}",
                    "",
                )
            )
        )
        secured = f";mediaenc={encryption}" if encryption else ""
        muxed = "yes;medianat=ice" if ice else "no"
        account = f"<sip:{number}@{host}>;regint=0;answermode=auto;audio_codecs=pcmu,pcma;rtcp_mux={muxed}{secured}\n"
        (directory / "accounts").write_text(account)
        (directory / "contacts").write_text("")

    def start(self) -> Baresip:
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(self._directory), "-v", "-s"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"HOME": str(self._directory)},
            )
        wait_for(lambda: "baresip is ready" in self.log, READY_SECONDS, lambda: self.log)
        return self

    def carries(self, flow: Flow) -> bool:
        """Whether one end of a captured flow is this phone; other calls of the machine are none of its business."""
        return any(port in self.media_ports for _, port in flow)

    def do(self, command: str, parameters: str = "") -> str:
        """Give one of baresip's commands (dial, hangup, hold, transfer); what it answered."""
        body = json.dumps({"command": command, "params": parameters}).encode()
        with socket.create_connection((self._host, self._control), READY_SECONDS) as connection:
            connection.settimeout(READY_SECONDS)
            connection.sendall(b"%d:%s," % (len(body), body))
            with connection.makefile("rb") as answers:
                return str(_answer(answers).get("data", ""))

    def wait_log(self, text: str, seconds: float = 10.0) -> None:
        wait_for(lambda: text in self.log, seconds, lambda: f"baresip never said {text!r}:\n{self.log[-3000:]}")

    @property
    def recording(self) -> Path:
        """What its only call heard; complete when the phone has ended."""
        (found,) = (self._directory / "heard").glob("*-dec.wav")
        return found

    def heard(self, *tones: float) -> list[HandOver]:
        """End the phone; what each of its calls recorded, oldest first."""
        self.stop()
        recordings = sorted((self._directory / "heard").glob("*-dec.wav"), key=lambda path: path.stat().st_mtime)
        return [hand_over(*read_wav(path), *tones) for path in recordings]

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answer(stream: IO[bytes]) -> dict[str, Any]:
    """The first netstring that answers a command; others tell of events."""
    while True:
        length = b""
        while not length.endswith(b":"):
            length += stream.read(1) or b":"
        found: dict[str, Any] = json.loads(stream.read(int(length[:-1] or b"0")) or b"{}")
        assert found, "baresip closed the connection"
        stream.read(1)
        if found.get("response"):
            return found
