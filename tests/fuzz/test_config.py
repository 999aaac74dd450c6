"""Configuration files nobody meant to write: every mistake is a ConfigError that names its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.errors import ConfigError
from gateway.config.document import read_document
from gateway.config.load import read_dialplan
from gateway.config.schema import GatewayConfig
from gateway.config.yaml import parse_yaml
from tests.config.files import DIALPLAN, GATEWAY, USERS
from tests.fuzz.mutate import TIMEOUT, run

pytestmark = pytest.mark.timeout(TIMEOUT)

MAX_SECONDS = 5.0
"""An administrator's file is read once, and may take as long as its 70 kB need."""
SEEDS = [text.encode() for text in (GATEWAY, USERS, DIALPLAN)]
WORDS = (
    *(b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system ", b"!!int ", b"---\n", b"...\n", b"%YAML 1.1\n", b"\t"),
    *(
        b"? ",
        b"- ",
        b": ",
        b"{",
        b"[",
        b"}",
        b"]",
        b'"',
        b"'",
        b"|\n",
        b">\n",
        b"#",
        b"\n",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(b"no", b"null", b"~", b"0900", b"1_000", b".inf", b"0x10", b"${HOME}", b"$${x}", b"${", b"[" * 300, b"- " * 300),
)


def check(error: ConfigError) -> None:
    """It says which file is meant: the one that was read, or the one it names."""
    assert str(error)
    assert error.file or "fuzz.yaml" in str(error)


def read(data: bytes, directory: Path) -> None:
    try:
        parse_yaml(data.decode("utf-8", "replace"), "fuzz.yaml")
    except ConfigError as error:
        check(error)
        return
    path = directory / "fuzz.yaml"
    path.write_bytes(data)
    for reader in (lambda: read_document(path, GatewayConfig, {}), lambda: read_dialplan(path)):
        try:
            reader()
        except ConfigError as error:
            check(error)


def test_any_octets_are_a_configuration_or_a_config_error(tmp_path: Path) -> None:
    assert run(lambda data: read(data, tmp_path), SEEDS, WORDS, limit=MAX_SECONDS) > 20
