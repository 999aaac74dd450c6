"""HEP export in the configuration: what is written, each mistake at its key, and no password in any message."""

from __future__ import annotations

import pytest

from gateway.audit.sinks.plan import TlsPlan
from gateway.base.values import Secret
from gateway.hep.plan import HepPlan, HepTransport
from tests.config.files import NOW, Files, make_certificate
from tests.config.test_load import files, load, only_mistake

__all__ = ["files"]
CANARY = "canary-of-a-password"
COLLECTOR = 'collector: "homer.example.com:9060"'


def hep(files: Files, written: str) -> Files:
    files.gateway += f"\nhep: {{{written}}}\n"
    files.environ["HEP"] = CANARY
    return files


def test_nothing_is_exported_unless_it_is_written(files: Files) -> None:
    assert load(files).site.hep is None


def test_by_default_a_collector_gets_pseudonyms_over_udp(files: Files) -> None:
    assert load(hep(files, COLLECTOR)).site.hep == HepPlan(host="homer.example.com", port=9060)
    assert HepPlan(host="h", port=1).pseudonyms


def test_a_collector_is_what_is_written(files: Files) -> None:
    make_certificate(files.directory, now=NOW)
    tls = "server_name: Homer.Example.com, tls: {ca: server.pem, certificate: server.pem, key: server.key}"
    written = f'collector: "[2001:db8::5]:9061", transport: tls, capture_id: 4294967295, people: names, {tls}'
    found = load(hep(files, f'{written}, password: "${{HEP}}"'))
    pem, key = files.directory / "server.pem", files.directory / "server.key"
    assert found.site.hep == HepPlan(
        host="2001:db8::5",
        port=9061,
        transport=HepTransport.TLS,
        capture_id=2**32 - 1,
        password=Secret(CANARY),
        server_name="homer.example.com",
        tls=TlsPlan(ca=pem, certificate=pem, key=key),
        pseudonyms=False,
    )
    assert found.warnings == ()
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("transport: udp", "hep.collector"),
        ('collector: "homer.example.com"', "hep.collector"),
        ('collector: "homer.example.com:0"', "hep.collector"),
        (f"{COLLECTOR}, transport: sctp", "hep.transport"),
        (f"{COLLECTOR}, capture_id: 4294967296", "hep.capture_id"),
        (f"{COLLECTOR}, people: numbers", "hep.people"),
        (f"{COLLECTOR}, password: {'x' * 129}", "hep.password"),
        (f'{COLLECTOR}, password: ""', "hep.password"),
        (f"{COLLECTOR}, tls: {{ca: ca.pem}}", "hep"),
        (f"{COLLECTOR}, server_name: homer", "hep"),
        (f"{COLLECTOR}, transport: tls, tls: {{certificate: a.pem}}", "hep.tls"),
        (f"{COLLECTOR}, transport: tls, tls: {{ca: nothing.pem}}", "hep.tls.ca"),
    ],
)
def test_a_mistake_is_told_at_its_key(files: Files, written: str, key: str) -> None:
    assert only_mistake(hep(files, written)).key.startswith(key)


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        (f"{COLLECTOR}, password: {CANARY}", ["password"]),
        (f"{COLLECTOR}, transport: tcp, password: {CANARY}, people: names", ["password", "people"]),
        (f'collector: "127.0.0.1:9060", password: {CANARY}, people: names', []),
        (f"{COLLECTOR}, transport: tls, password: {CANARY}, people: names", []),
    ],
)
def test_what_leaves_this_machine_in_clear_is_warned_of(files: Files, written: str, warned: list[str]) -> None:
    found = load(hep(files, written)).warnings
    assert len(found) == len(warned)
    assert all(f"hep.{key}" in warning for key, warning in zip(warned, found, strict=True))
    assert CANARY not in "".join(found)
