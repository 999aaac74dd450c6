"""The gateway file, from its top."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gateway.config.scalars import FilePath, Host, Model, Name
from gateway.config.schema.hep import Hep
from gateway.config.schema.limits import Admin, Audit, Limits, PinSettings
from gateway.config.schema.listen import Endpoint, Listen
from gateway.config.schema.media import Media
from gateway.config.schema.registration import Registration
from gateway.config.schema.trunk import Trunk
from gateway.config.schema.users import TokenIssuer

MAX_NAMESERVERS = 4
"""Nameservers that are asked one after the other: each of them must get its part of the time a question has."""


class Dns(Model):
    """Whom the gateway asks for the names of trunks."""

    servers: tuple[Endpoint, ...] = Field(default=(), max_length=MAX_NAMESERVERS)
    """Nameservers in place of this machine's (/etc/resolv.conf), each an IP address and a port, for example
    192.0.2.53:53. /etc/hosts goes before them either way."""

    @field_validator("servers")
    @classmethod
    def _can_be_asked(cls, servers: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if any(server.port == 0 for server in servers):
            raise ValueError("nobody can be asked at port 0: nameservers listen on 53")
        return servers


class GatewayConfig(Model):
    """The gateway file: addresses, trunks, and where the other files are."""

    realm: Host
    """SIP domain of the browser users and digest realm, for example pbx.example.com."""
    listen: Listen
    """Where the gateway listens."""
    media: Media
    """Addresses and ports of the media relay."""
    users: FilePath | None = None
    """The users file, written by `sip-gateway users add`. Needed unless `registration` or `tokens` say who the users
    are."""
    tokens: tuple[TokenIssuer, ...] = ()
    """Issuers whose signed tokens are as good as a password."""
    registration: Registration | None = None
    """Who authenticates the browsers in place of this gateway. Default: `users`."""
    trunks: dict[Name, Trunk] = Field(default_factory=dict)
    """The SIP peers, by name."""
    dns: Dns = Dns()
    """Whom the gateway asks for the names of trunks."""
    dialplan: FilePath
    """The dialplan file."""
    policy: FilePath | None = None
    """The policy file, with profiles, rules, floors and exceptions. Default: one word per trunk, `security`."""
    audit: Audit
    """The audit log."""
    hep: Hep | None = None
    """A capture server that gets SIP messages and reports on media. Default: nobody does."""
    pins: PinSettings = PinSettings()
    """What is remembered of who can encrypt."""
    admin: Admin = Admin()
    """The local socket for administrators."""
    limits: Limits = Limits()
    """Caps on what the gateway takes on."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Detail of the gateway's own log on standard error."""
