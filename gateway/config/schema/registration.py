"""Registrations that go to the PBX: it knows the browsers' users and their passwords."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.scalars import Host, Model, Name, Port, Written, host_and_port


class PublicAddress(Written):
    """Where somebody else reaches this gateway, written `host:port`; the host may be a name."""

    host: Host
    """Domain name or address."""
    port: Port
    """Port, after the last colon."""

    @classmethod
    def of_text(cls, text: str) -> dict[str, object]:
        host, port = host_and_port(text)
        return {"host": host, "port": port}


class Registration(Model):
    """REGISTER and INVITE of browsers are authenticated by the PBX, whose users they are: no password comes here."""

    relay: Name
    """Trunk that is the registrar. It needs `networks`, for it calls browsers; `users` is left out."""
    reached_by: Literal["contact", "path"] = "contact"
    """How the registrar reaches a browser. contact: it is given a Contact at this gateway, which works everywhere.
    path: the browser's own Contact and a Path over this gateway (RFC 3327), which the registrar must support."""
    address: PublicAddress | None = None
    """Where the registrar reaches this gateway, host:port. Default: the listener of `listen.sip` with the trunk's
    transport."""
    realm: str | None = Field(default=None, min_length=1, max_length=255)
    """The only realm that may ask browsers for a password. Default: whichever the registrar names."""
    max_expires: int = Field(default=600, ge=60, le=86_400)
    """Seconds a registration is asked for at most; the registrar has the last word. It is also how long a browser that
    vanished may stay registered where the registrar does not let us remove it."""
    unregister: bool = True
    """Try to remove the registration of a connection that has ended, with the last credentials it showed."""
