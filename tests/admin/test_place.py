"""Where the admin socket is: in a directory only the gateway's user may write to, one name for each configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.admin import place
from gateway.base.errors import ConfigError


def test_a_service_manager_s_directory_comes_first_then_root_s_then_that_of_the_session() -> None:
    assert place.directory({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, 1000) == Path("/run/a")
    assert place.directory({}, 0) == Path("/run/sip-gateway")
    assert place.directory({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000) == Path("/run/user/1000/sip-gateway")
    assert place.directory({}, 1000).name == "sip-gateway-1000"


def test_commands_look_where_a_service_of_another_user_would_be_too() -> None:
    assert Path("/run/sip-gateway") in place.candidates({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000)


def test_each_configuration_has_a_name_of_its_own_by_whatever_path_it_is_called(tmp_path: Path) -> None:
    one, other = tmp_path / "gateway.yaml", tmp_path / "other.yaml"
    assert place.name(one) == place.name(tmp_path / "x" / ".." / "gateway.yaml")
    assert place.name(one) != place.name(other)


def test_a_missing_directory_is_made_for_nobody_else(tmp_path: Path) -> None:
    place.prepare(tmp_path / "run" / "a.sock")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_directory_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    with pytest.raises(ConfigError, match="others may write"):
        place.prepare(tmp_path / "run" / "a.sock")


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="no directory"):
        place.prepare(tmp_path / "run" / "a.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(ConfigError, match="others may write"):
        place.prepare(tmp_path / "run" / "a.sock")
