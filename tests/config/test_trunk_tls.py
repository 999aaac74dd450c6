"""How a trunk's certificate is known: pins and names as people have them at hand."""

from __future__ import annotations

import base64

import pytest

from tests.config.files import Files
from tests.config.test_load import files, load, only_mistake

__all__ = ["files"]

PINNED = bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        PINNED.hex(),
        PINNED.hex().upper(),
        ":".join(f"{octet:02X}" for octet in PINNED),
        base64.b64encode(PINNED).decode(),
        f"sha256/{base64.b64encode(PINNED).decode()}",
    ],
)
def test_a_pin_is_read_as_openssl_and_as_browsers_write_it(files: Files, text: str) -> None:
    in_tls(files, f'pin_sha256: "{text}"')
    assert load(files).site.trunks["pbx"].tls.pins == {PINNED.hex()}
    files.gateway = files.gateway.replace(f'"{text}"', f'["{text}", "{"00" * 32}"]')
    assert load(files).site.trunks["pbx"].tls.pins == {PINNED.hex(), "00" * 32}


@pytest.mark.parametrize(
    "text", ["", "ab" * 20, "xy" * 32, base64.b64encode(PINNED[:20]).decode(), "*" * 44, "\u0661" * 64]
)
def test_what_is_no_sha256_is_no_pin(files: Files, text: str) -> None:
    in_tls(files, f'pin_sha256: ["{text}"]')
    error = only_mistake(files)
    assert (error.key, error.message) == (
        "trunks.pbx.tls.pin_sha256[0]",
        "expected a SHA-256 digest: 64 hexadecimal digits, or 44 characters of base64",
    )


def test_a_name_a_certificate_can_be_for_is_a_domain_or_an_address(files: Files) -> None:
    in_tls(files, 'names: [PBX.example.com, 192.0.2.7, "2001:DB8:0::1"]')
    assert load(files).site.trunks["pbx"].tls_names == ("pbx.example.com", "192.0.2.7", "2001:db8::1")
    files.gateway = files.gateway.replace("192.0.2.7", '"*.example.com"')
    error = only_mistake(files)
    assert error.key == "trunks.pbx.tls.names[1]"
    assert "wildcards" in error.message


def in_tls(files: Files, keys: str) -> None:
    """Give the trunk pbx a `tls` section with these keys."""
    files.gateway = files.gateway.replace('transport=tls",', f'transport=tls", tls: {{{keys}}},', 1)
