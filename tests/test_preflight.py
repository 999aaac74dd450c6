"""What `check` and `run` find out about the machine before anything starts."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import process
from gateway.base.errors import ConfigError
from gateway.config.load import LoadedConfig
from tests.config.files import Files, free_ports, make_certificate
from tests.test_cli import dns, refused, sip_gateway

__all__ = ["dns"]  # the fixture: names of trunks are known


@pytest.fixture
def free(tmp_path: Path) -> Files:
    return free_ports(Files(tmp_path))


def held(files: Files, text: str, kind: socket.SocketKind) -> socket.socket:
    """A socket on the port that stands behind `text`, as another program would have it."""
    port = files.gateway.partition(text)[2].split('"')[0].split(",")[0].split("}")[0]
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", int(port)))
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("address: 127.0.0.1:", socket.SOCK_STREAM, "gateway.yaml:3: listen.web.address: cannot bind tcp"),
        ("udp:127.0.0.1:", socket.SOCK_DGRAM, "gateway.yaml:4: listen.sip[0]: cannot bind udp"),
        ("tcp:127.0.0.1:", socket.SOCK_STREAM, "gateway.yaml:4: listen.sip[1]: cannot bind tcp"),
        ("bind: 127.0.0.1, ports: ", socket.SOCK_DGRAM, "gateway.yaml:6: media.browser.ports: cannot bind udp"),
    ],
)
def test_a_port_in_use_is_a_mistake_for_run_and_a_warning_for_check(
    free: Files, monkeypatch: pytest.MonkeyPatch, text: str, kind: socket.SocketKind, place: str
) -> None:
    monkeypatch.setattr(process, "main", lambda loaded: pytest.fail("started"))
    path = free.write()
    with contextlib.closing(held(free, text, kind)):
        told = refused(sip_gateway("run", "-c", path))
        checked = sip_gateway("check", path)
    assert f"{place} 127.0.0.1:" in told
    assert "remedy: stop what uses it" in told
    assert checked.exit_code == 0
    assert f"warning: {path.parent}/{place}" in checked.stderr


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("address: 127.0.0.1", "address: 192.0.2.7", "gateway.yaml:3: listen.web.address"),
        ("udp:127.0.0.1", "udp:192.0.2.7", "gateway.yaml:4: listen.sip[0]"),
        ("browser: {bind: 127.0.0.1", "browser: {bind: 192.0.2.7", "gateway.yaml:6: media.browser.bind"),
        ("trunk: {bind: 127.0.0.1", "trunk: {bind: 192.0.2.7", "gateway.yaml:7: media.trunk.bind"),
        ("    security", "    media: {bind: 192.0.2.7}\n    security", "gateway.yaml:14: trunks.carrier.media.bind"),
        ("directory: audit", "directory: plan.yaml", "gateway.yaml:16: audit.directory"),
        ("directory: audit", "directory: plan.yaml/deep/er", "gateway.yaml:16: audit.directory"),
    ],
)
def test_check_finds_what_this_machine_cannot_do(free: Files, old: str, new: str, place: str) -> None:
    make_certificate(free.directory, now=datetime.datetime.now(datetime.UTC))
    assert old in free.gateway
    free.gateway = free.gateway.replace("{address", "{certificate: server.pem, key: server.key, address", 1)
    free.gateway = free.gateway.replace(old, new)
    told = refused(sip_gateway("check", free.write()))
    assert place in told
    assert told.count("error: ") == told.count("remedy: ") == 1
    assert sip_gateway("check", "--elsewhere", free.directory / "gateway.yaml").exit_code == 0


def test_check_leaves_nothing_behind(free: Files) -> None:
    assert sip_gateway("check", free.write()).stderr == ""
    assert sorted(p.name for p in free.directory.iterdir()) == ["gateway.yaml", "plan.yaml", "users.yaml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_finds_a_log_directory_it_may_not_write(free: Files) -> None:
    (free.directory / "audit").mkdir(mode=0o500)
    assert "audit.directory" in refused(sip_gateway("check", free.write()))


def test_a_certificate_openssl_refuses_is_found_by_check(free: Files) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    make_certificate(free.directory, now=datetime.datetime.now(datetime.UTC), key=weak)
    free.gateway = free.gateway.replace("{address", "{certificate: server.pem, key: server.key, address", 1)
    assert "gateway.yaml:3: listen.web.certificate" in refused(sip_gateway("check", free.write()))


def test_an_error_of_the_start_is_told_with_its_place(free: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(loaded: LoadedConfig, **_: object) -> None:
        raise ConfigError("the audit log cannot be written", key="audit.directory", remedy="free the disk")

    monkeypatch.setattr(process, "serve", fail)
    told = refused(sip_gateway("run", "-c", free.write()))
    assert "gateway.yaml:16: audit.directory: the audit log cannot be written\n  remedy: free the disk" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_like_any_mistake(free: Files) -> None:
    path = free.write()
    path.chmod(0)
    assert "gateway.yaml: the file cannot be read: Permission denied\n  remedy: check owner and mode" in refused(
        sip_gateway("check", path)
    )
