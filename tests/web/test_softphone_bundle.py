"""The committed bundle is what the sources build, complete and free of what the page's policy forbids."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from gateway.web.assets import FILES

SOFTPHONE = Path(__file__).resolve().parents[2] / "gateway" / "web" / "softphone"
DIST = SOFTPHONE / "dist"
MANIFEST = json.loads((DIST / "MANIFEST.json").read_text())
RECIPE = ("build.mjs", "package.json", "package-lock.json")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hash_sources() -> str:
    names = sorted([*RECIPE, *(f"src/{path.name}" for path in (SOFTPHONE / "src").iterdir())])
    return sha256("".join(f"{name} {sha256((SOFTPHONE / name).read_bytes())}\n" for name in names).encode())


def test_bundle_was_built_from_these_sources() -> None:
    assert MANIFEST["sources"] == hash_sources(), "the bundle is stale: npm run build in gateway/web/softphone"


def test_bundle_was_not_edited_by_hand() -> None:
    built = {p.name: sha256(p.read_bytes()) for p in DIST.iterdir() if p.name != "MANIFEST.json"}
    assert built == MANIFEST["outputs"]


def test_server_serves_every_file_of_the_bundle_and_nothing_else() -> None:
    assert {name for name, _ in FILES.values()} == set(MANIFEST["outputs"])


def test_lock_file_names_no_registry_host() -> None:
    lock = json.loads((SOFTPHONE / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_page_has_nothing_inline() -> None:
    page = (DIST / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)


def test_sources_never_turn_text_into_markup() -> None:
    for path in (SOFTPHONE / "src").glob("*.js"):
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )


def test_licences_name_every_package_in_the_bundle() -> None:
    licences = (DIST / "THIRD_PARTY_LICENSES.txt").read_text()
    for package in ("jssip 3.13", "sdp-transform", "debug", "events"):
        assert package in licences


def test_page_has_every_element_the_phone_uses() -> None:
    page = (DIST / "index.html").read_text()
    present = set(re.findall(r'\bid="([^"]+)"', page))
    used = set()
    for path in (SOFTPHONE / "src").glob("*.js"):
        used |= set(re.findall(r"""(?:element|setText|setData|show|toggle|onClick)\('([a-z-]+)'""", path.read_text()))
    assert used
    assert used <= present


def test_the_line_of_a_call_has_every_part_the_list_uses() -> None:
    template = (DIST / "index.html").read_text().partition("<template")[2]
    source = (SOFTPHONE / "src" / "calllist.js").read_text()
    parts = set(re.findall(r"part\(item, '([a-z-]+)'\)", source))
    actions = set(re.findall(r"offer\(item, '([a-z]+)'", source))
    assert parts == set(re.findall(r'data-part="([^"]+)"', template))
    assert actions == set(re.findall(r'data-action="([^"]+)"', template))


def test_every_field_has_a_label() -> None:
    page = (DIST / "index.html").read_text()
    fields = set(re.findall(r'<(?:input|select) id="([^"]+)"', page))
    assert fields == set(re.findall(r'<label for="([^"]+)"', page))


def test_nobody_can_sign_in_before_the_page_listens() -> None:
    """A form that is sent too early would reload the page; the first rendering enables the button."""
    assert re.search(r'<button id="sign-in"[^>]*\bdisabled>', (DIST / "index.html").read_text())
