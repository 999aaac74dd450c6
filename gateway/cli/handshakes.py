"""What trunks over TLS show when somebody connects: asked for by `check --connect`, never at a start."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.base.errors import ConfigError
from gateway.base.signalling import TlsInfo
from gateway.cli.preflight import Findings
from gateway.config.certificates import WARN_BEFORE
from gateway.trunks.model import Trunk
from gateway.trunks.target import is_ip_literal
from gateway.trunks.tls import client_context, inspect_peer

CONNECT_SECONDS = 5.0
"""How long one trunk may take; all are asked at the same time."""


@dataclass(frozen=True)
class Shown:
    """What came of one connection."""

    trunk: str
    info: TlsInfo | None = None
    refused: str = ""
    """Why the peer is not believed."""
    unreachable: str = ""
    """Why there was no handshake."""


def ask(trunks: Iterable[Trunk]) -> list[Shown]:
    """Connect to every trunk whose target is TLS."""
    return asyncio.run(_all([trunk for trunk in trunks if trunk.target.transport == "tls"]))


def findings(shown: Iterable[Shown], now: datetime.datetime) -> Findings:
    """Who is not believed is a mistake; who cannot be reached, or whose certificate ends soon, a warning."""
    wrong, warned = [], []
    for each in shown:
        key = f"trunks.{each.trunk}.tls"
        if each.refused:
            remedy = "compare it with tls.names, tls.ca and tls.pin_sha256, or have the trunk's certificate renewed"
            wrong.append(
                ConfigError(f"the trunk is not believed: {each.refused}{_digests(each)}", key=key, remedy=remedy)
            )
        elif each.unreachable:
            warned.append(ConfigError(f"no TLS connection: {each.unreachable}", key=f"trunks.{each.trunk}.target"))
        elif each.info is not None and _end(each.info) - now < WARN_BEFORE:
            words = f"its certificate expires on {_end(each.info):%Y-%m-%d}, in {(_end(each.info) - now).days} days"
            warned.append(ConfigError(words, key=key, remedy="tell whoever runs the trunk"))
    return Findings(tuple(wrong), tuple(warned))


def words(shown: Shown, now: datetime.datetime) -> str:
    """One line about a peer that was believed."""
    if shown.info is None:
        return ""
    end = _end(shown.info)
    by = "pinned" if shown.info.pinned else f"verified as {shown.info.verified_name}"
    return f"{by}, {shown.info.version}, certificate until {end:%Y-%m-%d} ({(end - now).days} days)"


def _end(info: TlsInfo) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(info.expires, datetime.UTC)


def _digests(shown: Shown) -> str:
    """What could be pinned, when somebody has compared it by another way."""
    info = shown.info
    return f" (it showed spki_sha256 {info.spki_sha256})" if info is not None and info.spki_sha256 else ""


async def _all(trunks: list[Trunk]) -> list[Shown]:
    return list(await asyncio.gather(*(_one(trunk) for trunk in trunks)))


async def _one(trunk: Trunk) -> Shown:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            info = await _handshake(trunk)
    except ssl.SSLCertVerificationError as error:
        return Shown(trunk.name, refused=error.verify_message)
    except TimeoutError:
        return Shown(trunk.name, unreachable="no answer in time")
    except (OSError, ValueError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return Shown(trunk.name, unreachable=reason or type(error).__name__)
    return Shown(trunk.name, info, refused=info.reason)


async def _handshake(trunk: Trunk) -> TlsInfo:
    target = trunk.target
    name = trunk.tls_names[0] if is_ip_literal(target.host) else target.host
    _, writer = await asyncio.open_connection(
        target.host, target.port, ssl=client_context(trunk.tls), server_hostname=name
    )
    try:
        return inspect_peer(writer.get_extra_info("ssl_object"), trunk.peer)
    finally:
        writer.transport.abort()
