"""The development CA and the certificates of the demonstration."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.certificates import GATEWAY_NAME, LIFETIME, PBX_NAME, Certificates, Pair, create

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def load(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def names(pair: Pair) -> list[str]:
    extension = load(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_every_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    create(tmp_path / "certs")
    assert stat.S_IMODE((tmp_path / "certs").stat().st_mode) == 0o700
    files = list((tmp_path / "certs").iterdir())
    assert len(files) == 8
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


def test_certificates_name_their_hosts(tmp_path: Path) -> None:
    made = create(tmp_path, ["192.0.2.9", "demo.example"])
    assert names(made.web) == ["localhost", "127.0.0.1", "::1", "192.0.2.9", "demo.example"]
    assert names(made.pbx) == [PBX_NAME]
    assert names(made.gateway) == [GATEWAY_NAME]


def exchange(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A whole TLS handshake in memory; raises what the client finds wrong."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(6):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client_side.version() == "TLSv1.3"


def server_context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def strict_client(made: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=made.ca.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_strict_client_accepts_each_certificate_under_its_own_name(tmp_path: Path) -> None:
    made = create(tmp_path)
    for pair, name in ((made.web, "127.0.0.1"), (made.pbx, PBX_NAME), (made.gateway, GATEWAY_NAME)):
        exchange(server_context(pair), strict_client(made), name)


def test_client_refuses_the_pbx_certificate_under_another_name(tmp_path: Path) -> None:
    made = create(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        exchange(server_context(made.pbx), strict_client(made), GATEWAY_NAME)


def test_second_call_changes_nothing(tmp_path: Path) -> None:
    create(tmp_path, ["192.0.2.9"], now=NOW)
    before = snapshot(tmp_path)
    create(tmp_path, ["192.0.2.9"], now=NOW + datetime.timedelta(days=1))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "left", [datetime.timedelta(days=30), datetime.timedelta(hours=23), datetime.timedelta(days=-1)]
)
def test_certificates_that_end_soon_are_made_again(tmp_path: Path, left: datetime.timedelta) -> None:
    made = create(tmp_path, now=NOW)
    later = NOW + LIFETIME - left
    create(tmp_path, now=later)
    assert load(made.pbx).not_valid_after_utc == later + LIFETIME


def test_new_host_makes_them_again(tmp_path: Path) -> None:
    made = create(tmp_path, now=NOW)
    create(tmp_path, ["192.0.2.77"], now=NOW)
    assert "192.0.2.77" in names(made.web)


@pytest.mark.parametrize("damage", ["missing", "garbage", "exchanged key"])
def test_damaged_set_is_made_again(tmp_path: Path, damage: str) -> None:
    made = create(tmp_path, now=NOW)
    if damage == "missing":
        made.pbx.key.unlink()
    elif damage == "garbage":
        made.gateway.certificate.write_text("not a certificate")
    else:
        made.pbx.key.write_bytes(made.web.key.read_bytes())
    create(tmp_path, now=NOW)
    exchange(server_context(made.pbx), _at(made), PBX_NAME)


def _at(made: Certificates) -> ssl.SSLContext:
    """A client that does not look at the dates: they lie in the tests' own year."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(made.ca.certificate)
    context.verify_flags |= ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME
    return context
