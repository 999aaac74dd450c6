"""`sip-gateway probe`: what is to be called, from the options and the configuration, and what is printed of it."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.admin.lines import Ask
from gateway.base.errors import ConfigError
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.values import HostPort, Secret
from gateway.cli import probe_tables
from gateway.cli.asking import ask, find_socket
from gateway.cli.output import ExitError, show
from gateway.cli.probe_options import PASSWORD_VARIABLE
from gateway.config.load import load_config
from gateway.probe.calls import Door, MediaEnd, Plan, TrunkSide, browser_calls, trunk_calls
from gateway.probe.offers import Findings, try_offers
from gateway.probe.result import Demands, Expected, Result, Status, judged
from gateway.probe.rtp import Offer
from gateway.site import Site
from gateway.trunks.model import Trunk

MAX_PASSWORD = 1024
"""Octets of a password file that are read."""
OFFERS: Mapping[Profile, Offer] = {
    Profile.STRICT: Offer.SDES,
    Profile.PREFER: Offer.OSRTP,
    Profile.OSRTP: Offer.OSRTP,
    Profile.LEGACY: Offer.PLAIN,
}
"""What a trunk of each profile is expected to offer us."""
ANYWHERE = ("0.0.0.0", "::")


class Options:
    """What the command line said."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        config: Path | None = values["config"]
        self.config = config
        self.site: Site | None = load_config(config).site if config is not None else None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def known_site(self, why: str) -> Site:
        """The configuration.

        Raises:
            ConfigError: none was given.
        """
        if self.site is None:
            raise ConfigError(f"{why} needs the configuration", remedy="give it by --config")
        return self.site

    def trunk(self, name: str) -> Trunk:
        """A configured trunk.

        Raises:
            ConfigError: there is none of that name.
        """
        found = self.known_site("a trunk").trunks.get(name)
        if found is None:
            raise ConfigError(f"there is no trunk {name}", file=str(self.config))
        return found


def run(values: Mapping[str, Any]) -> Status:
    """Do what is asked, print what was found, and give the exit code.

    Raises:
        ConfigError: the question is wrong.
    """
    options = Options(values)
    if options["offers"]:
        return _print_findings(asyncio.run(_try_offers(options)), options)
    if importlib.util.find_spec("aiortc") is None:
        remedy = "pip install 'sip-gateway[probe]' (100 MB: it brings FFmpeg)"
        raise ConfigError("a synthetic call needs aiortc, which is not installed", remedy=remedy)
    return _print_result(asyncio.run(_call(options)), options)


async def _call(options: Options) -> Result:
    if not options["number"]:
        raise ConfigError("there is nothing to call", remedy="give a number, of an echo test for example")
    door, plan = _door(options), _plan(options)
    if options["from_trunk"]:
        return await trunk_calls(door, _trunk_side(options), plan)
    return await browser_calls(door, plan)


async def _try_offers(options: Options) -> Findings:
    if not options["trunk"]:
        raise ConfigError("--offers tries a trunk", remedy="name it by --trunk")
    site = options.known_site("--offers")
    trunk = options.trunk(options["trunk"])
    return await try_offers(trunk, options["number"], site.realm, options["ring"], site.nameservers)


def _plan(options: Options) -> Plan:
    from gateway.probe.webrtc import BrowserEnd

    codec: str = options["codec"]

    def end(frequency: float) -> MediaEnd:
        return BrowserEnd(frequency, codec)

    async def legs(call: str) -> list[Mapping[str, object]]:
        return await asyncio.to_thread(_legs, options, call) if call else []

    return Plan(
        number=options["number"],
        ring_seconds=options["ring"],
        talk_seconds=options["seconds"],
        make_end=end,
        ask_legs=legs,
    )


def _legs(options: Options, call: str) -> list[Mapping[str, object]]:
    """What the gateway says of the legs; nothing where its admin socket is not within reach."""
    try:
        for row in ask(find_socket(options.config, options["socket_path"]), Ask.CALLS):
            if row.get("id") == call:
                return list(row.get("legs", ()))
    except (ExitError, ConfigError):
        return []
    return []


def _door(options: Options) -> Door:
    user: str = options["user"]
    if not user:
        raise ConfigError("nobody signs in", remedy="give --user: best one of its own, that rings nowhere else")
    url, realm = _url(options), _realm(options)
    parts = urlsplit(url)
    here = f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
    origins = options.site.listeners.web.origins if options.site is not None else ()
    return Door(
        url=url,
        origin=options["origin"] or next(iter(origins), here),
        realm=realm,
        user=user,
        password=_password(options),
        tls=_tls(options, url),
    )


def _url(options: Options) -> str:
    if given := str(options["url"]):
        if urlsplit(given).scheme not in ("ws", "wss") or not urlsplit(given).hostname:
            raise ConfigError(f"{given} is no address of a WebSocket", remedy="write wss://HOST:PORT/ws")
        return given
    web = options.known_site("--url left out").listeners.web
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web.address.host, web.address.host)
    return f"{'wss' if web.certificate else 'ws'}://{HostPort(host, web.address.port)}/ws"


def _realm(options: Options) -> str:
    if options["realm"]:
        return str(options["realm"])
    return options.known_site("--realm left out").realm


def _tls(options: Options, url: str) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
    """By the authorities given, else by those of the system; our own configuration says which certificate it is."""
    if not url.startswith("wss:"):
        return True
    if options["ca"] is not None:
        try:
            return ssl.create_default_context(cafile=str(options["ca"]))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("the authorities cannot be read", file=str(options["ca"])) from error
    if options["url"] or options.site is None or options.site.listeners.web.certificate is None:
        return True
    return _pinned(options.site.listeners.web.certificate)


def _pinned(path: Path) -> aiohttp.Fingerprint:
    """Exactly the certificate the configuration names, whoever signed it and whatever host it is for."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError("the certificate cannot be read", file=str(path)) from error
    return aiohttp.Fingerprint(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())


def _password(options: Options) -> Secret[str]:
    path: Path | None = options["password_file"]
    if path is None:
        if given := os.environ.get(PASSWORD_VARIABLE, ""):
            return Secret(given)
        remedy = f"give --password-file, or set {PASSWORD_VARIABLE}; never on the command line, where others read it"
        raise ConfigError("there is no password to sign in with", remedy=remedy)
    try:
        with path.open("rb") as stream:
            return Secret(stream.read(MAX_PASSWORD).decode("utf-8").partition("\n")[0].rstrip("\r"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the password cannot be read", file=str(path)) from error


def _trunk_side(options: Options) -> TrunkSide:
    trunk = options.trunk(options["from_trunk"])
    site = options.known_site("--from-trunk")
    listeners = [found for found in site.listeners.sip if found.transport in ("udp", "tcp")]
    wanted = [found for found in listeners if options["transport"] in ("", found.transport)]
    if not wanted:
        raise ConfigError("the gateway has no such listener", remedy="listen.sip needs one of udp: or tcp:")
    listener = wanted[0]
    source = str(options["source"]) or (str(trunk.networks[0].network_address) if trunk.networks else "")
    if not source:
        raise ConfigError(f"trunk {trunk.name} cannot call in: it has no networks", file=str(options.config))
    host = listener.address.host
    return TrunkSide(
        name=trunk.name,
        source=source,
        gateway=HostPort(source if host in ANYWHERE else host, listener.address.port),
        transport=listener.transport,
        offer=Offer(options["offer"]) if options["offer"] else OFFERS[trunk.security],
    )


def _print_result(result: Result, options: Options) -> Status:
    demands = Demands(
        expect=Expected(options["expect"]),
        grade=Grade[options["min_grade"]],
        trunk="" if options["from_trunk"] else options["trunk"],
        warn_seconds=options["warn"],
        critical_seconds=options["critical"],
    )
    status, complaints = judged(result, demands)
    if options["as_json"]:
        click.echo(json.dumps({"status": status.name, "complaints": complaints, **result.as_dict()}))
    else:
        for line in probe_tables.of_result(result, status, complaints, steps=options["steps"]):
            show(line)
    return status


def _print_findings(found: Findings, options: Options) -> Status:
    status = Status.OK if found.recommended is not None else Status.CRITICAL if found.failure else Status.WARNING
    if options["as_json"]:
        click.echo(json.dumps({"status": status.name, **found.as_dict()}))
    else:
        for line in probe_tables.of_findings(found):
            show(line)
    return status
