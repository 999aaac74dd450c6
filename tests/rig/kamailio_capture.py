"""Kamailio as a capture node of Homer (module sipcapture): reads HEP and writes a row for each packet.

The rows are those it would put into Homer's database, here in files (db_flatstore). It is somebody else's decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.rig.kamailio import KamailioServer

CONFIGURATION = """\
loadmodule "pv.so"
loadmodule "db_flatstore.so"
loadmodule "sipcapture.so"
modparam("sipcapture", "db_url", "flatstore://{rows}")
modparam("sipcapture", "capture_on", 1)
modparam("sipcapture", "hep_capture_on", 1)
modparam("sipcapture", "capture_node", "homer")
request_route {{ sip_capture(); drop; }}
onreply_route {{ sip_capture(); drop; }}
"""


@dataclass(frozen=True)
class SipRow:
    """A SIP message as it was read."""

    what: str
    """Its method, or its status."""
    call_id: str
    source: str
    destination: str
    node: str
    """Of whom it is: a name of the server's own and the capture id."""
    correlation: str
    text: str
    """Line ends are written `\\\\x0D\\\\x0A`."""


@dataclass(frozen=True)
class ReportRow:
    """A report on media as it was read."""

    correlation: str
    source: str
    destination: str
    node: str
    payload: str


class KamailioCapture(KamailioServer):
    """One capture node."""

    def __init__(self, directory: Path, host: str = "127.0.3.9") -> None:
        self._rows = directory / "rows"
        self._rows.mkdir(parents=True)
        super().__init__(directory, host, CONFIGURATION.format(rows=self._rows))

    def messages(self) -> list[SipRow]:
        """The SIP messages so far."""
        found = []
        for cells in self._cells("sip_capture"):
            source, destination = f"{cells[22]}:{cells[23]}", f"{cells[24]}:{cells[25]}"
            found.append(SipRow(cells[2], cells[13], source, destination, cells[34], cells[35], cells[40]))
        return found

    def reports(self) -> list[ReportRow]:
        """The reports so far."""
        return [
            ReportRow(cells[2], f"{cells[3]}:{cells[4]}", f"{cells[5]}:{cells[6]}", cells[10], cells[11])
            for cells in self._cells("rtcp_capture")
        ]

    def _cells(self, table: str) -> list[list[str]]:
        """Rows, by their cells, in the order of its columns; a bar or a line end within a value is escaped."""
        rows = [line for path in self._rows.glob(f"{table}_*.log") for line in path.read_text().splitlines()]
        return [row.split("|") for row in rows]
