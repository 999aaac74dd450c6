"""The gateway file, from its top."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.scalars import FilePath, Host, Model, Name
from gateway.config.schema.limits import Admin, Audit, Limits
from gateway.config.schema.listen import Listen
from gateway.config.schema.media import Media
from gateway.config.schema.registration import Registration
from gateway.config.schema.trunk import Trunk


class GatewayConfig(Model):
    """The gateway file: addresses, trunks, and where the other files are."""

    realm: Host
    """SIP domain of the browser users and digest realm, for example pbx.example.com."""
    listen: Listen
    """Where the gateway listens."""
    media: Media
    """Addresses and ports of the media relay."""
    users: FilePath | None = None
    """The users file, written by `sip-gateway users add`. Needed unless `registration` says who the users are."""
    registration: Registration | None = None
    """Who authenticates the browsers in place of this gateway. Default: `users`."""
    trunks: dict[Name, Trunk] = Field(default_factory=dict)
    """The SIP peers, by name."""
    dialplan: FilePath
    """The dialplan file."""
    audit: Audit
    """The audit log."""
    admin: Admin = Admin()
    """The local socket for administrators."""
    limits: Limits = Limits()
    """Caps on what the gateway takes on."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Detail of the gateway's own log on standard error."""
