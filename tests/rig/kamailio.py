"""Kamailio as a process: no database, no media. `Kamailio` registers telephones and proxies their calls.

It is as strict as it can be made: a nonce holds for one request URI, Call-ID and From tag, and with `once` each count
of it is good once. What a Kamailio does instead that is a carrier's stands in `kamailio_carrier`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.rig.gateway import PASSWORD, REALM, wait_for
from tests.rig.ports import free_sip_port
from tests.rig.tools import find

EXECUTABLE = find("kamailio")
READY_SECONDS = 15.0

COMMON = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
"""
"""What each begins with."""

CONFIGURATION = """\
alias="{realm}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "use_path", {path})
modparam("registrar", "path_mode", 1)
modparam("registrar", "min_expires", {least})
modparam("auth", "nonce_expire", 60)
modparam("auth", "auth_checks_register", 7)
modparam("auth", "auth_checks_no_dlg", 7)
modparam("auth", "nonce_count", {once})
modparam("auth", "qop", "auth")
request_route {{
  xlog("L_NOTICE", "IN $rm $ru from $fu to $tu at $si contact $ct route $hdr(Route) auth $au\\n");
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "Not here"); exit;
  }}
  if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
  if ($fU =~ "^(alice|bob)$") $var(password) = "{password}"; else $var(password) = "no$TV(u)such";
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("$td", "$var(password)", "0")) {{ www_challenge("$td", "1"); exit; }}
    if ($au != $tU || $fU != $tU) {{ sl_send_reply("403", "Not yours"); exit; }}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
  if (from_uri == myself) {{
    if (!pv_proxy_authenticate("$fd", "$var(password)", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
    if ($au != $fU) {{ sl_send_reply("403", "Not yours"); exit; }}
    consume_credentials();
  }}
  record_route();
  if ($rU == "600") {{ $du = "sip:{phone}"; t_relay(); exit; }}
  if ($rU == "486") {{ sl_send_reply("486", "Busy Here"); exit; }}
  if (!lookup("location")) {{ sl_send_reply("480", "Nobody there"); exit; }}
  t_relay();
}}
"""


class KamailioServer:
    """One process group, on one address and port, over UDP and TCP.

    Args:
        directory: for its files, which nobody else has.
        host: a loopback address.
        configuration: what stands behind `COMMON`.
    """

    def __init__(self, directory: Path, host: str, configuration: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.host, self.configuration = directory, host, configuration
        self.port = free_sip_port(host)
        self.log_path = directory / "kamailio.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        return f"sip:{self.host}:{self.port}"

    def start(self) -> Self:
        assert EXECUTABLE is not None
        path = self.directory / "kamailio.cfg"
        path.write_text(COMMON.format(host=self.host, port=self.port) + self.configuration)
        memory = ["-m", "64", "-M", "4"]
        arguments = [EXECUTABLE, "-DD", "-E", "-f", str(path), *memory, "-Y", str(self.directory)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log)
        wait_for(self._listens, READY_SECONDS, lambda: self.log[-3000:], self._alive)
        return self

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_log(self, text: str, seconds: float = 10.0) -> None:
        """Wait until it has said so."""
        wait_for(lambda: text in self.log, seconds, lambda: f"never {text!r}:\n{self.log[-3000:]}", self._alive)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _listens(self) -> bool:
        """Whether its TCP listener takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


@dataclass
class KamailioSetup:
    """What it is started with."""

    directory: Path
    host: str = "127.0.3.1"
    phone: str = "127.0.3.2:5060"
    """Where the number 600 is."""
    path: bool = False
    """It keeps Path (RFC 3327)."""
    once: bool = True
    """Each count of a nonce is good once."""
    least: int = 60


class Kamailio(KamailioServer):
    """The registrar of one domain, and the proxy of its telephones."""

    def __init__(self, setup: KamailioSetup) -> None:
        configuration = CONFIGURATION.format(
            realm=REALM,
            password=PASSWORD,
            phone=setup.phone,
            path=int(setup.path),
            once=int(setup.once),
            least=setup.least,
        )
        super().__init__(setup.directory, setup.host, configuration)
        self.setup = setup
