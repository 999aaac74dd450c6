"""What is installed is what was locked: each package the project names, pinned, with the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {
    "requirements.lock": (*PROJECT["dependencies"], *EXTRAS["demo"], *EXTRAS["build"]),
    "requirements-dev.lock": (*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)),
}


def normal(name: str) -> str:
    """The name of a package in the one spelling an index uses (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> dict[str, str]:
    """What a lock file says of each package, by name."""
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text())
    return {normal(entry.split("==")[0]): entry for entry in entries if "==" in entry}


@pytest.mark.parametrize("file", LOCKS)
def test_each_package_the_project_names_is_locked(file: str) -> None:
    named = {normal(re.split(r"[<>=;\[ ]", wanted)[0]) for wanted in LOCKS[file]}
    assert named - set(locked(file)) == set()


@pytest.mark.parametrize("file", LOCKS)
def test_each_locked_package_has_one_version_and_hashes(file: str) -> None:
    for name, entry in locked(file).items():
        assert re.match(r"[^=\s]+==[^=\s;]+( ;[^\n]*)? \\\n", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


@pytest.mark.parametrize("file", LOCKS)
def test_a_lock_names_no_place_to_fetch_from(file: str) -> None:
    assert "://" not in (ROOT / file).read_text()
    assert "--index" not in (ROOT / file).read_text()


def test_tests_and_demonstration_run_on_the_same_versions() -> None:
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: dev[name].split()[0] for name in run} == {name: run[name].split()[0] for name in run}
