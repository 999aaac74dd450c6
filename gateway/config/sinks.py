"""Makes the sinks of the audit log of what was written, and says what is wrong with their files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from gateway.audit.sinks.plan import Form, Records, SinkPlan, SyslogPlan, TlsPlan, WebhookPlan
from gateway.config.certificates import Finding, KeyPair, check_ca, check_pair
from gateway.config.schema.limits import Audit
from gateway.config.schema.sinks import Sink, SinkTls, SyslogSink, WebhookSink
from gateway.config.yaml import Location


def compile_sink(sink: Sink) -> SinkPlan:
    """One receiver of the log."""
    return SinkPlan(
        name=sink.name,
        to=_syslog(sink.syslog) if sink.syslog is not None else _webhook(sink.webhook),
        records=Records(sink.records),
        queue_records=sink.queue_records,
    )


def _syslog(sink: SyslogSink) -> SyslogPlan:
    return SyslogPlan(
        host=sink.address.host,
        port=sink.address.port,
        server_name=sink.server_name or "",
        form=Form(sink.format),
        enterprise=sink.enterprise,
        tls=compile_tls(sink.tls),
    )


def _webhook(sink: WebhookSink | None) -> WebhookPlan:
    if sink is None:
        raise ValueError("a sink goes to a syslog or a web server")
    return WebhookPlan(url=sink.url, secret=sink.secret, tls=compile_tls(sink.tls))


def compile_tls(tls: SinkTls) -> TlsPlan:
    """Whom we believe, and what we show."""
    return TlsPlan(ca=tls.ca, certificate=tls.certificate, key=tls.key, key_password=tls.key_password)


def check_sinks(audit: Audit, now: datetime.datetime) -> Iterator[tuple[Location, Finding]]:
    """What is wrong with the certificates of sinks, and where it is written."""
    for index, sink in enumerate(audit.sinks):
        for kind, to in (("syslog", sink.syslog), ("webhook", sink.webhook)):
            for finding in tls_findings(to.tls, now) if to is not None else ():
                yield ("audit", "sinks", index, kind, "tls"), finding


def tls_findings(tls: SinkTls, now: datetime.datetime) -> Iterator[Finding]:
    """What is wrong with these files."""
    if tls.certificate is not None and tls.key is not None:
        yield from check_pair(KeyPair(tls.certificate, tls.key, tls.key_password), now)
    if tls.ca is not None:
        yield from check_ca("ca", tls.ca)
