"""Where lines of the log are sent, as it is configured. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway.base.values import Secret

DOCUMENTATION_PEN = 32473
"""The enterprise number that stands for "some enterprise" in documents (RFC 5612)."""


class Records(StrEnum):
    """Which records a sink gets; checkpoints always, and what the log tells of sinks."""

    ALL = "all"
    CHECKPOINTS = "checkpoints"
    DOWNGRADES = "downgrades"


class Form(StrEnum):
    """What a syslog message says."""

    JSON = "json"
    """Structured data in short, then the line of the log (RFC 5424)."""
    CEF = "cef"
    """The Common Event Format of ArcSight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPlan:
    """Whom we believe, and who we are."""

    ca: Path | None = None
    """None: the authorities of this machine."""
    certificate: Path | None = None
    """Shown when the other side asks who we are."""
    key: Path | None = None
    key_password: Secret[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogPlan:
    """A syslog server that is reached over TLS (RFC 5425)."""

    host: str
    port: int
    server_name: str = ""
    """The name its certificate proves; empty: `host`."""
    form: Form = Form.JSON
    enterprise: int = DOCUMENTATION_PEN
    """Private enterprise number in the name of the structured data."""
    tls: TlsPlan = TlsPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPlan:
    """A web server that takes lines of the log by POST."""

    url: Secret[str]
    """May have a token in its query: it is never logged."""
    secret: Secret[str]
    """Key of the signature."""
    tls: TlsPlan = TlsPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPlan:
    """One sink."""

    name: str
    to: SyslogPlan | WebhookPlan
    records: Records = Records.ALL
    queue_records: int = 10_000
    """Records that wait for it at most; more are dropped, counted and told of."""
