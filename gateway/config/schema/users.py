"""The users file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config.scalars import Host, Model, SecretText, hexadecimal


class User(Model):
    """One browser user as `sip-gateway users add` writes it: digests of the password, never the password."""

    realm: Host
    """Realm the digests were made for; must be the gateway's `realm`."""
    ha1_md5: Annotated[SecretText, hexadecimal(32)]
    """MD5 of user:realm:password, as browser libraries need it (RFC 2617)."""
    ha1_sha256: Annotated[SecretText, hexadecimal(64)]
    """SHA-256 of user:realm:password (RFC 7616, RFC 8760)."""


class UsersFile(Model):
    """The users file: who may sign in from a browser."""

    users: dict[str, User] = Field(default_factory=dict)
    """The users, by name."""
