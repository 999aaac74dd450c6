"""Where captured messages are sent, as it is configured. PURE."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.audit.sinks.plan import TlsPlan
from gateway.base.values import Secret


class HepTransport(StrEnum):
    """How packets get to the collector."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class HepPlan:
    """One collector."""

    host: str
    port: int
    transport: HepTransport = HepTransport.UDP
    capture_id: int = 2001
    """By which the collector knows who captured."""
    password: Secret[str] | None = None
    """The authentication key in each packet; None: there is none."""
    server_name: str = ""
    """The name its certificate proves; empty: `host`."""
    tls: TlsPlan = field(default_factory=TlsPlan)
    pseudonyms: bool = True
    """People stand in messages by the pseudonyms of the audit log."""
