"""The committed JsSIP page is what its sources build."""

from __future__ import annotations

import hashlib
import json

from tests.rig.sipjs import JSSIP

HOME = JSSIP.parent
MANIFEST = json.loads((JSSIP / "MANIFEST.json").read_text())
RECIPE = ("build.mjs", "package.json", "package-lock.json")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_page_was_built_from_these_sources() -> None:
    names = sorted([*RECIPE, *(f"src/{path.name}" for path in (HOME / "src").iterdir())])
    sources = sha256("".join(f"{name} {sha256((HOME / name).read_bytes())}\n" for name in names).encode())
    assert MANIFEST["sources"] == sources, "the page is stale: make sipjs"


def test_the_page_was_not_edited_by_hand() -> None:
    built = {p.name: sha256(p.read_bytes()) for p in JSSIP.iterdir() if p.name != "MANIFEST.json"}
    assert built == MANIFEST["outputs"]


def test_its_lock_file_names_no_registry_host() -> None:
    packages = json.loads((HOME / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_it_is_the_jssip_of_the_softphone() -> None:
    assert "\njssip 3.13.8 (MIT)\n" in (JSSIP / "THIRD_PARTY_LICENSES.txt").read_text()
