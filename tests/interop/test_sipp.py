"""SIPp against the gateway: volumes of calls that are refused, and what is left of them (RFC 3261 17)."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.target import HOSTS, Target
from tests.rig.gateway import wait_for
from tests.rig.ports import free_port
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("sipp"),
]

CALLS, RATE = 100, 300
SIPP_SECONDS = 30
WARM_UP = 5

REQUEST = """\
{method} sip:{number}@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:4930123@[local_ip]>;tag=[pid]sipp[call_number]
To: <sip:{number}@[remote_ip]>{to_tag}
Call-ID: [call_id]
CSeq: {sequence} {method}
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
{more}
"""
OFFER = """\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 4000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
EMPTY = "Content-Length: 0\n"


def send(method: str, number: str, *, more: str = EMPTY, to_tag: str = "", sequence: int = 1) -> str:
    text = REQUEST.format(method=method, number=number, more=more, to_tag=to_tag, sequence=sequence)
    repeats = "" if method == "ACK" else ' retrans="500"'
    return f"<send{repeats}><![CDATA[\n\n{text}\n]]></send>"


def scenario(method: str, number: str, status: int, *, more: str = EMPTY, to_tag: str = "") -> str:
    """One request, its final response, and the ACK an INVITE needs."""
    steps = [send(method, number, more=more, to_tag=to_tag)]
    if method == "INVITE":
        steps.append('<recv response="100" optional="true"/>')
    steps.append(f'<recv response="{status}"/>')
    if method == "INVITE":
        ack = send("ACK", number, to_tag="[peer_tag_param]").replace("branch=[branch]", "branch=[branch-3]")
        steps.append(ack)
    return f'<?xml version="1.0"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="x">{"".join(steps)}</scenario>'


SCENARIOS = {
    "OPTIONS is answered": ("OPTIONS", "gw", 200, EMPTY, ""),
    "INVITE to a user who is not there": ("INVITE", "100", 480, OFFER, ""),
    "INVITE to a number nobody has": ("INVITE", "404404", 404, OFFER, ""),
    "INVITE without an offer": ("INVITE", "404404", 404, EMPTY, ""),
    "INVITE that requires 100rel": ("INVITE", "100", 480, "Require: 100rel\n" + OFFER, ""),
    "INVITE that requires what nobody knows": ("INVITE", "100", 420, "Require: precondition\n" + OFFER, ""),
    "INVITE with a session of a minute": ("INVITE", "100", 422, "Supported: timer\nSession-Expires: 60\n" + OFFER, ""),
    "re-INVITE in a dialog we do not know": ("INVITE", "100", 481, OFFER, ";tag=unknown"),
    "BYE in a dialog we do not know": ("BYE", "100", 481, EMPTY, ";tag=unknown"),
    "REGISTER from a trunk": ("REGISTER", "100", 405, EMPTY, ""),
    "MESSAGE from a trunk": ("MESSAGE", "100", 405, EMPTY, ""),
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("sipp"), log_level="INFO").start()
    yield made
    made.canary("udp")
    made.stop()


def sipp(target: Target, directory: Path, script: str, transport: str, calls: int) -> None:
    """Run a scenario; SIPp's exit status is 0 only when every call went as the scenario says."""
    path = directory / "scenario.xml"
    path.write_text(script)
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    host = HOSTS[transport]
    command = ["sipp", f"127.0.0.1:{target.setup.sip_port}", "-sf", str(path), "-i", host]
    command += ["-p", str(free_port(kind, host)), "-t", "u1" if transport == "udp" else "t1"]
    command += ["-m", str(calls), "-r", str(RATE), "-l", str(calls), "-nostdin", "-timeout", f"{SIPP_SECONDS}s"]
    command += ["-trace_err", "-error_file", str(directory / "errors.log")]
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=SIPP_SECONDS + 5, check=False)
    errors = directory / "errors.log"
    told = errors.read_text()[-3000:] if errors.exists() else ""
    assert done.returncode == 0, (done.returncode, told, done.stdout[-2000:], done.stderr[-500:])


def open_files(target: Target) -> int:
    return len(os.listdir(f"/proc/{target.process.pid}/fd"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("row", SCENARIOS.values(), ids=SCENARIOS)
def test_a_hundred_requests_in_a_row_are_answered_and_leave_nothing(
    target: Target, tmp_path: Path, transport: str, row: tuple[str, str, int, str, str]
) -> None:
    method, number, status, more, to_tag = row
    script = scenario(method, number, status, more=more, to_tag=to_tag)
    sipp(target, tmp_path, script, transport, WARM_UP)
    target.wait_idle()
    files, before = open_files(target), target.metrics()
    sipp(target, tmp_path, script, transport, CALLS)
    target.wait_idle()
    wait_for(lambda: open_files(target) <= files, 5, lambda: f"{open_files(target) - files} files more")
    after = target.metrics()
    assert after["relay_sessions"] == 0
    is_call = method == "INVITE" and status in (404, 480)
    assert after["calls_ended"] - before["calls_ended"] == (CALLS if is_call else 0)
    assert after["calls_started"] == after["calls_ended"]
