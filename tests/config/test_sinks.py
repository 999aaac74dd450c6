"""Receivers of the audit log in the configuration: each mistake at its key, and no secret in any message."""

from __future__ import annotations

import pytest

from gateway.audit.sinks.plan import Form, Records, SyslogPlan, WebhookPlan
from gateway.base.values import Secret
from tests.config.files import NOW, Files, make_certificate
from tests.config.test_load import files, load, mistakes, only_mistake

__all__ = ["files"]
CANARY = "canary-of-sixteen-characters"
SYSLOG = 'name: siem, syslog: {address: "logs.example.com:6514"}'
HOOK = 'url: "https://audit.example.com/in"'


def sinks(files: Files, *lines: str) -> Files:
    listed = ", ".join(f"{{{line}}}" for line in lines)
    files.gateway = files.gateway.replace("{directory: audit}", f"{{directory: audit, sinks: [{listed}]}}")
    files.environ["HOOK"] = CANARY
    return files


def test_receivers_are_what_is_written(files: Files) -> None:
    make_certificate(files.directory, now=NOW)
    tls = "tls: {ca: server.pem, certificate: server.pem, key: server.key}"
    sinks(
        files,
        SYSLOG,
        'name: cef, records: downgrades, syslog: {address: "[::1]:6514", format: cef, '
        f"server_name: Logs.Example.com, {tls}}}",
        f'name: hook, records: checkpoints, queue_records: 500, webhook: {{{HOOK}, secret: "${{HOOK}}"}}',
    )
    one, other, hook = load(files).site.audit.sinks
    assert one.to == SyslogPlan(host="logs.example.com", port=6514)
    assert (one.records, one.queue_records) == (Records.ALL, 10_000)
    assert isinstance(other.to, SyslogPlan)
    assert (other.to.host, other.to.server_name, other.to.form) == ("::1", "logs.example.com", Form.CEF)
    assert other.to.tls.ca == files.directory / "server.pem"
    assert hook.to == WebhookPlan(url=Secret("https://audit.example.com/in"), secret=Secret(CANARY))
    assert (hook.records, hook.queue_records) == (Records.CHECKPOINTS, 500)
    assert CANARY not in repr(load(files))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("name: siem", "audit.sinks[0]"),
        (f"{SYSLOG}, webhook: {{{HOOK}, secret: {CANARY}}}", "audit.sinks[0]"),
        ('name: siem, syslog: {address: "logs.example.com"}', "audit.sinks[0].syslog.address"),
        ('name: siem, syslog: {address: "udp:logs.example.com:514"}', "audit.sinks[0].syslog.address"),
        (SYSLOG.replace("}", ", format: leef}"), "audit.sinks[0].syslog.format"),
        (SYSLOG.replace("}", ", tls: {certificate: a.pem}}"), "audit.sinks[0].syslog.tls"),
        (SYSLOG.replace("}", ", tls: {ca: nothing.pem}}"), "audit.sinks[0].syslog.tls.ca"),
        (SYSLOG.replace("}", ", tls: {verify: no}}"), "audit.sinks[0].syslog.tls.verify"),
        (f"{SYSLOG}, queue_records: 1", "audit.sinks[0].queue_records"),
        (f"{SYSLOG}, records: none", "audit.sinks[0].records"),
        (f"name: hook, webhook: {{{HOOK}}}", "audit.sinks[0].webhook.secret"),
        (f"name: hook, webhook: {{{HOOK}, secret: short}}", "audit.sinks[0].webhook.secret"),
        (
            f'name: hook, webhook: {{url: "http://audit.example.com/?t={CANARY}", secret: {CANARY}}}',
            "audit.sinks[0].webhook.url",
        ),
        (f'name: hook, webhook: {{url: "http://localhost/", secret: {CANARY}}}', "audit.sinks[0].webhook.url"),
        (f'name: hook, webhook: {{url: "https://a:{CANARY}@h/", secret: {CANARY}}}', "audit.sinks[0].webhook.url"),
        (
            f'name: hook, webhook: {{url: "http://127.0.0.1@evil.example/", secret: {CANARY}}}',
            "audit.sinks[0].webhook.url",
        ),
    ],
)
def test_a_mistake_is_told_at_its_key_without_the_secret(files: Files, line: str, key: str) -> None:
    mistake = only_mistake(sinks(files, line))
    assert mistake.key == key
    assert CANARY not in str(mistake)


@pytest.mark.parametrize(
    "url",
    [
        f"http://audit.example.com/?t={CANARY}",
        "http://localhost/",
        f"https://a:{CANARY}@h/",
        "http://127.0.0.1@evil.example/",
        "ftp://h/",
        "https:///in",
    ],
)
def test_records_go_nowhere_but_over_tls_or_to_this_machine(files: Files, url: str) -> None:
    mistake = only_mistake(sinks(files, f'name: hook, webhook: {{url: "{url}", secret: {CANARY}}}'))
    assert mistake.key == "audit.sinks[0].webhook.url"
    assert CANARY not in str(mistake)


def test_two_receivers_of_one_name_cannot_be_told_apart(files: Files) -> None:
    assert [error.key for error in mistakes(sinks(files, SYSLOG, SYSLOG))] == ["audit.sinks"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/in", "http://[::1]/in"])
def test_without_tls_only_this_machine_is_sent_anything(files: Files, url: str) -> None:
    (hook,) = load(sinks(files, f'name: hook, webhook: {{url: "{url}", secret: {CANARY}}}')).site.audit.sinks
    assert isinstance(hook.to, WebhookPlan)
    assert hook.to.url.reveal() == url
