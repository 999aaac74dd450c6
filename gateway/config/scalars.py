"""The scalars of the configuration: text as written in YAML, checked and typed; and the base of every model.

Each check raises ValueError with what was expected; `load` adds file, line and key. No message repeats the
value: it may have come from the environment.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from gateway.base.values import Secret
from gateway.routing.numbers import DIGITS, is_normal, is_number
from gateway.routing.patterns import Pattern
from gateway.sip.passing import may_pass

MAX_NAME = 32
"""Length of a trunk name or rule id: both are written in headers and audit records."""

MAX_DISPLAY_NAME = 64
"""Length of what people read for a trunk: it stands in a sentence on a telephone's screen."""

MAX_EMERGENCY_LENGTH = 8
"""An emergency number is short; a longer one here would be a way around policy."""

MAX_DIGEST_NAME = 64
"""Length of a user name a trunk signs in with."""
SHA256_DIGITS = 64
MAX_PINS = 16
"""Pins of one trunk: of the pair in use, of the next one, of each node of a carrier that has several."""

MAX_URL = 1024
MAX_COOKIE_NAME = 64
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
COOKIE_CHARACTERS = NAME_CHARACTERS | frozenset("!#$%&'*+^`|~")
"""RFC 6265 4.1.1: a token."""
DIALLED_CHARACTERS = NAME_CHARACTERS | frozenset("+*#")
MAX_PREFIX = 6
"""Digits of a prefix or country code: the longest there are have five."""


class Model(BaseModel):
    """Base: frozen, no unknown keys, field docstrings kept for the reference and for error messages."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class Written(Model):
    """Base of what may stand in a file as one text in place of its keys."""

    @classmethod
    @abstractmethod
    def of_text(cls, text: str) -> dict[str, object]:
        """The keys that are meant, by name; raises ValueError with what was expected."""

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        return cls.of_text(value) if isinstance(value, str) else value


def host_and_port(text: str) -> tuple[str, str]:
    """The two parts of `host:port`; an IPv6 address keeps its brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("expected host:port")
    return host, port


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a model as they are written in a file: some words are no names in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@runtime_checkable
class Resolver(Protocol):
    """What `load` hands to the models as validation context: the meaning of a path and of a secret in one file."""

    def path(self, text: str) -> Path:
        """The file that is meant; relative paths are relative to the file that names them."""

    def secret(self, text: str) -> str:
        """The secret that is meant; `file:PATH` stands for the content of a file."""


def ip_address(value: str) -> str:
    """The address in its canonical text."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IPv4 or IPv6 address, not a name") from None


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=True))
    except ValueError:
        raise ValueError("expected a network without host bits, for example 192.0.2.0/24 or 192.0.2.7/32") from None


def _as_list(value: object) -> object:
    """One text where a list of them may stand."""
    return [value] if isinstance(value, str) else value


def _secret(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    return Secret(info.context.secret(value) if isinstance(info.context, Resolver) else value)


def _path(value: object, info: ValidationInfo) -> object:
    return info.context.path(value) if isinstance(value, str) and isinstance(info.context, Resolver) else value


def _name(value: str) -> str:
    if not 0 < len(value) <= MAX_NAME or not NAME_CHARACTERS.issuperset(value):
        raise ValueError(f"expected 1 to {MAX_NAME} of a-z A-Z 0-9 . _ -")
    return value


def _display_name(value: str) -> str:
    """Shown to people and carried in a quoted header value, where it must not end the quotes."""
    if not 0 < len(value) <= MAX_DISPLAY_NAME or not value.isprintable() or set('"\\;') & set(value):
        raise ValueError(f'expected 1 to {MAX_DISPLAY_NAME} printable characters, without " \\ and ;')
    return value


def _host(value: str) -> str:
    if not NAME_CHARACTERS.issuperset(value) or not value:
        raise ValueError("expected a domain name, for example pbx.example.com")
    return value.lower()


def _digest_name(value: str) -> str:
    """A user name as it stands between quotes in a header field, whole in logs."""
    if (
        not 0 < len(value) <= MAX_DIGEST_NAME
        or not value.isascii()
        or not value.isprintable()
        or set('"\\') & set(value)
    ):
        raise ValueError(f'expected 1 to {MAX_DIGEST_NAME} printable ASCII characters, without " and \\')
    return value


def _tls_name(value: str) -> str:
    """What a certificate can be for: a domain name, or an address."""
    with contextlib.suppress(ValueError):
        return ip_address(value.removeprefix("[").removesuffix("]"))
    if "*" in value:
        raise ValueError("expected the name itself, without *; `wildcards: yes` lets a wildcard certificate prove it")
    return _host(value)


def _sha256(value: str) -> str:
    """A digest as openssl prints it (hexadecimal, colons) or as in RFC 7469 (base64), in lower-case hexadecimal."""
    digits = value.replace(":", "").lower()
    if len(digits) == SHA256_DIGITS and set("0123456789abcdef").issuperset(digits):
        return digits
    with contextlib.suppress(ValueError):
        digest = base64.b64decode(value.removeprefix("sha256/"), validate=True)
        if 2 * len(digest) == SHA256_DIGITS:
            return digest.hex()
    raise ValueError("expected a SHA-256 digest: 64 hexadecimal digits, or 44 characters of base64")


def _origin(value: str) -> str:
    expected = "expected scheme://host or scheme://host:port without a path, for example https://example.com"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    exact = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or value != exact or "@" in value:
        raise ValueError(expected)
    if port == {"http": 80, "https": 443}[parts.scheme]:
        raise ValueError("leave the default port out: browsers do not send it in Origin")
    return value.lower()


def _https_url(value: str) -> str:
    """Where something is fetched: exactly this, over TLS."""
    expected = "expected an https URL, for example https://login.example.com/keys"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(expected) from None
    plain = value.isascii() and value.isprintable() and not set(' "<>\\^`{|}#') & set(value)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or not plain or len(value) > MAX_URL:
        raise ValueError(expected)
    return value


def webhook_url(value: str) -> str:
    """Where records are sent: over TLS, or to this machine; raises ValueError with what was expected."""
    parts = urlsplit(value)
    if parts.scheme == "http" and parts.hostname is not None:
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(parts.hostname).is_loopback:
                _https_url(value.replace("http:", "https:", 1))
                return value
    return _https_url(value)


def _cookie_name(value: str) -> str:
    if not COOKIE_CHARACTERS.issuperset(value) or not 0 < len(value) <= MAX_COOKIE_NAME:
        raise ValueError("expected the name of a cookie, for example __Host-session")
    return value


def _dialled(value: str) -> str:
    """A pattern that some number or name can fit."""
    pattern = Pattern.parse(value)
    if pattern.is_exact and not is_normal("".join(char for place in pattern.places for char in place)):
        raise ValueError("no number or name is this once its separators are taken out, as they are before rules look")
    return value


def _dial_prefix(value: str) -> str:
    if not DIGITS.issuperset(value) or len(value) > MAX_PREFIX:
        raise ValueError(f"expected at most {MAX_PREFIX} digits")
    return value


def _country(value: str) -> str:
    if not 0 < len(value) <= MAX_PREFIX or not DIGITS.issuperset(value) or value.startswith("0"):
        raise ValueError("expected a country code, for example 49, without + and 00")
    return value


def _prefix(value: str) -> str:
    if not DIALLED_CHARACTERS.issuperset(value) or "+" in value[1:]:
        raise ValueError("expected characters that can be dialled: + at the start only, digits, * and #")
    return value


def emergency_number(value: str) -> str:
    """One exact short number: a pattern would let other calls pass as emergency calls."""
    if not (value.isascii() and value.isdigit() and len(value) <= MAX_EMERGENCY_LENGTH):
        raise ValueError(f"expected one emergency number of at most {MAX_EMERGENCY_LENGTH} digits, without *")
    return value


def _telephone_number(value: str) -> str:
    """A number that can be called back, and no feature code."""
    digits = value.removeprefix("+")
    if not is_number(value) or not DIGITS.issuperset(digits):
        raise ValueError("expected a telephone number, for example +4930123450, without separators")
    return value


def _identity_user(value: str) -> str:
    if not 0 < len(value) <= MAX_DISPLAY_NAME or not (NAME_CHARACTERS | {"+"}).issuperset(value):
        raise ValueError("expected a number or account name: a-z A-Z 0-9 . _ - and +")
    return value


def _header_name(value: str) -> str:
    if not may_pass(value):
        raise ValueError(
            "expected the full name of a header field that decides nothing, for example User-to-User: what identity, "
            "routing, authentication or protection rest on, and what the gateway writes itself, is never passed on"
        )
    return value


def hexadecimal(length: int) -> AfterValidator:
    """A secret of exactly that many hexadecimal characters."""

    def check(value: Secret[str]) -> Secret[str]:
        text = value.reveal()
        if len(text) != length or not set("0123456789abcdef").issuperset(text):
            raise ValueError(f"expected {length} lower-case hexadecimal characters")
        return value

    return AfterValidator(check)


IpAddress = Annotated[str, AfterValidator(ip_address)]
Network = Annotated[str, AfterValidator(_network)]
IpList = Annotated[tuple[IpAddress, ...], BeforeValidator(_as_list)]
Port = Annotated[int, Field(ge=1, le=65535)]
SecretText = Annotated[Secret[str], BeforeValidator(_secret)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Name = Annotated[str, AfterValidator(_name)]
ONE_OR_MORE = BeforeValidator(_as_list)
"""One value, or a list of them."""
NameList = Annotated[tuple[Name, ...], ONE_OR_MORE]
TextList = Annotated[tuple[str, ...], ONE_OR_MORE]
DigestName = Annotated[str, AfterValidator(_digest_name)]
DisplayName = Annotated[str, AfterValidator(_display_name)]
Host = Annotated[str, AfterValidator(_host)]
TlsName = Annotated[str, AfterValidator(_tls_name)]
PinList = Annotated[
    tuple[Annotated[str, AfterValidator(_sha256)], ...], BeforeValidator(_as_list), Field(max_length=MAX_PINS)
]
Origin = Annotated[str, AfterValidator(_origin)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
CookieName = Annotated[str, AfterValidator(_cookie_name)]
Dialled = Annotated[str, AfterValidator(_dialled)]
Prefix = Annotated[str, AfterValidator(_prefix)]
DialPrefix = Annotated[str, AfterValidator(_dial_prefix)]
TelephoneNumber = Annotated[str, AfterValidator(_telephone_number)]
IdentityUser = Annotated[str, AfterValidator(_identity_user)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
CountryCode = Annotated[str, AfterValidator(_country)]
EmergencyNumber = Annotated[str, AfterValidator(emergency_number)]
