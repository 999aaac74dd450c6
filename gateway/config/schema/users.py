"""The users file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config.scalars import DisplayName, Host, Model, SecretText, TelephoneNumber, hexadecimal
from gateway.routing.people import MAX_NUMBERS


class User(Model):
    """One browser user as `sip-gateway users add` writes it: digests of the password, never the password."""

    realm: Host
    """Realm the digests were made for; must be the gateway's `realm`."""
    ha1_md5: Annotated[SecretText, hexadecimal(32)]
    """MD5 of user:realm:password, as browser libraries need it (RFC 2617)."""
    ha1_sha256: Annotated[SecretText, hexadecimal(64)]
    """SHA-256 of user:realm:password (RFC 7616, RFC 8760)."""
    number: TelephoneNumber | None = None
    """Her telephone number, as trunks with `identity.from: number` are told it; written as it is dialled, or with +."""
    numbers: tuple[TelephoneNumber, ...] = Field(default=(), max_length=MAX_NUMBERS)
    """Further numbers she may show: her browser chooses by P-Preferred-Identity. One that is not here is not shown."""
    display_name: DisplayName | None = None
    """Her name as colleagues are told it, and trunks with `identity.names`."""


class UsersFile(Model):
    """The users file: who may sign in from a browser."""

    users: dict[str, User] = Field(default_factory=dict)
    """The users, by name."""
