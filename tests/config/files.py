"""Configuration files for tests: a valid set to break in one place."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.rig.ports import free_sip_port

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)

GATEWAY = """\
realm: pbx.example.com
listen:
  web: {address: 127.0.0.1:8443, origins: ["https://pbx.example.com", "http://gw.test:8443", "https://gw.test:8443"]}
  sip: ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
media:
  browser: {bind: 127.0.0.1, ports: 10000-10001}
  trunk: {bind: 127.0.0.1, ports: 20000-20099}
users: users.yaml
trunks:
  pbx: {target: "sip:pbx.example.com;transport=tls", networks: [192.0.2.10/32]}
  carrier:
    target: sip:sip.carrier.example
    networks: [198.51.100.0/24]
    security: prefer
dialplan: plan.yaml
audit: {directory: audit}
"""

USERS = f"""\
users:
  alice:
    realm: pbx.example.com
    ha1_md5: {"0a" * 16}
    ha1_sha256: {"0b" * 32}
"""

DIALPLAN = """\
emergency_trunks: [carrier]
outbound:
  - {id: world, dialled: "+*", trunk: carrier}
  - {id: house, dialled: "1*", trunk: pbx}
inbound:
  - {id: alice, dialled: "100", user: alice, trunk: pbx}
"""


@dataclass
class Files:
    """The three files; `write` puts them into a directory."""

    directory: Path
    gateway: str = GATEWAY
    users: str = USERS
    dialplan: str = DIALPLAN
    policy: str = ""
    """Empty: there is no policy file."""
    users_mode: int = 0o600
    environ: dict[str, str] = field(default_factory=dict)

    def write(self) -> Path:
        if self.policy:
            (self.directory / "policy.yaml").write_text(self.policy)
        named = "policy: policy.yaml\n" if self.policy else ""
        (self.directory / "gateway.yaml").write_text(self.gateway + named)
        (self.directory / "plan.yaml").write_text(self.dialplan)
        users = self.directory / "users.yaml"
        users.write_text(self.users)
        users.chmod(self.users_mode)
        return self.directory / "gateway.yaml"


def free_ports(files: Files) -> Files:
    """The same files with ports nobody listens on, so that a start could succeed."""
    for port in ("8443", "5060", "10000-10001"):
        files.gateway = files.gateway.replace(port, str(free_sip_port()))
    return files


def make_certificate(
    directory: Path,
    name: str = "server",
    *,
    days: tuple[int, int] = (-1, 365),
    password: str = "",
    now: datetime.datetime = NOW,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
) -> tuple[Path, Path]:
    """A self-signed certificate valid from and to so many days around now, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pbx.example.com")])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    pem, private = directory / f"{name}.pem", directory / f"{name}.key"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
    )
    return pem, private
