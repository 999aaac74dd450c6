"""DTLS-SRTP against the `openssl` command: its handshake must give the keys ours gives (RFC 5764 4.2)."""

from __future__ import annotations

import datetime
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from gateway.base.crypto_suite import AEAD_AES_256_GCM, BY_DTLS_NAME, CryptoSuite
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import EXPORTER_LABEL, DtlsEndpoint, DtlsFailure, DtlsIdentity, DtlsState
from tests.certificates import Credential, make_certificate
from tests.rig.tools import needs

pytestmark = [
    pytest.mark.interop,
    needs("openssl"),
]

PATIENCE = 10.0
PEER = make_certificate("peer")
OURS = DtlsIdentity.generate(datetime.datetime.now(datetime.UTC))


def fingerprint_of(credential: Credential) -> Fingerprint:
    return Fingerprint("sha-256", credential.certificate.fingerprint(hashes.SHA256()))


@contextmanager
def openssl(directory: Path, suite: CryptoSuite, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    certificate, key = PEER.write(directory, "peer")
    arguments: list[str | Path] = ["openssl", *command, "-dtls1_2", "-cert", certificate, "-key", key]
    arguments += [
        "-use_srtp",
        suite.dtls_name,
        "-keymatexport",
        EXPORTER_LABEL.decode(),
        "-keymatexportlen",
        str(2 * suite.master_length),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.kill()


def exported(process: subprocess.Popen[bytes]) -> bytes:
    """The keying material the command prints."""
    assert process.stdout is not None
    for line in process.stdout:
        name, _, value = line.strip().partition(b": ")
        if name == b"Keying material":
            return bytes.fromhex(value.decode())
    raise AssertionError("no keying material was printed")


def run(endpoint: DtlsEndpoint, sock: socket.socket, peer: tuple[str, int] | None) -> tuple[str, int] | None:
    """Drive the endpoint over a socket in real time until the handshake ends; gives the peer's address."""
    begin = time.monotonic()
    endpoint.start(begin)
    while time.monotonic() - begin < PATIENCE:
        for datagram in endpoint.take_datagrams():
            if peer is not None:
                sock.sendto(datagram, peer)
        if endpoint.state is not DtlsState.HANDSHAKE:
            return peer
        deadline = endpoint.next_deadline()
        wait = PATIENCE if deadline is None else max(0.0, deadline - time.monotonic())
        if select.select([sock], [], [], wait)[0]:
            try:
                data, peer = sock.recvfrom(4096)
            except ConnectionRefusedError:
                continue  # the command is not listening yet
            endpoint.receive(data, time.monotonic())
        else:
            endpoint.handle_timer(time.monotonic())
    return peer


def assert_same_keys(endpoint: DtlsEndpoint, material: bytes, suite: CryptoSuite) -> None:
    assert endpoint.keys is not None
    assert endpoint.keys.suite is suite
    key, salt = suite.key_length, suite.salt_length
    client_key, server_key = material[:key], material[key : 2 * key]
    client_salt, server_salt = material[2 * key : 2 * key + salt], material[2 * key + salt :]
    client, server = client_key + client_salt, server_key + server_salt
    ours, theirs = (server, client) if endpoint.role == "server" else (client, server)
    assert endpoint.keys.tx.reveal() == ours
    assert endpoint.keys.rx.reveal() == theirs


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        yield opened


@pytest.mark.parametrize("suite", BY_DTLS_NAME.values(), ids=lambda s: s.name)
def test_openssl_as_client_gets_the_keys_we_get(tmp_path: Path, sock: socket.socket, suite: CryptoSuite) -> None:
    endpoint = DtlsEndpoint(OURS, "server", (fingerprint_of(PEER),), tuple(BY_DTLS_NAME.values()))
    target = f"127.0.0.1:{sock.getsockname()[1]}"
    with openssl(tmp_path, suite, "s_client", "-connect", target) as process:
        run(endpoint, sock, None)
        assert endpoint.state is DtlsState.CONNECTED, endpoint.reason
        assert_same_keys(endpoint, exported(process), suite)


@pytest.mark.parametrize("suite", BY_DTLS_NAME.values(), ids=lambda s: s.name)
def test_openssl_as_server_gets_the_keys_we_get(tmp_path: Path, sock: socket.socket, suite: CryptoSuite) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        target: tuple[str, int] = free.getsockname()
    endpoint = DtlsEndpoint(OURS, "client", (fingerprint_of(PEER),), tuple(BY_DTLS_NAME.values()))
    accept = ("s_server", "-accept", f"{target[0]}:{target[1]}", "-Verify", "1")
    with openssl(tmp_path, suite, *accept) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == b"ACCEPT":
                break
        run(endpoint, sock, target)
        assert endpoint.state is DtlsState.CONNECTED, endpoint.reason
        assert_same_keys(endpoint, exported(process), suite)


def test_openssl_with_another_certificate_is_refused(tmp_path: Path, sock: socket.socket) -> None:
    endpoint = DtlsEndpoint(OURS, "server", (fingerprint_of(make_certificate("stranger")),))
    target = f"127.0.0.1:{sock.getsockname()[1]}"
    with openssl(tmp_path, AEAD_AES_256_GCM, "s_client", "-connect", target):
        run(endpoint, sock, None)
    assert endpoint.failure is DtlsFailure.FINGERPRINT_MISMATCH


def test_openssl_without_dtls_1_2_is_refused(tmp_path: Path, sock: socket.socket) -> None:
    endpoint = DtlsEndpoint(OURS, "server", (fingerprint_of(PEER),))
    certificate, key = PEER.write(tmp_path, "old")
    command: list[str | Path] = ["openssl", "s_client", "-dtls1", "-cipher", "ALL:@SECLEVEL=0"]
    command += [
        "-cert",
        certificate,
        "-key",
        key,
        "-connect",
        f"127.0.0.1:{sock.getsockname()[1]}",
        "-use_srtp",
        AEAD_AES_256_GCM.dtls_name,
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as process:
        run(endpoint, sock, None)
        process.kill()
    assert endpoint.failure is DtlsFailure.OLD_VERSION
    assert endpoint.keys is None
