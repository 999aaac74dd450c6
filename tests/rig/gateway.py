"""A gateway as an administrator runs it: files in a directory, a process, its log and its audit log."""

from __future__ import annotations

import functools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.demo.certificates import Certificates, create
from gateway.sip.auth import compute_ha1
from tests.rig.ports import first_of, free_port, free_range, free_sip_port

REALM = "demo.test"
PASSWORD = "canary-password-Zq7"
READY_SECONDS = 20.0
READY = "state=ready"
MAX_WORKERS = 8
"""Relay workers a test may ask for: each has a browser port."""
POLL_SECONDS = 0.02
Record = dict[str, Any]


def local_address() -> str:
    """The machine's own non-loopback address, or loopback when it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@dataclass
class GatewaySetup:
    """What is written to disk before a gateway starts; change what a test needs, keep the rest."""

    directory: Path
    trunks: dict[str, dict[str, Any]]
    outbound: list[dict[str, Any]]
    inbound: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "alice", "dialled": "100", "user": "alice"}])
    users: tuple[str, ...] = ("alice", "bob")
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Numbers and names of users."""
    dialplan: dict[str, Any] = field(default_factory=dict)
    """What the dialplan says besides its rules."""
    dtls_setup: str = "passive"
    browser_bind: tuple[str, ...] = ("127.0.0.1",)
    sip: tuple[str, ...] = ("udp", "tcp")
    tls_web: bool = True
    allow_missing_origin: bool = True
    more_origins: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    reconnect_seconds: int = 0
    """How long calls wait for browsers that lost their connection: by default a browser that is gone is gone."""
    registration: dict[str, Any] = field(default_factory=dict)
    """The PBX registers the browsers: there is no users file then."""
    workers: int = 1
    spare: int = 0
    """Browser ports besides those of the workers, for workers that take their place."""
    trunk_address: str = "127.0.0.1"
    """Where trunks reach it: its SIP listeners and its media towards them."""
    trunk_ports: int = 200
    log_level: str = "DEBUG"
    web_port: int = field(default_factory=lambda: free_port(socket.SOCK_STREAM))
    sip_port: int = field(default_factory=free_sip_port)
    sip_tls_port: int = field(default_factory=lambda: free_port(socket.SOCK_STREAM))
    browser_port: int = field(default_factory=lambda: first_of(MAX_WORKERS))

    @property
    def certificates(self) -> Certificates:
        return create(self.directory / "certs", [local_address()])

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls_web else 'http'}://127.0.0.1:{self.web_port}"

    @functools.cached_property
    def trunk_range(self) -> str:
        """The RTP ports of the trunk side."""
        return free_range(self.trunk_ports)

    @property
    def media_filter(self) -> str:
        """For tcpdump: media of this gateway only, because others may run on the machine at the same time."""
        browsers = f"{self.browser_port}-{self.browser_port + self.workers + self.spare - 1}"
        hosts = " or ".join(f"host {host}" for host in sorted({"127.0.0.1", local_address(), *self.browser_bind}))
        return f"udp and ({hosts}) and (portrange {browsers} or portrange {self.trunk_range})"

    def write(self) -> Path:
        """Write every file; returns the path of gateway.yaml."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_users()
        (self.directory / "dialplan.yaml").write_text(
            yaml.safe_dump(_texts({**self.dialplan, "outbound": self.outbound, "inbound": self.inbound}))
        )
        path = self.directory / "gateway.yaml"
        path.write_text(yaml.safe_dump(_texts(self._document()), sort_keys=False))
        return path

    def _write_users(self) -> None:
        users = {
            name: {
                "realm": REALM,
                "ha1_md5": compute_ha1(name, REALM, PASSWORD, "MD5"),
                "ha1_sha256": compute_ha1(name, REALM, PASSWORD, "SHA-256"),
                **self.people.get(name, {}),
            }
            for name in self.users
        }
        path = self.directory / "users.yaml"
        path.write_text(yaml.safe_dump({"users": users}))
        path.chmod(0o600)

    def _document(self) -> dict[str, Any]:
        files = self.certificates
        web: dict[str, Any] = {
            "address": f"127.0.0.1:{self.web_port}",
            "origins": [self.origin, *self.more_origins],
            "allow_missing_origin": self.allow_missing_origin,
        }
        if self.tls_web:
            web |= {"certificate": str(files.web.certificate), "key": str(files.web.key)}
        ports = {"udp": self.sip_port, "tcp": self.sip_port, "tls": self.sip_tls_port}
        listen: dict[str, Any] = {"web": web, "sip": [f"{t}:{self.trunk_address}:{ports[t]}" for t in self.sip]}
        if "tls" in self.sip:
            listen["tls"] = {
                "certificate": str(files.gateway.certificate),
                "key": str(files.gateway.key),
                "client_ca": str(files.ca.certificate),
            }
        document = {
            "realm": REALM,
            "listen": listen,
            "media": {
                "browser": {
                    "bind": list(self.browser_bind),
                    "ports": f"{self.browser_port}-{self.browser_port + self.workers + self.spare - 1}",
                    "dtls_setup": self.dtls_setup,
                },
                "trunk": {"bind": self.trunk_address, "ports": self.trunk_range},
                "workers": self.workers,
            },
            "users": "users.yaml",
            "dialplan": "dialplan.yaml",
            "audit": {"directory": "audit", "people": "names"},
            "trunks": self.trunks,
            "log_level": self.log_level,
        }
        if self.registration:
            document = {key: value for key, value in document.items() if key != "users"}
            document["registration"] = self.registration
        limits = {"reconnect_seconds": self.reconnect_seconds, **self.overrides.get("limits", {})}
        return document | self.overrides | {"limits": limits}


def _texts(value: Any) -> Any:
    """YAML booleans and numbers as the text the gateway reads."""
    if isinstance(value, Mapping):
        return {k: _texts(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(v) for v in value]
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


class GatewayProcess:
    """A running `python -m gateway run`."""

    def __init__(self, setup: GatewaySetup) -> None:
        self.setup = setup
        self.config = setup.write()
        self.log_path = setup.directory / "gateway.log"
        self.audit_path = setup.directory / "audit" / "audit.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> GatewayProcess:
        before = self.log.count(READY)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "-c", str(self.config)], stdout=log, stderr=log
            )
        try:
            wait_for(lambda: self.log.count(READY) > before, READY_SECONDS, lambda: self.log[-3000:], self._alive)
        except AssertionError:
            self._process.kill()  # nobody is given what did not start, and nobody else would end it
            self._process.wait()
            raise
        return self

    def kill(self) -> None:
        """SIGKILL, and wait until the process and its relay workers are gone."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        gone = lambda: not any(Path(f"/proc/{child}").exists() for child in children)  # noqa: E731
        wait_for(gone, READY_SECONDS, f"still there: {children}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"{self.setup.origin}/?raw=1"

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text: str, seconds: float = 10.0) -> None:
        """Wait until the log says so."""
        wait_for(
            lambda: text in self.log, seconds, lambda: f"log never said {text!r}:\n{self.log[-3000:]}", self._alive
        )

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def records(self, kind: str = "", call_uid: str = "") -> list[Record]:
        """Audit records so far, of one type and one call if asked."""
        if not self.audit_path.exists():
            return []
        found = [json.loads(line) for line in whole_lines(self.audit_path)]
        return [r for r in found if kind in ("", r["type"]) and call_uid in ("", r.get("call_uid"))]

    def wait_records(self, kind: str, count: int = 1, seconds: float = 10.0) -> list[Record]:
        """Wait until the audit log holds that many records of a type."""
        wait_for(
            lambda: len(self.records(kind)) >= count,
            seconds,
            lambda: f"{len(self.records(kind))} of {count} {kind}: {[r['type'] for r in self.records()]}",
        )
        return self.records(kind)

    def final(self, call_uid: str) -> Record:
        """The call's one final record, once it is there."""
        wait_for(lambda: bool(self.records("call.final", call_uid)), 10.0, f"no call.final of {call_uid}")
        (found,) = self.records("call.final", call_uid)
        return found


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that is being written: what has no line end yet is not all there."""
    return path.read_text().rpartition("\n")[0].splitlines()


def wait_for(condition: Any, seconds: float, why: Any, alive: Any = lambda: True) -> None:
    """Poll a condition that lives in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or not alive():
            raise AssertionError(why() if callable(why) else why)
        time.sleep(POLL_SECONDS)
