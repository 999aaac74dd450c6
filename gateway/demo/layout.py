"""The files of the demonstration: certificates, gateway.yaml, users.yaml, dialplan.yaml and the password."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.demo.certificates import PBX_NAME, Certificates, create, write_private
from gateway.demo.machine import free_port, local_address
from gateway.demo.roles import CALLBACK_NUMBER, ROLES, Role
from gateway.sip.auth import compute_ha1

REALM: Final = "demo.test"
USER: Final = "alice"
OTHER: Final = "bob"
"""A second user, with the same password: whoever signs in as both, on two pages, can call from browser to browser."""
LOOPBACK: Final = "127.0.0.1"
DISPLAY_NAME: Final = "the demonstration PBX"
"""What the page calls it: all trunks lead to phones of one PBX."""
SIP_PORT: Final = 5060
BROWSER_MEDIA_PORT: Final = 10000
TRUNK_MEDIA_PORTS: Final = "20000-20999"
PASSWORD_OCTETS: Final = 12
"""Randomness of the user's password: more than anybody guesses offline from a digest."""
MAX_PASSWORD: Final = 256
HEADER: Final = "# Written by `sip-gateway demo`, and written again at each start: change a copy, not this file.\n"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens."""

    web: int
    sip: int
    browser_media: int
    phones: tuple[tuple[HostPort, HostPort], ...] = ()
    """Usual and chosen address of every phone."""

    def moved(self, wanted: int) -> list[str]:
        """What could not have its usual port, in words."""
        wishes = [
            ("web", wanted, self.web),
            ("SIP", SIP_PORT, self.sip),
            ("browser media", BROWSER_MEDIA_PORT, self.browser_media),
            *((f"phone {chosen.host}", usual.port, chosen.port) for usual, chosen in self.phones),
        ]
        return [f"{name} port {want} is taken, using {got}" for name, want, got in wishes if want != got]


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything the demonstration runs on."""

    directory: Path
    web_host: str
    media_hosts: tuple[str, ...]
    """Addresses browsers send media to: loopback, and the machine's own for browsers that do no ICE to loopback."""
    ports: Ports
    roles: tuple[Role, ...]
    certificates: Certificates
    password: str
    origins: tuple[str, ...] = ()
    """Pages besides the demonstration's own that may connect."""

    @property
    def config(self) -> Path:
        return self.directory / "gateway.yaml"

    @property
    def audit(self) -> Path:
        return self.directory / "audit"

    @property
    def url(self) -> str:
        return f"https://{HostPort(self.web_host, self.ports.web)}/"

    @property
    def sip(self) -> HostPort:
        return HostPort(LOOPBACK, self.ports.sip)


def prepare(directory: Path, web_host: str, web_port: int, origins: Sequence[str] = ()) -> Layout:
    """Choose ports, make certificates and password where they are missing, and write the configuration.

    Args:
        origins: pages besides the demonstration's own that may connect.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout = replace(_choose(directory.resolve(), _checked(web_host), web_port), origins=tuple(origins))
        for name, content in _files(layout).items():
            write_private(layout.directory / name, (HEADER + _to_yaml(content)).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or directory}: {error.strerror}") from error
    return layout


def _checked(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ConfigError(f"{host} is not an IPv4 address of this machine", remedy="leave it at 127.0.0.1") from None


def _choose(directory: Path, web_host: str, web_port: int) -> Layout:
    found = [address for address in (LOOPBACK, local_address(), web_host) if address]
    media_hosts = tuple(dict.fromkeys(host for host in found if host != "0.0.0.0"))
    roles = tuple(_placed(role) for role in ROLES)
    ports = Ports(
        web=free_port((web_host,), web_port, "tcp"),
        sip=free_port((LOOPBACK,), SIP_PORT, "udp", "tcp"),
        browser_media=free_port(media_hosts, BROWSER_MEDIA_PORT, "udp"),
        phones=tuple((usual.address, role.address) for usual, role in zip(ROLES, roles, strict=True)),
    )
    certificates = create(directory / "certs", media_hosts)
    return Layout(directory, web_host, media_hosts, ports, roles, certificates, _password(directory / "password"))


def _placed(role: Role) -> Role:
    """The phone on its own address, on a port that is free."""
    host, port = role.address.host, role.address.port
    chosen = free_port((host,), port, "udp" if role.transport == "udp" else "tcp")
    return replace(role, address=HostPort(host, chosen))


def _password(path: Path) -> str:
    """The one of the last start, so that a page left open signs in again."""
    if path.exists():
        kept = path.read_text(encoding="utf-8")[:MAX_PASSWORD].strip()
        if len(kept) >= PASSWORD_OCTETS and kept.isprintable():
            return kept
    made = secrets.token_urlsafe(PASSWORD_OCTETS)
    write_private(path, f"{made}\n".encode())
    return made


def _files(layout: Layout) -> dict[str, dict[str, object]]:
    return {"gateway.yaml": _gateway(layout), "users.yaml": _users(layout), "dialplan.yaml": _dialplan(layout)}


def _to_yaml(content: dict[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _gateway(layout: Layout) -> dict[str, object]:
    names = dict.fromkeys(["127.0.0.1", "localhost", *layout.media_hosts])
    return {
        "realm": REALM,
        "listen": {
            "web": {
                "address": f"{layout.web_host}:{layout.ports.web}",
                "certificate": "certs/web.pem",
                "key": "certs/web.key",
                "origins": [*(f"https://{name}:{layout.ports.web}" for name in names), *layout.origins],
            },
            "sip": [f"udp:{layout.sip}", f"tcp:{layout.sip}"],
        },
        "media": {
            "browser": {"bind": list(layout.media_hosts), "ports": str(layout.ports.browser_media)},
            "trunk": {"bind": LOOPBACK, "ports": TRUNK_MEDIA_PORTS},
            "workers": 1,
        },
        "users": "users.yaml",
        "trunks": {role.name: _trunk(role) for role in layout.roles},
        "dialplan": "dialplan.yaml",
        "audit": {"directory": "audit"},
    }


def _trunk(role: Role) -> dict[str, object]:
    trunk: dict[str, object] = {
        "target": role.target,
        "display_name": DISPLAY_NAME,
        "security": role.security.value,
        "networks": [f"{role.address.host}/32"],
    }
    if role.transport == "tls":
        trunk["tls"] = {"ca": "certs/ca.pem", "names": [PBX_NAME]}
    return trunk


def _users(layout: Layout) -> dict[str, object]:
    return {"users": {user: _digests(user, layout.password) for user in (USER, OTHER)}}


def _digests(user: str, password: str) -> dict[str, str]:
    md5, sha256 = (compute_ha1(user, REALM, password, algorithm) for algorithm in ("MD5", "SHA-256"))
    return {"realm": REALM, "ha1_md5": md5, "ha1_sha256": sha256}


def _dialplan(layout: Layout) -> dict[str, object]:
    return {
        "emergency": [],
        "outbound": _outbound(layout.roles),
        "inbound": [{"id": "callback", "dialled": CALLBACK_NUMBER, "user": USER, "trunk": "callback"}],
    }


def _outbound(roles: Sequence[Role]) -> list[dict[str, str]]:
    return [{"id": f"to-{role.name}", "dialled": role.number, "trunk": role.name} for role in roles]
