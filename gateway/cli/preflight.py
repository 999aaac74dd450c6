"""What only the machine itself can say of a configuration: addresses it has, ports that are free, a log it can write.

Found before the start, so that such mistakes are told like all others: every one, with file, line, key and remedy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.audit.log import FILE_NAME
from gateway.audit.signing_key import FILE_NAME as KEY_NAME
from gateway.audit.signing_key import load
from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.config.compile import compile_listener_tls, compile_media, compile_trunk_tls, compile_web
from gateway.config.schema import Audit, GatewayConfig, Listen
from gateway.net.sockets import bind
from gateway.trunks.tls import client_context, server_context
from gateway.web.server import server_tls

REMEDIES = {
    errno.EADDRINUSE: "stop what uses it (a gateway that runs already?), or choose another port",
    errno.EADDRNOTAVAIL: "give an address of this machine (`ip address`); the public one of a NAT goes to `advertise`",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one",
}

BROWSER_PORTS = "media.browser.ports"


@dataclass(frozen=True)
class Findings:
    """What stands in the way of a start here and now."""

    wrong: tuple[ConfigError, ...]
    """Mistakes, whatever else runs."""
    busy: tuple[ConfigError, ...]
    """Ports in use: a mistake at the start, and none in a check while the gateway runs."""


def preflight(config: GatewayConfig) -> Findings:
    """Try everything a start would do that leaves nothing behind."""
    wrong: list[ConfigError] = [*_tls_files(config), *_audit(config.audit.directory), *_signing_key(config.audit)]
    busy: list[ConfigError] = []
    for key, address, kind in _sockets(config):
        try:
            bind(address, kind).close()
        except OSError as error:
            if key == BROWSER_PORTS and error.errno == errno.EADDRNOTAVAIL:
                continue  # told of its address, not once more of each port
            in_use = error.errno == errno.EADDRINUSE
            (busy if in_use else wrong).append(_cannot_bind(key, address, kind, error))
    return Findings(tuple(wrong), tuple(busy))


def _cannot_bind(key: str, address: HostPort, kind: socket.SocketKind, error: OSError) -> ConfigError:
    place = f"{'tcp' if kind is socket.SOCK_STREAM else 'udp'} {address if address.port else address.host}"
    remedy = REMEDIES.get(error.errno or 0, "choose another address")
    return ConfigError(f"cannot bind {place}: {error.strerror}", key=key, remedy=remedy)


def _sockets(config: GatewayConfig) -> Iterator[tuple[str, HostPort, socket.SocketKind]]:
    """Everything the start binds. Trunk media ports are bound call by call, so only their address must be there."""
    web, media = config.listen.web.address, compile_media(config.media)
    yield "listen.web.address", HostPort(web.host, web.port), socket.SOCK_STREAM
    for index, listener in enumerate(config.listen.sip):
        kind = socket.SOCK_DGRAM if listener.transport == "udp" else socket.SOCK_STREAM
        yield f"listen.sip[{index}]", HostPort(listener.address.host, listener.address.port), kind
    for host in config.media.browser.bind:
        yield "media.browser.bind", HostPort(host, 0), socket.SOCK_DGRAM
        for port in media.browser.ports[: media.place_count]:
            yield BROWSER_PORTS, HostPort(host, port), socket.SOCK_DGRAM
    yield "media.trunk.bind", HostPort(config.media.trunk.bind, 0), socket.SOCK_DGRAM
    for name, trunk in config.trunks.items():
        if trunk.media is not None:
            yield f"trunks.{name}.media.bind", HostPort(trunk.media.bind, 0), socket.SOCK_DGRAM


def _tls_files(config: GatewayConfig) -> Iterator[ConfigError]:
    """OpenSSL's own opinion of the files: it refuses keys and signatures that are too weak for it."""
    yield from _refused("listen.web.certificate", lambda: server_tls(compile_web(config.listen.web)))
    yield from _refused("listen.tls.certificate", lambda: _listener_context(config.listen))
    for name, trunk in config.trunks.items():
        yield from _refused(f"trunks.{name}.tls", partial(client_context, compile_trunk_tls(trunk.tls)))


def _listener_context(listen: Listen) -> ssl.SSLContext | None:
    return server_context(compile_listener_tls(listen.tls)) if listen.tls else None


def _refused(key: str, make: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        make()
    except ConfigError as error:
        yield ConfigError(f"{error.file} {error.message}", key=key, remedy=error.remedy)


def _audit(directory: Path) -> Iterator[ConfigError]:
    """Whether the log could be opened; nothing is made yet."""
    with contextlib.suppress(PermissionError):
        file = directory / FILE_NAME
        existing = next(path for path in (file, directory, *directory.absolute().parents) if path.exists())
        wanted = os.W_OK | (0 if existing == file else os.X_OK)
        if existing != file and not existing.is_dir():
            yield _no_log(f"{existing} is not a directory", "give a directory")
        elif existing == file and not file.is_file():
            yield _no_log(f"{existing} is not a regular file", "move it away")
        elif os.access(existing, wanted):
            return
        else:
            yield _no_log(f"{existing} is not writable for this user", "give it to the gateway's user, mode 0700")
        return
    yield _no_log(f"{directory} is not accessible for this user", "give it to the gateway's user, mode 0700")


def _signing_key(audit: Audit) -> Iterator[ConfigError]:
    """Whether the key of the log, where there is one already, could be used."""
    path = audit.signing_key or audit.directory / KEY_NAME
    try:
        load(path)
    except ConfigError as error:
        yield error
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):  # made then, or the directory was told of
            yield ConfigError(f"{path}: {error.strerror}", key="audit.signing_key", remedy="give a regular file")


def _no_log(message: str, remedy: str) -> ConfigError:
    return ConfigError(message, key="audit.directory", remedy=remedy)
