"""Whether the names of the trunks can be looked up. Only `check` asks: a start must not fail because DNS is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from threading import Thread

from gateway.base.errors import ConfigError
from gateway.cli.preflight import Findings
from gateway.config.schema import GatewayConfig
from gateway.trunks.target import TrunkTarget, is_ip_literal

DNS_SECONDS = 5.0
"""How long all names together may take."""

Lookup = Callable[[str], object]
"""Finds the addresses of a host; raises socket.gaierror."""

_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def unknown_names(config: GatewayConfig, lookup: Lookup | None = None) -> Findings:
    """The trunks whose host is no name DNS knows; where DNS itself gave no answer it is a warning."""
    hosts = {host: key for key, host in _hosts(config)}
    if not hosts:
        return Findings((), ())
    answers = _ask(list(hosts), lookup or _resolve)
    wrong = [_unknown(hosts[host], host) for host, code in answers.items() if code in _UNKNOWN]
    silent = [_silent(hosts[host], host) for host, code in answers.items() if code not in (0, *_UNKNOWN)]
    return Findings(tuple(wrong), tuple(silent))


def _hosts(config: GatewayConfig) -> list[tuple[str, str]]:
    found = []
    for name, trunk in config.trunks.items():
        try:
            host = TrunkTarget.parse(trunk.target).host
        except ValueError:
            continue  # told of as a target
        if not is_ip_literal(host):
            found.append((f"trunks.{name}.target", host))
    return found


def _ask(hosts: list[str], lookup: Lookup) -> dict[str, int]:
    """The getaddrinfo error of each host: 0 when it was found, EAI_AGAIN when no answer came in time.

    In threads of their own that nobody waits for at the end: a resolver takes its time to give up.
    """
    answers: dict[str, int] = {}
    threads = [Thread(target=lambda h=host: answers.update({h: _code(h, lookup)}), daemon=True) for host in hosts]
    deadline = time.monotonic() + DNS_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {host: answers.get(host, socket.EAI_AGAIN) for host in hosts}


def _code(host: str, lookup: Lookup) -> int:
    try:
        lookup(host)
    except socket.gaierror as error:
        return error.errno or socket.EAI_FAIL
    except UnicodeError:
        return socket.EAI_NONAME
    return 0


def _resolve(host: str) -> object:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def _unknown(key: str, host: str) -> ConfigError:
    remedy = "write the name as DNS has it (an A or AAAA record), or an address"
    return ConfigError(f"DNS knows no address of {host}", key=key, remedy=remedy)


def _silent(key: str, host: str) -> ConfigError:
    return ConfigError(f"DNS did not say whether {host} exists", key=key, remedy="look at this machine's resolver")
