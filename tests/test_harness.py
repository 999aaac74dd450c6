"""The harnesses are one ladder: each has a name of its own, and tests/README.md names what there is."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
README = (TESTS / "README.md").read_text()
HARNESSES = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_")]


def test_no_two_harnesses_have_a_class_of_the_same_name() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in HARNESSES:
        for name in re.findall(r"^class ([A-Z]\w+)", path.read_text(), re.MULTILINE):
            found[name].append(str(path.relative_to(TESTS)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_no_test_file_takes_the_name_of_a_harness() -> None:
    taken = {name for p in HARNESSES for name in re.findall(r"^class ([A-Z]\w+)", p.read_text(), re.MULTILINE)}
    own = {
        f"{path.relative_to(TESTS)}: {name}"
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^class ([A-Z]\w+)", path.read_text(), re.MULTILINE)
        if name in taken
    }
    assert own == set()


def test_the_readme_names_files_that_exist() -> None:
    for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", README):
        places = [TESTS / name, TESTS / "rig" / name]
        assert any(place.exists() for place in places), name


def test_the_classes_the_readme_names_exist() -> None:
    there = {n for p in TESTS.rglob("*.py") for n in re.findall(r"^class ([A-Z]\w+)", p.read_text(), re.MULTILINE)}
    named = set(re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", README))
    assert {"MachineScene", "HostedScene", "Stage", "FakeWire", "AttackWire"} <= named
    assert named <= there


def test_every_folder_of_tests_has_tests_or_serves_them() -> None:
    folders = {path.parent for path in TESTS.rglob("*.py")}
    assert [str(f.relative_to(TESTS)) for f in folders if all(p.stat().st_size == 0 for p in f.glob("*.py"))] == []
