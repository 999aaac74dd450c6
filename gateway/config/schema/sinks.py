"""Who gets the audit log on other machines, as it is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.base.values import Secret
from gateway.config.scalars import FilePath, Model, Name, Port, SecretText, TlsName, Written, host_and_port, webhook_url

MIN_SECRET = 16
"""Characters of a secret nobody tries out."""


def _strong(value: Secret[str]) -> Secret[str]:
    if len(value.reveal()) < MIN_SECRET:
        raise ValueError(f"expected at least {MIN_SECRET} characters, for example of: openssl rand -hex 32")
    return value


def _receiver(value: Secret[str]) -> Secret[str]:
    webhook_url(value.reveal())
    return value


WebhookUrl = Annotated[SecretText, AfterValidator(_receiver)]
StrongSecret = Annotated[SecretText, AfterValidator(_strong)]


class SinkAddress(Written):
    """A server, written `host:port`; the host is a name, or an address its certificate names."""

    host: TlsName
    port: Port

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        host, port = host_and_port(text)
        return {"host": host, "port": port}


class SinkTls(Model):
    """Whom a sink believes, and what it shows. Certificate and name of the server are always verified."""

    ca: FilePath | None = None
    """CA file for the server's certificate. Default: the system's."""
    certificate: FilePath | None = None
    """Our certificate (PEM, with its chain), where the server asks for one."""
    key: FilePath | None = None
    """Private key of `certificate`."""
    key_password: SecretText | None = None
    """Password of `key`: the text, `${NAME}` from the environment, or `file:PATH`."""

    @model_validator(mode="after")
    def _is_pair(self) -> SinkTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class SyslogSink(Model):
    """Syslog over TLS (RFC 5424, RFC 5425)."""

    address: SinkAddress
    """Name and port of the server, for example logs.example.com:6514."""
    server_name: TlsName | None = None
    """The name its certificate proves. Default: that in `address`."""
    format: Literal["json", "cef"] = "json"
    """What a message says: structured data and the record as JSON, or a CEF:0 event."""
    enterprise: int = Field(default=32473, ge=1, le=2**32 - 1)
    """Private enterprise number in `[callsec@NUMBER ...]`. Default: the one of documents (RFC 5612); take your own."""
    tls: SinkTls = SinkTls()
    """Whom it believes, and what it shows."""


class WebhookSink(Model):
    """A web server that takes records by POST, as signed JSON lines."""

    url: WebhookUrl
    """Where they are sent: https, or http on this machine. Kept like a secret; no redirection is followed."""
    secret: StrongSecret
    """Key of the signature (HMAC-SHA-256): `${NAME}` or `file:PATH`, at least 16 characters."""
    tls: SinkTls = SinkTls()
    """Whom it believes, and what it shows."""


class Sink(Model):
    """One receiver of the log. It gets each record after it is in the file; the file stays the truth."""

    name: Name
    """What log, metrics and records call it."""
    syslog: SyslogSink | None = None
    """A syslog server; or `webhook`."""
    webhook: WebhookSink | None = None
    """A web server; or `syslog`."""
    records: Literal["all", "checkpoints", "downgrades"] = "all"
    """Which records it gets. downgrades: `leg.downgraded`, `leg.violation`, `policy.exception_used`, `log.dropped`.
    Signed checkpoints are always among them, and go at once."""
    queue_records: int = Field(default=10_000, ge=100, le=100_000)
    """Records that wait for it at most; what comes then is dropped, counted and told of by `log.sink_dropped`."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Sink:
        if (self.syslog is None) == (self.webhook is None):
            raise ValueError("give one of syslog and webhook")
        return self
