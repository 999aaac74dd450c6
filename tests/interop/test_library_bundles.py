"""The committed pages of the libraries are what their sources build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.rig.sipjs import DIST, JSSIP

BUNDLES = pytest.mark.parametrize("dist", [DIST, JSSIP], ids=["SIP.js", "JsSIP"])
RECIPE = ("build.mjs", "package.json", "package-lock.json")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest(dist: Path) -> Mapping[str, Any]:
    return json.loads((dist / "MANIFEST.json").read_text())  # type: ignore[no-any-return]


@BUNDLES
def test_the_page_was_built_from_these_sources(dist: Path) -> None:
    home = dist.parent
    names = sorted([*RECIPE, *(f"src/{path.name}" for path in (home / "src").iterdir())])
    sources = sha256("".join(f"{name} {sha256((home / name).read_bytes())}\n" for name in names).encode())
    assert manifest(dist)["sources"] == sources, "the page is stale: make sipjs"


@BUNDLES
def test_the_page_was_not_edited_by_hand(dist: Path) -> None:
    built = {path.name: sha256(path.read_bytes()) for path in dist.iterdir() if path.name != "MANIFEST.json"}
    assert built == manifest(dist)["outputs"]


@BUNDLES
def test_its_lock_file_names_no_registry_host(dist: Path) -> None:
    packages = json.loads((dist.parent / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_it_is_the_sip_js_people_install() -> None:
    assert (DIST / "THIRD_PARTY_LICENSES.txt").read_text().startswith("sip.js 0.21.2 (MIT)")


def test_it_is_the_jssip_of_the_softphone() -> None:
    assert "\njssip 3.13.8 (MIT)\n" in (JSSIP / "THIRD_PARTY_LICENSES.txt").read_text()
