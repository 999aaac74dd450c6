"""Makes the collector of HEP export of what was written, and says what is wrong with its files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from gateway.base.values import HostPort
from gateway.config.certificates import Finding
from gateway.config.schema.hep import Hep
from gateway.config.sinks import compile_tls, tls_findings
from gateway.config.yaml import Location
from gateway.hep.plan import HepPlan, HepTransport


def compile_hep(hep: Hep) -> HepPlan:
    """The collector."""
    return HepPlan(
        host=hep.collector.host,
        port=hep.collector.port,
        transport=HepTransport(hep.transport),
        capture_id=hep.capture_id,
        password=hep.password,
        server_name=hep.server_name or "",
        tls=compile_tls(hep.tls),
        pseudonyms=hep.people == "pseudonyms",
    )


def check_hep(hep: Hep | None, now: datetime.datetime) -> Iterator[tuple[Location, Finding]]:
    """What is wrong with its certificates, and what it sends in clear."""
    if hep is None:
        return
    for finding in tls_findings(hep.tls, now):
        yield ("hep", "tls"), finding
    if hep.transport == "tls" or HostPort(hep.collector.host, 0).is_loopback:
        return
    if hep.password is not None:
        words = f"the password goes over {hep.transport} in clear, in every packet"
        yield ("hep",), Finding("password", words, "use transport: tls", warning=True)
    if hep.people == "names":
        words = f"who calls whom goes over {hep.transport} in clear"
        yield ("hep",), Finding("people", words, "use transport: tls, or people: pseudonyms", warning=True)
