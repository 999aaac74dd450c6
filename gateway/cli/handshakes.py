"""What trunks over TLS show when somebody connects: asked for by `check --connect`, never at a start."""

from __future__ import annotations

import asyncio
import datetime
import secrets
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.base.errors import ConfigError
from gateway.base.signalling import TlsInfo
from gateway.base.values import HostPort
from gateway.cli.preflight import Findings
from gateway.config.certificates import WARN_BEFORE
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.model import Trunk
from gateway.trunks.resolve import Resolver
from gateway.trunks.target import NextHop, TrunkTarget
from gateway.trunks.tls import client_context, inspect_peer

CONNECT_SECONDS = 5.0
"""How long one target may take, DNS and all its places included; all are asked at the same time."""


@dataclass(frozen=True)
class Shown:
    """What came of one target."""

    trunk: str
    host: str
    key: str = "target"
    """Where it is written: `target`, or `targets`."""
    info: TlsInfo | None = None
    refused: str = ""
    """Why the peer is not believed."""
    unreachable: str = ""
    """Why there was no handshake."""


def ask(trunks: Iterable[Trunk], nameservers: Sequence[HostPort] = ()) -> list[Shown]:
    """Connect to every target that is TLS, at the first place DNS makes of it that can be reached (RFC 3263).

    Args:
        nameservers: who is asked for its places; none: those of this machine.
    """
    return asyncio.run(_all(trunks, nameservers))


def findings(shown: Iterable[Shown], now: datetime.datetime) -> Findings:
    """Who is not believed is a mistake; who cannot be reached, or whose certificate ends soon, a warning."""
    wrong, warned = [], []
    for each in shown:
        key = f"trunks.{each.trunk}.tls"
        if each.refused:
            remedy = "compare it with tls.names, tls.ca and tls.pin_sha256, or have the trunk's certificate renewed"
            wrong.append(
                ConfigError(f"{each.host} is not believed: {each.refused}{_digests(each)}", key=key, remedy=remedy)
            )
        elif each.unreachable:
            words = f"no TLS connection to {each.host}: {each.unreachable}"
            warned.append(ConfigError(words, key=f"trunks.{each.trunk}.{each.key}"))
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


async def _all(trunks: Iterable[Trunk], nameservers: Sequence[HostPort] = ()) -> list[Shown]:
    client = DnsClient(nameservers)
    resolver = Resolver(client, secrets.randbelow)
    asked = [
        _one(trunk, choice.target, "targets" if trunk.targets else "target", resolver)
        for trunk in trunks
        for choice in trunk.choices
        if choice.target.transport == "tls"
    ]
    try:
        return list(await asyncio.gather(*asked))
    finally:
        await client.close()


async def _one(trunk: Trunk, target: TrunkTarget, key: str, resolver: Resolver) -> Shown:
    came = partial(Shown, trunk.name, target.host, key)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            info = await _first(trunk, await resolver.hops(target, [target.transport]))
    except ssl.SSLCertVerificationError as error:
        return came(refused=error.verify_message)
    except TimeoutError:
        return came(unreachable="no answer in time")
    except DnsError as error:
        return came(unreachable=error.why)
    except (OSError, ValueError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return came(unreachable=reason or type(error).__name__)
    return came(info, refused=info.reason)


async def _first(trunk: Trunk, hops: Sequence[NextHop]) -> TlsInfo:
    """What the first place shows that can be reached.

    Raises:
        OSError: none can be, or its chain is not valid.
    """
    failure = OSError(0, "DNS knows no address of it")
    for hop in hops:
        try:
            return await _handshake(trunk, hop)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            failure = error
    raise failure


async def _handshake(trunk: Trunk, hop: NextHop) -> TlsInfo:
    context, name = client_context(trunk.tls), trunk.server_name(hop.target)
    _, writer = await asyncio.open_connection(hop.address.host, hop.address.port, ssl=context, server_hostname=name)
    try:
        return inspect_peer(writer.get_extra_info("ssl_object"), trunk.peer_of(hop.target))
    finally:
        writer.transport.abort()
