"""A baresip phone that answers by itself and echoes what it hears."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gateway.demo.certificates import Pair
from tests.rig.capture import Flow
from tests.rig.gateway import wait_for
from tests.rig.ports import first_of

READY_SECONDS = 15.0
MODULES = Path("/usr/lib/baresip/modules")


class Baresip:
    """One process; `encryption` is baresip's mediaenc (srtp, srtp-mand) or "" for plain RTP."""

    def __init__(self, directory: Path, number: str, host: str, port: int, pair: Pair, encryption: str = "") -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.log_path = directory / "baresip.log"
        self._process: subprocess.Popen[bytes] | None = None
        certificate = directory / "both.pem"
        certificate.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        first = first_of(22)
        self.media_ports = range(first, first + 21)
        (directory / "config").write_text(
            "\n".join(
                (
                    f"sip_listen {host}:{port}",
                    f"sip_certificate {certificate}",
                    "audio_source aubridge,echo",
                    "audio_player aubridge,echo",
                    "audio_alert aubridge,nowhere",
                    "audio_level no",
                    "ausrc_srate 8000",
                    "auplay_srate 8000",
                    "ausrc_channels 1",
                    "auplay_channels 1",
                    "audio_buffer 20-160",
                    f"rtp_ports {first}-{first + 20}",
                    "rtcp_mux no",
                    "jitter_buffer_delay 5-10",
                    "net_interface 127.0.0.1",
                    f"module_path {MODULES}",
                    *(f"module {name}.so" for name in ("g711", "aubridge", "srtp")),
                    *(f"module_tmp {name}.so" for name in ("uuid", "account")),
                    "module_app menu.so",
                    "",
                )
            )
        )
        secured = f";mediaenc={encryption}" if encryption else ""
        account = f"<sip:{number}@{host}>;regint=0;answermode=auto;audio_codecs=pcmu,pcma;rtcp_mux=no{secured}\n"
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
