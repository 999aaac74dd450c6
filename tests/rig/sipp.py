"""SIPp as a trunk: scenarios written as a list of steps, run beside a gateway, and judged by SIPp itself.

    called = Scenario(is_called=True)
    called.gets("INVITE").says(180).says(200, offer=True).gets("ACK").gets("BYE").says(200)
    with SippTrunk(directory, called, host, port, gateway, transport="udp") as trunk:
        ... # the browser calls
    # leaving waits for SIPp and fails with its own words if anything came otherwise

A step that comes otherwise ends the scenario with an error. What a called trunk says to the INVITE after something else
has come is put together from what it kept of the INVITE.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rig.gateway import wait_for

SECONDS = 120
"""How long a scenario may take."""
KEPT = ("Via", "From", "To", "CSeq")
SDP = """\
v=0
o=- 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 {address}
t=0 0
m=audio {port} RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a={direction}
"""
T38 = """\
v=0
o=- 1 9 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=image 4500 udptl t38
a=T38FaxVersion:0
"""


def sdp(port: int = 4000, direction: str = "sendrecv", *, version: int = 1, address: str = "[local_ip]") -> str:
    """A PCMU phone's description, wherever SIPp is."""
    return SDP.format(port=port, direction=direction, version=version, address=address)


class Scenario:
    """What one SIPp does in one call.

    Args:
        is_called: it waits for an INVITE; else it calls that number.
    """

    def __init__(self, *, is_called: bool = True, number: str = "100") -> None:
        self.is_called, self.number = is_called, number
        self._steps: list[str] = []
        self._sequence = 0
        self._kept: set[str] = set()
        self._asked_at = 0
        self._open = "INVITE"
        """The request that is answered next."""

    def gets(
        self,
        what: str | int,
        *,
        optional: bool = False,
        has: str = "",
        lacks: str = "",
        keep: str = "",
        within: int = 20,
    ) -> Self:
        """Wait for a request of that method, or a response.

        Args:
            has: a regular expression the message must match.
            lacks: one it must not.
            keep: under which name its headers are kept; by default that of the method.
            within: seconds.
        """
        self._kept |= {"junk"} if has or lacks else set()
        actions = [
            *(f'<ereg regexp="{_xml(has)}" search_in="msg" check_it="true" assign_to="junk"/>' for _ in [0] if has),
            *(
                f'<ereg regexp="{_xml(lacks)}" search_in="msg" check_it_inverse="true" assign_to="junk"/>'
                for _ in [0]
                if lacks
            ),
        ]
        if isinstance(what, str) and what != "ACK":
            self._open = keep or what
            actions += [
                f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{self._variable(self._open, name)}"/>'
                for name in KEPT
            ]
        if isinstance(what, int) and 100 < what < 200:
            actions.append(
                f'<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="{self._variable("x", "rseq")}"/>'
            )
        kind = f'request="{what}"' if isinstance(what, str) else f'response="{what}"'
        flags = ' optional="true"' if optional else ""
        self._steps.append(f'<recv {kind}{flags} timeout="{1000 * within}"><action>{"".join(actions)}</action></recv>')
        return self

    def says(self, status: int, body: str = "", *more: str, to: str = "", contact: bool = True) -> Self:
        """Answer the request that came last, or the one kept under a name."""
        kept = to or self._open
        via, from_, to_, cseq = (f"[${self._variable(kept, name)}]" for name in KEPT)
        tag = ";tag=sipp[call_number]" if kept == "INVITE" and self.is_called and status > 100 else ""
        lines = [
            f"SIP/2.0 {status} Said",
            f"Via:{via}",
            f"From:{from_}",
            f"To:{to_}{tag}",
            "Call-ID: [call_id]",
            f"CSeq:{cseq}",
            *(["Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"] if contact else []),
            *more,
        ]
        return self._send(lines, body)

    def asks(self, method: str, body: str = "", *more: str, sequence: int = 0, branch: str = "[branch]") -> Self:
        """A request inside the dialog, or the INVITE that begins it."""
        if method not in ("ACK", "CANCEL"):
            self._sequence, self._asked_at = self._sequence + 1, len(self._steps)
        number = sequence or self._sequence
        if self.is_called:
            from_, to = (
                f"From:[${self._variable('INVITE', 'To')}];tag=sipp[call_number]",
                f"To:[${self._variable('INVITE', 'From')}]",
            )
        else:
            from_ = "From: <sip:4930123@[local_ip]>;tag=[pid]sipp[call_number]"
            to = f"To: <sip:{self.number}@[remote_ip]>" + (
                "" if (method == "INVITE" and number == 1) or method == "CANCEL" else "[peer_tag_param]"
            )
        uri = "gateway" if self.is_called else self.number
        lines = [
            f"{method} sip:{uri}@[remote_ip]:[remote_port] SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport",
            "Max-Forwards: 70",
            from_,
            to,
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
            *more,
        ]
        return self._send(lines, body, again=method != "ACK")

    def acknowledges(self, body: str = "", *, sequence: int = 0, refused: bool = False) -> Self:
        """The ACK of a 2xx; or of a refusal, which belongs to its INVITE's transaction."""
        branch = f"[branch-{len(self._steps) - self._asked_at}]" if refused else "[branch]"
        return self.asks("ACK", body, sequence=sequence, branch=branch)

    def rests(self, milliseconds: int) -> Self:
        """Do nothing."""
        self._steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def _send(self, lines: Iterable[str], body: str, *, again: bool = False) -> Self:
        ends = ["Content-Type: application/sdp"] if body else []
        text = "\n".join([*lines, *ends, "Content-Length: [len]", "", body])
        repeats = ' retrans="500"' if again else ""
        self._steps.append(f"<send{repeats}><![CDATA[\n\n{text}\n]]></send>")
        return self

    def _variable(self, kept: str, name: str) -> str:
        variable = f"{kept}_{name}".replace("-", "_")
        self._kept.add(variable)
        return variable

    def __str__(self) -> str:
        names = ",".join(sorted(self._kept))
        steps = "\n".join([*self._steps, f'<Reference variables="{names}"/>'])
        return f'<?xml version="1.0"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="x">\n{steps}\n</scenario>'


class SippTrunk:
    """One SIPp process that plays a scenario once.

    Args:
        patient: OPTIONS and UPDATE that its scenario does not have are answered 200.
    """

    def __init__(
        self,
        directory: Path,
        scenario: Scenario,
        host: str,
        port: int,
        gateway: int,
        *,
        transport: str = "udp",
        patient: bool = False,
    ) -> None:
        self._directory, self._port, self._transport = directory, port, transport
        self._is_called = scenario.is_called
        path = directory / "scenario.xml"
        path.write_text(str(scenario))
        self._command = ["sipp", *([] if scenario.is_called else [f"127.0.0.1:{gateway}"]), "-sf", str(path)]
        self._command += ["-i", host, "-p", str(port), "-t", "u1" if transport == "udp" else "t1", "-m", "1"]
        self._command += [
            "-nostdin",
            "-timeout",
            f"{SECONDS}s",
            "-timeout_error",
            "-trace_err",
            "-error_file",
            "errors.log",
        ]
        self._command += ["-aa"] if patient else []
        self._command += ["-trace_msg", "-message_file", "messages.log"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=self._directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if self._is_called:
            wait_for(self._listens, 5, self._words)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if kind is None:
            self.finish()
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if error is not None:
            error.add_note(self._words())

    def finish(self) -> None:
        """Wait for its last step, and hear whether all went as the scenario says."""
        assert self._process is not None
        try:
            status = self._process.wait(SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        assert status == 0, (status, self._words())

    def _listens(self) -> bool:
        kind, waiting = ("udp", "07") if self._transport == "udp" else ("tcp", "0A")
        lines = (line.split() for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:])
        # A connection of the SIPp before, which rests in TIME_WAIT, has the same port.
        return any(local.endswith(f":{self._port:04X}") and state == waiting for _, local, _, state, *_ in lines)

    def _words(self) -> str:
        found = [self._directory / name for name in ("errors.log", "messages.log")]
        return "\n".join(path.read_text(errors="replace")[-6000:] for path in found if path.exists())


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def loopback(number: int) -> str:
    """An address of its own for each trunk of a test."""
    return socket.inet_ntoa(bytes([127, 0, 4, number]))
