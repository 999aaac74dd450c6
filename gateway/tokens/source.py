"""Where the keys of an issuer are read: a file, or an https URL that the configuration names, and nowhere else.

What is fetched is bounded in size and time, comes over verified TLS, and no redirection is followed: the answer of an
issuer must not make the gateway ask somebody else.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp

from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import MAX_OCTETS, KeyRing, KeysError

FETCH_SECONDS = 5.0
"""Until an issuer has answered as a whole; who signs in waits meanwhile."""
MAX_LINE = 8190
"""Octets of one header line of the answer."""


async def read_keys(issuer: Issuer) -> KeyRing:
    """The keys there are now.

    Raises:
        KeysError: they cannot be had; the message says why.
    """
    place = issuer.keys
    return KeyRing.parse(
        await (asyncio.to_thread(read_file, place) if isinstance(place, Path) else _fetch(place, issuer.ca))
    )


def read_file(path: Path) -> bytes:
    """The content of a JWKS file.

    Raises:
        KeysError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise KeysError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > MAX_OCTETS:
        raise KeysError(f"{path.name} is longer than {MAX_OCTETS} octets")
    return data


async def _fetch(url: str, ca: Path | None) -> bytes:
    try:
        trusted = ssl.create_default_context(cafile=ca)
        async with _session() as session, session.get(url, allow_redirects=False, ssl=trusted) as response:
            if response.status != 200:
                raise KeysError(f"the issuer answered {response.status}")
            return await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise KeysError(f"the issuer cannot be asked: {type(error).__name__}") from None


def _session() -> aiohttp.ClientSession:
    """Nothing is kept between two questions, no proxy is taken from the environment."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json"},
        max_line_size=MAX_LINE,
        trust_env=False,
    )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, given up as soon as it is too long, whatever its length says and however it is compressed."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        data += chunk
        if len(data) > MAX_OCTETS:
            raise KeysError(f"the issuer's keys are longer than {MAX_OCTETS} octets")
    return bytes(data)
