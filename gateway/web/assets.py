"""The softphone's files, read into memory once at start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

from gateway.base.errors import ConfigError

BUNDLE: Final = "softphone/dist"

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/softphone.js": ("softphone.js", "text/javascript; charset=utf-8"),
    "/softphone.css": ("softphone.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/gateway-security.js": ("gateway-security.js", "text/javascript; charset=utf-8"),
    "/gateway-security.d.ts": ("gateway-security.d.ts", "text/plain; charset=utf-8"),
    "/THIRD_PARTY_LICENSES.txt": ("THIRD_PARTY_LICENSES.txt", "text/plain; charset=utf-8"),
}
"""Path a client may ask for -> file of the bundle and its content type. There is nothing else."""
FOR_OTHERS: Final = frozenset({"/gateway-security.js", "/gateway-security.d.ts"})
"""Of these, what pages of other origins load too: the module that reads how calls are protected."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One response body with what HTTP needs to know of it."""

    body: bytes
    content_type: str
    etag: str = field(init=False)
    """Strong validator made of the content (RFC 9110 8.8.3)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", f'"{hashlib.sha256(self.body).hexdigest()[:32]}"')


def load_assets(config_json: bytes) -> dict[str, Asset]:
    """Every path the server answers, with its content; `/config.json` is the one that is not a file."""
    directory = resources.files("gateway.web").joinpath(BUNDLE)
    try:
        assets = {path: Asset(directory.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
    except OSError as error:
        raise ConfigError(
            f"the softphone's files are missing: {error}",
            remedy="install the package completely, or build the softphone (gateway/web/softphone/README.md)",
        ) from error
    return assets | {"/config.json": Asset(config_json, "application/json")}
