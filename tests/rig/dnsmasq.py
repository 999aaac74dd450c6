"""dnsmasq in a namespace: the nameserver offices have, which asks ours and keeps what it is told."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.rig.gateway import wait_for
from tests.rig.namespace import Namespace
from tests.rig.tools import find

DNS_PORT = 53
READY_SECONDS = 5.0


class Dnsmasq:
    """One process.

    Args:
        host: an address of the namespace.
        options: what it says itself, and whom it asks for the rest.
    """

    def __init__(self, directory: Path, namespace: Namespace, host: str, options: Sequence[str]) -> None:
        self._log = directory / f"dnsmasq-{host}.log"
        common = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file"]
        listens = [f"--listen-address={host}", "--bind-interfaces", f"--port={DNS_PORT}"]
        says = ["--log-queries", "--log-facility=-", "--user=root"]
        program = find("dnsmasq")
        assert program is not None
        self._command = namespace.command(program, *common, *listens, *says, *options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Dnsmasq:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(lambda: "started" in self._words(), READY_SECONDS, self._words, self._alive)
        return self

    def stop(self) -> None:
        """It is gone: who asks it hears that nobody listens there."""
        if self._process is not None and self._alive():
            self._process.terminate()
            self._process.wait(5)

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _words(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
