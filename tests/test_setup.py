"""What `make` does before it does anything: Debian packages are found, installed by root, or named to the user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

NEED = Path(__file__).parents[1] / ".ci" / "need"
NOBODY = 65534


def need(path: Path, *items: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-s", "--", *items],
        input=NEED.read_text(),
        env={"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        user=user,
    )


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """A directory with an apt-get that only writes down what it was asked."""
    fake = tmp_path / "apt-get"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    fake.chmod(0o755)
    return tmp_path


def test_a_package_whose_command_is_there_is_not_asked_for(apt: Path) -> None:
    done = need(apt, "sh:dash", "cat:coreutils")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (apt / "asked").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages")
def test_root_installs_what_is_missing(apt: Path) -> None:
    done = need(apt, "sh:dash", "no-such-command:sip-tester", "python3-venv")
    assert done.returncode == 0, done.stderr
    assert (apt / "asked").read_text().splitlines() == [
        "update -qq",
        "install --yes --no-install-recommends sip-tester python3-venv -qq",
    ]


def test_a_library_the_linker_knows_is_not_asked_for_and_a_missing_one_is(apt: Path) -> None:
    done = need(apt, "libc.so.6:libc6", "libnowhere.so.9:libnowhere9", user=NOBODY if os.geteuid() == 0 else None)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "  sudo apt-get install --yes --no-install-recommends libnowhere9"


def test_a_user_gets_the_line_to_type(apt: Path) -> None:
    done = need(apt, "sh:dash", "no-such-command:sip-tester", user=NOBODY if os.geteuid() == 0 else None)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "  sudo apt-get install --yes --no-install-recommends sip-tester"
    assert not (apt / "asked").exists()
