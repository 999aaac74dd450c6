"""Who the users are: the users file, and the issuers of tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.config.scalars import (
    CookieName,
    DisplayName,
    FilePath,
    Host,
    HttpsUrl,
    Model,
    SecretText,
    TelephoneNumber,
    hexadecimal,
)
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


class TokenIssuer(Model):
    """Somebody else who says who a user is, by signed tokens (RFC 7519): RS256 or ES256, nothing else."""

    issuer: str = Field(min_length=1, max_length=512)
    """What `iss` of its tokens must be, to the letter, for example https://login.example.com/."""
    audience: str = Field(min_length=1, max_length=512)
    """What `aud` must hold: the name this gateway has there."""
    keys_file: FilePath | None = None
    """Its public keys as a JWKS file; read anew in time."""
    keys_url: HttpsUrl | None = None
    """Or where it publishes them. Nothing but this URL is ever fetched, whatever a token says; no redirection is
    followed."""
    keys_ca: FilePath | None = None
    """CA file for the server of `keys_url`. Default: the system's."""
    authorization_server: HttpsUrl | None = None
    """Where whoever has no token is sent (`authz_server` of the challenge, RFC 8898). Default: `issuer`, where that is
    an https URL."""
    user_claim: str = Field(default="sub", min_length=1, max_length=64)
    """The claim that is the user name: a-z A-Z 0-9 . _ - only."""
    users: Literal["listed", "any"] = "listed"
    """`listed`: only users of the users file; `any`: whoever the issuer names, in lower case."""
    leeway_seconds: int = Field(default=30, ge=0, le=300)
    """How much the clocks of issuer and gateway may differ."""
    cookie: CookieName | None = None
    """A cookie of this name, sent when the WebSocket is opened, may hold a token: sign-in by the session of a web
    application on the same origin."""

    @model_validator(mode="after")
    def _has_keys(self) -> TokenIssuer:
        if (self.keys_file is None) == (self.keys_url is None):
            raise ValueError("give one of keys_file and keys_url")
        if self.keys_ca is not None and self.keys_url is None:
            raise ValueError("keys_ca is for keys_url: no server is asked for a keys_file")
        if self.authorization_server is None and not self.issuer.startswith("https://"):
            raise ValueError("give authorization_server: the issuer is no https URL")
        return self
