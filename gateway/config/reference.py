"""docs/configuration.md, made from the schema so that it cannot be wrong about a key, a default or a limit."""

from __future__ import annotations

import types
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from gateway.base.values import Secret
from gateway.config.policy_scalars import CodeName, Day, HoursOfWeek, SuiteName, TimeZone
from gateway.config.scalars import (
    CookieName,
    CountryCode,
    Dialled,
    DialPrefix,
    DigestName,
    EmergencyNumber,
    FilePath,
    HeaderName,
    Host,
    HttpsUrl,
    IdentityUser,
    IpAddress,
    IpList,
    Model,
    Name,
    NameList,
    Network,
    Origin,
    PinList,
    Prefix,
    SecretText,
    TelephoneNumber,
    TextList,
    TlsName,
)
from gateway.config.schema import (
    DialplanFile,
    Endpoint,
    GatewayConfig,
    PolicyFile,
    PolicyNumbers,
    PolicySource,
    PortRange,
    PublicAddress,
    SipListener,
    UsersFile,
)
from gateway.config.schema.hep import HepPassword
from gateway.config.schema.sinks import SinkAddress, StrongSecret, WebhookUrl

INTRODUCTION = """\
# Configuration

<!-- Made by `make docs` from gateway/config/schema/. A test fails when this file is older than the schema. -->

YAML files: the gateway file, which names the others, the users file, the dialplan, and perhaps a policy file.
`sip-gateway check gateway.yaml` reads all of them, tells every mistake with file, line, key and remedy, and prints
what each trunk will offer.

- Values are text and typed by the key: `no`, `0900`, `+4930123` and `12:30` stay what they are, and a number is
  decimal, `012` is twelve.
- Unknown keys, duplicate keys, tags, merge keys and aliases that grow beyond 100,000 values are errors.
  A file has at most 1 MB.
- `${NAME}` in a value is replaced from the environment; a missing variable is an error. `$${` writes `${`.
- A secret is the text itself, `${NAME}`, or `file:PATH` for the content of a file. No error or log repeats it.
- Relative paths are relative to the file that names them.
- The users file is refused while group or others can read it.
"""

FILES: tuple[tuple[str, type[Model]], ...] = (
    ("gateway.yaml", GatewayConfig),
    ("users.yaml", UsersFile),
    ("dialplan.yaml", DialplanFile),
    ("policy.yaml", PolicyFile),
)

SCALARS: dict[Any, str] = {
    CodeName: "code",
    CountryCode: "digits",
    Day: "day",
    Dialled: "number or pattern",
    DigestName: "text",
    DialPrefix: "digits",
    EmergencyNumber: "number",
    FilePath: "path",
    HeaderName: "header name",
    Host: "domain name",
    IdentityUser: "number or name",
    CookieName: "name of a cookie",
    HoursOfWeek: "hours",
    HttpsUrl: "https URL",
    IpAddress: "IP address",
    IpList: "IP address or list of them",
    Name: "name",
    NameList: "name or list of them",
    Network: "network",
    Origin: "origin",
    PinList: "SHA-256 digest or list of them",
    Prefix: "number",
    SecretText: "secret",
    HepPassword: "secret",
    StrongSecret: "secret",
    SuiteName: "crypto suite",
    TelephoneNumber: "number",
    TextList: "text or list of them",
    TimeZone: "time zone",
    TlsName: "name or IP address",
    WebhookUrl: "https URL",
    Endpoint: "`address:port`",
    PolicySource: "`{net: NETWORKS}`",
    PolicyNumbers: "number, list of them, or `{set: NAME}`",
    PortRange: "`first-last`",
    PublicAddress: "`host:port`",
    SinkAddress: "`host:port`",
    SipListener: "`transport:address:port`",
    str: "text",
    int: "number",
    float: "number",
    bool: "`yes` or `no`",
    Secret[str]: "secret",
}

UNCOUNTED = frozenset({"keys", "text", "digits", "hours"})
"""Kinds of which several are called the same."""


def reference() -> str:
    """The whole file."""
    parts = [INTRODUCTION]
    for file, model in FILES:
        parts.append(f"## {file}\n")
        parts.extend(_section("", model, {}))
        parts.append("")
    return "\n".join(parts)


def _section(prefix: str, model: type[Model], seen: dict[type[Model], str]) -> Iterator[str]:
    """The keys of a model, and of those below it; one that stood in this file before is told once."""
    hints = get_type_hints(model, include_extras=True)
    if prefix:
        yield f"\n### `{prefix}`\n"
    if model in seen:
        yield f"As `{seen[model]}`."
        return
    seen[model] = prefix
    yield f"{_flat(model.__doc__)}\n"
    yield "| Key | Value | Default | Meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        columns = f"{_kind(hints[name], field)} | {_default(field)} | {_flat(field.description)}"
        yield f"| `{field.alias or name}` | {columns} |"
    for name, field in model.model_fields.items():
        inner, suffix = _inner(hints[name])
        if inner is not None:
            yield from _section((f"{prefix}." if prefix else "") + (field.alias or name) + suffix, inner, seen)


def _inner(hint: Any) -> tuple[type[Model] | None, str]:
    """The model below a key, and what stands between: a name of the administrator's, or a list."""
    hint = _required(hint)
    origin = get_origin(hint)
    if origin is dict:
        return _model(get_args(hint)[1]), ".NAME"
    if origin is tuple:
        return _model(get_args(hint)[0]), "[]"
    return _model(hint), ""


def _model(hint: Any) -> type[Model] | None:
    is_model = isinstance(hint, type) and issubclass(hint, Model) and hint not in SCALARS
    return hint if is_model else None


def _kind(hint: Any, field: FieldInfo) -> str:
    hint = _required(hint)
    if hint in SCALARS:
        return SCALARS[hint] + _range(field)
    origin = get_origin(hint)
    if origin is Literal:
        return _choice(str(value) for value in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(member.value for member in hint)
    if origin is tuple:
        return f"list of {_plural(_kind(get_args(hint)[0], field))}"
    if origin is dict:
        return "keys by name"
    return _kind(get_args(hint)[0], field) if _is_annotated(hint) else "keys"


def _plural(kind: str) -> str:
    """The word for several of these: `name or IP address` -> `names or IP addresses`."""
    return " or ".join(map(_several, kind.split(" or ")))


def _several(word: str) -> str:
    if word in UNCOUNTED or word.endswith("`"):
        return word
    return word + ("es" if word.endswith("ss") else "s")


def _choice(values: Iterator[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _range(field: FieldInfo) -> str:
    limits = {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le") if hasattr(m, name)}
    least = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']}" if "gt" in limits else ""
    most = f"to {limits['le']}" if "le" in limits else ""
    return "".join(f" {words}" for words in (least, most) if words)


def _required(hint: Any) -> Any:
    """The hint without `| None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _is_annotated(hint: Any) -> bool:
    return hasattr(hint, "__metadata__")


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    if value is None or isinstance(value, Model) or field.default_factory is not None:
        return "-"
    return f"`{value}`" if str(value) else "none"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
