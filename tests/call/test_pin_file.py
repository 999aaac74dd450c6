"""The file of pins survives a kill between writes, and damage to it is no reason to forget."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.base.errors import ConfigError
from gateway.call.run import pin_file
from gateway.call.run.pins import PinStore

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


def opened(path: Path) -> PinStore:
    store = PinStore(path)
    store.open()
    return store


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_kill_between_writes_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    path = tmp_path / "pins.json"
    pin_file.write(path, {"pbx": NOON})

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if at == "write":
            patch.setattr(pin_file, "encoded", killed)
        else:
            patch.setattr(os, at, killed)
        with pytest.raises(Killed):
            pin_file.write(path, {})
    assert pin_file.read(path) == {"pbx": NOON}
    pin_file.write(path, {"other": NOON})
    assert pin_file.read(path) == {"other": NOON}


def broken(data: bytes) -> list[bytes]:
    changed = json.loads(data)
    changed["pins"].pop("pbx")
    aged = json.loads(data)
    aged["pins"]["pbx"] = "1999-01-01T00:00:00+00:00"
    return [b"", data[:-20], data[: len(data) // 2], b"[]", b"{}", b"\xff" + data, b"[" * 100_000] + [
        json.dumps(one).encode() for one in (changed, aged, {**changed, "v": 9}, {**changed, "pins": 3})
    ]


def test_a_file_that_is_not_as_it_was_written_is_no_reason_to_forget(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    for data in broken(pin_file.encoded({"pbx": NOON, "other": NOON})):
        path.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            opened(path)
        assert str(path) in caught.value.message
        assert "move it away" in (caught.value.remedy or "")
        assert path.read_bytes() == data


def test_a_file_that_cannot_be_read_is_told_and_a_missing_one_is_a_first_start(tmp_path: Path) -> None:
    assert list(opened(tmp_path / "pins.json").rows()) == []
    with pytest.raises(ConfigError):
        opened(tmp_path)
